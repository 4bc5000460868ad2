//! What the actors share: the ledger, the blob stores, the projects.

use std::collections::BTreeMap;

use notestamp_store::protocol::{StaleBefore, doom_if_stale};
use notestamp_store::{Digest, Object, ObjectId, ObjectKind, ObjectState, ProjectId, Timestamp};

use crate::model::{Fault, Protocol};

/// The one instant of this world: what is early or late is decided by [`StaleBefore`] alone.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(0);

/// Both stores, as they would be found after a power cut.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct World {
    pub(crate) ledger: BTreeMap<ObjectId, Object>,
    pub(crate) blobs: BTreeMap<Path, Blob>,
    pub(crate) projects: BTreeMap<ProjectId, Reference>,
}

/// Where the bytes of an object lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Path {
    /// As it is: used once, for one life of one object.
    OfObject(ObjectId),
    /// As [`Fault::PathUsedTwice`] has it.
    OfDigest(Digest),
}

/// What lies there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Blob {
    /// Some of the bytes.
    Partial,
    /// All of them.
    Whole(Digest),
}

/// The project row's reference to its media, or to its notes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Reference {
    pub(crate) object: ObjectId,
    pub(crate) digest: Digest,
}

impl World {
    /// The row, as a transaction reads it.
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

    /// No project refers to an object that is missing, short, or of another digest, but for the one whose bytes somebody
    /// outside of the protocol has lost.
    pub(crate) fn nothing_dangles(&self, model: &Protocol, lost: Option<ObjectId>) -> bool {
        self.projects.values().all(|reference| {
            let row = self.ledger.get(&reference.object);
            let row_is_right = row.is_some_and(|row| {
                row.state == ObjectState::Live
                    && row.content.is_some_and(|(digest, _)| digest == reference.digest)
            });
            let blob = self.blobs.get(&model.path(reference.object));
            row_is_right && (blob == Some(&Blob::Whole(reference.digest)) || lost == Some(reference.object))
        })
    }

    /// Equal bytes in one namespace are one live object.
    pub(crate) fn stored_once(&self) -> bool {
        self.ledger.values().all(|row| match row.content {
            Some((digest, _)) if is_live_media(row, digest) => {
                self.ledger.values().filter(|other| is_live_media(other, digest)).count() == 1
            }
            _ => true,
        })
    }

    /// A row counts the projects that refer to it.
    pub(crate) fn references_are_counted(&self) -> bool {
        self.ledger.values().all(|row| row.references == self.referring(row.id))
    }

    /// The paths of the bytes, and the ids of the rows, that no project refers to and that are
    /// left after a sweep with every grace period over.
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
            paths.retain(|&path| path != model.path(reference.object));
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
