//! The commit of a save: [`plan_save`] decides what it writes.

use crate::clock::Timestamp;
use crate::domain::{
    Caller, METADATA_BYTES_MAX, MediaRef, Metadata, Namespace, NotesRef, Object, ObjectId, ObjectState,
    Precondition, Project, ProjectId, Session, User,
};
use crate::error::{Error, Result};

use super::admit::admit;
use super::ledger::{MediaCheck, Settled, Settlement, adopt, remove_reference, settle_media};
use super::offer::{MediaOffer, Written};
use super::precondition::check_precondition;

/// What a save commits, after its bytes are written.
#[derive(Clone, Debug)]
pub struct SaveCommit {
    /// The owner of the project, and the session that saves it.
    pub caller: Caller,
    /// The id of the new project; not used if a project of this title exists.
    pub new_id: ProjectId,
    /// The new metadata of the project.
    pub metadata: Metadata,
    /// The condition that the project must meet.
    pub precondition: Precondition,
    /// The new notes, whole and durable.
    pub notes: Written,
    /// The media of the request; `None` if it brought none.
    pub media: Option<MediaOffer>,
    /// The checks, made so far, of objects that may have the same media bytes.
    pub checks: Vec<MediaCheck>,
    /// The namespace in which the media is found by its digest, and stored.
    pub namespace: Namespace,
    /// The most bytes that the account may use; `None` means unlimited.
    pub quota_bytes_max: Option<u64>,
    /// The most projects that the account may have.
    pub projects_max: u64,
    /// The time of the save.
    pub now: Timestamp,
}

impl SaveCommit {
    /// The media of a project, if it has the digest of the offered media.
    pub fn kept_media(&self, project: Option<&Project>) -> Option<MediaRef> {
        let digest = self.media.as_ref().map(MediaOffer::digest);
        project.and_then(|project| project.media).filter(|kept| Some(kept.digest) == digest)
    }
}

/// What the commit of a save reads, in the same transaction that writes the plan. `None` means absent.
#[derive(Clone, Debug, Default)]
pub struct SaveReads {
    /// The session that the caller names.
    pub session: Option<Session>,
    /// The owner's user record.
    pub user: Option<User>,
    /// The owner's project of this title.
    pub project: Option<Project>,
    /// The ledger row of the new notes.
    pub notes: Option<Object>,
    /// The ledger row of the notes that the project has now.
    pub old_notes: Option<Object>,
    /// The ledger row of the media that this save brings.
    pub media: Option<Object>,
    /// Media with the offered digest that a project of the owner refers to.
    pub owned: Option<MediaRef>,
    /// The ledger rows that may have the offered bytes, each once: the row of the project's own media, the row of
    /// `owned`, and the live row with the offered digest in the namespace.
    pub rows: Vec<Object>,
}

/// What the commit of a save writes, in one transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SavePlan {
    /// The owner's user record, with its new usage and number of saves.
    pub user: User,
    /// The project after the save.
    pub project: Project,
    /// The changed ledger rows, to be written in this order.
    pub rows: Vec<Object>,
    /// Media objects whose bytes are lost. Each project that refers to one of them, in any account, is to refer to this
    /// project's media instead; nothing else of those projects changes.
    pub lost: Vec<ObjectId>,
}

/// The outcome of [`plan_save`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SaveDecision {
    /// Write this plan.
    Save(Box<SavePlan>),
    /// No object has the bytes of the offered media: complete the staged object, and retry.
    BytesNeeded,
    /// Check the object of this media in the blob store, add the result to [`SaveCommit::checks`], and retry.
    CheckNeeded(MediaRef),
}

impl SaveReads {
    /// Composes [`rows`](Self::rows): the rows that were found, each once.
    pub fn distinct(found: impl IntoIterator<Item = Object>) -> Vec<Object> {
        let mut rows: Vec<Object> = Vec::new();
        for row in found {
            if rows.iter().all(|known| known.id != row.id) {
                rows.push(row);
            }
        }
        rows
    }
}

impl SavePlan {
    /// The objects that the save dooms: their bytes can be deleted after the commit.
    pub fn doomed(&self) -> impl Iterator<Item = &Object> {
        self.rows.iter().filter(|row| row.state == ObjectState::Doomed)
    }
}

/// Decides what a save writes, or what must be done before that can be decided.
///
/// - Without a precondition, the last write wins.
/// - A project that has media keeps it together with its media type: a save may omit the media or bring the same bytes
///   again, but other bytes are refused. A project without media takes the media of the save.
/// - A project with media in this store has an empty `src`.
/// - A save without a `src` keeps the old `src` if the project's type has not changed: clients omit it while the player
///   of a link is not ready.
///
/// # Errors
/// - [`Error::SessionEnded`] if the session of the save has ended.
/// - [`Error::NoSuchAccount`] if the account has been removed.
/// - [`Error::PreconditionFailed`] if the precondition does not hold.
/// - [`Error::UploadExpired`] if a row of this save is no longer reserved.
/// - [`Error::MediaDiffers`] if the project has media with another digest.
/// - [`Error::MediaNeeded`] if only a digest was sent, and the owner has no media with it.
/// - [`Error::TooLarge`], [`Error::Invalid`] if the metadata is too large.
/// - [`Error::TooManyProjects`] if this would be a new project, and the account may have no more.
/// - [`Error::QuotaExceeded`] if the account would use more than its quota and more than before the save.
pub fn plan_save(reads: &SaveReads, commit: &SaveCommit) -> Result<SaveDecision> {
    admit(commit.caller, reads.session.as_ref(), commit.now)?;
    let user = reads.user.as_ref().ok_or(Error::NoSuchAccount)?;
    let old = reads.project.as_ref();
    let current = old.map(|project| project.revision);
    check_precondition(&commit.precondition, current)?;
    if old.is_none() && user.usage.projects >= commit.projects_max {
        return Err(Error::TooManyProjects { max: commit.projects_max });
    }

    let mut rows = vec![adopt(reads.notes.as_ref(), &commit.notes, commit.now)?];
    rows.extend(reads.old_notes.as_ref().map(|row| remove_reference(row, commit.now)));

    let kept = old.and_then(|project| project.media);
    let mut lost = Vec::new();
    let media = match (kept, &commit.media) {
        (kept, None) => kept,
        (Some(kept), Some(offer)) if offer.digest() != kept.digest => return Err(Error::MediaDiffers),
        (None, Some(MediaOffer::Known(_))) if reads.owned.is_none() => return Err(Error::MediaNeeded),
        (kept, Some(offer)) => {
            let kept = kept.map(|kept| kept.object);
            let ours = reads.media.as_ref();
            match settle_media(offer, ours, &reads.rows, kept, &commit.checks, commit.now)? {
                Settlement::BytesNeeded => return Ok(SaveDecision::BytesNeeded),
                Settlement::CheckNeeded(media) => return Ok(SaveDecision::CheckNeeded(media)),
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
    check_size(&metadata)?;

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
    Ok(SaveDecision::Save(Box::new(SavePlan { user, project, rows, lost })))
}

fn check_size(metadata: &Metadata) -> Result<()> {
    metadata.check_src()?;
    if metadata.json_len() > METADATA_BYTES_MAX {
        return Err(Error::TooLarge { what: "metadata", max: METADATA_BYTES_MAX as u64 });
    }
    Ok(())
}
