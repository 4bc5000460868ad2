//! The paths of the admin socket by which an account is exported and imported.

use std::io;

use hyper::body::Incoming;
use poem::http::StatusCode;
use poem::web::{LocalAddr, RemoteAddr};
use poem::{Body, Request, Response};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio_util::io::ReaderStream;

use super::context::Context;
use super::export::{self, ExportTask};
use super::frames::PIECE_BYTES_MAX;
use super::import_steps::{self, Reply, StateRequest};
use crate::config::BODY_BYTES_MAX;

/// The path of exports.
pub(super) const EXPORT: &str = "/export";

/// The path by which the import of a project is planned.
pub(super) const PLAN: &str = "/import/plan";

/// The path by which a state of a project is imported.
pub(super) const IMPORT: &str = "/import";

/// The longest description of a project: that of a long history of the largest metadata.
const PLAN_BYTES_MAX: usize = 64 << 20;

/// The longest description of a state.
const HEAD_BYTES_MAX: u64 = 1 << 20;

/// The longest reply.
pub(super) const REPLY_BYTES_MAX: u64 = 1 << 20;

/// The response to an [`ExportTask`]: the account, as it is read.
pub(super) async fn respond_to_export(request: hyper::Request<Incoming>, context: Context) -> Response {
    let body = body_of(request).into_bytes_limit(BODY_BYTES_MAX).await.unwrap_or_default();
    let Ok(task) = serde_json::from_slice::<ExportTask>(&body) else {
        return Response::builder().status(StatusCode::BAD_REQUEST).finish();
    };
    let (mut writer, reader) = tokio::io::duplex(PIECE_BYTES_MAX);
    tokio::spawn(async move {
        if let Err(error) = export::send(&context, &task, &mut writer).await {
            tracing::debug!(%error, "the reader of an export is gone");
        }
    });
    let frames = ReaderStream::with_capacity(reader, PIECE_BYTES_MAX);
    Response::builder().body(Body::from_bytes_stream(frames))
}

/// The response to a request that plans the import of a project.
pub(super) async fn respond_to_plan(request: hyper::Request<Incoming>, context: Context) -> Response {
    let body = body_of(request).into_bytes_limit(PLAN_BYTES_MAX).await.unwrap_or_default();
    match serde_json::from_slice(&body) {
        Ok(request) => response_of(&import_steps::plan(&context, request).await),
        Err(_) => Response::builder().status(StatusCode::BAD_REQUEST).finish(),
    }
}

/// The response to a request that imports a state of a project.
pub(super) async fn respond_to_import(request: hyper::Request<Incoming>, context: Context) -> Response {
    let mut body = BufReader::with_capacity(PIECE_BYTES_MAX, body_of(request).into_async_read());
    let mut head = Vec::new();
    let read = (&mut body).take(HEAD_BYTES_MAX).read_until(b'\n', &mut head).await;
    let parsed =
        read.map_err(io::Error::other).and_then(|_| Ok(serde_json::from_slice::<StateRequest>(&head)?));
    let Ok(request) = parsed else {
        return Response::builder().status(StatusCode::BAD_REQUEST).finish();
    };
    let notes = |size: u64| async move {
        let mut notes = Vec::new();
        (&mut body).take(size).read_to_end(&mut notes).await?;
        if notes.len() as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok((notes.into(), ReaderStream::with_capacity(body, PIECE_BYTES_MAX)))
    };
    response_of(&import_steps::import(&context, request, notes).await)
}

fn response_of(reply: &Reply) -> Response {
    Response::builder().body(serde_json::to_vec(reply).expect("texts can be serialized"))
}

/// The body of a request.
pub(super) fn body_of(request: hyper::Request<Incoming>) -> Body {
    let addresses = (LocalAddr::default(), RemoteAddr::default());
    let mut request = Request::from((request, addresses.0, addresses.1, poem::http::uri::Scheme::HTTP));
    request.take_body()
}
