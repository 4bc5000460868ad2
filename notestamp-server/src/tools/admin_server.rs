//! Runs tasks for the command line, over the admin socket.

use bytes::Bytes;
use futures_util::stream;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use poem::http::{StatusCode, header};
use poem::{Body, Response};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::admin_client::CONTENT_TYPE;
use super::admin_socket::AdminSocket;
use super::backup_server;
use super::context::Context;
use super::event::{EVENTS_WAITING_MAX, Event};
use super::task::{self, Task};
use super::transfer::{self, body_of};
use crate::config::BODY_BYTES_MAX;
use crate::transport::ACCEPT_PAUSE;

/// Serves the admin socket.
pub(crate) struct AdminServer {
    pub(crate) socket: AdminSocket,
    pub(crate) context: Context,
}

impl AdminServer {
    /// Serves until `stopping`; tasks that still run are cancelled then, and can be repeated.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let Self { socket, context } = self;
        let connections = tokio_util::task::TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = socket.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (context, stopping) = (context.clone(), stopping.clone());
                    connections.spawn(async move {
                        tokio::select! {
                            () = stopping.cancelled() => {}
                            () = serve(stream, context) => {}
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

async fn serve(stream: UnixStream, context: Context) {
    let respond = service_fn(move |request| {
        let context = context.clone();
        async move { Ok::<_, std::convert::Infallible>(respond(request, context).await.into()) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), respond);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the admin socket broke off");
    }
}

async fn respond(request: hyper::Request<Incoming>, context: Context) -> Response {
    match request.uri().path() {
        transfer::EXPORT => transfer::respond_to_export(request, context).await,
        transfer::PLAN => transfer::respond_to_plan(request, context).await,
        transfer::IMPORT => transfer::respond_to_import(request, context).await,
        path if backup_server::serves(path) => backup_server::respond(request, &context.store).await,
        _ => respond_to_task(request, context).await,
    }
}

/// The response to a task: its events, as they happen.
async fn respond_to_task(request: hyper::Request<Incoming>, context: Context) -> Response {
    let body = body_of(request).into_bytes_limit(BODY_BYTES_MAX).await.unwrap_or_default();
    let Ok(task) = serde_json::from_slice::<Task>(&body) else {
        // The error is not shown: it may repeat a part of the body, which may contain a password.
        return Response::builder().status(StatusCode::BAD_REQUEST).finish();
    };
    let (events, reported) = mpsc::channel(EVENTS_WAITING_MAX);
    // If the client hangs up, its receiver is dropped with the response, and the task is cancelled.
    tokio::spawn(async move { task::run(task, &context, &events).await });
    let lines = stream::unfold(reported, |mut reported| async move {
        let event = reported.recv().await?;
        Some((Ok::<_, std::io::Error>(line(&event)), reported))
    });
    Response::builder().header(header::CONTENT_TYPE, CONTENT_TYPE).body(Body::from_bytes_stream(lines))
}

fn line(event: &Event) -> Bytes {
    let mut line = serde_json::to_vec(event).expect("events can be serialized");
    line.push(b'\n');
    line.into()
}
