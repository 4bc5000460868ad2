use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};

use super::{MemoryRecords, State};
use crate::domain::{Hold, HoldId, ObjectId, Project};
use crate::error::{Error, Result};
use crate::records::{HoldStore, RecordSnapshot, SnapshotRecord, StateKind, StateRecord};

#[async_trait]
impl HoldStore for MemoryRecords {
    async fn add_hold(&self, hold: Hold) -> Result<()> {
        let mut state = self.lock()?;
        state.holds.insert(hold.id, hold);
        state.ledger.set_held(true);
        Ok(())
    }

    async fn renew_hold(&self, hold: Hold) -> Result<bool> {
        let mut state = self.lock()?;
        Ok(state.holds.get_mut(&hold.id).map(|found| *found = hold).is_some())
    }

    async fn forget_hold(&self, hold: Hold) -> Result<()> {
        let mut state = self.lock()?;
        state.holds.retain(|_, found| *found != hold);
        let is_held = !state.holds.is_empty();
        state.ledger.set_held(is_held);
        Ok(())
    }

    async fn list_holds(&self) -> Result<Vec<Hold>> {
        Ok(self.lock()?.holds.values().copied().collect())
    }

    async fn find_held_bytes(&self, id: ObjectId) -> Result<Option<Bytes>> {
        Ok(self.lock()?.ledger.held_bytes(id).cloned())
    }

    async fn read_snapshot(&self, hold: HoldId) -> Result<RecordSnapshot> {
        let state = self.lock()?;
        if !state.holds.contains_key(&hold) {
            return Err(Error::HoldLost);
        }
        Ok(stream::iter(state.snapshot().into_iter().map(Ok)).boxed())
    }
}

impl State {
    fn snapshot(&self) -> Vec<SnapshotRecord> {
        let mut users: Vec<_> = self.users.values().cloned().collect();
        users.sort_unstable_by_key(|user| user.id);
        let mut current: Vec<_> = self.projects().cloned().collect();
        current.sort_unstable_by_key(|project| project.id);
        let mut records: Vec<_> = users.into_iter().map(SnapshotRecord::User).collect();
        records.extend(current.into_iter().map(|project| self.in_snapshot(StateKind::Current, project)));
        let kept = || self.libraries.values().map(|library| &library.kept);
        let versions = kept().flat_map(|kept| kept.versions.values());
        records.extend(
            versions.map(|it| self.in_snapshot(StateKind::Replaced(it.replaced), it.project.clone())),
        );
        let trash = kept().flat_map(|kept| kept.trash.values());
        records.extend(trash.map(|it| self.in_snapshot(StateKind::Trashed(it.deleted), it.project.clone())));
        records
    }

    fn in_snapshot(&self, kind: StateKind, project: Project) -> SnapshotRecord {
        let row = self.ledger.get(project.notes.object);
        let notes_digest = row.and_then(|row| row.content).map(|(digest, _)| digest);
        SnapshotRecord::State(Box::new(StateRecord { kind, project, notes_digest }))
    }
}
