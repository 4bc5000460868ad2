//! Purges what removed accounts have left.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocumentBuf, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;

use super::bson::limit as document_limit;
use super::documents::log_damage;
use super::documents::users::RemovedUser;
use super::error::Result;
use super::objects;
use super::transaction::Transaction;
use crate::clock::Timestamp;
use crate::domain::ObjectId;
use crate::protocol::plan_purge;
use crate::records::RecordKind;

/// How many records one purge deletes at most, so that its transaction stays short.
const PURGED_MAX: usize = 32;

/// How many removed accounts a purge processes together.
const REMOVED_MAX: usize = 64;

/// Purges removed accounts one batch after the other, until the limit is reached or each account has been visited.
pub(super) async fn purge_removed(
    transaction: &mut Transaction,
    limit: usize,
    now: Timestamp,
) -> Result<usize> {
    let limit = limit.min(PURGED_MAX);
    let (mut purged, mut after) = (0, None);
    while purged < limit {
        let removed = some_removed(transaction, after).await?;
        let Some(last) = removed.last() else { break };
        after = Some(*last);
        purged += purge_sessions(transaction, &removed, limit - purged).await?;
        let (projects, left) = purge_projects(transaction, &removed, limit - purged, now).await?;
        purged += projects;
        if purged < limit {
            // Only records that cannot be read are left of these accounts. Nothing can be added: that would conflict
            // with the removal.
            let gone: Vec<Uuid> = removed.into_iter().filter(|id| !left.contains(id)).collect();
            let Transaction { session, collections } = &mut *transaction;
            let removed = &collections.removed_users;
            removed.delete_many(doc! { "_id": { "$in": gone } }).session(session).await?;
        }
    }
    Ok(purged)
}

/// Some removed accounts, in the order of their ids.
async fn some_removed(transaction: &mut Transaction, after: Option<Uuid>) -> Result<Vec<Uuid>> {
    let Transaction { session, collections } = transaction;
    let limit = document_limit(REMOVED_MAX).expect("it is not zero");
    let beyond = after.map(|after| doc! { "_id": { "$gt": after } }).unwrap_or_default();
    let found = collections.removed_users.find(beyond).sort(doc! { "_id": 1 }).limit(limit);
    let mut found = found.session(&mut *session).await?;
    let removed: Vec<RemovedUser> = found.stream(session).try_collect().await?;
    Ok(removed.into_iter().map(|user| user.id).collect())
}

async fn purge_sessions(transaction: &mut Transaction, users: &[Uuid], limit: usize) -> Result<usize> {
    let Some(limit) = document_limit(limit) else { return Ok(0) };
    let Transaction { session, collections } = transaction;
    let left = doc! { "user": { "$in": users } };
    let sessions = collections.sessions.clone_with_type::<Document>();
    let left = sessions.find(left).projection(doc! { "_id": 1 }).limit(limit);
    let mut left = left.session(&mut *session).await?;
    let left: Vec<_> =
        left.stream(session).map_ok(|session| session.get("_id").cloned()).try_collect().await?;
    collections.sessions.delete_many(doc! { "_id": { "$in": &left } }).session(session).await?;
    Ok(left.len())
}

/// Purges up to `limit` projects. Returns the count, and the accounts of which projects are left because what these
/// refer to cannot be read.
async fn purge_projects(
    transaction: &mut Transaction,
    owners: &[Uuid],
    limit: usize,
    now: Timestamp,
) -> Result<(usize, BTreeSet<Uuid>)> {
    let (mut count, mut damaged, mut left) = (0, 0, BTreeSet::new());
    while let Some(wanted) = document_limit(limit - count) {
        let Transaction { session, collections } = &mut *transaction;
        let projects = collections.projects.clone_with_type::<RawDocumentBuf>();
        let fields = doc! { "owner": 1, "notes.object": 1, "media.object": 1 };
        let found = projects.find(doc! { "owner": { "$in": owners } }).projection(fields);
        // Purged records are no longer found, and damaged ones are skipped.
        let found = found.sort(doc! { "owner": 1, "save": 1 }).skip(damaged).limit(wanted);
        let mut found = found.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
        for document in &found {
            let read = deserialize_from_slice::<ReferencesDocument>(document.as_bytes());
            match log_damage(RecordKind::Project, read.map_err(|e| mongodb::error::Error::from(e).into())) {
                Some(project) => {
                    purge_one(transaction, &project, now).await?;
                    count += 1;
                }
                None => {
                    damaged += 1;
                    let owner = document.get("owner").ok().flatten().map(Bson::try_from);
                    if let Some(Ok(Bson::Binary(owner))) = owner {
                        left.extend(owner.to_uuid());
                    }
                }
            }
        }
        if (found.len() as i64) < wanted {
            break;
        }
    }
    Ok((count, left))
}

async fn purge_one(
    transaction: &mut Transaction,
    project: &ReferencesDocument,
    now: Timestamp,
) -> Result<()> {
    let object = |reference: &ObjectReference| ObjectId::from_bytes(reference.object.bytes());
    let (notes, media) = (object(&project.notes), project.media.as_ref().map(object));
    let ids: Vec<ObjectId> = [notes].into_iter().chain(media).collect();
    let rows = objects::find_readable(transaction, &ids).await?;
    let row = |id: ObjectId| rows.iter().find(|row| row.id == id);
    let plan = plan_purge(row(notes), media.and_then(row), now);
    let Transaction { session, collections } = &mut *transaction;
    collections.projects.delete_one(doc! { "_id": project.id.clone() }).session(session).await?;
    objects::write(transaction, &plan).await
}

/// The fields of a project that its purge reads.
#[derive(Deserialize)]
struct ReferencesDocument {
    #[serde(rename = "_id")]
    id: Bson,
    notes: ObjectReference,
    media: Option<ObjectReference>,
}

#[derive(Deserialize)]
struct ObjectReference {
    object: Uuid,
}
