//! The steps of an import at a running server, over its admin socket.

use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use poem::Body;
use tokio::io::AsyncReadExt as _;

use super::admin_client;
use super::admin_socket::AdminSocket;
use super::failure::Failure;
use super::import_steps::{PlanRequest, Reply, StateRequest};
use super::transfer::{IMPORT, PLAN, REPLY_BYTES_MAX};

/// Plans the import of a project.
pub(super) async fn plan(database: &Path, request: &PlanRequest) -> Result<Reply, Failure> {
    let body = serde_json::to_vec(request).expect("texts can be serialized");
    post(database, PLAN, Body::from_vec(body)).await
}

/// Imports a state; its notes and its media follow the request.
pub(super) async fn import<N, M>(
    database: &Path,
    request: &StateRequest,
    (notes, media): (N, M),
) -> Result<Reply, Failure>
where
    N: Stream<Item = io::Result<Bytes>> + Send + 'static,
    M: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let mut head = serde_json::to_vec(request).expect("texts can be serialized");
    head.push(b'\n');
    let body = stream::iter([Ok(Bytes::from(head))]).chain(notes).chain(media);
    post(database, IMPORT, Body::from_bytes_stream(body)).await
}

async fn post(database: &Path, path: &str, body: Body) -> Result<Reply, Failure> {
    let lost = |error: &(dyn std::error::Error + 'static)| {
        Failure::unreachable("the server does not respond; repeat the command", error)
    };
    let stream = AdminSocket::connect(database).await.map_err(|error| lost(&error))?;
    let stream = stream.ok_or_else(|| lost(&io::Error::from(io::ErrorKind::ConnectionRefused)))?;
    let response = admin_client::post(stream, path, body).await.map_err(|error| lost(&*error))?;
    let mut text = Vec::new();
    let read = admin_client::reader(response).take(REPLY_BYTES_MAX).read_to_end(&mut text).await;
    read.map_err(|error| lost(&error))?;
    serde_json::from_slice(&text).map_err(|error| lost(&error))
}
