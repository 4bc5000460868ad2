//! The path of every request, and the way back of every response.
//!
//! Before it is [`transport`](crate::transport): the limits of connections and file descriptors, and the timeouts of a
//! connection, which count before there is a request. Then, in this order:
//!
//! | file | concern |
//! | --- | --- |
//! | `client_address` | whose request it is, as trusted proxies report it |
//! | `deployment_warnings` | faults of the deployment that requests reveal |
//! | `cors` | which pages may use the server: preflights, CSRF, and the CORS headers of responses |
//! | `request_id` | the id of the request, in the log and in the response |
//! | `log_and_metrics` | what an operator sees of it |
//! | `path_policy` | the rules that differ from path to path, as a table |
//! | `body_guard` | the size and the minimum rate of the body |
//! | `base_url`, `original_method`, `media_path` | what operations need to know of the request as it came |
//! | `request_deadline` | how long the operation may take |
//! | the routes | `crate::routes` |
//! | `late_cookies` | cookies that would arrive late are left out |
//! | `allowed_methods` | `Allow` of a 405 |
//! | `security_headers` | the headers that protect a user from a response |

pub(crate) mod allowed_methods;
pub(crate) mod base_url;
pub(crate) mod body_guard;
pub(crate) mod client_address;
pub(crate) mod cors;
mod deployment_warnings;
pub(crate) mod late_cookies;
mod log_and_metrics;
mod media_path;
pub(crate) mod original_method;
pub(crate) mod path_policy;
pub(crate) mod request_deadline;
pub(crate) mod request_id;
mod security_headers;

use std::sync::Arc;

use notestamp_store::{Clock, Random, SessionTtl, Store};
use poem::endpoint::BoxEndpoint;
use poem::http::StatusCode;
use poem::http::header::{ALLOW, CONNECTION, HeaderName, HeaderValue, SET_COOKIE};
use poem::{Endpoint, Request, Response};
use poem_openapi::OperationId;

use self::allowed_methods::AllowedMethods;
use self::base_url::BaseUrl;
use self::body_guard::BodyGuard;
use self::client_address::Client;
use self::cors::{CorsDecision, OriginPolicy};
use self::deployment_warnings::DeploymentWarnings;
use self::late_cookies::CookiesMade;
use self::original_method::OriginalMethod;
use self::path_policy::Policy;
use self::request_deadline::{RequestDeadline, in_time};
use self::request_id::RequestId;
use crate::config::{BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX, Config, RecordsUrl};
use crate::error::{ApiError, Code};
use crate::http::{content_type, urlencoded};
use crate::metrics::Metrics;
use crate::transport::{HeldMemory, TrustedProxies};

/// The middleware around the routes.
pub(crate) struct Middleware {
    routes: BoxEndpoint<'static, Response>,
    proxies: TrustedProxies,
    warnings: DeploymentWarnings,
    origins: OriginPolicy,
    public_url: Option<BaseUrl>,
    upload_bytes_max: u64,
    /// Whether the record store is remote, so that each of a request's calls to it may be slow.
    is_remote: bool,
    allowed_methods: AllowedMethods,
    session_ttl: SessionTtl,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    metrics: Arc<Metrics>,
}

/// What the middleware needs besides the configuration.
pub(crate) struct Parts {
    /// The OpenAPI document, in JSON: it says which methods a path has.
    pub(crate) openapi: String,
    /// How many bytes the body of an upload may have.
    pub(crate) upload_bytes_max: u64,
    /// The lifetimes of tokens, which say when cookies are late.
    pub(crate) session_ttl: SessionTtl,
    /// Tells whether a backup is being restored.
    pub(crate) store: Store,
    /// Tells the age of cookies.
    pub(crate) clock: Arc<dyn Clock>,
    /// Makes the ids of requests.
    pub(crate) random: Arc<dyn Random>,
    /// Counts the requests.
    pub(crate) metrics: Arc<Metrics>,
}

impl Middleware {
    /// Wraps these routes.
    pub(crate) fn new(routes: BoxEndpoint<'static, Response>, config: &Config, parts: Parts) -> Self {
        let public_url = config.listen.public_url.as_ref();
        let Parts { openapi, upload_bytes_max, session_ttl, store, clock, random, metrics } = parts;
        Self {
            routes,
            proxies: TrustedProxies::new(config.listen.trusted_proxies.clone()),
            warnings: DeploymentWarnings::new(
                public_url.map(|url| !url.is_secure_context()),
                !config.cookies.insecure,
            ),
            origins: OriginPolicy::new(config.origins.allowed.clone(), public_url.map(|url| url.origin())),
            public_url: public_url.map(|url| BaseUrl::new(url.as_str())),
            upload_bytes_max,
            is_remote: matches!(config.storage.records, RecordsUrl::MongoDb(_)),
            allowed_methods: AllowedMethods::of_description(&openapi),
            session_ttl,
            store,
            clock,
            random,
            metrics,
        }
    }

    /// The response, without the headers that every response carries.
    async fn respond(
        &self,
        mut request: Request,
        id: &RequestId,
        origin: &CorsDecision,
        client: &Client,
    ) -> Response {
        let policy = Policy::of(request.uri().path());
        let guard = BodyGuard::install(&mut request, policy.body_bytes_max(self.upload_bytes_max));
        let (outcome, operation) = match self.admit(&mut request, id, origin, client) {
            Ok(()) => self.route(request, &guard).await,
            Err(refusal) => (Err(refusal), None),
        };
        let mut response = outcome.unwrap_or_else(|error| error.to_response(id.as_str()));
        // The guard's error decides the status, whatever error a parser made of it.
        if let Some(error) = guard.error()
            && !response.status().is_success()
        {
            response = with_cookies_of(&response, ApiError::from(error).to_response(id.as_str()));
        }
        if let Some(operation) = operation {
            response.extensions_mut().insert(operation);
        }
        // Otherwise the client could send its next request on a connection that is about to be closed.
        if guard.exceeds(BODY_DRAIN_BYTES_MAX) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // A client that sends everything before it reads should get the response, not a broken pipe.
        if guard.has_rest() {
            tokio::spawn(guard.drain(BODY_DRAIN_BYTES_MAX, BODY_DRAIN_TIME_MAX));
        }
        response
    }

    /// Refuses requests that no operation should see, and keeps the properties of the original request for operations.
    fn admit(
        &self,
        request: &mut Request,
        id: &RequestId,
        origin: &CorsDecision,
        client: &Client,
    ) -> Result<(), ApiError> {
        if origin.is_refused() {
            let message = "pages of this origin are not allowed to use this server";
            return Err(ApiError::new(Code::ForbiddenOrigin, message));
        }
        if self.store.is_restoring() && path_policy::needs_store(request.uri().path()) {
            return Err(ApiError::restoring());
        }
        if !urlencoded::is_text(request.uri().query().unwrap_or_default().as_bytes()) {
            return Err(ApiError::bad_request("the query is not UTF-8"));
        }
        let base = match (&self.public_url, client.server_origin()) {
            (Some(public), _) => public.clone(),
            (None, Some(origin)) => BaseUrl::new(origin),
            (None, None) => return Err(ApiError::bad_request("the request names no host")),
        };
        OriginalMethod::keep(request);
        request.extensions_mut().insert(id.clone());
        request.extensions_mut().insert(base);
        request.extensions_mut().insert(client.clone());
        media_path::remove_file_name(request);
        content_type::respell(request.headers_mut());
        Ok(())
    }

    /// Calls the operation, and returns which one it was; if the record store is remote, with a deadline.
    async fn route(
        &self,
        mut request: Request,
        guard: &BodyGuard,
    ) -> (Result<Response, ApiError>, Option<OperationId>) {
        let deadline = RequestDeadline::default();
        request.extensions_mut().insert(deadline.clone());
        let routing = self.routes.call(request);
        let routed = match self.is_remote {
            false => Some(routing.await),
            true => in_time(guard, &deadline, routing).await,
        };
        match routed {
            Some(Ok(response)) => {
                let operation = response.data().copied();
                (Ok(response), operation)
            }
            Some(Err(error)) => {
                let operation = error.data().copied();
                (Err(error.into()), operation)
            }
            None => {
                let error = ApiError::storage_unavailable();
                (Err(error.caused_by("no response before the deadline")), None)
            }
        }
    }

    /// Removes cookies that are late, and warns if browsers will not keep the others.
    fn check_cookies(&self, response: &mut Response, made: &CookiesMade, client: &Client) {
        if !response.headers().contains_key(SET_COOKIE) {
            return;
        }
        if made.are_late(self.clock.monotonic(), &self.session_ttl) {
            response.headers_mut().remove(SET_COOKIE);
            return;
        }
        self.warnings.check_cookies(client);
    }
}

impl Endpoint for Middleware {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let client = Client::of(&request, &self.proxies);
        self.warnings.check_forwarding_headers(&request, &self.proxies);
        let origin = self.origins.decide(&request, &client);
        if let Some(response) = origin.preflight_response() {
            return Ok(response);
        }
        let id = RequestId::generate(&*self.random);
        let made = CookiesMade::default();
        request.extensions_mut().insert(made.clone());
        let memory = HeldMemory::default();
        request.extensions_mut().insert(memory.clone());
        let (method, uri) = (request.method().clone(), request.uri().clone());

        let response = self.respond(request, &id, &origin, &client);
        let mut response = log_and_metrics::observe(&self.metrics, &id, (&method, &uri), response).await;

        self.check_cookies(&mut response, &made, &client);
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            let path = media_path::without_file_name(&uri).unwrap_or(uri.path());
            let allowed = self.allowed_methods.of(path).unwrap_or(METHODS_OF_PAGES);
            response.headers_mut().insert(ALLOW, allowed);
        }
        response.extensions_mut().insert(memory);
        let headers = response.headers_mut();
        origin.add_headers(headers);
        headers.insert(HeaderName::from_static(request_id::HEADER), id.to_header());
        security_headers::add(headers, &Policy::of(uri.path()));
        Ok(response)
    }
}

/// The methods of the pages, which exist but are not in the OpenAPI description.
const METHODS_OF_PAGES: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// The response `to`, with the cookies that `from` sets.
fn with_cookies_of(from: &Response, mut to: Response) -> Response {
    for cookie in from.headers().get_all(SET_COOKIE) {
        to.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    to
}
