//! Every path there is: the operations, their description, and a page about both.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use poem::endpoint::{BoxEndpoint, EndpointExt as _, make_sync};
use poem::middleware::CookieJarManager;
use poem::web::Html;
use poem::{Endpoint, IntoResponse, Request, Response, Route, get};

use crate::api;
use crate::error::{ApiError, Code};
use crate::middleware::request_id::RequestId;
use crate::state::State;

/// The routes. Whatever goes wrong in one is an answer here, so that cookies and headers reach that answer too.
pub fn routes(state: Arc<State>) -> BoxEndpoint<'static, Response> {
    let service = api::service();
    let cookies = state.cookies;
    Route::new()
        .at("/", page(include_str!("index.html")))
        .at("/docs", page(service.swagger_ui_html()))
        .at("/openapi.json", get(service.spec_endpoint()))
        .at("/openapi.yaml", get(service.spec_endpoint_yaml()))
        // Not nested at `/`, where it would hide the page.
        .at("/<.+>", service)
        .data(state)
        .around(answered)
        .with(CookieJarManager::new())
        .before(move |mut request| async move {
            cookies.keep_own(request.headers_mut());
            Ok(request)
        })
        .boxed()
}

/// A page that is there for all who ask.
fn page(html: impl Into<String>) -> impl Endpoint {
    let html: String = html.into();
    get(make_sync(move |_| Html(html.clone())))
}

async fn answered<E: Endpoint>(endpoint: Arc<E>, request: Request) -> poem::Result<Response> {
    let id = RequestId::of(&request);
    let outcome = AssertUnwindSafe(endpoint.call(request)).catch_unwind().await;
    Ok(match outcome {
        Ok(Ok(response)) => response.into_response(),
        Ok(Err(error)) => ApiError::from(error).to_response(&id),
        Err(_) => ApiError::new(Code::Internal, "something went wrong here").to_response(&id),
    })
}
