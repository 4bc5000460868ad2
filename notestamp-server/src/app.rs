//! Builds a server from a configuration, and runs it. The program, the tests and the examples all use it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notestamp_store::{Clock, OsRandom, Random, Store, SystemClock};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::auth::{
    Authenticator, DeviceCookie, MediaUrls, Passwords, SessionCookies, SigningKeyError, SigningKeys,
    Throttle, Tokens,
};
use crate::config::{
    CONNECTIONS_MAX, Config, METRICS_CONNECTIONS_MAX, PublicUrl, READINESS_AGE_MAX, REDIRECT_CONNECTIONS_MAX,
    RecordsUrl, SHUTDOWN_TIME_MAX,
};
use crate::error;
use crate::https_redirect::{HTTPS_PORT, HttpsRedirect};
use crate::maintenance;
use crate::metrics::{Metrics, MetricsEndpoint, Observed};
use crate::middleware::request_id::RequestId;
use crate::middleware::{self, Middleware};
use crate::offset_cursors::OffsetCursors;
use crate::once_per::OncePer;
use crate::openapi;
use crate::routes;
use crate::site::Site;
use crate::state::State;
use crate::storage::{self, StorageError};
use crate::tools::{AdminServer, AdminSocket, Context};
use crate::transport::{ConnectionLimits, Server, Tls, TlsError, TrustedProxies, descriptors, listener};
use crate::wire::upload::limits;

/// A server, bound to its addresses but not yet serving.
pub struct App {
    state: Arc<State>,
    middleware: Middleware,
    connection_limits: ConnectionLimits,
    listeners: Vec<(SocketAddr, TcpListener)>,
    metrics: Option<(SocketAddr, TcpListener)>,
    tls: Option<Arc<Tls>>,
    /// The address that redirects to https.
    redirect: Option<(SocketAddr, TcpListener)>,
    public_url: Option<PublicUrl>,
    /// The socket for the operator's tools, if only this process has the store open.
    admin: Option<AdminSocket>,
    sweep_every: Duration,
    serves_site: bool,
}

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A store cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The signing keys cannot be loaded.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The folder of the web app cannot be served.
    #[error("cannot serve the web app in {}", folder.display())]
    Site {
        /// The folder, as the configuration names it.
        folder: PathBuf,
        /// Why its `index.html` cannot be read.
        #[source]
        source: io::Error,
    },
    /// The TLS certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The server cannot listen on an address.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address, as the configuration names it.
        address: SocketAddr,
        /// The error of the system.
        #[source]
        source: io::Error,
    },
}

impl App {
    /// Opens the stores and binds the addresses.
    ///
    /// # Errors
    /// If a store cannot be opened, the signing keys, the TLS certificate or the web app cannot be loaded, or an address
    /// cannot be bound; the message says which.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        Self::build_at(config, Arc::new(SystemClock)).await
    }

    /// The same with another clock than the system's.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub async fn build_at(config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let store = storage::open(&config.storage, storage::settings(&config), clock.clone()).await?;
        let records = config.storage.records.clone();
        let app = Self::build_over(store, config, clock).await?;
        Ok(Self { admin: admin_socket(&records), ..app })
    }

    /// The same over an open store: for a program that has its own backend, or that serves one store with several
    /// servers. The configuration of the stores is ignored.
    ///
    /// # Errors
    /// If the signing keys, the TLS certificate or the web app cannot be loaded, or an address cannot be bound.
    pub async fn build_over(store: Store, config: Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let keys = SigningKeys::load(&config.tokens.signing_keys, &*random, config.storage.durability)?;
        let auth = Arc::new(Authenticator {
            store: store.clone(),
            media_urls: MediaUrls::new(&keys),
            device_cookie: DeviceCookie::new(&keys),
            tokens: Tokens::new(&keys),
            cookies: SessionCookies::new(&config.cookies),
            clock: clock.clone(),
            random: random.clone(),
        });
        let session_ttl = store.settings().session_ttl;
        let passwords = Arc::new(Passwords::default());
        let metrics = Arc::new(Metrics::new(Observed {
            memory: store.memory().clone(),
            hashes: passwords.clone(),
            traffic: Arc::default(),
        }));
        let state = Arc::new(State {
            store,
            passwords,
            throttle: Throttle::new(config.limits.sign_in_failures, clock.clone()),
            auth,
            media_delivery: config.responses.media_delivery,
            project_list: config.responses.project_list,
            offset_cursors: OffsetCursors::default(),
            clock: clock.clone(),
            metrics,
            readiness: OncePer::new(READINESS_AGE_MAX),
            sweep_soon: tokio::sync::Notify::new(),
        });
        let parts = middleware::Parts {
            openapi: openapi::json(),
            upload_bytes_max: limits::body_bytes_max(&config.limits),
            session_ttl,
            store: state.store.clone(),
            clock,
            random,
            metrics: state.metrics.clone(),
        };
        let site = Site::open(&config.site).map_err(|source| {
            let folder = config.site.folder.clone().unwrap_or_default();
            StartError::Site { folder, source }
        })?;
        let serves_site = site.is_some();
        let middleware = Middleware::new(routes::routes(state.clone(), site), &config, parts);
        let (tls, redirect_address) = match config.tls {
            Some(tls) => (Some(Arc::new(Tls::open(&tls.files)?)), tls.redirect_address),
            None => (None, None),
        };
        let mut listeners = Vec::new();
        let mut addresses = config.listen.addresses;
        addresses.extend(config.listen.metrics_address);
        addresses.extend(redirect_address);
        for address in &addresses {
            listeners.push(bind(*address, &addresses)?);
        }
        let redirect = redirect_address.and_then(|_| listeners.pop());
        let metrics = config.listen.metrics_address.and_then(|_| listeners.pop());
        let connections_max = descriptors::connections_max();
        if connections_max < CONNECTIONS_MAX {
            tracing::warn!(
                connections_max,
                "the limit of file descriptors allows only few connections: raise it"
            );
        }
        let proxies = TrustedProxies::new(config.listen.trusted_proxies);
        let connection_limits = ConnectionLimits::new(connections_max, proxies);
        Ok(Self {
            state,
            middleware,
            connection_limits,
            listeners,
            metrics,
            tls,
            redirect,
            public_url: config.listen.public_url,
            admin: None,
            sweep_every: config.schedule.every,
            serves_site,
        })
    }

    /// The addresses that the server listens on, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.listeners.iter().map(|(address, _)| *address)
    }

    /// The address of the metrics, if they are on.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|(address, _)| *address)
    }

    /// The address that redirects to https, if there is one.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().map(|(address, _)| *address)
    }

    /// How clients reach [`addresses`](Self::addresses): `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Whether it serves a web app beside the API.
    pub fn serves_site(&self) -> bool {
        self.serves_site
    }

    /// The store behind the server.
    pub fn store(&self) -> &Store {
        &self.state.store
    }

    /// Serves until `stop` resolves, then shuts down gracefully and closes the stores.
    ///
    /// # Errors
    /// If the stores cannot be closed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let stopping = CancellationToken::new();
        let maintenance = maintenance::run(self.state.clone(), self.sweep_every, stopping.clone());
        let mut beside = vec![("maintenance", tokio::spawn(maintenance))];
        if let Some((_, listener)) = self.metrics {
            let endpoint = MetricsEndpoint(self.state.metrics.clone());
            let server = small_server(METRICS_CONNECTIONS_MAX);
            let stop = stopping.clone().cancelled_owned();
            beside.push(("metrics", tokio::spawn(server.run(vec![listener], endpoint, stop))));
        }
        if let Some((_, listener)) = self.redirect {
            let port = self.listeners.first().map_or(HTTPS_PORT, |(address, _)| address.port());
            let endpoint = HttpsRedirect { port, public_url: self.public_url };
            let server = small_server(REDIRECT_CONNECTIONS_MAX);
            let stop = stopping.clone().cancelled_owned();
            beside.push(("redirect", tokio::spawn(server.run(vec![listener], endpoint, stop))));
        }
        if let Some(socket) = self.admin {
            let context =
                Context { store: self.state.store.clone(), passwords: self.state.passwords.clone() };
            let server = AdminServer { socket, context };
            beside.push(("admin socket", tokio::spawn(server.run(stopping.clone()))));
        }
        if let Some(tls) = self.tls.clone() {
            let stopping = stopping.clone();
            beside.push(("certificate", tokio::spawn(async move { tls.follow_files(stopping).await })));
        }
        let listeners = self.listeners.into_iter().map(|(_, listener)| listener).collect();
        let random = self.state.auth.random.clone();
        let error_bodies =
            Arc::new(move |status| error::body_below_http(status, RequestId::generate(&*random).as_str()));
        let server = Server::new(self.connection_limits, SHUTDOWN_TIME_MAX)
            .error_bodies(error_bodies)
            .tls(self.tls)
            .traffic(self.state.metrics.traffic().clone());
        server.run(listeners, self.middleware, stop).await;
        stopping.cancel();
        for (task, handle) in beside {
            if let Err(error) = handle.await {
                tracing::error!(task, %error, "a background task panicked");
            }
        }
        self.state.store.close().await.map_err(io::Error::other)
    }
}

/// A server for a few small responses beside the main one.
fn small_server(connections_max: usize) -> Server {
    let limits = ConnectionLimits {
        in_all: connections_max,
        per_address: connections_max,
        proxies: TrustedProxies::default(),
    };
    Server::new(limits, Duration::ZERO)
}

/// The socket for the operator's tools. The server runs without it too, for example on a full disk.
fn admin_socket(records: &RecordsUrl) -> Option<AdminSocket> {
    let RecordsUrl::Sqlite(database) = records else { return None };
    let bound = AdminSocket::bind(database);
    bound
        .inspect_err(|error| tracing::warn!(%error, "the tools cannot reach this server: no admin socket"))
        .ok()
}

fn bind(address: SocketAddr, all: &[SocketAddr]) -> Result<(SocketAddr, TcpListener), StartError> {
    let bound = listener::bind(address, all).and_then(|listener| Ok((listener.local_addr()?, listener)));
    bound.map_err(|source| StartError::Bind { address, source })
}
