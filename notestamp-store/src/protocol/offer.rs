//! The written objects of a save: its notes, and the media that it offers.

use bytes::Bytes;

use crate::domain::{Digest, ObjectId};

/// An object whose bytes have been written under a reserved row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Written {
    /// The id of the object and of its ledger row.
    pub object: ObjectId,
    /// The digest of its bytes.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
}

/// The new notes of a save.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum NewNotes {
    /// The bytes are whole and durable in the blob store, under a reserved row.
    Written(Written),
    /// The bytes are small enough for the records. The commit itself adds the row and the bytes.
    Inline {
        /// The id of the object and of its ledger row, which nothing else has.
        object: ObjectId,
        /// The digest of the bytes.
        digest: Digest,
        /// The bytes.
        bytes: Bytes,
    },
}

impl NewNotes {
    /// The object of the notes, with the digest and the size of its bytes.
    pub fn written(&self) -> Written {
        match self {
            Self::Written(written) => *written,
            Self::Inline { object, digest, bytes } => {
                Written { object: *object, digest: *digest, size: bytes.len() as u64 }
            }
        }
    }

    /// The bytes that the commit adds to the records; `None` if they are in the blob store.
    pub fn inline_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Written(_) => None,
            Self::Inline { bytes, .. } => Some(bytes),
        }
    }
}

/// The media that a save offers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaOffer {
    /// The bytes are whole and durable in the blob store.
    Written(Written),
    /// The bytes have been received and hashed, but the object has not been completed: that is necessary only if no
    /// other object has the same bytes.
    Staged(Written),
    /// Only the digest was sent: the owner claims to have this media in some project.
    Known(Digest),
}

impl MediaOffer {
    /// The digest of the media.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Written(written) | Self::Staged(written) => written.digest,
            Self::Known(digest) => *digest,
        }
    }

    /// The object of this save that holds the bytes; `None` if only a digest was sent.
    pub fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Written(written) | Self::Staged(written) => Some(written.object),
            Self::Known(_) => None,
        }
    }
}
