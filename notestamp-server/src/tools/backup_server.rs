//! Serves a backup or a restore over the admin socket: the command writes and reads the files, as the user who runs it.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hyper::body::Incoming;
use notestamp_store::backup::{BackupError, BackupSource, BlobRef, RestoreTarget, SourceSnapshot};
use notestamp_store::{Error, InvalidValue, Store, UserId};
use poem::http::{HeaderMap, StatusCode, header};
use poem::{Body, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::admin_client::CONTENT_TYPE;
use super::backup_wire::{
    BEGIN_RESTORE, BLOB, BeginRestore, BegunRestore, END_RESTORE, EndRestore, PUT_BLOB, PUT_RECORDS, PutBlob,
    PutRecords, READ_BLOB, SNAPSHOT, SourceLine,
};
use super::exit::Exit;
use super::failure::Failure;
use super::transfer::body_of;

/// The longest body of a request, other than the bytes of an object.
const BODY_BYTES_MAX: usize = 64 << 20;

/// How often a line is sent while the bytes are held, so that both sides notice the end of the other.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// Whether a path is one of a backup or a restore.
pub(super) fn serves(path: &str) -> bool {
    [SNAPSHOT, READ_BLOB, BEGIN_RESTORE, PUT_BLOB, PUT_RECORDS, END_RESTORE].contains(&path)
}

/// The response to a request of a backup or a restore.
pub(super) async fn respond(request: hyper::Request<Incoming>, store: &Store) -> Response {
    let (path, headers) = (request.uri().path().to_owned(), request.headers().clone());
    let body = body_of(request);
    let outcome = match path.as_str() {
        SNAPSHOT => return snapshot(store).await,
        READ_BLOB => read_blob(body, store).await,
        BEGIN_RESTORE => begin_restore(body, store).await,
        PUT_BLOB => put_blob(&headers, body, store).await,
        PUT_RECORDS => put_records(body, store).await,
        _ => end_restore(body, store).await,
    };
    outcome.unwrap_or_else(|error| {
        let status = match &error {
            BackupError::Store(Error::Corrupt(_)) => StatusCode::GONE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Response::builder().status(status).body(json(&Failure::from(error)))
    })
}

/// Streams the records, and then holds the bytes as long as the client listens.
async fn snapshot(store: &Store) -> Response {
    let SourceSnapshot { store, time, lines, is_held } = match BackupSource::begin(store).await {
        Ok(snapshot) => snapshot,
        Err(error) => {
            let line = SourceLine::Failure(error.into());
            return jsonl(Body::from(line_of(&line)));
        }
    };
    let begin = SourceLine::Begin { store: store.to_string(), time: time.as_millis() };
    let records = lines.map(|line| match line {
        Ok(record) => SourceLine::Record(Box::new(record)),
        Err(error) => SourceLine::Failure(error.into()),
    });
    let lines = stream::iter([begin]).chain(records).chain(stream::iter([SourceLine::End]));
    let alive = stream::unfold(is_held, |is_held| async move {
        tokio::time::sleep(ALIVE_EVERY).await;
        is_held().then(|| (Bytes::from_static(b"\n"), is_held))
    });
    let lines = lines.map(|line| line_of(&line)).chain(alive);
    jsonl(Body::from_bytes_stream(lines.map(Ok::<_, io::Error>)))
}

async fn read_blob(body: Body, store: &Store) -> Result<Response, BackupError> {
    let blob: BlobRef = parse(body).await?;
    let bytes = store.read(&blob).await?;
    Ok(Response::builder().body(Body::from_bytes_stream(bytes.map_err(io::Error::other))))
}

async fn begin_restore(body: Body, store: &Store) -> Result<Response, BackupError> {
    let BeginRestore { snapshot } = parse(body).await?;
    let restore = RestoreTarget::begin(store, snapshot.parse().map_err(invalid)?).await?;
    Ok(done(&BegunRestore { restore: restore.to_string() }))
}

async fn put_blob(headers: &HeaderMap, body: Body, store: &Store) -> Result<Response, BackupError> {
    let put = headers.get(BLOB).and_then(|put| serde_json::from_slice::<PutBlob>(put.as_bytes()).ok());
    let PutBlob { restore, blob } = put.ok_or_else(malformed)?;
    let bytes = body.into_bytes_stream().map_err(|error| Error::Body(error.into()));
    store.put_blob(restore.parse().map_err(invalid)?, &blob, bytes.boxed()).await?;
    Ok(done(&()))
}

async fn put_records(body: Body, store: &Store) -> Result<Response, BackupError> {
    let PutRecords { restore, states, users } = parse(body).await?;
    let restore = restore.parse().map_err(invalid)?;
    store.put_states(restore, &states).await?;
    store.put_users(restore, &users).await?;
    Ok(done(&()))
}

async fn end_restore(body: Body, store: &Store) -> Result<Response, BackupError> {
    let EndRestore { restore, recount } = parse(body).await?;
    let recount: Result<Vec<UserId>, InvalidValue> = recount.iter().map(|id| id.parse()).collect();
    store.end(restore.parse().map_err(invalid)?, &recount.map_err(invalid)?).await?;
    Ok(done(&()))
}

async fn parse<T: DeserializeOwned>(body: Body) -> Result<T, BackupError> {
    let body = body.into_bytes_limit(BODY_BYTES_MAX).await.map_err(|_| malformed())?;
    serde_json::from_slice(&body).map_err(|_| malformed())
}

fn malformed() -> BackupError {
    let message = "the server is another version of this program";
    BackupError::Remote(Failure::new(Exit::Unreachable, message).into())
}

fn invalid(error: InvalidValue) -> BackupError {
    Error::from(error).into()
}

fn done(value: &impl Serialize) -> Response {
    Response::builder().body(json(value))
}

fn json(value: &impl Serialize) -> Body {
    Body::from(serde_json::to_vec(value).expect("it can be serialized"))
}

fn jsonl(body: Body) -> Response {
    Response::builder().header(header::CONTENT_TYPE, CONTENT_TYPE).body(body)
}

fn line_of(line: &SourceLine) -> Bytes {
    let mut text = serde_json::to_vec(line).expect("lines can be serialized");
    text.push(b'\n');
    text.into()
}
