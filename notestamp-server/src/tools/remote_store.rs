//! The store that a running server has open, as the source of a backup or the target of a restore.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::TokioIo;
use notestamp_store::backup::{
    BackupError, BackupSource, BlobRef, BlobTarget, RestoreTarget, SnapshotLine, SourceSnapshot, StateLine,
    UserLine,
};
use notestamp_store::{ByteStream, Digest, Error, RestoreId, Timestamp, UserId};
use poem::{Body, Request};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use super::admin_socket::AdminSocket;
use super::backup_wire::{
    BEGIN_RESTORE, BLOB, BeginRestore, BegunRestore, END_RESTORE, EndRestore, PUT_BLOB, PUT_RECORDS, PutBlob,
    PutRecords, READ_BLOB, SNAPSHOT, SourceLine,
};
use super::failure::Failure;
use super::json_lines::{JsonLines, next_bytes};

/// How many lines of a snapshot are read ahead of their receiver.
const READ_AHEAD: usize = 64;

/// A store behind an admin socket.
pub(super) struct RemoteStore {
    /// The database that the server has open.
    database: PathBuf,
}

impl RemoteStore {
    /// The store of the server that has this database open; absent if no server has.
    pub(super) async fn find(database: PathBuf) -> Result<Option<Self>, Failure> {
        let connected = AdminSocket::connect(&database).await;
        let connected =
            connected.map_err(|error| Failure::unreachable("cannot connect to the server", &error));
        Ok(connected?.map(|_| Self { database }))
    }

    /// Sends a request over a connection of its own, and returns its response if it is a success.
    async fn send(
        &self,
        path: &str,
        header: Option<String>,
        body: Body,
    ) -> Result<Response<Incoming>, BackupError> {
        let stream = AdminSocket::connect(&self.database).await.map_err(remote)?;
        let stream = stream.ok_or_else(|| remote("the server has stopped"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(remote)?;
        // Its error, if any, is also that of the request.
        tokio::spawn(connection);
        let mut request = Request::builder().method(Method::POST).uri_str(path).header("host", "localhost");
        if let Some(header) = header {
            request = request.header(BLOB, header);
        }
        let request = hyper::Request::from(request.body(body));
        let response = sender.send_request(request).await.map_err(remote)?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(remote("it is another version of this program")),
            status => {
                let failure: Failure = read(response).await?;
                // The bytes of one object are damaged: a backup goes on without it.
                Err(match status {
                    StatusCode::GONE => Error::Corrupt(failure.message).into(),
                    _ => BackupError::Remote(failure.into()),
                })
            }
        }
    }

    async fn call<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, BackupError> {
        let text = serde_json::to_vec(body).map_err(remote)?;
        read(self.send(path, None, Body::from_vec(text)).await?).await
    }
}

#[async_trait]
impl BackupSource for RemoteStore {
    async fn begin(&self) -> Result<SourceSnapshot, BackupError> {
        let response = self.send(SNAPSHOT, None, Body::empty()).await?;
        let mut lines = JsonLines::of(response.into_body());
        let (store, time) = match next_line(&mut lines).await? {
            Some(SourceLine::Begin { store, time }) => (store.parse().map_err(remote)?, time),
            Some(SourceLine::Failure(failure)) => return Err(BackupError::Remote(failure.into())),
            _ => return Err(remote("it is another version of this program")),
        };
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let is_held = Arc::new(AtomicBool::new(true));
        let held = is_held.clone();
        let reading = tokio::spawn(async move {
            read_lines(lines, sender).await;
            held.store(false, Ordering::Relaxed);
        });
        let reading = AbortOnDrop(reading.abort_handle());
        let lines = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|line| (line, receiver))
        });
        let is_held = Box::new(move || {
            let _connection = &reading;
            is_held.load(Ordering::Relaxed)
        });
        Ok(SourceSnapshot { store, time: Timestamp::from_millis(time), lines: lines.boxed(), is_held })
    }

    async fn read(&self, blob: &BlobRef) -> Result<ByteStream, BackupError> {
        let text = serde_json::to_vec(blob).map_err(remote)?;
        let body = self.send(READ_BLOB, None, Body::from_vec(text)).await?.into_body();
        let chunks = stream::try_unfold(body, |mut body| async move {
            let bytes = next_bytes(&mut body).await.map_err(|error| Error::Body(error.into()))?;
            Ok(bytes.map(|bytes| (bytes, body)))
        });
        Ok(chunks.boxed())
    }
}

#[async_trait]
impl RestoreTarget for RemoteStore {
    async fn begin(&self, snapshot: Digest) -> Result<RestoreId, BackupError> {
        let begin = BeginRestore { snapshot: snapshot.to_string() };
        let BegunRestore { restore } = self.call(BEGIN_RESTORE, &begin).await?;
        restore.parse().map_err(remote)
    }

    async fn put_blob(
        &self,
        restore: RestoreId,
        blob: &BlobTarget,
        bytes: ByteStream,
    ) -> Result<(), BackupError> {
        let put = PutBlob { restore: restore.to_string(), blob: blob.clone() };
        let header = serde_json::to_string(&put).map_err(remote)?;
        let body = Body::from_bytes_stream(bytes.map_err(io::Error::other));
        read(self.send(PUT_BLOB, Some(header), body).await?).await
    }

    async fn put_states(&self, restore: RestoreId, states: &[StateLine]) -> Result<(), BackupError> {
        let (restore, states) = (restore.to_string(), states.to_vec());
        self.call(PUT_RECORDS, &PutRecords { restore, states, users: Vec::new() }).await
    }

    async fn put_users(&self, restore: RestoreId, users: &[UserLine]) -> Result<(), BackupError> {
        let (restore, users) = (restore.to_string(), users.to_vec());
        self.call(PUT_RECORDS, &PutRecords { restore, states: Vec::new(), users }).await
    }

    async fn end(&self, restore: RestoreId, recount: &[UserId]) -> Result<(), BackupError> {
        let recount = recount.iter().map(UserId::to_string).collect();
        self.call(END_RESTORE, &EndRestore { restore: restore.to_string(), recount }).await
    }
}

/// Passes the records on, then waits until the server holds the bytes no longer.
async fn read_lines(mut lines: JsonLines, records: mpsc::Sender<Result<SnapshotLine, BackupError>>) {
    loop {
        let record = match next_line(&mut lines).await {
            Ok(Some(SourceLine::Record(record))) => Ok(*record),
            Ok(Some(SourceLine::End)) => break,
            Ok(Some(SourceLine::Failure(failure))) => Err(BackupError::Remote(failure.into())),
            Ok(_) => Err(remote("it has stopped; repeat the command")),
            Err(error) => Err(error),
        };
        let has_failed = record.is_err();
        if records.send(record).await.is_err() || has_failed {
            return;
        }
    }
    drop(records);
    while let Ok(Some(_)) = lines.next().await {}
}

async fn next_line(lines: &mut JsonLines) -> Result<Option<SourceLine>, BackupError> {
    let line = lines.next().await.map_err(remote)?;
    line.map(|line| serde_json::from_slice(&line).map_err(remote)).transpose()
}

/// Reads a short body.
async fn read<T: DeserializeOwned>(response: Response<Incoming>) -> Result<T, BackupError> {
    let (mut body, mut text) = (response.into_body(), Vec::new());
    while let Some(bytes) = next_bytes(&mut body).await.map_err(remote)? {
        text.extend_from_slice(&bytes);
    }
    serde_json::from_slice(&text).map_err(remote)
}

fn remote(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BackupError {
    BackupError::Remote(error.into())
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
