//! Limits the size and the minimum rate of a request body while it arrives, and notes where it breaks off.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, Stream, StreamExt};
use poem::http::HeaderMap;
use poem::http::header::{CONTENT_LENGTH, EXPECT};
use poem::{Body, Request};
use tokio::time::Instant;

use crate::config::{BODY_RATE_BYTES_MIN, BODY_RATE_WINDOW};
use crate::error::{ApiError, Code};
use crate::transport::idle_timer::MinimumRate;

/// Why reading a body was aborted. It decides the status of the response, whatever error a parser made of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More bytes than allowed, in `Content-Length` or received. Status: 413.
    #[error("the body exceeds {bytes_max} bytes")]
    TooLarge {
        /// How many bytes are allowed.
        bytes_max: u64,
    },
    /// Fewer than [`BODY_RATE_BYTES_MIN`] bytes in a [`BODY_RATE_WINDOW`] of waiting. Status: 408.
    #[error("the body arrives too slowly")]
    TooSlow,
    /// The connection ended before the body did, or its framing is wrong. Status: 400.
    #[error("the connection was closed before the end of the body")]
    BrokenOff,
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge { .. } => Code::TooLarge,
            BodyError::TooSlow => Code::RequestTimeout,
            BodyError::BrokenOff => Code::BadRequest,
        };
        Self::new(code, error.to_string())
    }
}

/// The middleware's handle to a guarded body, while the handler reads the body.
pub(crate) struct BodyGuard {
    shared: Shared,
    expects_continue: bool,
}

impl BodyGuard {
    /// Puts a guard around the body of a request.
    ///
    /// More than `bytes_max` bytes are too many, whatever `Content-Length` says; if it announces more, nothing is read.
    /// From the first error on, reading the body fails.
    pub(crate) fn install(request: &mut Request, bytes_max: u64) -> Self {
        let body = request.take_body();
        let is_empty = body.is_empty();
        let source = match is_empty {
            true => Source::Ended,
            false => Source::Arriving(Arriving {
                stream: body.into_bytes_stream().boxed(),
                was_polled: false,
                bytes_announced: content_length(request.headers()).unwrap_or(0),
                bytes: 0,
                bytes_max,
                rate: MinimumRate::new(BODY_RATE_BYTES_MIN, BODY_RATE_WINDOW),
            }),
        };
        let progress =
            Progress { source, error: None, bytes: 0, waited: Duration::ZERO, waiting_since: None };
        let shared = Shared(Arc::new(Mutex::new(progress)));
        if !is_empty {
            request.set_body(Body::from_bytes_stream(shared.clone()));
        }
        Self { shared, expects_continue: expects_continue(request.headers()) }
    }

    /// Why reading the body was aborted, if it was. Call it after the handler has returned.
    pub(crate) fn error(&self) -> Option<BodyError> {
        self.shared.lock().error
    }

    /// How many bytes have arrived.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.lock().bytes
    }

    /// How long the handler has waited for the client to send more.
    pub(crate) fn waited(&self) -> Duration {
        let state = self.shared.lock();
        state.waited + state.waiting_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Returns whether the unread part of the body may be longer than `bytes_max`, the most that
    /// [`drain`](Self::drain) reads. Then the connection will be closed.
    pub(crate) fn exceeds(&self, bytes_max: u64) -> bool {
        match &self.shared.lock().source {
            Source::Arriving(body) => body.bytes_announced.saturating_sub(body.bytes) > bytes_max,
            Source::Ended | Source::Gone => false,
        }
    }

    /// Returns whether there may be something to [`drain`](Self::drain).
    pub(crate) fn has_rest(&self) -> bool {
        matches!(self.shared.lock().source, Source::Arriving(_))
    }

    /// Reads and drops the rest of the body, up to a limit, so that a client that sends everything before it reads gets
    /// the response rather than a broken pipe.
    ///
    /// After `bytes_max` bytes nothing more is read, but the connection stays open until `time_max` has passed: a
    /// client that looks for a response only when it cannot send any more, as nginx does, finds it then. If the
    /// connection were closed at once, the reset would arrive before the response was read.
    ///
    /// Run it while the response is sent, not before: a client that reads while it sends stops at once. If the client
    /// waits for `100 Continue` and has not got it, nothing is read. A handler that still reads the body gets errors.
    pub(crate) async fn drain(self, bytes_max: u64, time_max: Duration) {
        let source = std::mem::replace(&mut self.shared.lock().source, Source::Gone);
        let Source::Arriving(mut body) = source else { return };
        if self.expects_continue && !body.was_polled {
            return;
        }
        let rest = async {
            let mut left = bytes_max;
            while let Some(Ok(bytes)) = body.stream.next().await {
                match left.checked_sub(bytes.len() as u64) {
                    Some(fewer) => left = fewer,
                    None => std::future::pending().await,
                }
            }
        };
        // It makes no difference whether the body ended or the time was up.
        let _ = tokio::time::timeout(time_max, rest).await;
    }
}

/// The body, shared by the handler and the guard. They never wait for each other: when the guard drains the body, the
/// handler has finished reading, or gets errors.
#[derive(Clone)]
struct Shared(Arc<Mutex<Progress>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        // If the inner stream panics, the state is still that before this frame.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for Shared {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.lock().poll_frame(cx).map_err(io::Error::other)
    }
}

struct Progress {
    source: Source,
    error: Option<BodyError>,
    bytes: u64,
    waited: Duration,
    waiting_since: Option<Instant>,
}

enum Source {
    Arriving(Arriving),
    Ended,
    /// Taken by [`BodyGuard::drain`], or failed.
    Gone,
}

impl Progress {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        if let Some(error) = self.error {
            return Poll::Ready(Some(Err(error)));
        }
        let body = match &mut self.source {
            Source::Arriving(body) => body,
            Source::Ended => return Poll::Ready(None),
            Source::Gone => return Poll::Ready(Some(Err(BodyError::BrokenOff))),
        };
        let Poll::Ready(frame) = body.poll_frame(cx) else {
            self.waiting_since.get_or_insert_with(Instant::now);
            return Poll::Pending;
        };
        if let Some(since) = self.waiting_since.take() {
            self.waited += since.elapsed();
        }
        match &frame {
            Some(Ok(bytes)) => self.bytes += bytes.len() as u64,
            &Some(Err(error)) => {
                self.error = Some(error);
                // The rest of a body that is too large can still be drained.
                if !matches!(error, BodyError::TooLarge { .. }) {
                    self.source = Source::Gone;
                }
            }
            None => self.source = Source::Ended,
        }
        Poll::Ready(frame)
    }
}

struct Arriving {
    stream: BoxStream<'static, io::Result<Bytes>>,
    /// Whether the client may have been told to send (`100 Continue`).
    was_polled: bool,
    bytes_announced: u64,
    bytes: u64,
    bytes_max: u64,
    rate: MinimumRate,
}

impl Arriving {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let too_large = BodyError::TooLarge { bytes_max: self.bytes_max };
        if self.bytes_announced > self.bytes_max {
            return Poll::Ready(Some(Err(too_large)));
        }
        self.was_polled = true;
        let frame = match self.stream.poll_next_unpin(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.rate.poll_too_slow(cx));
                return Poll::Ready(Some(Err(BodyError::TooSlow)));
            }
        };
        let Some(frame) = frame else { return Poll::Ready(None) };
        let Ok(bytes) = frame else { return Poll::Ready(Some(Err(BodyError::BrokenOff))) };
        self.rate.moved(bytes.len() as u64);
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Poll::Ready(Some(Err(too_large)));
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::stream;
    use poem::IntoResponse as _;
    use poem::http::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{sleep, timeout};

    use super::*;
    use crate::config::{BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX};
    use crate::transport::{ConnectionLimits, Server, TrustedProxies};

    const KIB: usize = 1024;

    /// A body of frames, each with its delay and its size.
    fn frames(frames: Vec<(Duration, usize)>) -> Body {
        Body::from_bytes_stream(stream::iter(frames).then(|(delay, size)| async move {
            if !delay.is_zero() {
                sleep(delay).await;
            }
            Ok::<_, io::Error>(Bytes::from(vec![b'x'; size]))
        }))
    }

    /// A body that counts the bytes that are read from it.
    fn counted(frame_count: usize, size: usize) -> (Body, Arc<AtomicU64>) {
        let read = Arc::new(AtomicU64::new(0));
        let counter = read.clone();
        let body = Body::from_bytes_stream(
            stream::repeat_with(move || {
                counter.fetch_add(size as u64, Ordering::Relaxed);
                Ok::<_, io::Error>(Bytes::from(vec![b'x'; size]))
            })
            .take(frame_count),
        );
        (body, read)
    }

    fn guarded(body: Body, bytes_max: u64) -> (Body, BodyGuard) {
        let mut request = Request::builder().body(body);
        let guard = BodyGuard::install(&mut request, bytes_max);
        (request.take_body(), guard)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn a_body_within_its_limits_passes_unchanged() {
        let (body, guard) = guarded(frames(vec![(Duration::ZERO, 4), (Duration::ZERO, 6)]), 10);
        assert_eq!(body.into_vec().await.unwrap(), b"xxxxxxxxxx");
        assert_eq!(guard.error(), None);
    }

    #[tokio::test]
    async fn one_byte_too_many_is_too_large() {
        let (body, guard) = guarded(frames(vec![(Duration::ZERO, 4), (Duration::ZERO, 7)]), 10);
        let mut body = body.into_bytes_stream();
        assert_eq!(body.next().await.unwrap().unwrap().len(), 4);
        for _ in 0..2 {
            body.next().await.unwrap().unwrap_err();
        }
        assert_eq!(guard.error(), Some(BodyError::TooLarge { bytes_max: 10 }));
    }

    #[tokio::test]
    async fn a_body_with_too_large_a_content_length_is_not_read() {
        let (body, read) = counted(1, 11);
        let mut request =
            Request::builder().header(CONTENT_LENGTH, "11").header(EXPECT, "100-Continue").body(body);
        let guard = BodyGuard::install(&mut request, 10);
        assert_eq!(guard.error(), None);
        request.take_body().into_vec().await.unwrap_err();
        assert_eq!(guard.error(), Some(BodyError::TooLarge { bytes_max: 10 }));
        guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX).await;
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_wrong_content_length_does_not_raise_the_limit() {
        let mut request = Request::builder().header(CONTENT_LENGTH, "1").body(vec![0; 11]);
        let guard = BodyGuard::install(&mut request, 10);
        request.take_body().into_vec().await.unwrap_err();
        assert_eq!(guard.error(), Some(BodyError::TooLarge { bytes_max: 10 }));
    }

    #[tokio::test]
    async fn a_body_that_fails_is_incomplete() {
        let broken = stream::iter([Ok(Bytes::from_static(b"x")), Err(io::Error::other("reset"))]);
        let (body, guard) = guarded(Body::from_bytes_stream(broken), 10);
        body.into_vec().await.unwrap_err();
        assert_eq!(guard.error(), Some(BodyError::BrokenOff));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_aborted_after_one_window() {
        let (body, guard) =
            guarded(frames(vec![(Duration::ZERO, 20 * KIB), (BODY_RATE_WINDOW * 9, 1)]), u64::MAX);
        let start = Instant::now();
        body.into_vec().await.unwrap_err();
        assert_eq!(guard.error(), Some(BodyError::TooSlow));
        assert_eq!(start.elapsed().as_secs(), BODY_RATE_WINDOW.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbling_body_is_aborted_after_one_window() {
        let (body, guard) = guarded(frames(vec![(SECOND, KIB / 2); 1000]), u64::MAX);
        let start = Instant::now();
        body.into_vec().await.unwrap_err();
        assert_eq!(guard.error(), Some(BodyError::TooSlow));
        assert_eq!(start.elapsed().as_secs(), BODY_RATE_WINDOW.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_that_is_fast_enough_passes() {
        let (body, guard) = guarded(frames(vec![(SECOND, KIB + 64); 1000]), u64::MAX);
        assert_eq!(body.into_vec().await.unwrap().len(), 1000 * (KIB + 64));
        assert_eq!(guard.error(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_body_may_take_most_of_a_window() {
        let (body, guard) = guarded(frames(vec![(SECOND, 1); 29]), u64::MAX);
        assert_eq!(body.into_vec().await.unwrap().len(), 29);
        assert_eq!(guard.error(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_handler_is_not_the_clients_fault() {
        let (body, guard) = guarded(frames(vec![(SECOND, 1); 10]), u64::MAX);
        let mut body = body.into_bytes_stream();
        while let Some(frame) = body.next().await {
            frame.unwrap();
            sleep(BODY_RATE_WINDOW * 2).await;
        }
        assert_eq!(guard.error(), None);
    }

    #[tokio::test]
    async fn the_rest_is_drained_after_the_handler_has_dropped_the_body() {
        let (body, read) = counted(100, KIB);
        let (body, guard) = guarded(body, u64::MAX);
        drop(body);
        guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX).await;
        assert_eq!(read.load(Ordering::Relaxed), 100 * KIB as u64);
    }

    #[tokio::test]
    async fn the_rest_of_a_too_large_body_is_drained() {
        let (body, read) = counted(100, KIB);
        let (body, guard) = guarded(body, 10);
        body.into_vec().await.unwrap_err();
        guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX).await;
        assert_eq!(read.load(Ordering::Relaxed), 100 * KIB as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn draining_is_bounded_in_bytes_and_leaves_time_to_read_the_response() {
        let (body, read) = counted(100, KIB);
        let (_body, guard) = guarded(body, u64::MAX);
        let start = Instant::now();
        guard.drain(10 * KIB as u64, BODY_DRAIN_TIME_MAX).await;
        assert_eq!(read.load(Ordering::Relaxed), 11 * KIB as u64);
        assert_eq!(start.elapsed().as_secs(), BODY_DRAIN_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn draining_is_bounded_in_time() {
        let (_body, guard) = guarded(frames(vec![(SECOND, 1); 1000]), u64::MAX);
        let start = Instant::now();
        guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX).await;
        assert_eq!(start.elapsed().as_secs(), BODY_DRAIN_TIME_MAX.as_secs());
    }

    #[tokio::test]
    async fn draining_does_not_send_100_continue() {
        let (body, read) = counted(1, KIB);
        let mut request = Request::builder().header(EXPECT, "100-continue").body(body);
        BodyGuard::install(&mut request, u64::MAX).drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX).await;
        assert_eq!(read.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_reader_that_outlives_the_response_gets_an_error_instead_of_the_end() {
        let (body, guard) = guarded(frames(vec![(Duration::ZERO, 4); 3]), u64::MAX);
        let mut body = body.into_bytes_stream();
        body.next().await.unwrap().unwrap();
        guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX).await;
        body.next().await.unwrap().unwrap_err();
    }

    /// The address of a server that refuses every request without reading its body.
    async fn refusing() -> SocketAddr {
        let refuse = poem::endpoint::make(|mut request: Request| async move {
            let guard = BodyGuard::install(&mut request, u64::MAX);
            drop(request);
            tokio::spawn(guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX));
            Ok::<_, poem::Error>(StatusCode::UNAUTHORIZED.into_response())
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(ConnectionLimits::new(usize::MAX, TrustedProxies::default()), SECOND);
        tokio::spawn(server.run(vec![listener], refuse, std::future::pending()));
        address
    }

    #[tokio::test]
    async fn a_client_that_reads_only_when_it_cannot_send_more_gets_the_response() {
        let mut connection = TcpStream::connect(refusing().await).await.unwrap();
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", u64::MAX / 2);
        connection.write_all(head.as_bytes()).await.unwrap();
        // Like nginx, the client sends until the system accepts no more bytes; this must happen before a reset.
        let piece = vec![b'x'; 1 << 20];
        while let Ok(sent) = timeout(SECOND, connection.write(&piece)).await {
            sent.unwrap();
        }
        let mut response = [0; 12];
        connection.read_exact(&mut response).await.unwrap();
        assert_eq!(&response, b"HTTP/1.1 401");
    }

    #[tokio::test]
    async fn a_client_that_sends_everything_before_it_reads_gets_the_response() {
        let address = refusing().await;
        let mut connection = TcpStream::connect(address).await.unwrap();
        let body = vec![b'x'; BODY_DRAIN_BYTES_MAX as usize];
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        // Twice: the connection can still be used.
        for _ in 0..2 {
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.write_all(&body).await.unwrap();
            let mut response = vec![];
            while !response.ends_with(b"\r\n\r\n") {
                response.push(connection.read_u8().await.unwrap());
            }
            assert!(response.starts_with(b"HTTP/1.1 401"));
        }
    }
}
