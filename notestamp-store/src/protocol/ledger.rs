//! The life of a ledger row: *reserved*, then *live* or *doomed*, and from *live* to *doomed*.

use crate::clock::Timestamp;
use crate::domain::{MediaRef, Object, ObjectId, ObjectKind, ObjectState};
use crate::error::{Error, Result};

use super::save::{MediaOffer, Written};

/// Before when a row must have been left alone for a sweep to doom it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaleBefore {
    /// Rows reserved before this belong to writers that have stopped.
    pub reserved: Timestamp,
    /// Media without references since before this are spared no longer.
    pub unreferenced: Timestamp,
}

/// Our reserved row turns live, with one reference: its bytes are whole and durable.
///
/// # Errors
/// [`Error::UploadExpired`] where it is no longer reserved: a sweep took it for abandoned.
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

/// Our reserved row is doomed: nothing will ever refer to it.
///
/// # Errors
/// [`Error::UploadExpired`] where it is no longer reserved.
pub fn discard(ours: Option<&Object>, now: Timestamp) -> Result<Object> {
    let ours = still_reserved(ours)?;
    Ok(doom(ours, now))
}

/// One project fewer refers to a live row. Notes without any are doomed at once; media is spared for
/// the grace period, so that deleting and saving again is cheap.
pub fn release(row: &Object, now: Timestamp) -> Object {
    let references = row.references.saturating_sub(1);
    match row.kind {
        ObjectKind::Notes if references == 0 => doom(row, now),
        _ => Object { references, since: now, ..row.clone() },
    }
}

/// What the sweep makes of a row, if it is stale.
pub fn doom_if_stale(row: &Object, before: &StaleBefore, now: Timestamp) -> Option<Object> {
    let stale = match row.state {
        ObjectState::Reserved => row.since < before.reserved,
        ObjectState::Live => row.references == 0 && row.since < before.unreferenced,
        ObjectState::Doomed => false,
    };
    stale.then(|| doom(row, now))
}

/// What was found where the bytes of an object should lie.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Look {
    /// The object.
    pub object: ObjectId,
    /// Whether its bytes are there, as many as there should be.
    pub is_whole: bool,
}

/// How the media of a save is settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settlement {
    /// It is.
    Settled(Settled),
    /// There are no such bytes, and ours have not been completed.
    BytesNeeded,
    /// The ledger says that these bytes are here, and nobody has looked whether they are.
    LookNeeded(MediaRef),
}

/// Media that is settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// What the project refers to.
    pub media: MediaRef,
    /// The rows to write, in this order: of equal bytes one row at most is live at any time.
    pub rows: Vec<Object>,
    /// Objects whose bytes are lost. Each project that refers to one of them refers to `media` from now on.
    pub lost: Vec<ObjectId>,
}

/// Settles the media that a save brings: a reference to a live row of these bytes if there is one, and ours is doomed;
/// else ours turns live.
///
/// The ledger alone is not believed: bytes are dropped only for an object that somebody has looked at. One whose bytes
/// are lost is doomed, and what settles the media takes its place for all that refer to it.
///
/// `rows` are those that may have these bytes, `ours` is the row of the object that was offered, and `kept` the object
/// that the project refers to already.
///
/// # Errors
/// [`Error::UploadExpired`] where our row is no longer reserved; [`Error::MediaNeeded`] where
/// bytes were offered by their digest alone and are not there.
pub fn settle_media(
    offer: &MediaOffer,
    ours: Option<&Object>,
    rows: &[Object],
    kept: Option<ObjectId>,
    looks: &[Look],
    now: Timestamp,
) -> Result<Settlement> {
    let mut lost: Vec<&Object> = Vec::new();
    let mut found = None;
    for row in rows.iter().filter(|row| row.state == ObjectState::Live) {
        match looks.iter().find(|look| look.object == row.id) {
            None => return Ok(Settlement::LookNeeded(media_ref(row)?)),
            Some(look) if look.is_whole => {
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
            dropped = match discard(ours, now) {
                // The project has it already, however long the upload took.
                Err(Error::UploadExpired) if is_kept(row) => None,
                discarded => Some(discarded?),
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
