//! Lets a running server run a task.

use std::error::Error;
use std::io;

use futures_util::{StreamExt as _, stream};
use hyper::Method;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use poem::{Body, Request};
use tokio::io::AsyncBufRead;
use tokio::net::UnixStream;
use tokio_util::io::StreamReader;

use super::event::{Event, Events};
use super::failure::Failure;
use super::json_lines::{JsonLines, next_bytes};
use super::task::Task;

/// The media type of responses: one JSON object on each line.
pub(super) const CONTENT_TYPE: &str = "application/jsonl";

/// Sends a task over a connection to the admin socket, and passes its events on.
pub(super) async fn run(stream: UnixStream, task: &Task, events: &Events) {
    let failed = match try_run(stream, task, events).await {
        Ok(()) => return,
        Err(error) => Failure::unreachable("the server does not respond", &*error),
    };
    // A receiver that is gone needs no last event.
    let _ = events.send(Event::Failure(failed)).await;
}

/// Sends a request to a path of the admin socket; returns the body of the response.
pub(super) async fn post(
    stream: UnixStream,
    path: &str,
    body: Body,
) -> Result<Incoming, Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error, if any, is also that of the request.
    tokio::spawn(connection);
    let request =
        Request::builder().method(Method::POST).uri_str(path).header("host", "localhost").body(body);
    let response = sender.send_request(hyper::Request::from(request)).await?;
    if !response.status().is_success() {
        return Err(format!("it is another version of this program (status {})", response.status()).into());
    }
    Ok(response.into_body())
}

/// The bytes of a response.
pub(super) fn reader(body: Incoming) -> impl AsyncBufRead + Unpin + Send {
    let bytes = stream::try_unfold(body, |mut body| async move {
        let next = next_bytes(&mut body).await.map_err(io::Error::other)?;
        Ok::<_, io::Error>(next.map(|bytes| (bytes, body)))
    });
    StreamReader::new(bytes.boxed())
}

async fn try_run(
    stream: UnixStream,
    task: &Task,
    events: &Events,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let body = post(stream, "/", Body::from_vec(serde_json::to_vec(task)?)).await?;
    let (mut lines, mut has_ended) = (JsonLines::of(body), false);
    while let Some(line) = lines.next().await? {
        let event: Event = serde_json::from_slice(&line)?;
        has_ended |= matches!(event, Event::Summary(_) | Event::Failure(_));
        if events.send(event).await.is_err() {
            return Ok(());
        }
    }
    if has_ended { Ok(()) } else { Err("it has stopped; repeat the command".into()) }
}
