//! Restores a backup into an empty store: objects first, then the states of projects, and the accounts last.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};

use crate::backup::{BackupError, BlobTarget, RestoreTarget, StateLine, UserLine};
use crate::blob::{ByteStream, StagedObject};
use crate::domain::{
    Digest, Namespace, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState, ProjectId, RestoreId,
    RestoreMark, Revision, UserId,
};
use crate::error::{Error, Result};

use super::Store;

impl Store {
    /// Whether a backup is being restored into this store, as far as this process knows: then the store must serve
    /// nothing else.
    pub fn is_restoring(&self) -> bool {
        self.shared.is_restoring.load(Ordering::Relaxed)
    }

    /// Fails with [`Error::Restoring`] while a backup is being restored into this store, by any process.
    pub(super) async fn ensure_not_restoring(&self) -> Result<()> {
        let is_restoring = self.shared.records.find_restore().await?.is_some();
        self.shared.is_restoring.store(is_restoring, Ordering::Relaxed);
        if is_restoring { Err(Error::Restoring) } else { Ok(()) }
    }

    /// The mark of this restore, which must not have ended.
    async fn find_mark(&self, restore: RestoreId) -> Result<RestoreMark, BackupError> {
        let mark = self.shared.records.find_restore().await?;
        let ended = || BackupError::WrongUse("another process has ended this restore".to_owned());
        mark.filter(|mark| mark.id == restore).ok_or_else(ended)
    }

    /// Whether a save would keep such notes in the records.
    fn is_inline(&self, kind: ObjectKind, size: u64) -> bool {
        kind == ObjectKind::Notes && size <= self.shared.notes_inline_bytes_max()
    }

    /// Writes the bytes of an object; it appears only if they have the digest that the backup says.
    async fn write_restored(
        &self,
        row: &Object,
        blob: &BlobTarget,
        mut bytes: ByteStream,
    ) -> Result<(), BackupError> {
        let blobs = self.shared.blobs(row.kind);
        let mut ingest = blobs.ingest(row.namespace, row.id);
        while let Some(chunk) = bytes.try_next().await? {
            ingest.write(chunk).await?;
        }
        let staged: StagedObject = ingest.stage().await?;
        if (staged.digest, staged.size) != (blob.digest, blob.size) {
            let found = staged.digest;
            staged.abort().await?;
            return Err(differs(blob, found));
        }
        Ok(staged.complete().await?)
    }
}

#[async_trait]
impl RestoreTarget for Store {
    async fn begin(&self, snapshot: Digest) -> Result<RestoreId, BackupError> {
        let id = RestoreId::generate(self.shared.clock.now(), &*self.shared.random);
        let mark = self.shared.records.begin_restore(RestoreMark { id, snapshot }).await?;
        self.shared.is_restoring.store(true, Ordering::Relaxed);
        Ok(mark.id)
    }

    async fn put_blob(
        &self,
        restore: RestoreId,
        blob: &BlobTarget,
        bytes: ByteStream,
    ) -> Result<(), BackupError> {
        self.find_mark(restore).await?;
        let (records, now) = (&self.shared.records, self.shared.clock.now());
        let (kind, id) = match blob.notes_of {
            Some((project, revision)) => (ObjectKind::Notes, notes_id(restore, project, revision)),
            None => (ObjectKind::Media, media_id(restore, blob.namespace, blob.digest)),
        };
        let reserved = Object::reserve(id, kind, blob.namespace, now);
        let live = Object {
            state: ObjectState::Live,
            content: Some((blob.digest, blob.size)),
            references: blob.references,
            ..reserved.clone()
        };
        let found = records.find_object(id).await?;
        if found.as_ref().is_some_and(|found| found.state == ObjectState::Live) {
            return Ok(());
        }
        if found.is_none() && self.is_inline(kind, blob.size) {
            let bytes = collect(blob, bytes).await?;
            let live = Object { place: ObjectPlace::Inline, ..live };
            return Ok(records.restore_object(&live, Some(&bytes)).await?);
        }
        if found.is_none() {
            match records.reserve(std::slice::from_ref(&reserved)).await {
                // Another attempt of the same restore has reserved it.
                Err(Error::ObjectExists) => {}
                reserved => reserved?,
            }
        }
        self.write_restored(&reserved, blob, bytes).await?;
        Ok(records.restore_object(&live, None).await?)
    }

    async fn put_states(&self, restore: RestoreId, states: &[StateLine]) -> Result<(), BackupError> {
        self.find_mark(restore).await?;
        let mut records = Vec::with_capacity(states.len());
        for state in states {
            let mut record = state.to_record()?;
            let project = &mut record.project;
            project.notes.object = notes_id(restore, project.id, project.revision);
            if let Some(media) = &mut project.media {
                media.object = media_id(restore, media.namespace, media.digest);
            }
            records.push(record);
        }
        Ok(self.shared.records.restore_states(&records).await?)
    }

    async fn put_users(&self, restore: RestoreId, users: &[UserLine]) -> Result<(), BackupError> {
        self.find_mark(restore).await?;
        let users: Vec<_> = users.iter().map(UserLine::to_user).collect();
        Ok(self.shared.records.restore_users(&users).await?)
    }

    async fn end(&self, restore: RestoreId, recount: &[UserId]) -> Result<(), BackupError> {
        let mark = self.find_mark(restore).await?;
        for user in recount {
            self.shared.records.correct_usage(*user).await?;
        }
        self.shared.records.end_restore(mark).await?;
        self.shared.is_restoring.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// Reads the bytes of a small object, and compares them with their digest.
async fn collect(blob: &BlobTarget, mut bytes: ByteStream) -> Result<Bytes, BackupError> {
    let mut read = Vec::new();
    while let Some(chunk) = bytes.try_next().await? {
        read.extend_from_slice(&chunk);
        if read.len() as u64 > blob.size {
            break;
        }
    }
    match Digest::of(&read) {
        digest if digest == blob.digest => Ok(read.into()),
        digest => Err(differs(blob, digest)),
    }
}

fn differs(blob: &BlobTarget, found: Digest) -> BackupError {
    BackupError::Damaged(format!("the blob {} has the digest {found}", blob.digest))
}

/// The object of the notes of a state.
fn notes_id(restore: RestoreId, project: ProjectId, revision: Revision) -> ObjectId {
    derived(restore, ObjectKind::Notes, &[project.as_bytes(), &revision.get().to_be_bytes()])
}

/// The object of the media of this digest in a namespace.
fn media_id(restore: RestoreId, namespace: Namespace, digest: Digest) -> ObjectId {
    derived(restore, ObjectKind::Media, &[namespace.to_string().as_bytes(), digest.as_bytes()])
}

/// An id that is the same in each attempt of a restore, and another one in each other restore: an object that has been
/// written is found again, and no path is used for a second object.
fn derived(restore: RestoreId, kind: ObjectKind, key: &[&[u8]]) -> ObjectId {
    let mut hasher = Sha256::new_with_prefix(restore.as_bytes());
    hasher.update(kind.as_str());
    key.iter().for_each(|part| hasher.update(part));
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = *restore.as_bytes();
    // The first six bytes are the time; the version and the variant of the UUID stay.
    bytes[6..].copy_from_slice(&digest[..10]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    ObjectId::from_bytes(bytes)
}
