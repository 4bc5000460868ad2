//! What the commit of a save reads.
//!
//! A transaction keeps all other transactions of its account waiting for as long as its commands take, each of which is
//! an exchange with the server. So everything but the user record is read by one command, unless the save changes the
//! media of a project.

use futures_util::TryStreamExt;
use mongodb::bson::{Document, RawDocumentBuf, Uuid, deserialize_from_slice, doc};
use mongodb::error::Error as DriverError;
use serde::Deserialize;

use super::account;
use super::bson::{binary, uuid};
use super::documents::objects::ObjectDocument;
use super::documents::projects::{MediaDocument, ProjectDocument};
use super::documents::sessions::SessionDocument;
use super::documents::versions::TimesDocument;
use super::documents::{log_damage, read, readable};
use super::error::{Failure, Result};
use super::objects::live;
use super::transaction::Transaction;
use crate::domain::{
    Digest, MediaRef, Object, ObjectId, Project, ProjectId, Session, Title, UserId, VersionTimes,
};
use crate::protocol::thinning::EXAMINED_MAX;
use crate::protocol::{MediaUse, SaveCommit, SaveReads};
use crate::records::RecordKind;

/// Reads what the commit needs, after this transaction has written to the user record.
pub(super) async fn save_reads(transaction: &mut Transaction, commit: &SaveCommit) -> Result<SaveReads> {
    // First, so that of several concurrent saves of one account only one continues.
    let Some(user) = account::lock(transaction, commit.caller.user).await? else {
        return Ok(SaveReads::default());
    };
    let Found { session, project, owned, owned_version, owned_trashed, versions, rows, live } =
        find(transaction, commit).await?;
    let session = session.first().map(read::<SessionDocument, Session>).transpose()?;
    let session = session.map(|session| user.session_epoch.apply_to(session));
    let project = project.first().map(read::<ProjectDocument, Project>).transpose()?;
    let mut owned = [owned, owned_version, owned_trashed].into_iter().flatten();
    let owned = owned.find_map(|state| readable_media(&state));
    let versions = readable::<TimesDocument, VersionTimes>(RecordKind::Version, &versions);
    let rows = readable::<ObjectDocument, Object>(RecordKind::Object, &rows);
    let live = live.first().map(read::<ObjectDocument, Object>).transpose()?;

    let row = |id: Option<ObjectId>| rows.iter().find(|row| Some(row.id) == id).cloned();
    let kept = commit.kept_media(project.as_ref());
    let old_media = project.as_ref().and_then(|project| project.media);
    let named = [kept, owned].map(|media| row(media.map(|media| media.object)));
    let (mut old_media_others, mut new_media_others) = Default::default();
    if commit.changes_media(project.as_ref()) {
        let (owner, id) = (commit.caller.user, project.as_ref().map(|project| project.id));
        if let Some(old) = old_media {
            old_media_others = media_use(transaction, owner, old.digest, id).await?;
        }
        if let Some(offer) = &commit.media {
            new_media_others = media_use(transaction, owner, offer.digest(), id).await?;
        }
    }
    Ok(SaveReads {
        session,
        user: Some(user),
        notes: row(Some(commit.notes.written().object)),
        old_notes: row(project.as_ref().map(|project| project.notes.object)),
        media: row(commit.media.as_ref().and_then(|offer| offer.object())),
        old_media: row(old_media.map(|media| media.object)),
        old_media_others,
        project,
        owned,
        new_media_others,
        versions,
        rows: SaveReads::distinct(named.into_iter().chain([live]).flatten()),
    })
}

/// The documents, each kind empty if there are none.
#[derive(Deserialize)]
struct Found {
    session: Vec<RawDocumentBuf>,
    project: Vec<RawDocumentBuf>,
    owned: Vec<RawDocumentBuf>,
    owned_version: Vec<RawDocumentBuf>,
    owned_trashed: Vec<RawDocumentBuf>,
    versions: Vec<RawDocumentBuf>,
    rows: Vec<RawDocumentBuf>,
    live: Vec<RawDocumentBuf>,
}

async fn find(transaction: &mut Transaction, commit: &SaveCommit) -> Result<Found> {
    let Transaction { session, collections } = transaction;
    let found = collections.users.aggregate(lookups(commit)).session(&mut *session).await?;
    let found: Vec<RawDocumentBuf> = found.with_type().stream(session).try_collect().await?;
    let found = found.first().ok_or(Failure::RowLost)?;
    Ok(deserialize_from_slice(found.as_bytes()).map_err(DriverError::from)?)
}

/// From the user record to everything else. Each lookup walks an index.
fn lookups(commit: &SaveCommit) -> Vec<Document> {
    let owner = commit.caller.user;
    let nothing = doc! { "$in": [] };
    let session = match commit.caller.session {
        Some(id) => doc! { "_id": uuid(id.as_bytes()), "user": uuid(owner.as_bytes()) },
        None => doc! { "_id": nothing.clone() },
    };
    let (owned, live) = match commit.media.as_ref().map(|offer| offer.digest()) {
        Some(digest) => (with_media(owner, digest), live(commit.namespace, digest)),
        None => (doc! { "_id": nothing.clone() }, doc! { "_id": nothing }),
    };
    let offered = commit.media.as_ref().and_then(|offer| offer.object());
    let new: Vec<Uuid> =
        [commit.notes.written().object].into_iter().chain(offered).map(|id| uuid(id.as_bytes())).collect();
    let lookup = |from: &str, matching: Document, name: &str| {
        let pipeline = [doc! { "$match": matching }, doc! { "$limit": 1 }];
        doc! { "$lookup": { "from": from, "pipeline": pipeline, "as": name } }
    };
    let referred = [
        doc! { "$literal": new }.into(),
        "$project.notes.object".into(),
        "$project.media.object".into(),
        "$owned.media.object".into(),
        "$owned_version.media.object".into(),
        "$owned_trashed.media.object".into(),
    ];
    let referred: Vec<mongodb::bson::Bson> = referred.into();
    vec![
        doc! { "$match": { "_id": uuid(owner.as_bytes()) } },
        doc! { "$project": { "_id": 1 } },
        lookup("sessions", session, "session"),
        lookup("projects", titled(owner, &commit.metadata.title), "project"),
        lookup("projects", owned.clone(), "owned"),
        lookup("versions", owned.clone(), "owned_version"),
        lookup("trash", owned, "owned_trashed"),
        newest_versions(),
        lookup("objects", live, "live"),
        doc! { "$set": { "referred": { "$concatArrays": referred } } },
        doc! { "$lookup": { "from": "objects", "localField": "referred", "foreignField": "_id", "as": "rows" } },
    ]
}

/// The times of the project's versions, from the newest on.
fn newest_versions() -> Document {
    let limit = i64::try_from(EXAMINED_MAX).expect("it is small");
    let pipeline = [
        doc! { "$sort": { "revision": -1 } },
        doc! { "$limit": limit },
        doc! { "$project": { "_id": 0, "revision": 1, "saved": 1, "replaced": 1 } },
    ];
    doc! { "$lookup": {
        "from": "versions", "localField": "project._id", "foreignField": "project", "pipeline": pipeline,
        "as": "versions",
    } }
}

/// How the records of an account use media with this digest, apart from the project `except`.
pub(super) async fn media_use(
    transaction: &mut Transaction,
    owner: UserId,
    digest: Digest,
    except: Option<ProjectId>,
) -> Result<MediaUse> {
    let Transaction { session, collections } = transaction;
    let mut others = with_media(owner, digest);
    if let Some(except) = except {
        others.insert("_id", doc! { "$ne": uuid(except.as_bytes()) });
    }
    let id = doc! { "_id": 1 };
    let projects = collections.projects.clone_with_type::<Document>();
    let project = projects.find_one(others).projection(id.clone()).session(&mut *session).await?;
    let versions = collections.versions.clone_with_type::<Document>();
    let version = versions.find_one(with_media(owner, digest)).projection(id.clone());
    let mut kept = version.session(&mut *session).await?.is_some();
    if !kept {
        let trash = collections.trash.clone_with_type::<Document>();
        let trashed = trash.find_one(with_media(owner, digest)).projection(id);
        kept = trashed.session(&mut *session).await?.is_some();
    }
    Ok(MediaUse { shown: project.is_some(), kept })
}

pub(super) fn titled(owner: UserId, title: &Title) -> Document {
    doc! { "owner": uuid(owner.as_bytes()), "title": title.as_str() }
}

pub(super) fn with_media(owner: UserId, digest: Digest) -> Document {
    doc! { "owner": uuid(owner.as_bytes()), "media.digest": binary(&digest) }
}

/// The media of a project. Unreadable media counts as absent: a save that brings the bytes does not need it.
pub(super) fn readable_media(project: &RawDocumentBuf) -> Option<MediaRef> {
    #[derive(Deserialize)]
    struct WithMedia {
        media: MediaDocument,
    }
    let read = deserialize_from_slice::<WithMedia>(project.as_bytes());
    let read = read.map_err(|error| mongodb::error::Error::from(error).into());
    log_damage(RecordKind::Project, read.and_then(|it| MediaRef::try_from(it.media)))
}
