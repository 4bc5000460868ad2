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
use crate::openapi;
use crate::state::State;

/// The routes. Whatever goes wrong in one is an answer here, so that cookies and headers reach that answer too.
pub fn routes(state: Arc<State>) -> BoxEndpoint<'static, Response> {
    let cookies = state.cookies;
    Route::new()
        .at("/", page(include_str!("index.html")))
        .at("/docs", page(openapi::swagger_ui()))
        .at("/openapi.json", document("application/json", openapi::json()))
        .at("/openapi.yaml", document("application/yaml", openapi::yaml()))
        // Not nested at `/`, where it would hide the page.
        .at("/<.+>", api::service())
        .data(state)
        .around(answered)
        .with(CookieJarManager::new())
        .before(move |mut request| async move {
            cookies.keep_own(request.headers_mut());
            Ok(request)
        })
        .boxed()
}

/// A page for everybody.
fn page(html: impl Into<String>) -> impl Endpoint {
    let html: String = html.into();
    get(make_sync(move |_| Html(html.clone())))
}

/// A document for everybody.
fn document(content_type: &'static str, text: String) -> impl Endpoint {
    get(make_sync(move |_| text.clone().with_content_type(content_type)))
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
