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

/// Where the bytes of an object lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ObjectPlace {
    /// In the blob store of its kind.
    BlobStore,
    /// In the record store, beside the ledger row: an *inline* object. It is added and removed together with its row, so
    /// it is never reserved and never doomed.
    Inline,
}

/// A row of the ledger: one for every object that exists, or may exist, in a blob store, and one for every inline object.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Object {
    /// The id; namespace and id together are the path in the blob store.
    pub id: ObjectId,
    /// Decides in which blob store the object lies.
    pub kind: ObjectKind,
    /// The namespace in which its bytes are shared.
    pub namespace: Namespace,
    /// Where its bytes lie.
    pub place: ObjectPlace,
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
        let (place, state) = (ObjectPlace::BlobStore, ObjectState::Reserved);
        Self { id, kind, namespace, place, state, content: None, references: 0, since: now }
    }

    /// Whether the transaction that writes this row must remove it and its bytes instead: it is doomed, and the bytes lie
    /// in the records, so nothing is left to be done afterwards.
    pub fn is_gone(&self) -> bool {
        self.place == ObjectPlace::Inline && self.state == ObjectState::Doomed
    }
}
