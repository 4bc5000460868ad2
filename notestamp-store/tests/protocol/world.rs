//! The state that the actors share: the ledger, the blob stores, the projects.

use std::collections::BTreeMap;

use notestamp_store::protocol::{StaleBefore, doom_if_stale};
use notestamp_store::{Digest, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState, ProjectId, Timestamp};

use crate::model::{Fault, Protocol};

/// The time of every step: only [`StaleBefore`] decides what is early or late.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(0);

/// The content of the database and the blob store, as it would be after a power cut.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) ledger: BTreeMap<ObjectId, Object>,
    pub(crate) blobs: BTreeMap<Path, Blob>,
    pub(crate) projects: BTreeMap<ProjectId, Reference>,
}

/// The path of an object's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Path {
    /// The real path: derived from the object's id, and so used for one object only.
    OfObject(ObjectId),
    /// The path under [`Fault::PathUsedTwice`].
    OfDigest(Digest),
    /// No path in a blob store: the bytes are in the database.
    Inline(ObjectId),
}

/// What is stored at a path.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Blob {
    /// Some of the bytes.
    Partial,
    /// All of them.
    Whole(Digest),
}

/// A project's reference to its media, or to its notes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reference {
    pub(crate) object: ObjectId,
    pub(crate) digest: Digest,
}

impl World {
    /// Where the bytes of an object are, as its row says.
    fn path_of(&self, model: &Protocol, id: ObjectId) -> Path {
        match self.ledger.get(&id) {
            Some(row) if row.place == ObjectPlace::Inline => Path::Inline(id),
            _ => model.path(id),
        }
    }

    /// The row of this id, as a transaction reads it.
    pub(crate) fn row(&self, model: &Protocol, id: ObjectId) -> Option<Object> {
        let row = self.ledger.get(&id)?.clone();
        if model.has(Fault::LiveRowOnlyRead) && row.state == ObjectState::Live {
            return Some(Object { references: self.referring(id), ..row });
        }
        Some(row)
    }

    /// The live media row of these bytes, as a transaction reads it.
    pub(crate) fn live_media(&self, model: &Protocol, digest: Digest) -> Option<Object> {
        let found = self.ledger.values().find(|row| is_live_media(row, digest))?;
        self.row(model, found.id)
    }

    fn referring(&self, id: ObjectId) -> u64 {
        self.projects.values().map(|reference| u64::from(reference.object == id)).sum()
    }

    /// Whether no project refers to an object that is absent, short, or of another digest. Excepted is the object
    /// `lost`, whose bytes were lost by a cause outside the protocol.
    pub(crate) fn nothing_dangles(&self, model: &Protocol, lost: Option<ObjectId>) -> bool {
        self.projects.values().all(|reference| {
            let row = self.ledger.get(&reference.object);
            let row_is_right = row.is_some_and(|row| {
                row.state == ObjectState::Live
                    && row.content.is_some_and(|(digest, _)| digest == reference.digest)
            });
            let blob = self.blobs.get(&self.path_of(model, reference.object));
            row_is_right && (blob == Some(&Blob::Whole(reference.digest)) || lost == Some(reference.object))
        })
    }

    /// Whether equal bytes in one namespace are one live object.
    pub(crate) fn stored_once(&self) -> bool {
        self.ledger.values().all(|row| match row.content {
            Some((digest, _)) if is_live_media(row, digest) => {
                self.ledger.values().filter(|other| is_live_media(other, digest)).count() == 1
            }
            _ => true,
        })
    }

    /// Whether each row counts the projects that refer to it.
    pub(crate) fn references_are_counted(&self) -> bool {
        self.ledger.values().all(|row| row.references == self.referring(row.id))
    }

    /// The paths of bytes and the ids of rows that no project refers to, and that are left by a sweep after all grace
    /// periods.
    pub(crate) fn leaks(&self, model: &Protocol) -> (Vec<Path>, Vec<ObjectId>) {
        let all = StaleBefore { reserved: Timestamp::MAX, unreferenced: Timestamp::MAX };
        let mut rows: Vec<Object> = self.ledger.keys().filter_map(|&id| self.row(model, id)).collect();
        for row in &mut rows {
            if let Some(doomed) = doom_if_stale(row, &all, NOW) {
                *row = doomed;
            }
        }
        let mut paths: Vec<Path> = self.blobs.keys().copied().collect();
        for doomed in rows.extract_if(.., |row| row.state == ObjectState::Doomed) {
            paths.retain(|&path| path != model.path(doomed.id));
        }
        for reference in self.projects.values() {
            paths.retain(|&path| path != self.path_of(model, reference.object));
            rows.retain(|row| row.id != reference.object);
        }
        (paths, rows.iter().map(|row| row.id).collect())
    }
}

pub(crate) fn is_live_media(row: &Object, digest: Digest) -> bool {
    row.kind == ObjectKind::Media
        && row.state == ObjectState::Live
        && row.content.is_some_and(|(theirs, _)| theirs == digest)
}
