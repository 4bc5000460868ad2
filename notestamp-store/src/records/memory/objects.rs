use async_trait::async_trait;
use bytes::Bytes;

use super::MemoryRecords;
use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState};
use crate::error::{Error, Result};
use crate::protocol::{StaleBefore, doom_if_stale, doom_reserved};
use crate::records::ObjectLedger;

#[async_trait]
impl ObjectLedger for MemoryRecords {
    async fn reserve(&self, rows: &[Object]) -> Result<()> {
        let mut state = self.lock()?;
        if rows.iter().any(|row| state.ledger.get(row.id).is_some()) {
            return Err(Error::ObjectExists);
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
        let live = state.ledger.after(None).filter(|row| {
            row.kind == kind && row.state == ObjectState::Live && row.place == ObjectPlace::BlobStore
        });
        Ok(live.take(limit).cloned().collect())
    }

    async fn doom_reserved(&self, ids: &[ObjectId], now: Timestamp) -> Result<Vec<ObjectId>> {
        let mut state = self.lock()?;
        for id in ids {
            if let Ok(doomed) = doom_reserved(state.ledger.get(*id), now) {
                state.ledger.put(doomed);
            }
        }
        let rows = ids.iter().filter_map(|id| state.ledger.get(*id));
        Ok(rows.filter(|row| row.state == ObjectState::Live).map(|row| row.id).collect())
    }

    async fn doom_stale(&self, before: &StaleBefore, limit: usize, now: Timestamp) -> Result<usize> {
        let mut state = self.lock()?;
        let stale = state.ledger.after(None).filter_map(|row| doom_if_stale(row, before, now));
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
                state.ledger.forget(*id);
            }
        }
        Ok(())
    }

    async fn list_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        Ok(self.lock()?.ledger.after(after).take(limit).cloned().collect())
    }

    async fn find_with_bytes(&self, id: ObjectId) -> Result<Option<(Object, Option<Bytes>)>> {
        let ledger = &self.lock()?.ledger;
        Ok(ledger.get(id).map(|row| (row.clone(), ledger.inline_bytes(id).cloned())))
    }

    async fn find_inline_bytes(&self, id: ObjectId) -> Result<Option<Bytes>> {
        Ok(self.lock()?.ledger.inline_bytes(id).cloned())
    }
}
