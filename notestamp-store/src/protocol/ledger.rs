//! The life of a ledger row: *reserved*, then *live* or *doomed*, and from *live* to *doomed*.

use crate::clock::Timestamp;
use crate::domain::{MediaRef, Object, ObjectKind, ObjectState};
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

/// How the media of a save is settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settled {
    /// What the project refers to.
    pub media: MediaRef,
    /// The rows to write.
    pub rows: Vec<Object>,
}

/// Settles the media of a project that has none yet: a reference to the live row of these bytes
/// if there is one, and ours is doomed; else ours turns live. None where the bytes are needed:
/// there is no live row, and ours has not been completed.
///
/// `live` is the live row of these bytes in our namespace, `ours` the row of the object that was offered.
///
/// # Errors
/// [`Error::UploadExpired`] where our row is no longer reserved; [`Error::MediaNeeded`] where
/// bytes were offered by their digest alone and are not there.
pub fn settle_media(
    offer: &MediaOffer,
    ours: Option<&Object>,
    live: Option<&Object>,
    now: Timestamp,
) -> Result<Option<Settled>> {
    let refer = |live: &Object| -> Result<(MediaRef, Object)> {
        let row = Object { references: live.references + 1, since: now, ..live.clone() };
        Ok((media_ref(&row)?, row))
    };
    let live = live.filter(|row| row.state == ObjectState::Live);
    let settled = match (offer, live) {
        (MediaOffer::Known(_), None) => return Err(Error::MediaNeeded),
        (MediaOffer::Known(_), Some(live)) => {
            let (media, row) = refer(live)?;
            Settled { media, rows: vec![row] }
        }
        (MediaOffer::Written(_) | MediaOffer::Staged(_), Some(live)) => {
            let (media, row) = refer(live)?;
            Settled { media, rows: vec![row, discard(ours, now)?] }
        }
        (MediaOffer::Written(written), None) => {
            let row = adopt(ours, written, now)?;
            Settled { media: media_ref(&row)?, rows: vec![row] }
        }
        (MediaOffer::Staged(_), None) => {
            still_reserved(ours)?;
            return Ok(None);
        }
    };
    Ok(Some(settled))
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
