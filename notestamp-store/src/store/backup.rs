//! What a backup reads of a store.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future;
use futures_util::stream::{self, StreamExt};

use crate::backup::{BackupError, BackupSource, BlobRef, SnapshotLine, SourceSnapshot};
use crate::blob::ByteStream;
use crate::domain::{Namespace, NotesRef, ObjectKind, UserId};
use crate::error::{Error, Result};
use crate::records::SnapshotRecord;

use super::Store;

impl Store {
    /// The bytes of notes that a snapshot refers to: they may have been removed since, but are held.
    async fn read_held_notes(&self, owner: UserId, notes: NotesRef) -> Result<Bytes> {
        match self.read_notes(owner, notes).await {
            Err(missing @ Error::Corrupt(_)) => {
                let held = self.shared.records.find_held_bytes(notes.object).await?;
                held.ok_or(missing)
            }
            read => read,
        }
    }
}

#[async_trait]
impl BackupSource for Store {
    async fn begin(&self) -> Result<SourceSnapshot, BackupError> {
        let holding = self.hold().await?;
        let time = self.shared.clock.now();
        let records = self.shared.records.read_snapshot(holding.id).await?;
        // The accounts come first. What removed accounts have left is not worth keeping.
        let mut owners = HashSet::new();
        let lines = records.filter_map(move |record| {
            let line = record.map_err(BackupError::from).map(|record| match record {
                SnapshotRecord::User(user) => {
                    owners.insert(user.id);
                    Some(SnapshotLine::of_user(&user))
                }
                SnapshotRecord::State(state) => {
                    owners.contains(&state.project.owner).then(|| SnapshotLine::of_state(&state))
                }
                SnapshotRecord::Damaged(damaged) => Some(SnapshotLine::of_damage(&damaged)),
            });
            future::ready(line.transpose())
        });
        let is_held = Box::new(move || holding.is_good());
        Ok(SourceSnapshot { store: self.id(), time, lines: lines.boxed(), is_held })
    }

    async fn read(&self, blob: &BlobRef) -> Result<ByteStream, BackupError> {
        let BlobRef { kind, namespace, object, size, .. } = *blob;
        match (kind, namespace) {
            (ObjectKind::Notes, Namespace::Owner(owner)) => {
                let bytes = self.read_held_notes(owner, NotesRef { object, size }).await?;
                Ok(stream::iter([Ok(bytes)]).boxed())
            }
            _ => Ok(self.shared.blobs(kind).read(namespace, object, size, None).await?),
        }
    }
}
