use super::{Digest, MediaType, Metadata, Namespace, ObjectId, ProjectId, Revision, UserId};
use crate::clock::Timestamp;

/// A titled unit of notes and the media that they are stamped against.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Project {
    /// Names it for as long as it exists.
    pub id: ProjectId,
    /// Whose it is.
    pub owner: UserId,
    /// What its owner says of it, its title included.
    pub metadata: Metadata,
    /// Its media, where it has some here.
    pub media: Option<MediaRef>,
    /// Its current notes.
    pub notes: NotesRef,
    /// How often it has been saved.
    pub revision: Revision,
    /// Which of its owner's saves was its latest.
    pub save: u64,
    /// When it was first saved.
    pub created: Timestamp,
}

impl Project {
    /// The media type of its media: what was said of them, if that is one.
    pub fn media_type(&self) -> MediaType {
        MediaType::parse(&self.metadata.mimetype)
    }
}

/// A project's reference to its media: the file's path is computed from it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MediaRef {
    /// The object that holds the bytes.
    pub object: ObjectId,
    /// Who shares them.
    pub namespace: Namespace,
    /// What they are.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// A project's reference to its notes, which lie in their owner's namespace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NotesRef {
    /// The object that holds the bytes.
    pub object: ObjectId,
    /// How many they are.
    pub size: u64,
}
