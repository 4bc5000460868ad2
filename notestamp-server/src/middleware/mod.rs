//! The middleware that every request and every response passes.

pub mod allowed_methods;
pub mod body_guard;
pub mod client_address;
pub mod cors;
pub mod late_cookies;
pub mod original_method;
pub mod path_policy;
pub mod request_deadline;
pub mod request_id;

use std::sync::Arc;
use std::time::Duration;

use notestamp_store::{Clock, Random, SessionTtl};
use poem::endpoint::BoxEndpoint;
use poem::http::StatusCode;
use poem::http::Uri;
use poem::http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use poem::{Endpoint, Request, Response};
use tokio::time::Instant;
use tracing::Instrument as _;

use self::allowed_methods::AllowedMethods;
use self::body_guard::{BodyError, BodyGuard, DRAIN_BYTES_MAX, DRAIN_TIME_MAX};
use self::client_address::{Client, TrustedProxies};
use self::cors::{CorsDecision, OriginPolicy};
use self::late_cookies::CookiesMade;
use self::original_method::OriginalMethod;
use self::path_policy::Policy;
use self::request_deadline::{RequestDeadline, in_time};
use self::request_id::RequestId;
use crate::config::{Config, RecordsUrl};
use crate::error::{ApiError, Code};
use crate::http::base_url::BaseUrl;
use crate::http::content_type;
use crate::http::urlencoded;
use crate::log_limit::LogLimit;
use crate::metrics::Metrics;
use crate::openapi;
use crate::state::State;

/// The middleware around the routes: gives each request an id, refuses requests of foreign pages, guards the body, and
/// sets the common headers on every response, errors included.
pub struct Edge {
    routes: BoxEndpoint<'static, Response>,
    origins: OriginPolicy,
    proxies: TrustedProxies,
    public_url: Option<BaseUrl>,
    allowed_methods: AllowedMethods,
    upload_bytes_max: u64,
    /// Whether the record store is remote, so that each of a request's calls to it may be slow.
    remote: bool,
    random: Arc<dyn Random>,
    clock: Arc<dyn Clock>,
    session_ttl: SessionTtl,
    /// Whether browsers drop `Secure` cookies from the configured public URL; absent if none is configured.
    public_url_is_plain: Option<bool>,
    cookies_are_secure: bool,
    warnings: Warnings,
    metrics: Arc<Metrics>,
}

/// Each fault of the deployment is logged at most once in this time.
const WARNED_EVERY: Duration = Duration::from_secs(60 * 60);

/// Limits the warnings about faults of the deployment that requests reveal.
struct Warnings {
    forwarding_headers: LogLimit,
    dropped_cookies: LogLimit,
}

impl Edge {
    /// Wraps these routes.
    pub fn new(routes: BoxEndpoint<'static, Response>, config: &Config, state: &State) -> Self {
        let public_url = config.listen.public_url.as_ref();
        Self {
            routes,
            origins: OriginPolicy::new(config.origins.allowed.clone(), public_url.map(|url| url.origin())),
            proxies: TrustedProxies::new(config.listen.trusted_proxies.clone()),
            public_url: public_url.map(|url| BaseUrl::new(url.as_str())),
            allowed_methods: AllowedMethods::of_description(&openapi::json()),
            upload_bytes_max: crate::wire::upload::body_bytes_max(&config.limits),
            remote: matches!(config.storage.records, RecordsUrl::MongoDb(_)),
            random: state.random.clone(),
            clock: state.clock.clone(),
            session_ttl: state.store.settings().session_ttl,
            public_url_is_plain: public_url.map(|url| !url.is_secure_context()),
            cookies_are_secure: !config.cookies.insecure,
            warnings: Warnings {
                forwarding_headers: LogLimit::new(WARNED_EVERY),
                dropped_cookies: LogLimit::new(WARNED_EVERY),
            },
            metrics: state.metrics.clone(),
        }
    }

    /// The response, without the headers that every response carries.
    async fn answer(
        &self,
        mut request: Request,
        id: &RequestId,
        judgement: &CorsDecision,
        client: &Client,
    ) -> Response {
        let policy = Policy::of(request.uri().path());
        let guard = BodyGuard::install(&mut request, policy.body_bytes_max(self.upload_bytes_max));
        let answer = match self.admit(&mut request, id, judgement, client) {
            Ok(()) => {
                let time = RequestDeadline::default();
                request.extensions_mut().insert(time.clone());
                let routing = self.routes.call(request);
                let routed =
                    if self.remote { in_time(&guard, &time, routing).await } else { Some(routing.await) };
                let late =
                    || Err(ApiError::storage_is_away().caused_by("no response before the deadline").into());
                routed.unwrap_or_else(late).unwrap_or_else(|error| ApiError::from(error).to_response(id))
            }
            Err(refusal) => refusal.to_response(id),
        };
        let mut answer = match guard.verdict() {
            Some(verdict) if !answer.status().is_success() => cut_off(verdict, &answer, id),
            _ => answer,
        };
        // Otherwise the client could send its next request on a connection that is about to be closed.
        if guard.exceeds(DRAIN_BYTES_MAX) {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // A client that sends everything before it reads should get the response, not a broken pipe.
        tokio::spawn(guard.drain(DRAIN_BYTES_MAX, DRAIN_TIME_MAX));
        answer
    }

    /// Removes cookies that are late, and warns if browsers will not keep the others.
    fn judge_cookies(&self, answer: &mut Response, made: &CookiesMade, client: &Client) {
        if !answer.headers().contains_key(SET_COOKIE) {
            return;
        }
        if made.are_late(self.clock.monotonic(), &self.session_ttl) {
            answer.headers_mut().remove(SET_COOKIE);
            return;
        }
        let is_plain = self.public_url_is_plain.unwrap_or_else(|| !client.is_secure_context());
        if self.cookies_are_secure
            && is_plain
            && let Some(left_out) = self.warnings.dropped_cookies.admit()
        {
            let host = client.host.as_ref().map(tracing::field::display);
            tracing::warn!(
                host,
                left_out,
                "browsers do not store Secure cookies from a response over plain http: use https. If a proxy speaks \
                 https, set --trusted-proxy or --public-url; for development, set --insecure-cookies"
            );
        }
    }

    /// Warns that forwarding headers are ignored: behind a proxy of the operator, all clients would share its address.
    fn judge_forwarding_headers(&self, request: &Request) {
        if let Some(peer) = self.proxies.ignores_forwarding_headers_of(request)
            && let Some(left_out) = self.warnings.forwarding_headers.admit()
        {
            tracing::warn!(
                %peer,
                left_out,
                "X-Forwarded-* or Forwarded headers of a peer that is not a trusted proxy are ignored: where it is a \
                 proxy of yours, name it with --trusted-proxy"
            );
        }
    }

    /// Refuses requests that no operation should see, and adds what extractors read: id, base URL, client.
    fn admit(
        &self,
        request: &mut Request,
        id: &RequestId,
        judgement: &CorsDecision,
        client: &Client,
    ) -> Result<(), ApiError> {
        if judgement.is_refused() {
            let message = "pages of this origin are not allowed to use this server";
            return Err(ApiError::new(Code::ForbiddenOrigin, message));
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
        trim_media_path(request);
        content_type::respell(request.headers_mut());
        Ok(())
    }
}

impl Endpoint for Edge {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let client = self.proxies.client_of(&request);
        self.judge_forwarding_headers(&request);
        let judgement = self.origins.judge(&request, &client);
        if let Some(answer) = judgement.preflight_answer() {
            return Ok(answer);
        }
        let id = RequestId::generate(&*self.random);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let policy = Policy::of(uri.path());
        let made = CookiesMade::default();
        request.extensions_mut().insert(made.clone());

        let (begun, _under_way) = (Instant::now(), self.metrics.request_begins());
        let span = tracing::info_span!("request", id = id.as_str(), %method, route = route(&uri));
        let mut answer = self.answer(request, &id, &judgement, &client).instrument(span.clone()).await;
        let status = answer.status().as_u16();
        self.metrics.request_answered(&method, status, begun.elapsed());
        span.in_scope(|| tracing::debug!(status, "response"));

        self.judge_cookies(&mut answer, &made, &client);
        if answer.status() == StatusCode::METHOD_NOT_ALLOWED {
            let allowed = self.allowed_methods.of(trimmed_media_path(&uri).unwrap_or(uri.path()));
            answer.headers_mut().insert(ALLOW, allowed.unwrap_or(METHODS_OF_PAGES));
        }
        let headers = answer.headers_mut();
        judgement.add_headers(headers);
        set(headers, HeaderName::from_static(request_id::HEADER), id.as_str());
        set(headers, X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(headers, REFERRER_POLICY, "no-referrer");
        for (name, value) in
            [(CONTENT_SECURITY_POLICY, policy.content_security), (CACHE_CONTROL, policy.cache)]
        {
            if !headers.contains_key(&name) {
                set(headers, name, value);
            }
        }
        Ok(answer)
    }
}

/// The methods of the pages, which exist but are not in the OpenAPI description.
const METHODS_OF_PAGES: HeaderValue = HeaderValue::from_static("GET, HEAD");

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    let value = HeaderValue::from_str(value).expect("the middleware's headers consist of visible characters");
    headers.insert(name, value);
}

/// The response if the body guard aborted the body: the verdict decides the status, whatever error a parser made of it.
/// Cookies that were set stay set.
fn cut_off(verdict: BodyError, answered: &Response, id: &RequestId) -> Response {
    let code = match verdict {
        BodyError::TooLarge { .. } => Code::TooLarge,
        BodyError::TooSlow => Code::RequestTimeout,
        BodyError::BrokenOff => Code::BadRequest,
    };
    let mut answer = ApiError::new(code, verdict.to_string()).to_response(id);
    for cookie in answered.headers().get_all(SET_COOKIE) {
        answer.headers_mut().append(SET_COOKIE, cookie.clone());
    }
    answer
}

/// The first two segments of a path, for the log: further ones may contain a user's titles.
fn route(uri: &Uri) -> &str {
    let path = uri.path();
    path.match_indices('/').nth(2).map_or(path, |(at, _)| &path[..at])
}

/// The path of media by id without what follows a further slash: that is a file name for people. `None` if nothing
/// follows.
fn trimmed_media_path(uri: &Uri) -> Option<&str> {
    const MEDIA: &str = "/home/media/";
    let rest = uri.path().strip_prefix(MEDIA)?;
    Some(&uri.path()[..MEDIA.len() + rest.find('/')?])
}

fn trim_media_path(request: &mut Request) {
    let uri = request.uri();
    let Some(path) = trimmed_media_path(uri) else { return };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if let Ok(trimmed) = format!("{path}{query}").parse() {
        *request.uri_mut() = trimmed;
    }
}
