//! Purges states of projects: of an account by the rules of the protocol, and what removed accounts have left.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, RawDocumentBuf, Uuid, deserialize_from_slice, doc};
use serde::Deserialize;

use super::bson::{limit as document_limit, uuid};
use super::collections::Collections;
use super::documents::states::{StateDocument, version_id};
use super::documents::users::RemovedUser;
use super::documents::{log_damage, readable};
use super::error::Result;
use super::objects;
use super::save_reads::media_use;
use super::transaction::Transaction;
use crate::clock::Timestamp;
use crate::domain::{Object, ObjectId, Project, Trashed, User, UserId, Version};
use crate::protocol::{Holding, PurgeReads, plan_purge, release};
use crate::records::RecordKind;

/// How many records one purge deletes at most, so that its transaction stays short.
const PURGED_MAX: usize = 32;

/// How many records are read to find the first that is not damaged.
const FIRST_READ: i64 = 8;

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
        let mut left = BTreeSet::new();
        for kind in [RecordKind::Project, RecordKind::Version, RecordKind::Trashed] {
            purged += purge_states(transaction, kind, &removed, limit - purged, now, &mut left).await?;
        }
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

/// Purges up to `limit` states of projects of removed accounts, which are on record as this kind; returns the count.
/// Adds to `left` the accounts of which states are left because what these refer to cannot be read.
async fn purge_states(
    transaction: &mut Transaction,
    kind: RecordKind,
    owners: &[Uuid],
    limit: usize,
    now: Timestamp,
    left: &mut BTreeSet<Uuid>,
) -> Result<usize> {
    let (mut count, mut damaged) = (0, 0);
    while let Some(wanted) = document_limit(limit - count) {
        let Transaction { session, collections } = &mut *transaction;
        let states = states_on_record(collections, kind);
        let fields = doc! { "owner": 1, "notes.object": 1, "media.object": 1 };
        let found = states.find(doc! { "owner": { "$in": owners } }).projection(fields);
        // Purged records are no longer found, and damaged ones are skipped.
        let found = found.sort(order_on_record(kind)).skip(damaged).limit(wanted);
        let mut found = found.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
        for document in &found {
            let read = deserialize_from_slice::<ReferencesDocument>(document.as_bytes());
            match log_damage(kind, read.map_err(|e| mongodb::error::Error::from(e).into())) {
                Some(state) => {
                    purge_one(transaction, &states, &state, now).await?;
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
    Ok(count)
}

fn states_on_record(collections: &Collections, kind: RecordKind) -> Collection<RawDocumentBuf> {
    match kind {
        RecordKind::Version => collections.versions.clone_with_type(),
        RecordKind::Trashed => collections.trash.clone_with_type(),
        _ => collections.projects.clone_with_type(),
    }
}

/// An order that an index has.
fn order_on_record(kind: RecordKind) -> Document {
    match kind {
        RecordKind::Version => doc! { "owner": 1, "replaced": 1, "project": 1, "revision": 1 },
        RecordKind::Trashed => doc! { "owner": 1, "deleted": 1, "_id": 1 },
        _ => doc! { "owner": 1, "save": 1 },
    }
}

async fn purge_one(
    transaction: &mut Transaction,
    states: &Collection<RawDocumentBuf>,
    state: &ReferencesDocument,
    now: Timestamp,
) -> Result<()> {
    let object = |reference: &ObjectReference| ObjectId::from_bytes(reference.object.bytes());
    let objects: Vec<ObjectId> = [&state.notes].into_iter().chain(&state.media).map(object).collect();
    let rows = objects::find_readable(transaction, &objects).await?;
    states.delete_one(doc! { "_id": state.id.clone() }).session(&mut transaction.session).await?;
    objects::write(transaction, &release(objects, &rows, now)).await
}

/// Purges these states of an account: removes their records, and takes away their references. Adds the doomed objects
/// to `doomed`, and returns the changed user record, which is not written yet.
pub(super) async fn purge(
    transaction: &mut Transaction,
    user: User,
    states: Vec<(Holding, Project)>,
    now: Timestamp,
    doomed: &mut Vec<Object>,
) -> Result<User> {
    if states.is_empty() {
        return Ok(user);
    }
    for holding in [Holding::Current, Holding::Version, Holding::Trashed] {
        let ids = states.iter().filter(|(held, _)| *held == holding).map(|(_, project)| match holding {
            Holding::Version => Bson::from(version_id(project.id, project.revision)),
            Holding::Current | Holding::Trashed => Bson::from(uuid(project.id.as_bytes())),
        });
        let ids: Vec<Bson> = ids.collect();
        if !ids.is_empty() {
            let Transaction { session, collections } = &mut *transaction;
            let kind = match holding {
                Holding::Current => RecordKind::Project,
                Holding::Version => RecordKind::Version,
                Holding::Trashed => RecordKind::Trashed,
            };
            let on_record = states_on_record(collections, kind);
            on_record.delete_many(doc! { "_id": { "$in": ids } }).session(session).await?;
        }
    }
    let media = || states.iter().filter_map(|(_, project)| project.media);
    let notes = states.iter().map(|(_, project)| project.notes.object);
    let objects: BTreeSet<_> = notes.chain(media().map(|media| media.object)).collect();
    let digests: BTreeSet<_> = media().map(|media| media.digest).collect();
    let mut others = Vec::with_capacity(digests.len());
    for digest in digests {
        others.push((digest, media_use(transaction, user.id, digest, None).await?));
    }
    let rows = objects::find_readable(transaction, &objects.into_iter().collect::<Vec<_>>()).await?;
    let plan = plan_purge(&PurgeReads { user, states, rows, others }, now);
    objects::write(transaction, &plan.rows).await?;
    doomed.extend(plan.doomed().cloned());
    Ok(plan.user)
}

/// A project's current state and its versions, to be purged together. Damaged versions are left out.
pub(super) async fn with_versions(
    transaction: &mut Transaction,
    holding: Holding,
    project: Project,
) -> Result<Vec<(Holding, Project)>> {
    let versions = doc! { "project": uuid(project.id.as_bytes()) };
    let versions = find_versions(transaction, versions).await?;
    Ok([(holding, project)].into_iter().chain(versions).collect())
}

/// Of the versions and the trash of an account, what was replaced or deleted first, with the versions of a project in
/// the trash. Empty if there is nothing.
pub(super) async fn oldest_kept(
    transaction: &mut Transaction,
    owner: UserId,
) -> Result<Vec<(Holding, Project)>> {
    let version = first_replaced(transaction, owner).await?;
    match (version, first_deleted(transaction, owner).await?) {
        (Some(version), trashed) if trashed.as_ref().is_none_or(|it| version.replaced <= it.deleted) => {
            Ok(vec![(Holding::Version, version.project)])
        }
        (_, Some(trashed)) => with_versions(transaction, Holding::Trashed, trashed.project).await,
        (_, None) => Ok(Vec::new()),
    }
}

/// The versions that a filter selects, to be purged; those that are damaged are left out.
pub(super) async fn find_versions(
    transaction: &mut Transaction,
    filter: Document,
) -> Result<Vec<(Holding, Project)>> {
    let Transaction { session, collections } = transaction;
    let versions = collections.versions.clone_with_type::<RawDocumentBuf>();
    let mut found = versions.find(filter).session(&mut *session).await?;
    let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
    let versions = readable::<StateDocument, Version>(RecordKind::Version, &found);
    Ok(versions.into_iter().map(|version| (Holding::Version, version.project)).collect())
}

/// The version of an account that was replaced first.
async fn first_replaced(transaction: &mut Transaction, owner: UserId) -> Result<Option<Version>> {
    let Transaction { session, collections } = transaction;
    let versions = collections.versions.clone_with_type::<RawDocumentBuf>();
    let first = versions.find(doc! { "owner": uuid(owner.as_bytes()) }).limit(FIRST_READ);
    let first = first.sort(doc! { "replaced": 1, "project": 1, "revision": 1 });
    let mut first = first.session(&mut *session).await?;
    let first: Vec<RawDocumentBuf> = first.stream(session).try_collect().await?;
    Ok(readable::<StateDocument, Version>(RecordKind::Version, &first).into_iter().next())
}

/// The project in the trash that was deleted first.
pub(super) async fn first_deleted(transaction: &mut Transaction, owner: UserId) -> Result<Option<Trashed>> {
    let Transaction { session, collections } = transaction;
    let trash = collections.trash.clone_with_type::<RawDocumentBuf>();
    let first = trash.find(doc! { "owner": uuid(owner.as_bytes()) }).limit(FIRST_READ);
    let mut first = first.sort(doc! { "deleted": 1, "_id": 1 }).session(&mut *session).await?;
    let first: Vec<RawDocumentBuf> = first.stream(session).try_collect().await?;
    Ok(readable::<StateDocument, Trashed>(RecordKind::Trashed, &first).into_iter().next())
}

/// The fields of a state of a project that the purge of a removed account reads.
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
