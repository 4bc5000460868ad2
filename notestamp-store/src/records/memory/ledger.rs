use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use bytes::Bytes;

use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectState};

/// The ledger, with an index of the live media, and the bytes of inline objects.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    rows: BTreeMap<ObjectId, Object>,
    inline: HashMap<ObjectId, Bytes>,
    /// The bytes of inline objects that were removed while there was a hold; `None` without a hold.
    held: Option<HashMap<ObjectId, Bytes>>,
    live_media: HashMap<(Namespace, Digest), ObjectId>,
}

impl Ledger {
    pub(super) fn get(&self, id: ObjectId) -> Option<&Object> {
        self.rows.get(&id)
    }

    pub(super) fn live_media(&self, namespace: Namespace, digest: Digest) -> Option<&Object> {
        self.live_media.get(&(namespace, digest)).and_then(|id| self.rows.get(id))
    }

    /// The bytes of an inline object.
    pub(super) fn inline_bytes(&self, id: ObjectId) -> Option<&Bytes> {
        self.inline.get(&id)
    }

    /// The bytes of an inline object that was removed while there was a hold.
    pub(super) fn held_bytes(&self, id: ObjectId) -> Option<&Bytes> {
        self.held.as_ref()?.get(&id)
    }

    /// Whether there is a hold: then the bytes of removed inline objects are kept.
    pub(super) fn set_held(&mut self, is_held: bool) {
        match is_held {
            true => drop(self.held.get_or_insert_default()),
            false => self.held = None,
        }
    }

    /// Adds the row and the bytes of an inline object.
    pub(super) fn put_inline(&mut self, row: Object, bytes: Bytes) {
        self.inline.insert(row.id, bytes);
        self.put(row);
    }

    /// Adds a row, or replaces it; removes it if it is gone. A row's content, once set, never changes.
    pub(super) fn put(&mut self, row: Object) {
        if row.is_gone() {
            if let (Some(held), Some(bytes)) = (&mut self.held, self.inline.get(&row.id)) {
                held.insert(row.id, bytes.clone());
            }
            return self.forget(row.id);
        }
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

    /// Removes a row that is not live.
    pub(super) fn forget(&mut self, id: ObjectId) {
        self.rows.remove(&id);
        self.inline.remove(&id);
    }

    /// The rows after this id, in the order of their ids.
    pub(super) fn after(&self, id: Option<ObjectId>) -> impl Iterator<Item = &Object> {
        let start = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.rows.range((start, Bound::Unbounded)).map(|(_, row)| row)
    }
}
