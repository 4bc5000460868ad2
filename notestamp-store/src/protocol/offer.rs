//! The written objects of a save, and the media that it offers.

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
