use super::{Digest, Namespace, ObjectId};
use crate::clock::Timestamp;

/// The kind of an object, which decides in which of the two blob stores it lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectKind {
    /// One revision of a project's notes.
    Notes,
    /// A recording, a video, a PDF.
    Media,
}

impl ObjectKind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Notes, Self::Media];

    /// The word by which records and logs name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notes => "notes",
            Self::Media => "media",
        }
    }

    /// Parses the word of [`as_str`](Self::as_str); `None` if it is another one.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The state of a ledger row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectState {
    /// Its bytes may be in transfer; no project refers to it yet.
    Reserved,
    /// Its bytes are whole and durable; projects may refer to it.
    Live,
    /// Its bytes are to be deleted, and then its row. This state is final.
    Doomed,
}

impl ObjectState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Reserved, Self::Live, Self::Doomed];

    /// The word by which records and logs name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Live => "live",
            Self::Doomed => "doomed",
        }
    }

    /// Parses the word of [`as_str`](Self::as_str); `None` if it is another one.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// A row of the ledger: one for every object that exists, or may exist, in a blob store.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Object {
    /// The id; namespace and id together are the path in the blob store.
    pub id: ObjectId,
    /// Decides in which blob store the object lies.
    pub kind: ObjectKind,
    /// The namespace in which its bytes are shared.
    pub namespace: Namespace,
    /// Reserved, live or doomed.
    pub state: ObjectState,
    /// The digest and the size in bytes; `None` until the object is live.
    pub content: Option<(Digest, u64)>,
    /// How many projects refer to it; zero unless it is live.
    pub references: u64,
    /// When its state or its number of references last changed.
    pub since: Timestamp,
}

impl Object {
    /// A new reserved row, to be recorded before the first byte is written.
    pub fn reserve(id: ObjectId, kind: ObjectKind, namespace: Namespace, now: Timestamp) -> Self {
        let state = ObjectState::Reserved;
        Self { id, kind, namespace, state, content: None, references: 0, since: now }
    }
}
