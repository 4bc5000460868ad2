//! The export of an account: a store sends it, and the tool writes the files, as the user who runs it.

use std::io;
use std::path::Path;

use futures_util::TryStreamExt as _;
use notestamp_store::{Error, Export, ExportScope, Exported, ExportedFile, Timestamp, error_chain};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt as _};

use super::accounts::find;
use super::context::Context;
use super::event::{Event, Events, FindingLine, Progress};
use super::exit::Exit;
use super::export_target::ExportTarget;
use super::failure::Failure;
use super::frames::{Frame, read_bytes, read_frame, write_bytes, write_frame};

/// Which account is exported, and how much of it: the body of a request to the admin socket.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExportTask {
    pub(super) email: String,
    pub(super) all: bool,
}

/// Sends an account. Fails only if the reader of the stream has closed it.
pub(super) async fn send(
    context: &Context,
    task: &ExportTask,
    stream: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let scope = if task.all { ExportScope::All } else { ExportScope::Current };
    let begun = async {
        let account = find(context, &task.email).await?;
        Ok::<_, Failure>(context.store.export(account.id, scope).await?)
    };
    let last = match begun.await {
        Ok(export) => match send_files(export, stream).await? {
            Ok(()) => Frame::Done,
            Err(error) => Frame::Failure(error.into()),
        },
        Err(failure) => Frame::Failure(failure),
    };
    write_frame(stream, &last).await?;
    stream.flush().await
}

/// The outer error: the reader of the stream has closed it. The inner error: that of the store.
async fn send_files(
    mut export: Export,
    stream: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Result<(), Error>> {
    let total = export.projects_left() as u64;
    let mut done = None;
    loop {
        let now_done = total - export.projects_left() as u64;
        if done.replace(now_done) != Some(now_done) {
            write_frame(stream, &Frame::Progress { done: now_done, total }).await?;
        }
        match export.next().await {
            Ok(Some(Exported::File(file))) => {
                if let Err(error) = send_file(file, stream).await? {
                    return Ok(Err(error));
                }
            }
            Ok(Some(Exported::Damaged { title, detail })) => {
                write_frame(stream, &Frame::Damaged { title, detail }).await?;
            }
            Ok(None) => return Ok(Ok(())),
            Err(error) => return Ok(Err(error)),
        }
    }
}

async fn send_file(
    file: ExportedFile,
    stream: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Result<(), Error>> {
    let ExportedFile { path, size, modified, mut bytes, memory } = file;
    let frame = Frame::File { path: path.clone(), size, modified: modified.as_millis() };
    write_frame(stream, &frame).await?;
    loop {
        match bytes.try_next().await {
            Ok(Some(bytes)) => write_bytes(stream, &bytes).await?,
            Ok(None) => break,
            Err(Error::Corrupt(detail)) => {
                let frame = Frame::Broken { title: None, detail: format!("{path} is left out: {detail}") };
                return write_frame(stream, &frame).await.map(Ok);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    drop(memory);
    write_frame(stream, &Frame::EndOfFile).await.map(Ok)
}

/// Writes the files of an account that a store sends; returns the summary.
pub(super) async fn receive(
    stream: &mut (impl AsyncBufRead + Unpin),
    target: &Path,
    events: &Events,
) -> Result<Event, Failure> {
    // An export that cannot begin creates nothing.
    let mut frame = read_frame(stream).await.map_err(|error| unreadable(&error))?;
    if let Frame::Failure(failure) = frame {
        return Err(failure);
    }
    let mut written = ExportTarget::create(target).await.map_err(|error| unwritable(target, &error))?;
    let (mut projects, mut files, mut bytes, mut damaged) = (0, 0_u64, 0, 0_u64);
    loop {
        match frame {
            Frame::Progress { done, total } => {
                projects = total;
                let progress = Progress { done, total, unit: "projects".to_owned() };
                // If the receiver of the events is gone, the tool has ended.
                let _ = events.send(Event::Progress(progress)).await;
            }
            Frame::File { path, size, modified } => {
                let head = (path.as_str(), size, Timestamp::from_millis(modified));
                match receive_file(stream, &mut written, head).await? {
                    None => (files, bytes) = (files + 1, bytes + size),
                    Some(finding) => {
                        damaged += 1;
                        let _ = events.send(Event::Finding(finding)).await;
                    }
                }
            }
            Frame::Damaged { title, detail } => {
                damaged += 1;
                let _ = events.send(Event::Finding(finding(title, detail))).await;
            }
            Frame::Done => break,
            Frame::Failure(failure) => return Err(failure),
            Frame::Bytes(_) | Frame::EndOfFile | Frame::Broken { .. } => {
                return Err(unreadable(&io::ErrorKind::InvalidData.into()));
            }
        }
        frame = read_frame(stream).await.map_err(|error| unreadable(&error))?;
    }
    written.finish().await.map_err(|error| unwritable(target, &error))?;
    Ok(Event::summary([
        ("projects", projects.into()),
        ("files", files.into()),
        ("bytes", bytes.into()),
        ("damaged", damaged.into()),
    ]))
}

/// Writes one file; returns a finding if its bytes are damaged, and it is left out.
async fn receive_file(
    stream: &mut (impl AsyncBufRead + Unpin),
    target: &mut ExportTarget,
    (path, size, modified): (&str, u64, Timestamp),
) -> Result<Option<FindingLine>, Failure> {
    let failed = |error: io::Error| unwritable(Path::new(path), &error);
    target.begin_file(path, size, modified).await.map_err(failed)?;
    loop {
        match read_frame(stream).await.map_err(|error| unreadable(&error))? {
            Frame::Bytes(len) => {
                let bytes = read_bytes(stream, len).await.map_err(|error| unreadable(&error))?;
                target.write(&bytes).await.map_err(failed)?;
            }
            Frame::EndOfFile => {
                target.end_file().await.map_err(failed)?;
                return Ok(None);
            }
            Frame::Broken { title, detail } => {
                target.abandon_file().await.map_err(failed)?;
                return Ok(Some(finding(title, detail)));
            }
            Frame::Failure(failure) => return Err(failure),
            _ => return Err(unreadable(&io::ErrorKind::InvalidData.into())),
        }
    }
}

fn finding(title: Option<String>, detail: String) -> FindingLine {
    FindingLine {
        finding: "not exported".to_owned(),
        kind: "project".to_owned(),
        object: None,
        owner: None,
        title,
        detail,
        repaired: false,
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::unreachable("the export broke off; repeat the command", error)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let exit = match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => {
            Exit::WrongUse
        }
        _ => Exit::Incomplete,
    };
    Failure::new(exit, format!("cannot write {}: {}", path.display(), error_chain(error)))
}
