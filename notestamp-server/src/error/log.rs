//! The log of errors: each once, where its response is made, and few of those that come in storms.

use std::error::Error as StdError;

use notestamp_store::error_chain;
use poem::http::StatusCode;

use super::code::Code;
use crate::log_limit::LogLimit;

/// Limits the log to one line per second for each of the codes that come in storms: one cause, such as an unavailable
/// backend, makes many requests fail alike.
struct StormLimits {
    unavailable: LogLimit,
    busy: LogLimit,
    too_many_requests: LogLimit,
    storage_full: LogLimit,
    not_ready: LogLimit,
}

static STORMS: StormLimits = StormLimits::new();

impl StormLimits {
    const fn new() -> Self {
        Self {
            unavailable: LogLimit::per_second(),
            busy: LogLimit::per_second(),
            too_many_requests: LogLimit::per_second(),
            storage_full: LogLimit::per_second(),
            not_ready: LogLimit::per_second(),
        }
    }

    /// The limit of a code; absent for a code whose every error is logged.
    fn of(&self, code: Code) -> Option<&LogLimit> {
        match code {
            Code::Unavailable => Some(&self.unavailable),
            Code::Busy => Some(&self.busy),
            Code::TooManyRequests => Some(&self.too_many_requests),
            Code::StorageFull => Some(&self.storage_full),
            Code::StoreMismatch | Code::Restoring | Code::NotReadyStorageFull => Some(&self.not_ready),
            _ => None,
        }
    }
}

/// Logs an error with its cause.
pub(crate) fn log(request_id: &str, code: Code, message: &str, cause: Option<&(dyn StdError + 'static)>) {
    log_within(&STORMS, request_id, code, message, cause);
}

fn log_within(
    storms: &StormLimits,
    request_id: &str,
    code: Code,
    message: &str,
    cause: Option<&(dyn StdError + 'static)>,
) {
    let left_out = match storms.of(code).map(LogLimit::admit) {
        Some(None) => return,
        Some(Some(left_out)) => left_out,
        None => 0,
    };
    let (status, cause) = (code.status(), cause.map(error_chain));
    let (kind, code) = (code, code.as_str());
    match kind {
        // A retry may succeed, so the operator has nothing to repair.
        _ if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
            tracing::warn!(request_id, code, message, cause, left_out, "request refused temporarily");
        }
        // A full account concerns its owner, not the operator.
        Code::QuotaExceeded | Code::TooManyProjects => {
            tracing::debug!(request_id, code, message, cause, "request refused");
        }
        _ if status.is_server_error() => {
            tracing::error!(request_id, code, message, cause, left_out, "request failed");
        }
        _ => tracing::debug!(request_id, code, message, cause, "request refused"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// The level of each logged event.
    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    /// The levels that are logged when errors of these codes become responses, one after the other.
    fn logged(codes: impl IntoIterator<Item = Code>) -> Vec<Level> {
        let levels = Levels::default();
        let subscriber = tracing_subscriber::registry().with(levels.clone());
        let storms = StormLimits::new();
        tracing::subscriber::with_default(subscriber, || {
            for code in codes {
                log_within(&storms, "0123456789abcdef", code, "a message", None);
            }
        });
        let levels = levels.0.lock().unwrap();
        levels.clone()
    }

    #[test]
    fn only_errors_that_need_the_operator_are_logged_as_errors() {
        for (code, level) in [
            (Code::Internal, Level::ERROR),
            (Code::StorageFull, Level::ERROR),
            (Code::Unavailable, Level::WARN),
            (Code::Busy, Level::WARN),
            (Code::TooManyRequests, Level::WARN),
            (Code::QuotaExceeded, Level::DEBUG),
            (Code::TooManyProjects, Level::DEBUG),
            (Code::TooLarge, Level::DEBUG),
            (Code::Unauthorized, Level::DEBUG),
        ] {
            assert_eq!(logged([code]), [level], "{code:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_one_code_is_one_line_and_hides_no_other_code() {
        let storm = [Code::Unavailable; 100].into_iter().chain([Code::Busy; 100]).chain([Code::Internal; 2]);
        assert_eq!(logged(storm), [Level::WARN, Level::WARN, Level::ERROR, Level::ERROR]);
    }
}
