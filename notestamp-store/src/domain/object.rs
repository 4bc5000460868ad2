use super::{Digest, Namespace, ObjectId};
use crate::clock::Timestamp;

/// What an object is, and so in which of the two blob stores it lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectKind {
    /// One revision of a project's notes.
    Notes,
    /// A recording, a video, a PDF.
    Media,
}

/// The state of a ledger row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectState {
    /// Its bytes may be on their way; nothing refers to it yet.
    Reserved,
    /// Its bytes are whole and durable; projects may refer to it.
    Live,
    /// Its bytes are to be deleted, and then the row; it never becomes anything else.
    Doomed,
}

/// A row of the ledger: one for every object that exists, or may exist, in a blob store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Object {
    /// Names it, and makes up its path together with the namespace.
    pub id: ObjectId,
    /// In which blob store it lies.
    pub kind: ObjectKind,
    /// Who shares its bytes.
    pub namespace: Namespace,
    /// Where it is in its life.
    pub state: ObjectState,
    /// What its bytes are: their digest and how many, once that is known.
    pub content: Option<(Digest, u64)>,
    /// How many projects refer to it; more than none only while it is live.
    pub references: u64,
    /// When it was reserved, or when its references last changed, or when it was doomed.
    pub since: Timestamp,
}

impl Object {
    /// A new row: reserved, before the first byte is written.
    pub fn reserve(id: ObjectId, kind: ObjectKind, namespace: Namespace, now: Timestamp) -> Self {
        let state = ObjectState::Reserved;
        Self { id, kind, namespace, state, content: None, references: 0, since: now }
    }
}
