use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryRecords;
use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectState};
use crate::error::{Error, Result};
use crate::protocol::{StaleBefore, discard, doom_if_stale};
use crate::records::ObjectLedger;

#[async_trait]
impl ObjectLedger for MemoryRecords {
    async fn reserve(&self, rows: &[Object]) -> Result<()> {
        let mut state = self.lock()?;
        if rows.iter().any(|row| state.ledger.get(row.id).is_some()) {
            return Err(Error::AlreadyExists { what: "object" });
        }
        rows.iter().for_each(|row| state.ledger.put(row.clone()));
        Ok(())
    }

    async fn find_object(&self, id: ObjectId) -> Result<Option<Object>> {
        Ok(self.lock()?.ledger.get(id).cloned())
    }

    async fn find_live_media(&self, namespace: Namespace, digest: Digest) -> Result<Option<Object>> {
        Ok(self.lock()?.ledger.live_media(namespace, digest).cloned())
    }

    async fn sample_live(&self, kind: ObjectKind, limit: usize) -> Result<Vec<Object>> {
        let state = self.lock()?;
        let live = state.ledger.after(None).filter(|row| row.kind == kind && row.state == ObjectState::Live);
        Ok(live.take(limit).cloned().collect())
    }

    async fn doom_reserved(&self, ids: &[ObjectId], now: Timestamp) -> Result<Vec<ObjectId>> {
        let mut state = self.lock()?;
        for id in ids {
            if let Ok(doomed) = discard(state.ledger.get(*id), now) {
                state.ledger.put(doomed);
            }
        }
        let rows = ids.iter().filter_map(|id| state.ledger.get(*id));
        Ok(rows.filter(|row| row.state == ObjectState::Live).map(|row| row.id).collect())
    }

    async fn doom_stale(&self, before: &StaleBefore, limit: usize, now: Timestamp) -> Result<usize> {
        let mut state = self.lock()?;
        let stale = state.ledger.rows.values().filter_map(|row| doom_if_stale(row, before, now));
        let doomed: Vec<_> = stale.take(limit).collect();
        let count = doomed.len();
        doomed.into_iter().for_each(|row| state.ledger.put(row));
        Ok(count)
    }

    async fn list_doomed(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        let state = self.lock()?;
        let doomed = state.ledger.after(after).filter(|row| row.state == ObjectState::Doomed);
        Ok(doomed.take(limit).cloned().collect())
    }

    async fn forget_doomed(&self, ids: &[ObjectId]) -> Result<()> {
        let mut state = self.lock()?;
        for id in ids {
            if state.ledger.get(*id).is_some_and(|row| row.state == ObjectState::Doomed) {
                state.ledger.rows.remove(id);
            }
        }
        Ok(())
    }

    async fn list_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        Ok(self.lock()?.ledger.after(after).take(limit).cloned().collect())
    }
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    rows: BTreeMap<ObjectId, Object>,
    live_media: HashMap<(Namespace, Digest), ObjectId>,
}

impl Ledger {
    pub(super) fn get(&self, id: ObjectId) -> Option<&Object> {
        self.rows.get(&id)
    }

    pub(super) fn live_media(&self, namespace: Namespace, digest: Digest) -> Option<&Object> {
        self.live_media.get(&(namespace, digest)).and_then(|id| self.rows.get(id))
    }

    /// Adds a row, or replaces it. A row's content, once set, never changes.
    pub(super) fn put(&mut self, row: Object) {
        if let (ObjectKind::Media, Some((digest, _))) = (row.kind, row.content) {
            let key = (row.namespace, digest);
            if row.state == ObjectState::Live {
                self.live_media.insert(key, row.id);
            } else if self.live_media.get(&key) == Some(&row.id) {
                self.live_media.remove(&key);
            }
        }
        self.rows.insert(row.id, row);
    }

    fn after(&self, id: Option<ObjectId>) -> impl Iterator<Item = &Object> {
        let start = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows.range((start, Bound::Unbounded)).map(|(_, row)| row)
    }
}
