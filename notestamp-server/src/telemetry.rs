//! The log: events with fields, on standard error.

use std::io::{self, IsTerminal};

use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Log, LogFormat};

/// Starts logging, for the whole process.
///
/// # Panics
///
/// If logging has already been started.
pub fn start(log: &Log) {
    let is_terminal = io::stderr().is_terminal();
    let format = log.format.unwrap_or(if is_terminal { LogFormat::Text } else { LogFormat::Json });
    tracing::subscriber::set_global_default(subscriber(&log.filter, format, is_terminal, io::stderr))
        .expect("the process starts logging once");
}

/// Text has colours only on a terminal; JSON has none.
fn subscriber<W>(filter: &str, format: LogFormat, colours: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Otherwise an event that cannot be written would be reported on standard error, and a failure of that would panic.
    let events = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    let events: Box<dyn Layer<Registry> + Send + Sync> = match format {
        LogFormat::Text => events.with_ansi(colours).boxed(),
        LogFormat::Json => events.json().flatten_event(true).boxed(),
    };
    let filter = EnvFilter::builder().parse_lossy(filter);
    Registry::default().with(events.with_filter(filter))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The text that is written for `events`.
    fn written(filter: &str, format: LogFormat, events: impl FnOnce()) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = subscriber(filter, format, false, move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_json_object_with_its_fields() {
        let line = written("info", LogFormat::Json, || tracing::info!(port = 8080, "listening"));
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&event["message"], &event["port"]), (&"listening".into(), &8080.into()));
    }

    #[test]
    fn text_names_the_fields_and_has_no_colours_off_a_terminal() {
        let line = written("info", LogFormat::Text, || tracing::info!(port = 8080, "listening"));
        assert!(line.contains("listening port=8080"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let events = || {
            tracing::info!(target: "hyper", "a library at work");
            tracing::info!(target: "notestamp_server::api", "we at work");
            tracing::debug!(target: "notestamp_server::api", "we in detail");
        };
        let lines = written(&crate::config::Config::for_testing().log.filter, LogFormat::Text, events);
        assert!(lines.contains("we at work") && lines.lines().count() == 1, "{lines}");
    }
}
