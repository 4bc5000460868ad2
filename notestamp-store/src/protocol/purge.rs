//! The purge of records: the commit removes them and takes away their references; the bytes of the objects that it
//! dooms are deleted afterwards.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::domain::{Digest, Object, ObjectId, ObjectState, Project, User};

use super::ledger::remove_reference;
use super::usage::{MediaUse, change_media_use};

/// How a state of a project is on record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holding {
    /// As the current state of a project.
    Current,
    /// As a version.
    Version,
    /// As a project in the trash.
    Trashed,
}

impl Holding {
    /// How it uses its media.
    pub fn media_use(self) -> MediaUse {
        match self {
            Self::Current => MediaUse::SHOWN,
            Self::Version | Self::Trashed => MediaUse::KEPT,
        }
    }
}

/// What the purge of some records of an account reads, in the same transaction that writes the plan.
#[derive(Clone, Debug)]
pub struct PurgeReads {
    /// The user record of the account.
    pub user: User,
    /// The states that are to be purged.
    pub states: Vec<(Holding, Project)>,
    /// The ledger rows of their notes and media, each once.
    pub rows: Vec<Object>,
    /// For each digest of their media, how the other records of the account use it.
    pub others: Vec<(Digest, MediaUse)>,
}

/// What a purge writes, besides removing the records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PurgePlan {
    /// The user record, with its new usage and revision floor.
    pub user: User,
    /// The changed ledger rows. Those that are [gone](Object::is_gone) are to be removed, with their bytes.
    pub rows: Vec<Object>,
}

impl PurgePlan {
    /// The objects in blob stores that the purge dooms: their bytes can be deleted after the commit.
    pub fn doomed(&self) -> impl Iterator<Item = &Object> {
        self.rows.iter().filter(|row| row.state == ObjectState::Doomed && !row.is_gone())
    }
}

/// Decides what a purge writes: the objects of the purged states lose a reference for each state. The owner's revision
/// floor rises above a purged project, so that its revisions are never used again.
pub fn plan_purge(reads: &PurgeReads, now: Timestamp) -> PurgePlan {
    let mut user = reads.user.clone();
    let usage = &mut user.usage;
    let mut media = BTreeMap::new();
    for (holding, project) in &reads.states {
        let (count, bytes, record_bytes) = match holding {
            Holding::Current => (Some(&mut usage.projects), &mut usage.bytes, &mut usage.record_bytes),
            Holding::Trashed => {
                (Some(&mut usage.trashed), &mut usage.kept_bytes, &mut usage.kept_record_bytes)
            }
            Holding::Version => (None, &mut usage.kept_bytes, &mut usage.kept_record_bytes),
        };
        if let Some(count) = count {
            *count = count.saturating_sub(1);
        }
        *bytes = bytes.saturating_sub(project.notes.size);
        *record_bytes = record_bytes.saturating_sub(project.record_bytes());
        user.revision_floor = user.revision_floor.max(project.revision);
        if let Some(found) = project.media {
            let (_, used) = media.entry(found.digest).or_insert((found.size, MediaUse::default()));
            *used = *used | holding.media_use();
        }
    }
    for (digest, (size, used)) in media {
        let others = reads.others.iter().find(|(other, _)| *other == digest);
        let others = others.map(|(_, used)| *used).unwrap_or_default();
        change_media_use(&mut user.usage, size, others | used, others);
    }
    let states = reads.states.iter().map(|(_, project)| project);
    let objects = states.flat_map(|project| [Some(project.notes.object), project.media.map(|it| it.object)]);
    PurgePlan { user, rows: release(objects.flatten(), &reads.rows, now) }
}

/// Takes one reference away for each of these ids; returns the changed rows. An object whose row is not in `rows` is
/// left out: the row cannot be read.
pub fn release(objects: impl IntoIterator<Item = ObjectId>, rows: &[Object], now: Timestamp) -> Vec<Object> {
    let mut changed: Vec<Object> = Vec::new();
    for id in objects {
        match changed.iter_mut().find(|row| row.id == id) {
            Some(row) => *row = remove_reference(row, now),
            None => {
                let row = rows.iter().find(|row| row.id == id);
                changed.extend(row.map(|row| remove_reference(row, now)));
            }
        }
    }
    changed
}
