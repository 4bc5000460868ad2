//! The commit of a save.

use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, MediaRef, Metadata, Namespace, NotesRef, Object, ObjectId, ObjectState, Precondition,
    Project, ProjectId, Session, User,
};
use crate::error::{Error, Result};

use super::admit::admit;
use super::ledger::{Look, Settled, Settlement, adopt, release, settle_media};

/// What a save wants to commit, once its bytes are written.
#[derive(Clone, Debug)]
pub struct SaveCommit {
    /// Whose project it is, and by which session it is saved.
    pub caller: Caller,
    /// The project's id, should there be none of this title yet.
    pub new_id: ProjectId,
    /// What the owner says of it.
    pub metadata: Metadata,
    /// What the save demands of the project that it finds.
    pub precondition: Precondition,
    /// The notes: whole and durable.
    pub notes: Written,
    /// The media, if any came.
    pub media: Option<MediaOffer>,
    /// What is known of the objects that may have its bytes already.
    pub looks: Vec<Look>,
    /// Where the media is looked for and kept.
    pub namespace: Namespace,
    /// The most bytes that the account may use.
    pub quota_bytes_max: Option<u64>,
    /// When.
    pub now: Timestamp,
}

/// An object whose bytes have been written under a reserved row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Written {
    /// Its row.
    pub object: ObjectId,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// Media as a save brings it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaOffer {
    /// Its bytes are whole and durable.
    Written(Written),
    /// Its bytes have come and are known, but the write has not been completed: that is only worth
    /// doing where they are not there already.
    Staged(Written),
    /// Only its digest came: the owner says that these bytes are here under another project.
    Known(Digest),
}

impl MediaOffer {
    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Written(written) | Self::Staged(written) => written.digest,
            Self::Known(digest) => *digest,
        }
    }

    /// The object that was written for it.
    pub fn object(&self) -> Option<ObjectId> {
        match self {
            Self::Written(written) | Self::Staged(written) => Some(written.object),
            Self::Known(_) => None,
        }
    }
}

/// What the commit of a save reads, all in the transaction that writes the plan.
#[derive(Clone, Debug, Default)]
pub struct SaveReads {
    /// The session that the caller names.
    pub session: Option<Session>,
    /// The owner's account.
    pub user: Option<User>,
    /// The owner's project of that title.
    pub project: Option<Project>,
    /// The row of the notes that were written.
    pub notes: Option<Object>,
    /// The row of the notes that the project has now.
    pub old_notes: Option<Object>,
    /// The row of the media that was written.
    pub media: Option<Object>,
    /// The media of any project of the owner that has the offered digest.
    pub owned: Option<MediaRef>,
    /// The rows that may have the offered bytes, each once: that of the project's own media, that of `owned`, and the live
    /// one of the offered digest in the namespace.
    pub rows: Vec<Object>,
}

/// What the commit of a save writes: all of it, or nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavePlan {
    /// The owner's account, with its usage.
    pub user: User,
    /// The project.
    pub project: Project,
    /// Ledger rows, to be written in this order.
    pub rows: Vec<Object>,
    /// Media objects whose bytes are lost: each project that refers to one, whoever owns it, refers to this project's media
    /// from now on. Nothing else of those projects changes.
    pub lost: Vec<ObjectId>,
}

/// What the commit of a save comes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaveDecision {
    /// Write this.
    Save(SavePlan),
    /// The offered media is not here, and must be completed first.
    BytesNeeded,
    /// Look first whether the bytes of this media are here, and say so in [`SaveCommit::looks`].
    LookNeeded(MediaRef),
}

impl SavePlan {
    /// The objects that this save dooms: their bytes can be deleted once it is committed.
    pub fn doomed(&self) -> impl Iterator<Item = &Object> {
        self.rows.iter().filter(|row| row.state == ObjectState::Doomed)
    }
}

/// Decides what a save writes, or what must be done before that can be decided.
///
/// - The last write wins, unless there is a precondition.
/// - A save without media keeps what the project has, and its media type. The same bytes again change nothing about
///   it, and other bytes are refused. A project without media takes what comes.
/// - A project with media here has no other source: its `src` is empty.
/// - A save without a `src` keeps the one that a project of the same type has: clients send none while the
///   player of a link is not ready.
///
/// # Errors
/// - [`Error::SessionEnded`] where the session of the save has ended.
/// - [`Error::NotFound`] where the account has been removed.
/// - [`Error::PreconditionFailed`] where the project is not as demanded.
/// - [`Error::UploadExpired`] where a row of ours is no longer reserved.
/// - [`Error::MediaDiffers`] where the project has media of another digest.
/// - [`Error::MediaNeeded`] where only a digest came, and the owner does not have its bytes.
/// - [`Error::TooLarge`], [`Error::Invalid`] where the metadata is too large.
/// - [`Error::QuotaExceeded`] where the account would use more than before, and more than it may.
pub fn plan_save(reads: &SaveReads, commit: &SaveCommit) -> Result<SaveDecision> {
    admit(commit.caller, reads.session.as_ref(), commit.now)?;
    let user = reads.user.as_ref().ok_or(Error::NotFound { what: "account" })?;
    let old = reads.project.as_ref();
    let current = old.map(|project| project.revision);
    commit.precondition.check(current)?;

    let mut rows = vec![adopt(reads.notes.as_ref(), &commit.notes, commit.now)?];
    rows.extend(reads.old_notes.as_ref().map(|row| release(row, commit.now)));

    let kept = old.and_then(|project| project.media);
    let mut lost = Vec::new();
    let media = match (kept, &commit.media) {
        (kept, None) => kept,
        (Some(kept), Some(offer)) if offer.digest() != kept.digest => return Err(Error::MediaDiffers),
        (None, Some(MediaOffer::Known(_))) if reads.owned.is_none() => return Err(Error::MediaNeeded),
        (kept, Some(offer)) => {
            let kept = kept.map(|kept| kept.object);
            let ours = reads.media.as_ref();
            match settle_media(offer, ours, &reads.rows, kept, &commit.looks, commit.now)? {
                Settlement::BytesNeeded => return Ok(SaveDecision::BytesNeeded),
                Settlement::LookNeeded(media) => return Ok(SaveDecision::LookNeeded(media)),
                Settlement::Settled(settled) => {
                    let Settled { media, rows: settled, lost: without_bytes } = settled;
                    rows.extend(settled);
                    lost = without_bytes;
                    Some(media)
                }
            }
        }
    };

    let mut metadata = commit.metadata.clone();
    if media.is_some() {
        metadata.src.clear();
    } else if let Some(old) = old
        && metadata.src.is_empty()
        && metadata.kind == old.metadata.kind
    {
        metadata.src.clone_from(&old.metadata.src);
    }
    if let (Some(_), Some(old)) = (kept, old) {
        metadata.mimetype.clone_from(&old.metadata.mimetype);
    }
    metadata.check_size()?;

    let mut user = user.clone();
    let bytes_before = user.usage.bytes;
    user.saves += 1;
    user.usage.projects += u64::from(old.is_none());
    user.usage.bytes = bytes_before.saturating_sub(old.map_or(0, |project| project.notes.size));
    user.usage.bytes += commit.notes.size;
    if kept.is_none() && reads.owned.is_none() {
        user.usage.bytes += media.map_or(0, |media| media.size);
    }
    if let Some(max) = commit.quota_bytes_max
        && user.usage.bytes > max.max(bytes_before)
    {
        return Err(Error::QuotaExceeded { max });
    }

    let project = Project {
        id: old.map_or(commit.new_id, |project| project.id),
        owner: commit.caller.user,
        metadata,
        media,
        notes: NotesRef { object: commit.notes.object, size: commit.notes.size },
        revision: current.unwrap_or(user.revision_floor).next(),
        save: user.saves,
        created: old.map_or(commit.now, |project| project.created),
    };
    Ok(SaveDecision::Save(SavePlan { user, project, rows, lost }))
}
