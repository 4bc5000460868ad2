//! Every path of the server: the operations, their OpenAPI description, and a page about both or the web app.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use notestamp_store::Digest;
use poem::endpoint::{BoxEndpoint, EndpointExt as _, make};
use poem::middleware::CookieJarManager;
use poem::{Endpoint, IntoEndpoint as _, IntoResponse, Request, Response, Route, get};

use crate::api;
use crate::api::conditional::Conditional;
use crate::entity_tags;
use crate::error::{ApiError, Code};
use crate::middleware::allowed_methods::AllowedMethods;
use crate::middleware::request_id::RequestId;
use crate::openapi;
use crate::site::{self, Site};
use crate::state::State;

/// The routes. Every error and every panic of a route becomes a response here, so that cookies and headers are set on
/// it too.
///
/// With a web app, its page is at `/`, and it has all paths that are not the API's.
pub(crate) fn routes(state: Arc<State>, site: Option<Arc<Site>>) -> BoxEndpoint<'static, Response> {
    let cookies = state.auth.cookies;
    let front = match &site {
        Some(site) => get(of_site(site.clone())).boxed(),
        None => page(HTML, include_str!("index.html")).map_to_response().boxed(),
    };
    let beyond = match site {
        Some(site) => api_or_site(site).boxed(),
        None => api::service().into_endpoint().map_to_response().boxed(),
    };
    Route::new()
        .at("/", front)
        .at("/docs", page(HTML, openapi::swagger_ui()))
        .at("/openapi.json", page("application/json", openapi::json()))
        .at("/openapi.yaml", page("application/yaml", openapi::yaml()))
        // Not nested at `/`, where it would hide the page.
        .at("/<.+>", beyond)
        .data(state.auth.clone())
        .data(state)
        .around(respond)
        .with(CookieJarManager::new())
        .before(move |mut request| async move {
            cookies.keep_own(request.headers_mut());
            Ok(request)
        })
        .boxed()
}

const HTML: &str = "text/html; charset=utf-8";

/// A page that is the same for all clients: the responses share its bytes, and a client that has them gets 304.
fn page(content_type: &'static str, text: impl Into<Bytes>) -> impl Endpoint {
    let bytes: Bytes = text.into();
    let tag = entity_tags::of_digest(&Digest::of(&bytes));
    get(make(move |request: Request| {
        let payload = bytes.clone().with_content_type(content_type);
        let response = Conditional::new(request.headers(), &tag, payload);
        async move { Ok::<_, poem::Error>(response?) }
    }))
}

/// The web app.
fn of_site(site: Arc<Site>) -> impl Endpoint<Output = Response> {
    make(move |request| site.clone().respond(request))
}

/// The operations at their paths, and the web app at all others.
fn api_or_site(site: Arc<Site>) -> impl Endpoint<Output = Response> {
    let paths = AllowedMethods::of_description(&openapi::json());
    let api = Arc::new(api::service().into_endpoint().map_to_response());
    make(move |request: Request| {
        let is_of_site = site::reads(request.method()) && paths.of(request.uri().path()).is_none();
        let (api, site) = (api.clone(), site.clone());
        async move { if is_of_site { site.respond(request).await } else { api.call(request).await } }
    })
}

async fn respond<E: Endpoint>(endpoint: Arc<E>, request: Request) -> poem::Result<Response> {
    let id = RequestId::of(&request);
    let outcome = AssertUnwindSafe(endpoint.call(request)).catch_unwind().await;
    Ok(match outcome {
        Ok(Ok(response)) => response.into_response(),
        Ok(Err(error)) => ApiError::from(error).to_response(id.as_str()),
        Err(_) => ApiError::new(Code::Internal, "internal error").to_response(id.as_str()),
    })
}
