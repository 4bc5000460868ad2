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
use crate::http::asked_method;
use crate::http::request_id::RequestId;
use crate::state::State;

/// The routes. Whatever goes wrong in one is an answer here, so that cookies and headers reach that answer too.
pub fn routes(state: Arc<State>) -> BoxEndpoint<'static, Response> {
    let service = api::service();
    let (json, yaml) = (service.spec_endpoint(), service.spec_endpoint_yaml());
    let docs = service.swagger_ui();
    Route::new()
        .at("/", get(make_sync(|_| Html(include_str!("index.html")))))
        .nest("/docs", docs)
        .at("/openapi.json", json)
        .at("/openapi.yaml", yaml)
        .nest("/", service)
        .data(state)
        .around(answered)
        .with(CookieJarManager::new())
        .boxed()
}

async fn answered<E: Endpoint>(endpoint: Arc<E>, mut request: Request) -> poem::Result<Response> {
    asked_method::remember(&mut request);
    let id = RequestId::of(&request);
    let outcome = AssertUnwindSafe(endpoint.call(request)).catch_unwind().await;
    Ok(match outcome {
        Ok(Ok(response)) => response.into_response(),
        Ok(Err(error)) => ApiError::from(error).to_response(&id),
        Err(_) => ApiError::new(Code::Internal, "something went wrong here").to_response(&id),
    })
}
