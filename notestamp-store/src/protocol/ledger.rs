//! The life of a ledger row: *reserved*, then *live* or *doomed*, and from *live* to *doomed*.

use crate::clock::Timestamp;
use crate::domain::{MediaRef, Namespace, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState};
use crate::error::{Error, Result};

use super::offer::{MediaOffer, Written};

/// The two points in time by which a sweep decides that a row is stale.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaleBefore {
    /// A row reserved before this is stale: its writer has stopped, or is past its deadline.
    pub reserved: Timestamp,
    /// Media unreferenced since before this is stale: its grace period is over.
    pub unreferenced: Timestamp,
}

/// Turns our reserved row live, with one reference. Its bytes must be whole and durable.
///
/// # Errors
/// [`Error::UploadExpired`] if the row is no longer reserved: a sweep has doomed it as stale.
pub fn adopt(ours: Option<&Object>, written: &Written, now: Timestamp) -> Result<Object> {
    let ours = still_reserved(ours)?;
    Ok(Object {
        state: ObjectState::Live,
        content: Some((written.digest, written.size)),
        references: 1,
        since: now,
        ..ours.clone()
    })
}

/// The row of new inline notes of this account, with one reference. The same transaction adds it and its bytes.
///
/// `found` is the row that has this id already, if any.
///
/// # Errors
/// [`Error::ObjectExists`] if there is a row: an id is used for one object only.
pub fn add_inline(
    found: Option<&Object>,
    added: &Written,
    namespace: Namespace,
    now: Timestamp,
) -> Result<Object> {
    if found.is_some() {
        return Err(Error::ObjectExists);
    }
    Ok(Object {
        place: ObjectPlace::Inline,
        state: ObjectState::Live,
        content: Some((added.digest, added.size)),
        references: 1,
        ..Object::reserve(added.object, ObjectKind::Notes, namespace, now)
    })
}

/// Dooms our reserved row: no project will refer to it.
///
/// # Errors
/// [`Error::UploadExpired`] if the row is no longer reserved.
pub fn doom_reserved(ours: Option<&Object>, now: Timestamp) -> Result<Object> {
    let ours = still_reserved(ours)?;
    Ok(doom(ours, now))
}

/// Removes one reference from a live row. Notes without references are doomed at once; unreferenced media is spared for
/// the grace period, so that deleting a project and saving it again is cheap.
pub fn remove_reference(row: &Object, now: Timestamp) -> Object {
    let references = row.references.saturating_sub(1);
    match row.kind {
        ObjectKind::Notes if references == 0 => doom(row, now),
        _ => Object { references, since: now, ..row.clone() },
    }
}

/// The doomed row that a sweep writes for a stale row; `None` if the row is not stale.
pub fn doom_if_stale(row: &Object, before: &StaleBefore, now: Timestamp) -> Option<Object> {
    let stale = match row.state {
        ObjectState::Reserved => row.since < before.reserved,
        ObjectState::Live => row.references == 0 && row.since < before.unreferenced,
        ObjectState::Doomed => false,
    };
    stale.then(|| doom(row, now))
}

/// The row with its references counted anew, for a repair; `None` if they are right, or if the row cannot be live.
///
/// A row that is not live although something refers to it becomes live again: the caller has seen its bytes.
pub fn recount(row: &Object, counted: u64, now: Timestamp) -> Option<Object> {
    let can_be_live = row.state == ObjectState::Live || counted > 0 && row.content.is_some();
    let is_right = row.state == ObjectState::Live && row.references == counted;
    let live = || Object { state: ObjectState::Live, references: counted, since: now, ..row.clone() };
    (can_be_live && !is_right).then(live)
}

/// The result of a check of an object in the blob store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MediaCheck {
    /// The object that was checked.
    pub object: ObjectId,
    /// Whether the object exists with the expected size.
    pub is_whole: bool,
}

/// The outcome of [`settle_media`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settlement {
    /// The media is settled.
    Settled(Settled),
    /// No object has these bytes, and our upload has not been completed: complete it and retry.
    BytesNeeded,
    /// The ledger has a live object with these bytes that has not been checked: check it and retry.
    CheckNeeded(MediaRef),
}

/// What the commit of a save writes for its media.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// The object that the project refers to.
    pub media: MediaRef,
    /// The rows to write, in this order, so that at most one row with the same bytes is live at any time.
    pub rows: Vec<Object>,
    /// Objects whose bytes are lost. Each project that refers to one of them refers to `media` instead.
    pub lost: Vec<ObjectId>,
}

/// Decides to which media object the project refers. If a live row with the same bytes exists, the project refers to it
/// and our row is doomed; otherwise our row turns live.
///
/// A row of the ledger does not prove that its bytes exist. So a save drops the bytes that it has received only if the
/// blob store has been checked for the other object. An object whose bytes are lost is doomed, and the settled object
/// replaces it for all projects.
///
/// `rows` may have the offered bytes, `ours` is the row of the offered object, `kept` is the object that the project
/// refers to already, and `checks` are the checks made so far.
///
/// # Errors
/// [`Error::UploadExpired`] if our row is no longer reserved; [`Error::MediaNeeded`] if only a digest was offered
/// and no whole object has it.
pub fn settle_media(
    offer: &MediaOffer,
    ours: Option<&Object>,
    rows: &[Object],
    kept: Option<ObjectId>,
    checks: &[MediaCheck],
    now: Timestamp,
) -> Result<Settlement> {
    let mut lost: Vec<&Object> = Vec::new();
    let mut found = None;
    for row in rows.iter().filter(|row| row.state == ObjectState::Live) {
        match checks.iter().find(|check| check.object == row.id) {
            None => return Ok(Settlement::CheckNeeded(media_ref(row)?)),
            Some(check) if check.is_whole => {
                found = Some(row);
                break;
            }
            Some(_) => lost.push(row),
        }
    }

    let is_kept = |row: &Object| Some(row.id) == kept;
    let mut dropped = None;
    let target = match (found, offer) {
        (Some(row), MediaOffer::Known(_)) => row.clone(),
        (Some(row), MediaOffer::Written(_) | MediaOffer::Staged(_)) => {
            dropped = match doom_reserved(ours, now) {
                // The project refers to it already, so an expired upload is no error.
                Err(Error::UploadExpired) if is_kept(row) => None,
                doomed => Some(doomed?),
            };
            row.clone()
        }
        (None, MediaOffer::Known(_)) => return Err(Error::MediaNeeded),
        (None, MediaOffer::Staged(_)) => {
            still_reserved(ours)?;
            return Ok(Settlement::BytesNeeded);
        }
        (None, MediaOffer::Written(written)) => Object { references: 0, ..adopt(ours, written, now)? },
    };
    let carried: u64 = lost.iter().map(|row| row.references).sum();
    let is_counted = is_kept(&target) || lost.iter().any(|row| is_kept(row));
    let added = carried + u64::from(!is_counted);

    let mut rows: Vec<Object> = lost.iter().map(|row| doom(row, now)).collect();
    if added > 0 {
        rows.push(Object { references: target.references + added, since: now, ..target.clone() });
    }
    rows.extend(dropped);
    let lost = lost.iter().map(|row| row.id).collect();
    Ok(Settlement::Settled(Settled { media: media_ref(&target)?, rows, lost }))
}

fn doom(row: &Object, now: Timestamp) -> Object {
    Object { state: ObjectState::Doomed, references: 0, since: now, ..row.clone() }
}

fn still_reserved(ours: Option<&Object>) -> Result<&Object> {
    ours.filter(|row| row.state == ObjectState::Reserved).ok_or(Error::UploadExpired)
}

fn media_ref(row: &Object) -> Result<MediaRef> {
    let Some((digest, size)) = row.content else {
        return Err(Error::Corrupt(format!("{:?} is live without a digest", row.id)));
    };
    Ok(MediaRef { object: row.id, namespace: row.namespace, digest, size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Digest, Namespace};

    const LATER: Timestamp = Timestamp::from_millis(1);

    fn row(state: ObjectState, references: u64) -> Object {
        let reserved = Object::reserve(
            ObjectId::from_bytes([1; 16]),
            ObjectKind::Media,
            Namespace::Shared,
            Timestamp::from_millis(0),
        );
        Object { state, references, content: Some((Digest::of(b""), 0)), ..reserved }
    }

    #[test]
    fn a_recount_changes_only_what_is_wrong() {
        use ObjectState::{Doomed, Live, Reserved};

        for (state, references, counted, corrected) in [
            (Live, 1, 1, None),
            (Live, 0, 0, None),
            (Live, 1, 0, Some(0)),
            (Live, 1, 2, Some(2)),
            (Doomed, 0, 0, None),
            (Doomed, 0, 2, Some(2)),
            (Reserved, 0, 0, None),
            (Reserved, 0, 1, Some(1)),
        ] {
            let found = row(state, references);
            let live = corrected.map(|references| Object { since: LATER, ..row(Live, references) });
            assert_eq!(recount(&found, counted, LATER), live, "{state:?} {references} {counted}");
        }
        let unwritten = Object { content: None, ..row(Reserved, 0) };
        assert_eq!(recount(&unwritten, 1, LATER), None, "nothing is known of its bytes");
    }
}
