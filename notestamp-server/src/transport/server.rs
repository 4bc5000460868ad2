//! Accepts connections and serves HTTP/1 on them, until the shutdown.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::http::StatusCode;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Addr, Body, Endpoint, Request, Response};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::{Activity, Pace};
use super::admission::{Admission, ConnectionLimits, Refusal, Slot};
use super::connection::Connection;
use super::descriptors::{self, Spare};
use super::guarded_stream::{GuardedStream, TimeLimits, prepare};
use super::held_memory::HeldMemory;
use super::refusal::{self, ErrorBodies};
use super::request_body::RequestBody;
use super::response_body::ResponseBody;
use super::tls::Tls;
use super::traffic::Traffic;
use crate::config::{HEAD_BYTES_MAX, HEADER_FIELDS_MAX};
use crate::log_limit::LogLimit;

/// The pause after an error of `accept`, which repeats as long as no descriptor is free.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves an endpoint on any number of addresses.
pub(crate) struct Server {
    limits: ConnectionLimits,
    times: TimeLimits,
    drain_time_max: Duration,
    error_bodies: ErrorBodies,
    tls: Option<Arc<Tls>>,
    traffic: Arc<Traffic>,
}

/// The state that all connections of a server share.
struct Shared<E> {
    endpoint: E,
    admission: Arc<Admission>,
    http: http1::Builder,
    times: TimeLimits,
    error_bodies: ErrorBodies,
    tls: Option<Arc<Tls>>,
    traffic: Arc<Traffic>,
    connections: TaskTracker,
    /// Cancelled when the shutdown begins: no further request is started.
    stopping: CancellationToken,
    /// Cancelled when the graceful shutdown has taken too long: all connections are closed.
    cut: CancellationToken,
}

impl Server {
    /// A server with these limits of connections. A graceful shutdown waits `drain_time_max` for requests in progress.
    pub(crate) fn new(limits: ConnectionLimits, drain_time_max: Duration) -> Self {
        let (times, error_bodies) = (TimeLimits::default(), refusal::no_bodies());
        Self { limits, times, drain_time_max, error_bodies, tls: None, traffic: Arc::default() }
    }

    /// With these bodies of the responses to connections that are refused before their request has been read.
    #[must_use]
    pub(crate) fn error_bodies(mut self, error_bodies: ErrorBodies) -> Self {
        self.error_bodies = error_bodies;
        self
    }

    /// Counts its connections and their bytes here.
    #[must_use]
    pub(crate) fn traffic(mut self, traffic: Arc<Traffic>) -> Self {
        self.traffic = traffic;
        self
    }

    /// With other timeouts.
    #[cfg(test)]
    #[must_use]
    pub(super) fn times(mut self, times: TimeLimits) -> Self {
        self.times = times;
        self
    }

    /// Over TLS, if there is a certificate.
    #[must_use]
    pub(crate) fn tls(mut self, tls: Option<Arc<Tls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Serves until `stop` resolves and all connections are closed.
    ///
    /// From then on, new connections are refused and idle ones are closed. A response at the pace of its reader is cut
    /// off, since its client can continue with a range request. Other requests in progress are finished, if they take
    /// no longer than `drain_time_max`; their responses have `Connection: close`.
    pub(crate) async fn run<E>(self, listeners: Vec<TcpListener>, endpoint: E, stop: impl Future<Output = ()>)
    where
        E: Endpoint<Output = Response> + 'static,
    {
        let mut http = http1::Builder::new();
        // The streams watch the time: they know idle connections from slow heads.
        http.header_read_timeout(None).max_header_size(HEAD_BYTES_MAX).max_headers(HEADER_FIELDS_MAX);
        http.max_buf_size(BUFFER_BYTES_MAX);
        // A client may say that it sends no more, and listen. The streams watch whether it is gone.
        http.half_close(true);
        let shared = Arc::new(Shared {
            endpoint,
            admission: Admission::new(self.limits),
            http,
            times: self.times,
            error_bodies: self.error_bodies,
            tls: self.tls,
            traffic: self.traffic,
            connections: TaskTracker::new(),
            stopping: CancellationToken::new(),
            cut: CancellationToken::new(),
        });
        for listener in listeners {
            shared.connections.spawn(accept(listener, shared.clone()));
        }
        stop.await;
        shared.stopping.cancel();
        shared.connections.close();
        if tokio::time::timeout(self.drain_time_max, shared.connections.wait()).await.is_err() {
            tracing::warn!(
                connections = shared.connections.len(),
                "closing the connections that are still busy"
            );
            shared.cut.cancel();
            shared.connections.wait().await;
        }
    }
}

/// How many received bytes of a connection are buffered, and how many bytes to be sent before the response's body is
/// polled again.
const BUFFER_BYTES_MAX: usize = 2 * HEAD_BYTES_MAX;

async fn accept<E: Endpoint<Output = Response> + 'static>(listener: TcpListener, shared: Arc<Shared<E>>) {
    static FAILURES: LogLimit = LogLimit::per_second();
    static REFUSALS: LogLimit = LogLimit::per_second();
    let mut spare = Spare::take();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                if let Some(left_out) = FAILURES.admit() {
                    tracing::warn!(%error, left_out, "cannot accept connections");
                }
                let is_exhausted = descriptors::are_exhausted(&error);
                if is_exhausted && spare.spend() {
                    continue;
                }
                pause(&shared, is_exhausted, &mut spare).await;
                continue;
            }
        };
        let has_taken_the_spare = spare.is_spent();
        if has_taken_the_spare {
            // Before the newcomer is one of those that are idle.
            shared.admission.make_room();
        }
        match shared.admission.admit(peer.ip()) {
            Ok(slot) => {
                let peer = RemoteAddr(Addr::SocketAddr(peer));
                shared.connections.spawn(serve(stream, peer, slot, shared.clone()));
            }
            Err(refusal) => {
                if let Some(left_out) = REFUSALS.admit() {
                    tracing::warn!(peer = %peer.ip(), ?refusal, left_out, "connection refused");
                }
                shared.traffic.refuse();
                refuse(&stream, refusal, &shared.error_bodies);
            }
        }
        if has_taken_the_spare {
            pause(&shared, false, &mut spare).await;
        }
    }
}

/// Waits before the next `accept`, so that descriptors can become free.
async fn pause<E>(shared: &Shared<E>, make_room: bool, spare: &mut Spare) {
    if make_room {
        shared.admission.make_room();
    }
    tokio::select! {
        () = shared.stopping.cancelled() => {}
        () = tokio::time::sleep(ACCEPT_PAUSE) => spare.restore(),
    }
}

/// Returns whether an error of `accept` concerns only the connection that was next, not this process.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Responds that the limit of connections is reached. A client that sends much before it reads may not get it.
fn refuse(stream: &TcpStream, refusal: Refusal, bodies: &ErrorBodies) {
    let status = match refusal {
        Refusal::AddressIsFull => StatusCode::TOO_MANY_REQUESTS,
        Refusal::AllIsFull => StatusCode::SERVICE_UNAVAILABLE,
    };
    // A new connection has room for this; whether the peer is still there makes no difference.
    let _ = SockRef::from(stream).send(&refusal::response(status, bodies));
}

async fn serve<E: Endpoint<Output = Response>>(
    stream: TcpStream,
    peer: RemoteAddr,
    slot: Slot,
    shared: Arc<Shared<E>>,
) {
    // The address of the connection, because the listener's may be a wildcard.
    let Ok(local) = stream.local_addr() else { return };
    let local = LocalAddr(Addr::SocketAddr(local));
    prepare(&stream);
    let counting = shared.traffic.begin();
    let activity = &slot.activity;
    let secured = tokio::select! {
        biased;
        secured = tokio::time::timeout(shared.times.head, shared.secure(stream)) => secured,
        () = activity.evicted() => return,
        () = shared.stopping.cancelled() => return,
    };
    let Ok(Ok(stream)) = secured else { return };
    let scheme = if shared.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
    let stream =
        GuardedStream::new(stream, activity.clone(), shared.times, shared.error_bodies.clone(), counting);
    // Boxed, so that an idle connection has no room for the future of a request.
    let service = service_fn(|request| {
        let addresses = (local.clone(), peer.clone(), scheme.clone());
        Box::pin(respond(request, addresses, activity, &shared.endpoint))
    });
    let mut connection = pin!(shared.http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        biased;
        // The result does not matter: the peer is gone, or has got an error.
        _ = &mut connection => return,
        () = activity.evicted() => return,
        () = shared.stopping.cancelled() => {}
    }
    connection.as_mut().graceful_shutdown();
    let drained = poll_fn(|cx| {
        let has_ended = connection.as_mut().poll(cx).is_ready();
        // A reader at its own pace may take hours, and can continue later with a range request.
        let may_end = activity.phase().is_idle() || activity.is_streaming();
        if has_ended || may_end { Poll::Ready(()) } else { Poll::Pending }
    });
    tokio::select! {
        () = drained => {}
        () = shared.cut.cancelled() => {}
    }
}

impl<E> Shared<E> {
    /// Performs the handshake of TLS, if there is a certificate.
    async fn secure(&self, stream: TcpStream) -> io::Result<Connection> {
        match &self.tls {
            Some(tls) => tls.accept(stream, &self.error_bodies).await,
            None => Ok(Connection::Clear(stream)),
        }
    }
}

/// Why a request gets no response.
#[derive(Debug, thiserror::Error)]
enum NoResponse {
    /// Its connection was closed for the sake of another one before the request began.
    #[error("the connection has been closed")]
    Evicted,
    /// Its client is gone.
    #[error("the peer has hung up")]
    HungUp,
}

async fn respond<E: Endpoint<Output = Response>>(
    request: hyper::Request<Incoming>,
    (local, peer, scheme): (LocalAddr, RemoteAddr, Scheme),
    activity: &Arc<Activity>,
    endpoint: &E,
) -> Result<hyper::Response<ResponseBody>, NoResponse> {
    if !activity.begin_request() {
        return Err(NoResponse::Evicted);
    }
    let has_body = !hyper::body::Body::is_end_stream(request.body());
    let mut request = Request::from((request, local, peer, scheme));
    if has_body {
        let body = RequestBody::new(request.take_body(), activity.clone());
        request.set_body(Body::from_bytes_stream(body));
    }
    let mut response = tokio::select! {
        biased;
        response = endpoint.get_response(request) => response,
        // The work for it ends here. What must come to an end, such as a commit, runs in a task of its own.
        () = activity.hung_up() => return Err(NoResponse::HungUp),
    };
    let pace = response.extensions_mut().remove().unwrap_or(Pace::AtMinimumRate);
    activity.begin_response(pace);
    let mut response = hyper::Response::from(response);
    let memory = response.extensions_mut().remove::<HeldMemory>();
    Ok(response.map(|body| ResponseBody::new(body, activity.clone(), memory)))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use notestamp_store::MemoryBudget;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;
    use tokio::sync::{oneshot, watch};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::transport::TrustedProxies;

    /// No test waits longer for anything.
    const WAIT_MAX: Duration = Duration::from_secs(60);

    /// A server that runs.
    struct Running {
        address: SocketAddr,
        stop: oneshot::Sender<()>,
        done: JoinHandle<()>,
    }

    fn limits(in_all: usize, per_address: usize) -> ConnectionLimits {
        ConnectionLimits { in_all, per_address, proxies: TrustedProxies::default() }
    }

    /// The response of `/` comes at once, that of `/slow` after the body; those of `/media` and `/export` never end.
    async fn endpoint(mut request: Request) -> poem::Result<Response> {
        let endless = || stream::repeat(Bytes::from_static(&[b'x'; 16 * 1024])).map(Ok::<_, io::Error>);
        Ok(match request.uri().path() {
            "/slow" => Response::builder().body(request.take_body().into_vec().await.unwrap_or_default()),
            "/media" => {
                Response::builder().extension(Pace::OfReader).body(Body::from_bytes_stream(endless()))
            }
            "/export" => Response::builder().body(Body::from_bytes_stream(endless())),
            _ => Response::builder().body("here"),
        })
    }

    async fn start(server: Server) -> Running {
        start_over(server, poem::endpoint::make(endpoint)).await
    }

    async fn start_over(server: Server, endpoint: impl Endpoint<Output = Response> + 'static) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let done = tokio::spawn(server.run(vec![listener], endpoint, async {
            let _ = stopped.await;
        }));
        Running { address, stop, done }
    }

    async fn start_with(in_all: usize, per_address: usize) -> Running {
        start(Server::new(limits(in_all, per_address), WAIT_MAX)).await
    }

    impl Running {
        /// Connects from another address of this machine.
        async fn connect_from(&self, last: u8) -> TcpStream {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(SocketAddr::from(([127, 0, 0, last], 0))).unwrap();
            socket.connect(self.address).await.unwrap()
        }

        async fn connect(&self) -> TcpStream {
            self.connect_from(1).await
        }

        /// Sends this request; returns all bytes that the server sends until it closes the connection.
        async fn ask(&self, request: &[u8]) -> String {
            let mut connection = self.connect().await;
            connection.write_all(request).await.unwrap();
            until_closed(connection).await
        }
    }

    async fn until_closed(mut connection: TcpStream) -> String {
        let mut all = Vec::new();
        // The connection may end by a shutdown or by a reset: only the bytes before that matter.
        let read = tokio::time::timeout(WAIT_MAX, connection.read_to_end(&mut all)).await;
        let _ = read.expect("the server hangs up");
        String::from_utf8(all).unwrap()
    }

    /// Asks on a connection that stays open.
    async fn get(connection: &mut TcpStream, path: &str) -> io::Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(connection.read_u8().await?);
        }
        if path == "/" {
            connection.read_exact(&mut [0; 4]).await?;
        }
        Ok(String::from_utf8(head).unwrap())
    }

    #[tokio::test]
    async fn http_2_without_tls_is_closed() {
        let server = start_with(10, 10).await;
        // The preface and an empty SETTINGS frame (RFC 9113, 3.3 and 3.4).
        let said = server.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 "), "{said:?}");
        let upgrade =
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\n\
                        HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
        assert!(server.ask(upgrade).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_client_that_half_closes_gets_its_response() {
        let server = start_with(10, 10).await;
        let mut connection = server.connect().await;
        connection
            .write_all(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ndone")
            .await
            .unwrap();
        connection.shutdown().await.unwrap();
        assert!(until_closed(connection).await.ends_with("\r\n\r\ndone"));
    }

    #[tokio::test]
    async fn the_connection_of_a_slow_reader_is_closed_when_others_need_the_memory() {
        const MIB: u64 = 1 << 20;
        let budget = MemoryBudget::new(16 * MIB);
        let scope = budget.scope(None, None);
        let endpoint = poem::endpoint::make(move |request: Request| {
            let scope = scope.clone();
            async move {
                let memory = HeldMemory::default();
                memory.hold(scope.acquire(12 * MIB).await.unwrap());
                let mut response = endpoint(request).await?;
                response.extensions_mut().insert(memory);
                Ok::<_, poem::Error>(response)
            }
        });
        let server = start_over(Server::new(limits(10, 10), WAIT_MAX), endpoint).await;
        let mut reader = server.connect().await;
        get(&mut reader, "/export").await.unwrap();
        assert_eq!(budget.bytes_held(), 12 * MIB);
        let _share = budget.scope(None, None).acquire(8 * MIB).await.unwrap();
        until_closed(reader).await;
    }

    /// A server whose `/wait` never responds, and how many requests wait there.
    async fn start_waiting(half_closed: Duration) -> (Running, watch::Receiver<usize>) {
        struct Gone(watch::Sender<usize>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.send_modify(|count| *count -= 1);
            }
        }
        let (waiting, count) = watch::channel(0);
        let endpoint = poem::endpoint::make(move |_: Request| {
            let waiting = waiting.clone();
            async move {
                waiting.send_modify(|count| *count += 1);
                let _gone = Gone(waiting);
                std::future::pending::<poem::Result<Response>>().await
            }
        });
        let times = TimeLimits { half_closed, ..TimeLimits::default() };
        let server = Server { times, ..Server::new(limits(10, 10), WAIT_MAX) };
        (start_over(server, endpoint).await, count)
    }

    #[tokio::test]
    async fn a_request_whose_client_resets_the_connection_is_dropped_at_once() {
        let (server, mut waiting) = start_waiting(10 * WAIT_MAX).await;
        let mut connection = server.connect().await;
        connection.write_all(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        waiting.wait_for(|count| *count == 1).await.unwrap();
        SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
        drop(connection);
        let dropped = waiting.wait_for(|count| *count == 0);
        tokio::time::timeout(WAIT_MAX, dropped).await.expect("it is dropped").unwrap();
    }

    #[tokio::test]
    async fn a_request_whose_client_sends_no_more_is_dropped_a_while_later() {
        let half_closed = Duration::from_millis(200);
        let (server, mut waiting) = start_waiting(half_closed).await;
        let mut connection = server.connect().await;
        connection.write_all(b"POST /wait HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx").await.unwrap();
        waiting.wait_for(|count| *count == 1).await.unwrap();
        let closed = tokio::time::Instant::now();
        drop(connection);
        let dropped = waiting.wait_for(|count| *count == 0);
        tokio::time::timeout(WAIT_MAX, dropped).await.expect("it is dropped").unwrap();
        assert!(closed.elapsed() >= half_closed, "a client may just have said all");
    }

    #[tokio::test]
    async fn what_is_refused_before_it_is_a_request_has_a_body_of_the_shape_of_all_errors() {
        let bodies: ErrorBodies = Arc::new(|status| format!("{{\"status\":{}}}", status.as_u16()));
        let short = Duration::from_millis(50);
        let times = TimeLimits { head: short, ..TimeLimits::default() };
        let server = Server { times, ..Server::new(limits(2, 1), WAIT_MAX) }.error_bodies(bodies);
        let server = start(server).await;
        let is_refused = |said: &str, status: u16| {
            let body = format!("{{\"status\":{status}}}");
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")) && said.ends_with(&body), "{said}");
            assert!(said.contains("\r\nContent-Type: application/json"), "{said}");
            assert!(said.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{said}");
            assert_eq!(said.matches("HTTP/1.1").count(), 1, "{said}");
        };
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        is_refused(&server.ask(long.as_bytes()).await, 431);
        is_refused(&server.ask(b"GET / HTTP/1.1\r\nHost x\r\n\r\n").await, 400);
        is_refused(&server.ask(b"GET / HTTP/1.1\r\nHo").await, 408);
        let mut download = server.connect().await;
        get(&mut download, "/media").await.unwrap();
        is_refused(&until_closed(server.connect().await).await, 429);
        let mut other = server.connect_from(2).await;
        get(&mut other, "/media").await.unwrap();
        is_refused(&until_closed(server.connect_from(3).await).await, 503);
    }

    #[tokio::test]
    async fn a_head_beyond_its_limits_is_431() {
        let server = start_with(10, 10).await;
        let long = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX));
        assert!(server.ask(long.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let target = format!("GET /{}", "x".repeat(2 * HEAD_BYTES_MAX));
        assert!(server.ask(target.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: x\r\n".repeat(HEADER_FIELDS_MAX + 1));
        assert!(server.ask(many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
        let all = "X: x\r\n".repeat(HEADER_FIELDS_MAX - 2);
        let most = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{all}\r\n");
        assert!(server.ask(most.as_bytes()).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn idle_connections_and_slow_heads_are_closed() {
        let short = Duration::from_millis(50);
        let times = TimeLimits { idle: short, head: short, ..TimeLimits::default() };
        let server = start(Server { times, ..Server::new(limits(10, 10), WAIT_MAX) }).await;
        assert_eq!(server.ask(b"").await, "");
        assert!(server.ask(b"GET / HTTP/1.1\r\nHo").await.starts_with("HTTP/1.1 408 "));
        assert!(server.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.ends_with("here"));
    }

    #[tokio::test]
    async fn idle_connections_of_one_address_block_no_other_client() {
        let server = start_with(8, 8).await;
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(server.connect_from(66).await);
        }
        for last in 2..6 {
            let mut newcomer = server.connect_from(last).await;
            assert!(get(&mut newcomer, "/").await.unwrap().starts_with("HTTP/1.1 200 "));
        }
        // The server has closed the oldest connections to admit the new ones.
        for connection in silent.into_iter().take(12) {
            assert_eq!(until_closed(connection).await, "");
        }
    }

    #[tokio::test]
    async fn an_address_with_too_many_connections_gets_429_and_others_are_served() {
        let server = start_with(4, 2).await;
        let mut downloads = Vec::new();
        for _ in 0..2 {
            let mut connection = server.connect().await;
            get(&mut connection, "/media").await.unwrap();
            downloads.push(connection);
        }
        assert!(until_closed(server.connect().await).await.starts_with("HTTP/1.1 429 "));
        let mut other = server.connect_from(2).await;
        get(&mut other, "/").await.unwrap();
        drop(downloads);
        // Its place is free as soon as the server has noticed.
        while get(&mut server.connect().await, "/").await.is_err() {}
    }

    #[tokio::test]
    async fn when_all_connections_are_busy_a_new_one_gets_retry_after() {
        let server = start_with(1, 1).await;
        let mut download = server.connect().await;
        get(&mut download, "/media").await.unwrap();
        let refusal = until_closed(server.connect_from(2).await).await;
        assert!(refusal.starts_with("HTTP/1.1 503 ") && refusal.contains("\r\nRetry-After: "), "{refusal}");
    }

    #[tokio::test]
    async fn a_shutdown_closes_media_and_idle_connections_and_finishes_requests() {
        let server = start_with(10, 10).await;
        let (mut idle, silent) = (server.connect().await, server.connect().await);
        get(&mut idle, "/").await.unwrap();
        let mut media = server.connect().await;
        get(&mut media, "/media").await.unwrap();
        let mut upload = server.connect().await;
        let head = "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";
        upload.write_all(head.as_bytes()).await.unwrap();
        // The handler has begun to read when it says that it will.
        upload.read_exact(&mut [0; "HTTP/1.1 100 Continue\r\n\r\n".len()]).await.unwrap();

        server.stop.send(()).unwrap();
        assert_eq!(until_closed(idle).await, "");
        assert_eq!(until_closed(silent).await, "");
        until_closed(media).await;
        TcpStream::connect(server.address).await.expect_err("the server no longer listens");

        upload.write_all(b"done").await.unwrap();
        let response = until_closed(upload).await.to_lowercase();
        assert!(response.starts_with("http/1.1 200 ") && response.ends_with("\r\n\r\ndone"), "{response}");
        assert!(response.contains("\r\nconnection: close\r\n"), "{response}");
        server.done.await.unwrap();
    }

    #[tokio::test]
    async fn requests_that_do_not_finish_are_aborted_at_the_shutdown_deadline() {
        let server = start(Server::new(limits(10, 10), Duration::from_millis(50))).await;
        let mut export = server.connect().await;
        get(&mut export, "/export").await.unwrap();
        server.stop.send(()).unwrap();
        until_closed(export).await;
        server.done.await.unwrap();
    }
}
