//! A connection with timeouts: it fails if its peer makes no progress for too long.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use poem::http::StatusCode;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::{Activity, Pace, Phase};
use super::idle_timer::{IdleTimer, MinimumRate};
use super::refusal::{self, ErrorBodies};
use super::traffic::Counting;
use crate::config::{
    BODY_RATE_BYTES_MIN, BODY_RATE_WINDOW, HALF_CLOSED_TIME_MAX, HEAD_TIME_MAX, IDLE_TIME_MAX,
    PROGRESS_TIME_MAX,
};

/// How many received bytes count as progress while nothing is sent.
///
/// A single byte does not, or a client could send a body byte by byte for ever. A body that is fast enough for
/// the body guard (`middleware/body_guard.rs`) brings many times this.
pub(crate) const PROGRESS_BYTES_MIN: usize = 16 * 1024;

/// How many bytes the system buffers beyond those that fit into the peer's window.
///
/// By default it buffers megabytes, and reports room only when a third of them has been sent: a client that reads
/// 8 KB/s would seem to make no progress for minutes. With a small limit, what the system accepts is about what the
/// peer has received.
const UNSENT_BYTES_MAX: u32 = 64 * 1024;

/// The limit of [`UNSENT_BYTES_MAX`] for a slow peer. A receiver opens its window in steps of up to 128 KiB; with this
/// limit the system accepts a write at least every 108 s from a peer that reads 1 KiB/s (measured), which is less than
/// [`PROGRESS_TIME_MAX`]. It is not used for all peers, since it costs fast ones throughput.
const UNSENT_BYTES_MAX_SLOW: u32 = 16 * 1024;

/// How many times a write is retried within [`TimeLimits::progress`] while the system reports no room.
const PROBES: u32 = 8;

/// The timeouts of a connection: how long it waits for its peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TimeLimits {
    /// Until the first byte of a request.
    pub(crate) idle: Duration,
    /// Until the head of the request is complete.
    pub(crate) head: Duration,
    /// Between two signs of progress, in a request or a response.
    pub(crate) progress: Duration,
    /// The window in which the peer must read [`BODY_RATE_BYTES_MIN`] bytes of a response that is held in memory.
    pub(crate) rate_window: Duration,
    /// From when the peer sends no more until its request is dropped, if no response has begun by then.
    pub(crate) half_closed: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self {
            idle: IDLE_TIME_MAX,
            head: HEAD_TIME_MAX,
            progress: PROGRESS_TIME_MAX,
            rate_window: BODY_RATE_WINDOW,
            half_closed: HALF_CLOSED_TIME_MAX,
        }
    }
}

/// What a connection needs of its socket besides reading and writing.
pub(crate) trait Socket {
    /// Writes as many bytes as possible without waiting, even if the system has not reported room. Returns how many of
    /// `bytes` were taken: 0 if there was only room for bytes that had been taken before.
    ///
    /// # Errors
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there was no room at all.
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// How many bytes the system has accepted since the last call. `written` bytes were written to this socket
    /// meanwhile; one that encrypts has its own buffer, and its own count.
    fn take_sent(&mut self, written: usize) -> usize {
        written
    }

    /// Ready when the peer sends no more, without reading what it has sent: `Ok` after its last byte, an error after a
    /// reset. Pending while there is something to read.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Socket for TcpStream {
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let socket = SockRef::from(&*self);
        // The peer is slow: this is called only after a write was blocked for a while. Some systems do not support the
        // option.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX_SLOW);
        socket.send(bytes)
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        match ready!(self.poll_peek(cx, &mut ReadBuf::new(&mut byte))) {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// What waits for the peer to make room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Blocked {
    Nothing,
    Write,
    /// Encrypted bytes that a write has left in the buffer of the connection.
    Flush,
}

/// A connection that fails with [`TimedOut`](io::ErrorKind::TimedOut) when the peer is too slow.
///
/// | while | it may take |
/// | --- | --- |
/// | it is idle | [`TimeLimits::idle`] until a request begins |
/// | the head of a request arrives | [`TimeLimits::head`] in all, however its bytes are spread |
/// | a request's body arrives | [`TimeLimits::progress`] for each [`PROGRESS_BYTES_MIN`] |
/// | a response is sent | [`TimeLimits::progress`] between two writes that the peer makes room for |
/// | … and is held in memory | [`TimeLimits::rate_window`] for each [`BODY_RATE_BYTES_MIN`] |
pub(crate) struct GuardedStream<S> {
    stream: S,
    activity: Arc<Activity>,
    times: TimeLimits,
    /// The phase of the connection at the last read or write.
    phase: Phase,
    timer: IdleTimer,
    /// How many bytes have been read since the last progress.
    unrewarded: usize,
    rate: MinimumRate,
    /// The system reports room only when there is a lot of it, so a write is retried whenever this expires.
    probe: IdleTimer,
    blocked: Blocked,
    /// Runs while a request has no response yet, and its peer sends no more.
    half_closed: IdleTimer,
    error_bodies: ErrorBodies,
    counting: Counting,
    /// The unwritten part of a response that replaces one without a body.
    refusal: Option<Bytes>,
}

/// Sets the socket options that guarding needs: no delay for writes, and a small buffer for unsent bytes.
pub(super) fn prepare(stream: &TcpStream) {
    // Each fails only if the peer has disconnected, which the first read will report.
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

impl<S> GuardedStream<S> {
    pub(super) fn new(
        stream: S,
        activity: Arc<Activity>,
        times: TimeLimits,
        error_bodies: ErrorBodies,
        counting: Counting,
    ) -> Self {
        Self {
            stream,
            phase: Phase::Idle,
            activity,
            timer: IdleTimer::new(times.idle),
            unrewarded: 0,
            rate: MinimumRate::new(BODY_RATE_BYTES_MIN, times.rate_window),
            probe: IdleTimer::new(times.progress / PROBES),
            blocked: Blocked::Nothing,
            half_closed: IdleTimer::new(times.half_closed),
            error_bodies,
            counting,
            refusal: None,
            times,
        }
    }

    /// Restarts the timer if the phase has changed.
    fn follow_phase(&mut self) {
        let phase = self.activity.phase();
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        self.unrewarded = 0;
        self.timer.restart(match phase {
            Phase::Idle => self.times.idle,
            Phase::Head => self.times.head,
            Phase::Request | Phase::Response | Phase::ResponseEnd | Phase::Draining | Phase::Evicted => {
                self.times.progress
            }
        });
        if phase == Phase::Response {
            self.rate.restart();
        }
        if phase == Phase::Request {
            self.half_closed.restart(self.times.half_closed);
        }
    }

    fn has_read(&mut self, bytes: usize) {
        self.counting.received(bytes);
        self.timer.stop_waiting();
        if bytes > 0 && self.phase == Phase::Idle {
            self.activity.begin_head();
            self.follow_phase();
        }
        // The timeout of a head covers all of it.
        if self.phase.is_idle() {
            return;
        }
        self.unrewarded += bytes;
        if self.unrewarded >= PROGRESS_BYTES_MIN {
            self.unrewarded = 0;
            self.timer.renew();
        }
    }

    /// The system has accepted so many bytes.
    fn has_sent(&mut self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.counting.sent(bytes);
        self.unrewarded = 0;
        self.probe.renew();
        self.rate.moved(bytes as u64);
        if !self.phase.is_idle() {
            self.timer.renew();
        }
    }
}

impl<S: Socket> GuardedStream<S> {
    /// Drops the request if its peer is gone: at once after a reset, and after [`TimeLimits::half_closed`] if the peer
    /// has only stopped sending. Then it has closed either the whole connection or only its own direction, and TCP does
    /// not tell which before something is sent.
    fn watch_peer(&mut self, cx: &mut Context<'_>) {
        self.follow_phase();
        if self.phase != Phase::Request {
            return;
        }
        match self.stream.poll_end(cx) {
            Poll::Pending => {}
            Poll::Ready(Err(_)) => self.activity.hang_up(),
            Poll::Ready(Ok(())) => {
                if self.half_closed.poll_exhausted(cx).is_ready() {
                    self.activity.hang_up();
                }
            }
        }
    }

    /// Completes a write whose first attempt returned `written`; while it is blocked, watches the timers and retries.
    /// `bytes` are the first bytes to be written.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            self.blocked = Blocked::Nothing;
            let sent = self.stream.take_sent(*written.as_ref().unwrap_or(&0));
            self.has_sent(sent);
            return Poll::Ready(written);
        }
        self.blocked = Blocked::Write;
        loop {
            let written = ready!(self.poll_room(cx, bytes))?;
            if written > 0 {
                self.blocked = Blocked::Nothing;
                return Poll::Ready(Ok(written));
            }
        }
    }

    /// Waits until the peer makes room, and returns how many of `bytes` were taken; a flush passes no bytes.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // An encrypted connection may have sent a part of its buffer.
        let sent = self.stream.take_sent(0);
        self.has_sent(sent);
        let is_held = self.activity.pace() == Pace::AtMinimumRate;
        loop {
            // All timers are polled, so that each one can wake this task.
            let is_stuck = self.timer.poll_exhausted(cx).is_ready();
            let is_slow = is_held && self.rate.poll_too_slow(cx).is_ready();
            let may_try = self.probe.poll_exhausted(cx).is_ready();
            if !is_stuck && !is_slow && !may_try {
                return Poll::Pending;
            }
            let taken = self.stream.write_now(bytes).unwrap_or(0);
            let sent = self.stream.take_sent(taken);
            self.has_sent(sent);
            match taken {
                0 if sent > 0 => return Poll::Ready(Ok(0)),
                0 if is_stuck || is_slow => return Poll::Ready(Err(timed_out())),
                0 => self.probe.renew(),
                taken => return Poll::Ready(Ok(taken)),
            }
        }
    }
}

impl<S: AsyncWrite + Socket + Unpin> GuardedStream<S> {
    /// Flushes, or shuts down, by `poll`; while it is blocked, watches the timers.
    fn poll_flushed(
        &mut self,
        cx: &mut Context<'_>,
        poll: fn(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Poll::Ready(flushed) = poll(Pin::new(&mut self.stream), cx) {
                let sent = self.stream.take_sent(0);
                self.has_sent(sent);
                if self.blocked == Blocked::Flush {
                    self.blocked = Blocked::Nothing;
                }
                return Poll::Ready(flushed);
            }
            if self.blocked == Blocked::Nothing {
                self.blocked = Blocked::Flush;
            }
            ready!(self.poll_room(cx, &[]))?;
        }
    }

    /// Whether these bytes are a response of the HTTP library itself: it refuses a malformed head before a request
    /// begins. If so, prepares the same response with a body.
    fn replaces(&mut self, bytes: &[u8]) -> bool {
        if self.refusal.is_none()
            && self.phase.is_idle()
            && let Some(status) = refusal::status_of(bytes)
        {
            self.refusal = Some(refusal::response(status, &self.error_bodies));
        }
        self.refusal.is_some()
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>, replaced: usize) -> Poll<io::Result<usize>> {
        while let Some(mut left) = self.refusal.clone().filter(|left| !left.is_empty()) {
            let written = Pin::new(&mut self.stream).poll_write(cx, &left);
            left.advance(ready!(self.poll_written(cx, written, &left))?);
            self.refusal = Some(left);
        }
        Poll::Ready(Ok(replaced))
    }
}

fn timed_out() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client is too slow")
}

impl<S: AsyncRead + Socket + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.follow_phase();
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            // The blocked write watches the timers.
            Poll::Pending if self.blocked != Blocked::Nothing => Poll::Pending,
            Poll::Pending => {
                ready!(self.timer.poll_exhausted(cx));
                if self.phase == Phase::Head {
                    let response = refusal::response(StatusCode::REQUEST_TIMEOUT, &self.error_bodies);
                    // It fits into the empty buffers of the connection. An error means that the peer is gone, and needs
                    // no response.
                    let _ = self.stream.write_now(&response);
                }
                Poll::Ready(Err(timed_out()))
            }
            Poll::Ready(read) => {
                self.has_read(buffer.filled().len() - before);
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Socket + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.follow_phase();
        if self.replaces(bytes) {
            return self.poll_refusal(cx, bytes.len());
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_written(cx, written, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.follow_phase();
        let first = slices.iter().find(|slice| !slice.is_empty());
        if self.replaces(first.map_or(&[], |slice| slice)) {
            return self.poll_refusal(cx, slices.iter().map(|slice| slice.len()).sum());
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_written(cx, written, first.map_or(&[], |slice| slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // TCP has nothing to flush, and shuts down at once; an encrypted connection may have to wait for its peer.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.follow_phase();
        let flushed = self.poll_flushed(cx, S::poll_flush);
        if flushed.is_ready() {
            self.activity.flushed();
        }
        // HTTP/1 reads nothing between a request and its response, but flushes whenever it is polled.
        self.watch_peer(cx);
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.follow_phase();
        self.poll_flushed(cx, S::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::net::TcpListener;
    use tokio::time::{Instant, sleep};

    use super::*;

    impl Socket for DuplexStream {
        fn write_now(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn poll_end(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    fn counting() -> Counting {
        Arc::new(crate::transport::traffic::Traffic::default()).begin()
    }

    /// A guarded connection, its activity, and its peer's end, with a window of `window` bytes.
    fn connection(window: usize) -> (GuardedStream<DuplexStream>, Arc<Activity>, DuplexStream) {
        let (ours, peer) = duplex(window);
        let activity = Arc::new(Activity::new());
        let ours = GuardedStream::new(
            ours,
            activity.clone(),
            TimeLimits::default(),
            refusal::no_bodies(),
            counting(),
        );
        (ours, activity, peer)
    }

    /// One in the middle of a request.
    fn requested(window: usize) -> (GuardedStream<DuplexStream>, Arc<Activity>, DuplexStream) {
        let (ours, activity, peer) = connection(window);
        assert!(activity.begin_request());
        (ours, activity, peer)
    }

    /// One that sends a response.
    fn responding(window: usize, pace: Pace) -> (GuardedStream<DuplexStream>, DuplexStream) {
        let (ours, activity, peer) = requested(window);
        activity.begin_response(pace);
        (ours, peer)
    }

    /// Reads until the connection fails, and says after how long it did.
    async fn time_until_timed_out(stream: &mut GuardedStream<DuplexStream>) -> Duration {
        let start = Instant::now();
        let error = loop {
            match stream.read(&mut [0; 1024]).await {
                Ok(0) => panic!("the peer hung up"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        whole_seconds(start.elapsed())
    }

    /// Timers fire up to a millisecond late.
    fn whole_seconds(time: Duration) -> Duration {
        Duration::from_secs(time.as_secs())
    }

    async fn dribble(mut peer: DuplexStream) {
        while peer.write_all(b"x").await.is_ok() {
            sleep(Duration::from_secs(7)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let (mut ours, _, _peer) = connection(64);
        assert_eq!(time_until_timed_out(&mut ours).await, IDLE_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbled_head_gets_no_more_time() {
        let (mut ours, _, peer) = connection(64);
        tokio::spawn(dribble(peer));
        assert_eq!(time_until_timed_out(&mut ours).await, HEAD_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbled_body_gets_no_more_time() {
        let (mut ours, _, peer) = requested(64);
        tokio::spawn(dribble(peer));
        assert_eq!(time_until_timed_out(&mut ours).await, PROGRESS_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_upload_is_not_closed() {
        let (mut ours, _, mut peer) = requested(64 * 1024);
        tokio::spawn(async move {
            for _ in 0..100 {
                peer.write_all(&[0; 20 * 1024]).await.unwrap();
                sleep(Duration::from_secs(100)).await;
            }
        });
        let mut all = Vec::new();
        ours.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), 100 * 20 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn the_timer_restarts_for_each_request() {
        let (mut ours, activity, mut peer) = connection(64);
        for _ in 0..3 {
            sleep(IDLE_TIME_MAX / 2).await;
            peer.write_all(b"request").await.unwrap();
            ours.read_exact(&mut [0; 7]).await.unwrap();
            assert_eq!(activity.phase(), Phase::Head);
            assert!(activity.begin_request());
            activity.begin_response(Pace::AtMinimumRate);
            ours.write_all(b"response").await.unwrap();
            activity.end_response();
            ours.flush().await.unwrap();
            assert_eq!(activity.phase(), Phase::Idle);
            peer.read_exact(&mut [0; 8]).await.unwrap();
        }
        assert_eq!(time_until_timed_out(&mut ours).await, IDLE_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_closed_sooner_if_the_response_is_in_memory() {
        for (pace, time_max) in [(Pace::AtMinimumRate, BODY_RATE_WINDOW), (Pace::OfReader, PROGRESS_TIME_MAX)]
        {
            let (mut ours, _peer) = responding(64, pace);
            let start = Instant::now();
            let error = ours.write_all(&[0; 1024]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(whole_seconds(start.elapsed()), time_max, "{pace:?}");
        }
    }

    /// Whether a peer that reads `bytes` bytes at intervals of `every` receives a whole response of 100 KiB.
    async fn is_served(pace: Pace, bytes: usize, every: Duration) -> bool {
        let (mut ours, mut peer) = responding(bytes, pace);
        tokio::spawn(async move {
            let mut buffer = vec![0; bytes];
            while peer.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                sleep(every).await;
            }
        });
        ours.write_all(&[0; 100 * 1024]).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_media_may_be_slow_as_long_as_it_makes_progress() {
        assert!(is_served(Pace::OfReader, 100, Duration::from_secs(100)).await);
        assert!(!is_served(Pace::OfReader, 100, Duration::from_secs(121)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_of_a_response_in_memory_must_read_a_kibibyte_per_second() {
        assert!(is_served(Pace::AtMinimumRate, 1024, Duration::from_millis(990)).await);
        assert!(!is_served(Pace::AtMinimumRate, 1024, Duration::from_millis(1100)).await);
    }

    /// By how much the time is scaled down where sockets are real: 120 s are one.
    const SCALE: u32 = 120;

    /// Sends so much over a real connection, its buffers as they are by default, to a peer that does `read`.
    async fn send(bytes: usize, read: impl AsyncFnOnce(TcpStream)) -> Result<(), io::ErrorKind> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        prepare(&ours);
        let activity = Arc::new(Activity::new());
        let times = TimeLimits { progress: PROGRESS_TIME_MAX / SCALE, ..TimeLimits::default() };
        let mut ours = GuardedStream::new(ours, activity.clone(), times, refusal::no_bodies(), counting());
        assert!(activity.begin_request());
        activity.begin_response(Pace::OfReader);
        let sending = async {
            let sent = ours.write_all(&vec![0; bytes]).await;
            drop(ours);
            sent.map_err(|error| error.kind())
        };
        tokio::join!(sending, read(peer)).0
    }

    /// More than the system would take at once.
    const MEGABYTES: usize = 6_000_000;

    #[tokio::test]
    async fn a_listener_at_the_speed_of_a_recording_is_served_to_the_end() {
        const SPEED: u64 = 8_000 * SCALE as u64;
        let listen = async |mut peer: TcpStream| {
            let (start, mut taken) = (Instant::now(), 0);
            let mut buffer = [0; 4096];
            loop {
                let due = Duration::from_micros(taken * 1_000_000 / SPEED);
                tokio::time::sleep_until(start + due).await;
                match peer.read(&mut buffer).await.unwrap() {
                    0 => break,
                    bytes => taken += bytes as u64,
                }
            }
            assert_eq!(taken, MEGABYTES as u64);
        };
        assert_eq!(send(MEGABYTES, listen).await, Ok(()));
    }

    #[tokio::test]
    async fn a_listener_that_reads_nothing_is_closed() {
        let stop = async |mut peer: TcpStream| {
            // The connection ends before all has come, and only that ends the waiting.
            let mut taken = vec![0; 1024];
            peer.read_exact(&mut taken).await.unwrap();
            sleep(2 * PROGRESS_TIME_MAX / SCALE).await;
            peer.read_to_end(&mut taken).await.unwrap();
            assert!(taken.len() < MEGABYTES);
        };
        assert_eq!(send(MEGABYTES, stop).await, Err(io::ErrorKind::TimedOut));
    }
}
