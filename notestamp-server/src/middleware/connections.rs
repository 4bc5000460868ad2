//! Accepts connections, no more than fit, and closes those on which nothing moves.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use poem::Addr;
use poem::http::uri::Scheme;
use poem::listener::Acceptor;
use poem::web::{LocalAddr, RemoteAddr};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::idle_timer::IdleTimer;

/// How many connections are open at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4096;
/// How long a connection may go without progress, idle or in the middle of something.
///
/// Nothing moves either while a handler works, so no operation may take longer.
pub const PROGRESS_TIME_MAX: Duration = Duration::from_secs(120);
/// How many bytes that arrive are progress when nothing is sent.
///
/// It is not each byte, or a request head could be dribbled for ever. A body that is fast enough for
/// [`body_guard`](super::body_guard) brings many times this.
pub const PROGRESS_BYTES_MIN: usize = 16 * 1024;
/// The pause after the system has failed to accept, which it does as long as file descriptors lack.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections on all of the server's addresses.
pub struct GuardedAcceptor {
    listeners: Vec<(TcpListener, LocalAddr)>,
    /// Which listener is asked first: each in turn, so that a busy one does not starve the others.
    first: usize,
    free: Arc<Semaphore>,
}

impl GuardedAcceptor {
    /// Accepts on these listeners, at most `connections_max` connections at once.
    ///
    /// # Errors
    /// Where a listener cannot tell its address.
    pub fn new(listeners: Vec<TcpListener>, connections_max: usize) -> io::Result<Self> {
        let with_address = |listener: TcpListener| {
            let address = LocalAddr(Addr::SocketAddr(listener.local_addr()?));
            Ok((listener, address))
        };
        Ok(Self {
            listeners: listeners.into_iter().map(with_address).collect::<io::Result<_>>()?,
            first: 0,
            free: Arc::new(Semaphore::new(connections_max)),
        })
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, LocalAddr, RemoteAddr)>> {
        let count = self.listeners.len();
        for at in (self.first..count).chain(0..self.first) {
            let (listener, local) = &self.listeners[at];
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                self.first = (at + 1) % count;
                return Poll::Ready(
                    accepted
                        .map(|(stream, peer)| (stream, local.clone(), RemoteAddr(Addr::SocketAddr(peer)))),
                );
            }
        }
        Poll::Pending
    }
}

impl Acceptor for GuardedAcceptor {
    type Io = GuardedStream<TcpStream>;

    fn local_addr(&self) -> Vec<LocalAddr> {
        self.listeners.iter().map(|(_, address)| address.clone()).collect()
    }

    /// Never fails: poem would ask again at once, for as long as the failure lasts.
    async fn accept(&mut self) -> io::Result<(Self::Io, LocalAddr, RemoteAddr, Scheme)> {
        let permit = self.free.clone().acquire_owned().await.expect("the semaphore is never closed");
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok((stream, local, peer)) => {
                    // Fails only where the peer is gone already, as the first read will tell.
                    let _ = stream.set_nodelay(true);
                    return Ok((GuardedStream::new(stream, Some(permit)), local, peer, Scheme::HTTP));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether an error of `accept` is about the connection that was next, and not about ourselves.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A connection that fails with [`TimedOut`](io::ErrorKind::TimedOut) when the peer makes no progress.
///
/// Progress is each write that the peer's window takes, the first read after a write (the next
/// request), and every [`PROGRESS_BYTES_MIN`] read. So a request head has to arrive in
/// [`PROGRESS_TIME_MAX`], however its bytes are spread.
pub struct GuardedStream<S> {
    stream: S,
    patience: IdleTimer,
    /// How many bytes have been read since the last progress.
    unrewarded: usize,
    /// Whether the last progress was a write.
    wrote_last: bool,
    /// Makes room for the next connection when this one is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> GuardedStream<S> {
    fn new(stream: S, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            stream,
            patience: IdleTimer::new(PROGRESS_TIME_MAX),
            unrewarded: 0,
            wrote_last: false,
            _permit: permit,
        }
    }

    fn has_read(&mut self, bytes: usize) {
        self.patience.stop_waiting();
        self.unrewarded += bytes;
        if self.wrote_last || self.unrewarded >= PROGRESS_BYTES_MIN {
            self.wrote_last = false;
            self.unrewarded = 0;
            self.patience.renew();
        }
    }

    /// The answer to a write that has gone this far.
    fn poll_written<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.wrote_last = true;
            self.unrewarded = 0;
            self.patience.renew();
            return written;
        }
        self.poll_timed_out(cx)
    }

    fn poll_timed_out<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.patience.poll_exhausted(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.poll_timed_out(cx),
            Poll::Ready(read) => {
                self.has_read(buffer.filled().len() - before);
                Poll::Ready(read)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.poll_written(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.poll_written(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    // TCP has nothing to flush, and shuts down at once: neither is progress, or waits for the peer.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// Both ends of a connection whose window is `window` bytes: ours, and the peer's.
    fn connection(window: usize) -> (GuardedStream<DuplexStream>, DuplexStream) {
        let (ours, peer) = duplex(window);
        (GuardedStream::new(ours, None), peer)
    }

    /// Reads until the connection fails, and says after how many seconds it did.
    async fn seconds_until_timed_out(stream: &mut GuardedStream<DuplexStream>) -> u64 {
        let start = Instant::now();
        let error = loop {
            match stream.read(&mut [0; 1024]).await {
                Ok(0) => panic!("the peer hung up"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_is_closed() {
        let (mut ours, _peer) = connection(64);
        assert_eq!(seconds_until_timed_out(&mut ours).await, PROGRESS_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dribbled_head_is_given_no_more_time_than_silence() {
        let (mut ours, mut peer) = connection(64);
        tokio::spawn(async move {
            while peer.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(7)).await;
            }
        });
        assert_eq!(seconds_until_timed_out(&mut ours).await, PROGRESS_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_upload_is_not_closed() {
        let (mut ours, mut peer) = connection(64 * 1024);
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
    async fn each_request_starts_with_all_of_the_time() {
        let (mut ours, mut peer) = connection(64);
        for _ in 0..3 {
            ours.write_all(b"answer").await.unwrap();
            peer.read_exact(&mut [0; 6]).await.unwrap();
            timeout(Duration::from_secs(100), ours.read_u8()).await.unwrap_err();
            peer.write_all(b"request").await.unwrap();
            ours.read_exact(&mut [0; 7]).await.unwrap();
        }
        assert_eq!(seconds_until_timed_out(&mut ours).await, PROGRESS_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_stops_reading_is_closed() {
        let (mut ours, _peer) = connection(64);
        let start = Instant::now();
        let error = ours.write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), PROGRESS_TIME_MAX.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_slowly_is_not_closed() {
        let (mut ours, mut peer) = connection(64);
        tokio::spawn(async move {
            while peer.read(&mut [0; 64]).await.is_ok_and(|bytes| bytes > 0) {
                sleep(Duration::from_secs(100)).await;
            }
        });
        ours.write_all(&[0; 1024]).await.unwrap();
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    #[tokio::test]
    async fn every_address_is_listened_on_and_the_peer_is_known() {
        let mut acceptor =
            GuardedAcceptor::new(vec![listener().await, listener().await], CONNECTIONS_MAX).unwrap();
        for address in acceptor.local_addr() {
            let client = TcpStream::connect(address.as_socket_addr().unwrap()).await.unwrap();
            let (stream, local, peer, scheme) = acceptor.accept().await.unwrap();
            assert_eq!(local, address);
            assert_eq!(peer.as_socket_addr(), Some(&client.local_addr().unwrap()));
            assert_eq!(scheme, Scheme::HTTP);
            assert!(stream.stream.nodelay().unwrap());
        }
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait_until_one_is_closed() {
        let mut acceptor = GuardedAcceptor::new(vec![listener().await], 1).unwrap();
        let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
        let _clients =
            [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let (first, ..) = acceptor.accept().await.unwrap();
        assert!(poll_fn(|cx| Poll::Ready(Box::pin(acceptor.accept()).as_mut().poll(cx).is_pending())).await);
        drop(first);
        acceptor.accept().await.unwrap();
    }
}
