//! The deadline of a request.

use std::pin::pin;
use std::time::Duration;

use poem::{FromRequest, Request, RequestBody};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::body_guard::BodyGuard;
use crate::config::{REQUEST_END_TIME_MAX, REQUEST_TIME_MAX};

/// The rate at which the stores take a body at least; it adds time for the body's bytes.
const BYTES_PER_SECOND_MIN: u32 = 1 << 20;

/// Tells the operation of a request when its deadline has passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RequestDeadline(CancellationToken);

impl RequestDeadline {
    /// Waits until the deadline has passed. After that the operation must not begin any change.
    pub(crate) async fn is_up(&self) {
        self.0.cancelled().await;
    }
}

impl<'a> FromRequest<'a> for RequestDeadline {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let given = request.extensions().get::<Self>();
        Ok(given.cloned().expect("the middleware gives every request a deadline"))
    }
}

/// Returns the response, or `None` if it takes too long.
///
/// Each call to a store has its own timeout. But a slow store may be called many times for one request: this
/// limits the sum of those calls.
pub(crate) async fn in_time<T>(
    guard: &BodyGuard,
    time: &RequestDeadline,
    response: impl Future<Output = T>,
) -> Option<T> {
    let mut response = pin!(response);
    let begun = Instant::now();
    let late = async {
        loop {
            let bytes_time = Duration::from_secs(guard.bytes()) / BYTES_PER_SECOND_MIN;
            let time_max = REQUEST_TIME_MAX - REQUEST_END_TIME_MAX + bytes_time + guard.waited();
            let left = time_max.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    };
    tokio::select! {
        biased;
        response = &mut response => Some(response),
        () = late => {
            time.0.cancel();
            timeout(REQUEST_END_TIME_MAX, response).await.ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io;

    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use poem::Body;

    use super::*;

    /// A request whose body takes longer than a response may.
    fn slow_body(bytes: usize) -> (Body, BodyGuard) {
        let frames = stream::once(async move {
            sleep(Duration::from_secs(20)).await;
            Ok::<_, io::Error>(Bytes::from(vec![0; bytes]))
        });
        let mut request = Request::builder().body(Body::from_bytes_stream(frames));
        let guard = BodyGuard::install(&mut request, u64::MAX);
        (request.take_body(), guard)
    }

    async fn read(body: Body) {
        let mut frames = body.into_bytes_stream();
        while let Some(frame) = frames.next().await {
            frame.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_never_comes_is_late() {
        let (_, guard) = slow_body(0);
        let begun = Instant::now();
        assert_eq!(in_time(&guard, &RequestDeadline::default(), pending::<()>()).await, None);
        assert_eq!(begun.elapsed(), REQUEST_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_client_does_not_count() {
        let (body, guard) = slow_body(1);
        let response = async {
            sleep(REQUEST_TIME_MAX / 2).await;
            read(body).await;
            sleep(REQUEST_TIME_MAX / 4).await;
        };
        assert_eq!(in_time(&guard, &RequestDeadline::default(), response).await, Some(()));
    }

    #[tokio::test(start_paused = true)]
    async fn more_bytes_extend_the_deadline() {
        for (bytes, expected) in [(32 << 20, Some(())), (1, None)] {
            let (body, guard) = slow_body(bytes);
            let response = async {
                read(body).await;
                sleep(4 * REQUEST_TIME_MAX).await;
            };
            assert_eq!(in_time(&guard, &RequestDeadline::default(), response).await, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_may_report_its_outcome_after_the_deadline() {
        let (_, guard) = slow_body(0);
        let time = RequestDeadline::default();
        let response = async {
            time.is_up().await;
            "aborted"
        };
        assert_eq!(in_time(&guard, &time, response).await, Some("aborted"));
    }
}
