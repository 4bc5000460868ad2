//! The commit of a save: [`plan_save`] decides what it writes.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, METADATA_BYTES_MAX, MediaRef, Metadata, Namespace, NotesRef, Object, ObjectId,
    ObjectState, Precondition, Project, ProjectId, Revision, Session, User, Version, VersionTimes,
};
use crate::error::{Error, Result};

use super::admit::admit;
use super::ledger::{MediaCheck, Settlement, add_inline, adopt, remove_reference, settle_media};
use super::offer::{MediaOffer, NewNotes};
use super::precondition::check_precondition;
use super::thinning::{THINNED_MAX, surplus};
use super::usage::{MediaUse, change_media_use};

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
    /// The new notes.
    pub notes: NewNotes,
    /// The media of the request; `None` if it brought none.
    pub media: Option<MediaOffer>,
    /// The checks, made so far, of objects that may have the same media bytes.
    pub checks: Vec<MediaCheck>,
    /// The namespace in which the media is found by its digest, and stored.
    pub namespace: Namespace,
    /// The project of which the save restores a version; `None` for other saves. A restoring save takes nothing over
    /// from the current state: a version without media takes the media away.
    pub restores: Option<ProjectId>,
    /// How long versions are kept after they were replaced; `None` keeps no versions.
    pub history: Option<Duration>,
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

    /// Whether the save gives a project other media than it has, or takes its media away.
    pub fn changes_media(&self, project: Option<&Project>) -> bool {
        let old = project.and_then(|project| project.media).map(|media| media.digest);
        match &self.media {
            Some(offer) => old != Some(offer.digest()),
            None => old.is_some() && self.restores.is_some(),
        }
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
    /// The ledger row of the new notes; `None` for new inline notes.
    pub notes: Option<Object>,
    /// The ledger row of the notes that the project has now.
    pub old_notes: Option<Object>,
    /// The ledger row of the media that this save brings.
    pub media: Option<Object>,
    /// The ledger row of the media that the project has now.
    pub old_media: Option<Object>,
    /// How the other records of the account use the media that the project has now. Needed only if the save replaces
    /// that media or takes it away ([`SaveCommit::changes_media`]).
    pub old_media_others: MediaUse,
    /// Media with the offered digest that a project of the owner refers to, a version, or a project in the trash.
    pub owned: Option<MediaRef>,
    /// How the other records of the account use media with the offered digest. Needed as `old_media_others` is.
    pub new_media_others: MediaUse,
    /// The versions of the project, from the newest on; at most [`EXAMINED_MAX`](super::thinning::EXAMINED_MAX).
    pub versions: Vec<VersionTimes>,
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
    /// The state that the save replaced, if it becomes a version.
    pub version: Option<Version>,
    /// The versions of the project that are to be purged afterwards, in the same transaction, because they are no
    /// longer kept.
    pub thinned: Vec<Revision>,
    /// The row of the new notes if they are inline, to be added together with their bytes.
    pub inline: Option<Object>,
    /// The changed ledger rows, to be written in this order, after `inline`. Those that are
    /// [gone](Object::is_gone) are to be removed, with their bytes, after the project has been written.
    pub rows: Vec<Object>,
    /// Media objects whose bytes are lost. Each project, version and project in the trash that refers to one of them,
    /// in any account, is to refer to this project's media instead; nothing else of them changes.
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
    /// The objects in blob stores that the save dooms: their bytes can be deleted after the commit.
    pub fn doomed(&self) -> impl Iterator<Item = &Object> {
        self.rows.iter().filter(|row| row.state == ObjectState::Doomed && !row.is_gone())
    }
}

/// Decides what a save writes, or what must be done before that can be decided.
///
/// - Without a precondition, the last write wins.
/// - A save that changes the notes or the media turns the state that it replaces into a version. The version takes over
///   the references of that state.
/// - A save without media keeps the media of the project, together with its media type; so does a save that brings the
///   same bytes again. Other bytes replace the media, if there is a history in which the old ones are kept.
/// - A project with media in this store has an empty `src`.
/// - A save without a `src` keeps the old `src` if the project's type has not changed: clients omit it while the player
///   of a link is not ready.
/// - History and trash use only the part of the quota that the projects leave. So a save that needs more than what is
///   left does not fail because of them; the caller of this function purges the oldest of them
///   ([`exceeds_quota`]).
///
/// # Errors
/// - [`Error::SessionEnded`] if the session of the save has ended.
/// - [`Error::NoSuchAccount`] if the account has been removed.
/// - [`Error::NoSuchProject`] if the project that the save restores does not have this title.
/// - [`Error::PreconditionFailed`] if the precondition does not hold.
/// - [`Error::UploadExpired`] if a row of this save is no longer reserved.
/// - [`Error::MediaDiffers`] if the project has media with another digest, and no history is kept.
/// - [`Error::MediaNeeded`] if only a digest was sent, and the owner has no media with it.
/// - [`Error::TooLarge`], [`Error::Invalid`] if the metadata is too large.
/// - [`Error::TooManyProjects`] if this would be a new project, and the account may have no more.
/// - [`Error::QuotaExceeded`] if the projects of the account would use more than its quota and more than before the
///   save.
pub fn plan_save(reads: &SaveReads, commit: &SaveCommit) -> Result<SaveDecision> {
    admit(commit.caller, reads.session.as_ref(), commit.now)?;
    let user = reads.user.as_ref().ok_or(Error::NoSuchAccount)?;
    let old = reads.project.as_ref();
    if commit.restores.is_some() && commit.restores != old.map(|project| project.id) {
        return Err(Error::NoSuchProject);
    }
    let current = old.map(|project| project.revision);
    check_precondition(&commit.precondition, current)?;
    if old.is_none() && user.usage.projects >= commit.projects_max {
        return Err(Error::TooManyProjects { max: commit.projects_max });
    }

    let notes = commit.notes.written();
    let (inline, mut rows) = match &commit.notes {
        NewNotes::Written(written) => (None, vec![adopt(reads.notes.as_ref(), written, commit.now)?]),
        NewNotes::Inline { .. } => {
            let home = Namespace::Owner(commit.caller.user);
            (Some(add_inline(reads.notes.as_ref(), &notes, home, commit.now)?), Vec::new())
        }
    };
    let old_media = old.and_then(|project| project.media);
    let Settled { media, rows: settled, lost } = match settle(reads, commit)? {
        MediaDecision::Settled(settled) => settled,
        MediaDecision::Undecided(decision) => return Ok(decision),
    };
    let is_media_changed = digest(old_media) != digest(media);
    let version =
        old.filter(|_| commit.history.is_some() && (is_media_changed || has_other_notes(reads, commit)));
    let version = version.map(|old| Version { project: old.clone(), replaced: commit.now });
    if version.is_none() {
        rows.extend(released_rows(reads, is_media_changed, commit.now));
    }
    rows.extend(settled);
    if let Some(media) = media.filter(|_| version.is_some() && !is_media_changed) {
        // The version has taken over the reference of the state that it was.
        add_reference(&mut rows, reads, media.object, commit.now);
    }

    let metadata = merged_metadata(commit, old, media, is_media_changed);
    check_size(&metadata)?;
    let mut user = user.clone();
    user.saves += 1;
    let project = Project {
        id: old.map_or(commit.new_id, |project| project.id),
        owner: commit.caller.user,
        metadata,
        media,
        notes: NotesRef { object: notes.object, size: notes.size },
        revision: current.unwrap_or(user.revision_floor).next(),
        save: user.saves,
        created: old.map_or(commit.now, |project| project.created),
        saved: commit.now,
    };
    count_usage(&mut user, old, &project, version.is_some(), reads);
    if let (Some(max), Some(before)) = (commit.quota_bytes_max, reads.user.as_ref())
        && user.usage.current() > max.max(before.usage.current())
    {
        return Err(Error::QuotaExceeded { max });
    }

    let versions: Vec<_> = version.iter().map(Version::times).chain(reads.versions.iter().copied()).collect();
    // The oldest first: they have been surplus for longest.
    let thinned =
        surplus(&versions, commit.history, commit.now).into_iter().rev().take(THINNED_MAX).collect();
    Ok(SaveDecision::Save(Box::new(SavePlan { user, project, version, thinned, inline, rows, lost })))
}

/// Whether history and trash of an account must be purged further, so that it stays within its quota.
pub fn exceeds_quota(user: &User, commit: &SaveCommit) -> bool {
    commit.quota_bytes_max.is_some_and(|max| user.usage.total() > max)
}

/// How many versions, and projects in the trash, the commit of a save purges at most to stay within the quota. If that
/// is not enough, the next saves purge the rest.
pub const PURGED_FOR_QUOTA_MAX: usize = 256;

enum MediaDecision {
    Settled(Settled),
    Undecided(SaveDecision),
}

/// The media of the project after the save.
struct Settled {
    media: Option<MediaRef>,
    rows: Vec<Object>,
    lost: Vec<ObjectId>,
}

fn settle(reads: &SaveReads, commit: &SaveCommit) -> Result<MediaDecision> {
    let old = reads.project.as_ref().and_then(|project| project.media);
    let Some(offer) = &commit.media else {
        let media = old.filter(|_| commit.restores.is_none());
        return Ok(MediaDecision::Settled(Settled { media, rows: Vec::new(), lost: Vec::new() }));
    };
    let kept = commit.kept_media(reads.project.as_ref());
    if old.is_some() && kept.is_none() && commit.history.is_none() {
        return Err(Error::MediaDiffers);
    }
    if matches!(offer, MediaOffer::Known(_)) && kept.is_none() && reads.owned.is_none() {
        return Err(Error::MediaNeeded);
    }
    let (ours, kept) = (reads.media.as_ref(), kept.map(|kept| kept.object));
    Ok(match settle_media(offer, ours, &reads.rows, kept, &commit.checks, commit.now)? {
        Settlement::BytesNeeded => MediaDecision::Undecided(SaveDecision::BytesNeeded),
        Settlement::CheckNeeded(media) => MediaDecision::Undecided(SaveDecision::CheckNeeded(media)),
        Settlement::Settled(settled) => {
            let (media, rows, lost) = (Some(settled.media), settled.rows, settled.lost);
            MediaDecision::Settled(Settled { media, rows, lost })
        }
    })
}

/// Whether the new notes have another digest. Notes whose row cannot be read count as other notes.
fn has_other_notes(reads: &SaveReads, commit: &SaveCommit) -> bool {
    let old = reads.old_notes.as_ref().and_then(|row| row.content);
    old.map(|(digest, _)| digest) != Some(commit.notes.written().digest)
}

/// The rows of the objects that lose the reference of the old state; no version takes the references over.
fn released_rows(reads: &SaveReads, is_media_changed: bool, now: Timestamp) -> Vec<Object> {
    let media = reads.old_media.iter().filter(|_| is_media_changed);
    reads.old_notes.iter().chain(media).map(|row| remove_reference(row, now)).collect()
}

/// Adds a reference to the row of this id: to the changed row, if it changes already.
fn add_reference(rows: &mut Vec<Object>, reads: &SaveReads, id: ObjectId, now: Timestamp) {
    let added = |row: &Object| Object { references: row.references + 1, since: now, ..row.clone() };
    match rows.iter_mut().find(|row| row.id == id) {
        Some(row) => *row = added(row),
        None => {
            let unchanged = reads.old_media.iter().chain(&reads.rows).find(|row| row.id == id);
            rows.extend(unchanged.map(added));
        }
    }
}

fn merged_metadata(
    commit: &SaveCommit,
    old: Option<&Project>,
    media: Option<MediaRef>,
    is_media_changed: bool,
) -> Metadata {
    let mut metadata = commit.metadata.clone();
    let old = old.filter(|_| commit.restores.is_none());
    if media.is_some() {
        metadata.src.clear();
    } else if let Some(old) = old
        && metadata.src.is_empty()
        && metadata.kind == old.metadata.kind
    {
        metadata.src.clone_from(&old.metadata.src);
    }
    if let Some(old) = old
        && media.is_some()
        && !is_media_changed
    {
        metadata.mimetype.clone_from(&old.metadata.mimetype);
    }
    metadata
}

/// Updates the usage of the account.
fn count_usage(user: &mut User, old: Option<&Project>, new: &Project, is_kept: bool, reads: &SaveReads) {
    let usage = &mut user.usage;
    match old {
        None => usage.projects += 1,
        Some(old) => {
            usage.bytes = usage.bytes.saturating_sub(old.notes.size);
            usage.record_bytes = usage.record_bytes.saturating_sub(old.record_bytes());
            if is_kept {
                usage.kept_bytes += old.notes.size;
                usage.kept_record_bytes += old.record_bytes();
            }
        }
    }
    usage.bytes += new.notes.size;
    usage.record_bytes += new.record_bytes();

    let old_media = old.and_then(|project| project.media);
    if digest(old_media) == digest(new.media) {
        return;
    }
    if let Some(media) = old_media {
        let (others, kept) = (reads.old_media_others, MediaUse { shown: false, kept: is_kept });
        change_media_use(usage, media.size, others | MediaUse::SHOWN, others | kept);
    }
    if let Some(media) = new.media {
        let others = reads.new_media_others;
        change_media_use(usage, media.size, others, others | MediaUse::SHOWN);
    }
}

fn digest(media: Option<MediaRef>) -> Option<Digest> {
    media.map(|media| media.digest)
}

fn check_size(metadata: &Metadata) -> Result<()> {
    metadata.check_src()?;
    if metadata.json_len() > METADATA_BYTES_MAX {
        return Err(Error::TooLarge { what: "metadata", max: METADATA_BYTES_MAX as u64 });
    }
    Ok(())
}
