use super::{Digest, MediaType, Metadata, Namespace, ObjectId, ProjectId, Revision, UserId};
use crate::clock::Timestamp;

/// A titled unit of notes and the media that they are stamped against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// The id, which stays the same for the life of the project.
    pub id: ProjectId,
    /// The account that owns the project.
    pub owner: UserId,
    /// The properties that the owner sets, including the title.
    pub metadata: Metadata,
    /// The media; `None` if this store keeps no media of the project.
    pub media: Option<MediaRef>,
    /// The current notes.
    pub notes: NotesRef,
    /// The number of the current state; each save increments it.
    pub revision: Revision,
    /// The number of the latest save, counted over all projects of the owner ([`User::saves`](super::User::saves)).
    pub save: u64,
    /// When it was first saved.
    pub created: Timestamp,
    /// When its current state was saved.
    pub saved: Timestamp,
}

impl Project {
    /// What the record of one state of a project costs of the quota, besides its metadata.
    pub const RECORD_BYTES: u64 = 1024;

    /// What the record of this state costs of the quota, in bytes.
    pub fn record_bytes(&self) -> u64 {
        Self::RECORD_BYTES + self.metadata.stored_len()
    }

    /// The media type that the metadata claims; [`MediaType::OCTET_STREAM`] if the claim is invalid.
    pub fn media_type(&self) -> MediaType {
        MediaType::parse(&self.metadata.mimetype)
    }
}

/// A project's reference to its media; namespace and object id are the path of the blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MediaRef {
    /// The object that holds the bytes.
    pub object: ObjectId,
    /// The namespace in which the bytes are shared.
    pub namespace: Namespace,
    /// The digest of the bytes.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
}

/// A project's reference to its notes, which lie in their owner's namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotesRef {
    /// The object that holds the bytes.
    pub object: ObjectId,
    /// The size in bytes.
    pub size: u64,
}
