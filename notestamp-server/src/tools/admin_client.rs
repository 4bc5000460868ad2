//! Lets a running server run a task.

use std::error::Error;
use std::pin::Pin;

use bytes::BytesMut;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::event::{Event, Events};
use super::failure::Failure;
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

async fn try_run(
    stream: UnixStream,
    task: &Task,
    events: &Events,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Its error, if any, is also that of the request.
    tokio::spawn(connection);
    let request = Request::builder().method(Method::POST).uri("/").header("host", "localhost");
    let response = sender.send_request(request.body(serde_json::to_string(task)?)?).await?;
    if !response.status().is_success() {
        return Err(format!("it is another version of this program (status {})", response.status()).into());
    }
    let mut body = response.into_body();
    let (mut read, mut has_ended) = (BytesMut::new(), false);
    while let Some(bytes) = next_bytes(&mut body).await? {
        read.extend_from_slice(&bytes);
        while let Some(end) = memchr::memchr(b'\n', &read) {
            let event: Event = serde_json::from_slice(&read.split_to(end + 1))?;
            has_ended |= matches!(event, Event::Summary(_) | Event::Failure(_));
            if events.send(event).await.is_err() {
                return Ok(());
            }
        }
    }
    if has_ended { Ok(()) } else { Err("it has stopped; repeat the command".into()) }
}

async fn next_bytes(body: &mut Incoming) -> Result<Option<bytes::Bytes>, hyper::Error> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose()? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}
