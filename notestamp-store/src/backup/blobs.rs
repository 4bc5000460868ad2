//! The blobs of a backup folder. The name of a file is the digest of its bytes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::BackupError;
use crate::blob::ByteStream;
use crate::disk::{make_folder, private, sync_folder};
use crate::domain::{Digest, Hasher};
use crate::error::Error;

pub(super) const NAME: &str = "blobs";

/// The end of the name of a blob that is being written.
const PART: &str = ".part";

/// How many bytes one read of a file returns.
const READ_BYTES: usize = 256 << 10;

/// How many chunks may wait until they are written.
const CHUNKS_WAITING_MAX: usize = 4;

/// The folder of the blobs.
#[derive(Clone, Debug)]
pub(super) struct Blobs(PathBuf);

/// The outcome of writing a blob.
pub(super) enum Written {
    Whole,
    /// The bytes have another digest, or another number. Nothing is written.
    Differs(Digest, u64),
}

/// A file in the folder of the blobs.
pub(super) enum Found {
    Blob(Digest, PathBuf),
    /// What an interrupted backup has left.
    Part(PathBuf),
    /// Anything else; it is left alone.
    Unknown,
}

impl Blobs {
    pub(super) fn of(backup: &Path) -> Self {
        Self(backup.join(NAME))
    }

    /// The path of a blob. It consists of hexadecimal digits only, so it is always below this folder.
    pub(super) fn path(&self, digest: Digest) -> PathBuf {
        let name = digest.to_string();
        self.0.join(&name[..2]).join(name)
    }

    /// The size of a blob; `None` if it is absent.
    pub(super) fn size_of(&self, digest: Digest) -> Result<Option<u64>, BackupError> {
        let path = self.path(digest);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => Ok(Some(found.len())),
            Ok(_) => Err(BackupError::damaged(format!("the blob {digest} is no file"))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BackupError::at(&path)(error)),
        }
    }

    /// Writes a blob. It appears whole and synced, or not at all; [`sync`](Self::sync) makes its name durable.
    ///
    /// # Errors
    /// That of the stream, or of the file.
    pub(super) async fn write(
        &self,
        digest: Digest,
        size: u64,
        mut bytes: ByteStream,
    ) -> Result<Written, BackupError> {
        let (sender, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let path = self.path(digest);
        let writing = spawn_blocking(move || write(&path, digest, size, receiver));
        loop {
            let chunk = match bytes.try_next().await {
                Ok(chunk) => chunk,
                Err(error) => {
                    drop(sender);
                    let _ = writing.await;
                    return Err(error.into());
                }
            };
            let is_last = chunk.is_none();
            // If the writer has failed, its error is returned below.
            if sender.send(chunk).await.is_err() || is_last {
                break;
            }
        }
        drop(sender);
        writing.await.map_err(|panicked| BackupError::Remote(panicked.into()))?
    }

    /// Makes the names of all blobs durable.
    pub(super) fn sync(&self) -> Result<(), BackupError> {
        for entry in self.entries(&self.0)? {
            if entry.is_dir() {
                sync_folder(&entry).map_err(BackupError::at(&entry))?;
            }
        }
        sync_folder(&self.0).map_err(BackupError::at(&self.0))
    }

    /// All files.
    pub(super) fn list(&self) -> Result<Vec<Found>, BackupError> {
        let mut found = Vec::new();
        for folder in self.entries(&self.0)? {
            if !folder.is_dir() {
                found.push(Found::Unknown);
                continue;
            }
            for path in self.entries(&folder)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let digest = name.parse::<Digest>().ok().filter(|digest| self.path(*digest) == path);
                found.push(match digest {
                    Some(digest) => Found::Blob(digest, path),
                    None if name.ends_with(PART) => Found::Part(path),
                    None => Found::Unknown,
                });
            }
        }
        Ok(found)
    }

    fn entries(&self, folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(BackupError::at(folder))?,
        };
        entries.map(|entry| Ok(entry.map_err(BackupError::at(folder))?.path())).collect()
    }

    /// The digest and the size of a blob's bytes.
    pub(super) fn hash(path: &Path) -> Result<(Digest, u64), BackupError> {
        let mut file = File::open(path).map_err(BackupError::at(path))?;
        let (mut hasher, mut buffer) = (Hasher::new(), vec![0; READ_BYTES]);
        loop {
            match file.read(&mut buffer).map_err(BackupError::at(path))? {
                0 => return Ok(hasher.finish()),
                read => hasher.update(&buffer[..read]),
            }
        }
    }

    /// The bytes of a blob, as a stream.
    pub(super) fn read(&self, digest: Digest) -> ByteStream {
        let path = self.path(digest);
        let chunks = stream::try_unfold((path, None::<File>), |(path, file)| async move {
            let read = spawn_blocking(move || -> std::io::Result<_> {
                let mut file = match file {
                    Some(file) => file,
                    None => File::open(&path)?,
                };
                let mut buffer = vec![0; READ_BYTES];
                let read = file.read(&mut buffer)?;
                buffer.truncate(read);
                Ok((Bytes::from(buffer), (path, Some(file))))
            });
            let read = read.await.map_err(|panicked| Error::Body(panicked.into()))?;
            let (chunk, rest) = read.map_err(|error| Error::Body(error.into()))?;
            Ok(if chunk.is_empty() { None } else { Some((chunk, rest)) })
        });
        chunks.boxed()
    }
}

/// Writes the chunks until the last one, which is `None`. If that does not come, nothing is kept.
fn write(
    path: &Path,
    digest: Digest,
    size: u64,
    mut chunks: mpsc::Receiver<Option<Bytes>>,
) -> Result<Written, BackupError> {
    let part = path.with_extension(&PART[1..]);
    let at = || BackupError::at(&part);
    if let Some(folder) = path.parent() {
        make_folder(folder).map_err(BackupError::at(folder))?;
    }
    let mut file =
        private(OpenOptions::new().write(true).create(true).truncate(true)).open(&part).map_err(at())?;
    let mut hasher = Hasher::new();
    let is_whole = loop {
        match chunks.blocking_recv() {
            Some(Some(chunk)) => {
                hasher.update(&chunk);
                file.write_all(&chunk).map_err(at())?;
            }
            Some(None) => break true,
            None => break false,
        }
    };
    let found = hasher.finish();
    if !is_whole || found != (digest, size) {
        fs::remove_file(&part).map_err(at())?;
        return Ok(Written::Differs(found.0, found.1));
    }
    file.sync_all().map_err(at())?;
    fs::rename(&part, path).map_err(at())?;
    Ok(Written::Whole)
}
