//! TLS: the server's certificate, which is read again when its files change, and the handshake.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use notestamp_store::error_chain;
use poem::http::StatusCode;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Counted};
use super::refusal::{self, ErrorBodies};
use crate::config::{TLS_RELOAD_INTERVAL, TlsFiles};

/// The first byte of a TLS connection: the type of a record with a handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
    /// The file of the certificate contains none.
    #[error("{} contains no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    /// The file of the key contains none.
    #[error("{} contains no PEM private key without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// The key is that of another certificate.
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        certificate: PathBuf,
    },
    /// The certificate or the key is damaged, or of a kind that is not supported.
    #[error("cannot use the certificate in {}", certificate.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
}

/// The TLS side of a server: its certificate, and the settings of its handshakes.
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<Certificate>,
}

impl Tls {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// If they cannot be used; the message says why.
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let certificate = Arc::new(Certificate::read(files)?);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(certificate.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate })
    }

    /// Reads the files again whenever they have changed, until `stopping`. Connections that are open stay as they are.
    pub(crate) async fn follow_files(&self, stopping: CancellationToken) {
        let mut ticks = tokio::time::interval(TLS_RELOAD_INTERVAL);
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let certificate = self.certificate.clone();
            if let Err(error) = tokio::task::spawn_blocking(move || certificate.reload()).await {
                tracing::error!(%error, "reading the TLS certificate again panicked");
            }
        }
    }

    /// Performs the handshake.
    ///
    /// # Errors
    /// If the peer is gone or does not speak TLS. One that speaks HTTP gets a response in clear text.
    pub(super) async fn accept(&self, stream: TcpStream, bodies: &ErrorBodies) -> io::Result<Connection> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
            // A new connection has room for this; whether the peer is still there makes no difference.
            let _ = SockRef::from(&stream).send(&refusal::response(StatusCode::BAD_REQUEST, bodies));
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
        }
        let stream = self.acceptor.accept(Counted::new(stream)).await?;
        Ok(Connection::Encrypted(Box::new(stream)))
    }
}

/// A certificate, as its files were when they were read last.
#[derive(Debug)]
struct Certificate {
    files: TlsFiles,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    current: Arc<CertifiedKey>,
    /// What the files contained the last time, good or bad; absent if they could not be read.
    seen: Option<Contents>,
}

/// The contents of both files.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Contents").finish_non_exhaustive()
    }
}

impl Certificate {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(files)?;
        let current = Arc::new(contents.parse(files)?);
        let state = RwLock::new(State { current, seen: Some(contents) });
        Ok(Self { files: files.clone(), state })
    }

    /// Reads the files, and uses them if they have changed and are good. While they are bad, as in the middle of a
    /// renewal, the former certificate stays; this is logged once.
    fn reload(&self) {
        let (seen, outcome) = match Contents::read(&self.files) {
            Ok(contents) if self.lock_read(|state| state.seen.as_ref() == Some(&contents)) => return,
            Ok(contents) => {
                let parsed = contents.parse(&self.files);
                (Some(contents), parsed)
            }
            Err(_) if self.lock_read(|state| state.seen.is_none()) => return,
            Err(error) => (None, Err(error)),
        };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.seen = seen;
        match outcome {
            Ok(certificate) => {
                state.current = Arc::new(certificate);
                tracing::info!(certificate = %self.files.certificate.display(), "new TLS certificate");
            }
            Err(error) => {
                let error = error_chain(&error);
                tracing::warn!(error, "cannot use the changed TLS certificate, keeping the former one");
            }
        }
    }

    fn lock_read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.lock_read(|state| state.current.clone()))
    }
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
        };
        Ok(Self { certificate: read(&files.certificate)?, key: read(&files.key)? })
    }

    fn parse(&self, files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty());
        let chain = chain.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| TlsError::NoKey(files.key.clone()))?;
        CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::Mismatch { key: files.key.clone(), certificate: files.certificate.clone() }
            }
            source => TlsError::Unusable { certificate: files.certificate.clone(), source },
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::SocketAddr;
    use std::time::Duration;

    use poem::http::Uri;
    use poem::{Body, Request, Response};
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, RootCertStore};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream;

    use super::*;
    use crate::transport::guarded_stream::TimeLimits;
    use crate::transport::{ConnectionLimits, Pace, Server, TrustedProxies};

    /// A folder with a certificate and its key.
    struct Files {
        _folder: TempDir,
        files: TlsFiles,
    }

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files =
                TlsFiles { certificate: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
            let written = Self { _folder: folder, files };
            written.renew();
            written
        }

        /// Replaces both files by those of a new certificate.
        fn renew(&self) {
            let Generated { cert, signing_key } =
                generate_simple_self_signed(["localhost".to_owned()]).unwrap();
            fs::write(&self.files.certificate, cert.pem()).unwrap();
            fs::write(&self.files.key, signing_key.serialize_pem()).unwrap();
        }

        fn certificate(&self) -> CertificateDer<'static> {
            CertificateDer::from_pem_file(&self.files.certificate).unwrap()
        }

        /// A client that trusts this certificate only, and offers these protocols.
        fn client(&self, protocols: &[&[u8]]) -> TlsConnector {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate()).unwrap();
            let provider = Arc::new(aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
            let mut config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            TlsConnector::from(Arc::new(config))
        }
    }

    /// Sends on the channel when it is dropped.
    struct Dropped(mpsc::UnboundedSender<()>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    const BODY_BYTES: usize = 3 << 20;

    /// A server over TLS, and what tells that it has dropped a request to `/never`.
    async fn start(files: &Files, times: TimeLimits) -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dropped, has_dropped) = mpsc::unbounded_channel();
        let limits = ConnectionLimits { in_all: 10, per_address: 10, proxies: TrustedProxies::default() };
        let tls = Arc::new(Tls::open(&files.files).unwrap());
        let server = Server::new(limits, Duration::ZERO).times(times).tls(Some(tls));
        let endpoint = poem::endpoint::make(move |request: Request| {
            let dropped = dropped.clone();
            async move {
                let body = match request.uri().path() {
                    "/never" => {
                        let _dropped = Dropped(dropped);
                        std::future::pending().await
                    }
                    "/large" => Body::from(vec![b'x'; BODY_BYTES]),
                    _ => Body::from(request.scheme().as_str().to_owned()),
                };
                Ok::<_, poem::Error>(Response::builder().extension(Pace::OfReader).body(body))
            }
        });
        tokio::spawn(server.run(vec![listener], endpoint, std::future::pending()));
        (address, has_dropped)
    }

    async fn connect(files: &Files, address: SocketAddr) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        files.client(&[b"http/1.1"]).connect(name, stream).await.unwrap()
    }

    async fn ask(connection: &mut TlsStream<TcpStream>, path: &str) {
        let path: Uri = path.parse().unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn requests_know_that_they_came_over_https() {
        let files = Files::new();
        let (address, _) = start(&files, TimeLimits::default()).await;
        let mut connection = connect(&files, address).await;
        assert_eq!(connection.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        ask(&mut connection, "/").await;
        let mut response = String::new();
        connection.read_to_string(&mut response).await.unwrap();
        assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("\r\n\r\nhttps"), "{response}");
    }

    #[tokio::test]
    async fn clients_of_other_protocols_are_refused() {
        let files = Files::new();
        let (address, _) = start(&files, TimeLimits::default()).await;
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let refused = files.client(&[b"h2"]).connect(name, stream).await.unwrap_err();
        assert!(refused.to_string().contains("NoApplicationProtocol"), "{refused}");

        let mut clear = TcpStream::connect(address).await.unwrap();
        clear.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut response = [0; 13];
        clear.read_exact(&mut response).await.unwrap();
        assert_eq!(&response, b"HTTP/1.1 400 ");
    }

    /// One that is silent, one that stops in its middle.
    #[tokio::test]
    async fn a_handshake_that_takes_too_long_ends() {
        let files = Files::new();
        let times = TimeLimits { head: Duration::from_millis(200), ..TimeLimits::default() };
        let (address, _) = start(&files, times).await;
        for sent in [&b""[..], &[HANDSHAKE, 3, 1, 2, 0][..]] {
            let mut connection = TcpStream::connect(address).await.unwrap();
            connection.write_all(sent).await.unwrap();
            assert_eq!(connection.read(&mut [0]).await.unwrap_or(0), 0, "{sent:?}");
        }
    }

    /// What the connection encrypts in advance is sent in the end, however slowly the client reads.
    #[tokio::test]
    async fn a_slow_reader_gets_everything_and_one_that_does_not_read_is_closed() {
        let files = Files::new();
        let times = TimeLimits { progress: Duration::from_secs(2), ..TimeLimits::default() };
        let (address, _) = start(&files, times).await;
        let mut slow = connect(&files, address).await;
        let mut stuck = connect(&files, address).await;
        ask(&mut slow, "/large").await;
        ask(&mut stuck, "/large").await;
        let mut read = Vec::new();
        // Longer than the limit in all, and shorter between two reads.
        while read.len() < BODY_BYTES {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut piece = vec![0; BODY_BYTES / 16];
            let count = slow.read_exact(&mut piece).await;
            match count {
                Ok(_) => read.extend(piece),
                Err(_) => break,
            }
        }
        slow.read_to_end(&mut read).await.unwrap();
        assert!(read.len() > BODY_BYTES, "the body and a head: {}", read.len());
        let mut rest = Vec::new();
        let ended = stuck.read_to_end(&mut rest).await;
        assert!(ended.is_err() && rest.len() < BODY_BYTES, "{ended:?} after {}", rest.len());
    }

    #[tokio::test]
    async fn a_request_is_dropped_when_its_client_is_gone() {
        let files = Files::new();
        let times = TimeLimits { half_closed: Duration::from_millis(10), ..TimeLimits::default() };
        let (address, mut dropped) = start(&files, times).await;
        let mut connection = connect(&files, address).await;
        ask(&mut connection, "/never").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(dropped.try_recv().is_err(), "it is in progress");
        // It sends an alert, which lies unread before the end of the stream.
        connection.shutdown().await.unwrap();
        drop(connection);
        let told = tokio::time::timeout(Duration::from_secs(30), dropped.recv()).await;
        told.expect("it is dropped in time").unwrap();
    }

    #[test]
    fn changed_files_are_used_and_bad_ones_are_not() {
        let files = Files::new();
        let certificate = Certificate::read(&files.files).unwrap();
        let current = || certificate.lock_read(|state| state.current.cert[0].clone());
        let first = files.certificate();
        certificate.reload();
        assert_eq!(current(), first);

        let key = fs::read(&files.files.key).unwrap();
        files.renew();
        let second_key = fs::read(&files.files.key).unwrap();
        fs::write(&files.files.key, key).unwrap();
        certificate.reload();
        assert_eq!(current(), first, "the key is not that of the certificate");
        fs::remove_file(&files.files.key).unwrap();
        certificate.reload();
        assert_eq!(current(), first, "there is no key");
        fs::write(&files.files.key, second_key).unwrap();
        certificate.reload();
        assert_eq!(current(), files.certificate());
    }

    #[test]
    fn unusable_files_are_refused_with_the_reason() {
        let files = Files::new();
        let other = Files::new();
        let swapped = TlsFiles { certificate: files.files.key.clone(), key: files.files.certificate.clone() };
        let mixed = TlsFiles { key: other.files.key.clone(), ..files.files.clone() };
        let absent = TlsFiles { key: "/nowhere/key.pem".into(), ..files.files.clone() };
        let no_key = TlsFiles { key: files.files.certificate.clone(), ..files.files.clone() };
        for (files, reason) in [
            (swapped, "contains no PEM certificate"),
            (mixed, "is not that of the certificate"),
            (absent, "cannot read /nowhere/key.pem"),
            (no_key, "contains no PEM private key"),
        ] {
            let error = Tls::open(&files).err().unwrap().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
