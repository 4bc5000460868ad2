//! Opening a project: its metadata and its notes.

use bytes::Bytes;

use crate::domain::{Caller, Digest, Namespace, NotesRef, Project, ProjectKey, Revision, UserId};
use crate::error::{Error, Result};
use crate::memory_budget::MemoryShare;
use crate::records::{RecordKind, omit_damaged};

use super::Store;

/// A project and its notes, of the same revision.
#[derive(Debug)]
pub struct Opened {
    /// The project.
    pub project: Project,
    /// The notes, byte for byte as they were saved.
    pub notes: Bytes,
    /// The memory that the notes take: keep it as long as their bytes.
    pub memory: MemoryShare,
}

/// The most bytes that are hashed on an async thread; more would delay other requests.
const HASHED_AT_ONCE_MAX: usize = 64 << 10;

/// Hashes the bytes; on the blocking thread pool if they are many.
pub(super) async fn digest_of(bytes: Bytes) -> (Bytes, Digest) {
    let hash = |bytes: Bytes| {
        let digest = Digest::of(&bytes);
        (bytes, digest)
    };
    if bytes.len() <= HASHED_AT_ONCE_MAX {
        return hash(bytes);
    }
    tokio::task::spawn_blocking(move || hash(bytes))
        .await
        .expect("hashing does not panic, and is not aborted")
}

/// How many times opening is retried after a concurrent save has replaced the notes.
const RACES_MAX: usize = 16;

impl Store {
    /// Opens a project of the caller.
    ///
    /// If the caller names a session, it was still open after the notes had been read, however long that took.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`] if the caller's session has ended.
    /// - [`Error::NoSuchProject`] if the account has no such project.
    /// - [`Error::Corrupt`] if the notes are missing, or differ from what was saved.
    /// - [`Error::OutOfMemory`] if other requests hold too much memory.
    pub async fn open_project(
        &self,
        caller: impl Into<Caller>,
        key: impl Into<ProjectKey>,
    ) -> Result<Opened> {
        let (caller, key) = (caller.into(), key.into());
        let opened = self.read_state(caller, || self.find_project_by_key(caller.user, &key)).await?;
        self.admit(caller).await?;
        Ok(opened)
    }

    /// Opens the state of a project with this revision: its current state, or a version.
    ///
    /// # Errors
    /// Those of [`open_project`](Self::open_project), and [`Error::NoSuchVersion`] if the project has no state of this
    /// revision, or no longer.
    pub async fn open_revision(
        &self,
        caller: impl Into<Caller>,
        key: &ProjectKey,
        revision: Revision,
    ) -> Result<Opened> {
        let caller = caller.into();
        let opened = self.read_state(caller, || self.find_revision(caller.user, key, revision)).await?;
        self.admit(caller).await?;
        Ok(opened)
    }

    /// Reads the notes of the state that `find` finds. If they are missing, the state is looked for again: it may have
    /// been replaced or purged meanwhile.
    pub(super) async fn read_state<F>(&self, caller: Caller, find: impl Fn() -> F) -> Result<Opened>
    where
        F: Future<Output = Result<Project>>,
    {
        let owner = caller.user;
        let mut project = find().await?;
        for _ in 0..RACES_MAX {
            let memory = self.memory_of(caller).acquire(project.notes.size).await?;
            match self.read_notes(owner, project.notes).await {
                Ok(notes) => return Ok(Opened { project, notes, memory }),
                Err(missing @ Error::Corrupt(_)) => {
                    let now = find().await?;
                    if now.notes == project.notes {
                        return Err(missing);
                    }
                    project = now;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable {
            backend: self.shared.records.name(),
            source: "the project is saved faster than it can be read".into(),
        })
    }

    /// The bytes of the notes of a state of a project of this account, wherever they lie, compared with their digest in
    /// the ledger. Nothing else reads notes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they are missing, or differ from what was saved.
    pub(super) async fn read_notes(&self, owner: UserId, notes: NotesRef) -> Result<Bytes> {
        let row = self.shared.records.find_with_bytes(notes.object);
        let (row, bytes) = if notes.size <= self.shared.notes_inline_bytes_max() {
            (row.await, None)
        } else {
            // They are probably in the notes store.
            let (row, bytes) = futures_util::join!(row, self.read_written_notes(owner, notes));
            (row, Some(bytes))
        };
        let (expected, inline) = match row {
            Ok(Some((row, inline))) => (row.content.map(|(digest, _)| digest), inline),
            Ok(None) => (None, None),
            // Only the row is known to be damaged, so the notes are returned.
            Err(Error::Corrupt(damage)) => {
                omit_damaged(RecordKind::Object, &format_args!("{}: {damage}", notes.object));
                let inline = self.shared.records.find_inline_bytes(notes.object).await?;
                return match (inline, bytes) {
                    (Some(inline), _) => Ok(inline),
                    (None, Some(written)) => written,
                    (None, None) => self.read_written_notes(owner, notes).await,
                };
            }
            Err(error) => return Err(error),
        };
        let bytes = match (inline, bytes) {
            (Some(inline), _) => inline,
            (None, Some(written)) => written?,
            (None, None) => self.read_written_notes(owner, notes).await?,
        };
        let (bytes, found) = digest_of(bytes).await;
        if expected == Some(found) && bytes.len() as u64 == notes.size {
            return Ok(bytes);
        }
        let object = notes.object;
        Err(Error::Corrupt(format!("the notes {object} have the digest {found}, not {expected:?}")))
    }

    async fn read_written_notes(&self, owner: UserId, notes: NotesRef) -> Result<Bytes> {
        self.shared.notes.read_to_bytes(Namespace::Owner(owner), notes.object, notes.size).await
    }
}
