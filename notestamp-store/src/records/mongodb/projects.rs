use std::collections::BTreeSet;

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{
    Binary, Bson, DateTime, Document, RawDocumentBuf, Uuid, deserialize_from_slice, doc, serialize_to_bson,
};
use mongodb::options::Hint;
use serde::{Deserialize, Serialize};

use super::bson::{
    binary, date, digest as digest_of, limit as document_limit, namespace as namespace_of, namespace_owner,
    timestamp, uuid,
};
use super::damage::log_damage;
use super::error::{Failure, Result as StepResult};
use super::transaction::Transaction;
use super::{MongoDbRecords, listing, objects, sessions, users};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ExtraFields, LastModified, ListQuery, MediaRef, Metadata, NotesRef, Object, ObjectId,
    Page, Precondition, Project, ProjectId, Revision, Title, User, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{DeleteReads, SaveCommit, SaveDecision, SaveReads, plan_delete, plan_purge, plan_save};
use crate::records::{Deleted, ProjectStore, RecordKind, SaveOutcome};

#[async_trait]
impl ProjectStore for MongoDbRecords {
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>> {
        self.find_one_project(owner, titled(owner, title)).await
    }

    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>> {
        let filter = doc! { "_id": uuid(id.as_bytes()), "owner": uuid(owner.as_bytes()) };
        self.find_one_project(owner, filter).await
    }

    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>> {
        self.bounded(async {
            let projects = self.collections.projects.clone_with_type::<RawDocumentBuf>();
            let found = projects.find_one(with_media(owner, digest)).projection(doc! { "media": 1 }).await?;
            let Some(media) = found.and_then(|found| readable_media(&found)) else { return Ok(None) };
            Ok(users::is_present(&self.collections, owner).await?.then_some(media))
        })
        .await
    }

    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        self.transaction(&(owner, query), |transaction, (owner, query)| {
            listing::list(transaction, *owner, query).boxed()
        })
        .await
    }

    async fn commit_save(&self, commit: &SaveCommit) -> Result<SaveOutcome> {
        self.account_transaction(commit.caller.user, commit, |transaction, commit| {
            save(transaction, commit).boxed()
        })
        .await
    }

    async fn delete_project_if(
        &self,
        caller: Caller,
        title: &Title,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted> {
        let context = (caller, title, precondition, now);
        self.account_transaction(caller.user, &context, |transaction, (caller, title, precondition, now)| {
            delete_titled(transaction, *caller, title, precondition, *now).boxed()
        })
        .await
    }
}

impl MongoDbRecords {
    /// A project; absent if its owner's account has been removed.
    async fn find_one_project(&self, owner: UserId, filter: Document) -> Result<Option<Project>> {
        self.bounded(async {
            let found = self.collections.projects.find_one(filter).await?;
            let Some(project) = found.map(Project::try_from).transpose()? else { return Ok(None) };
            Ok(users::is_present(&self.collections, owner).await?.then_some(project))
        })
        .await
    }
}

/// Purges up to `limit` projects of removed accounts. Returns the count, and the accounts of which projects are left, because
/// what these refer to cannot be read.
pub(super) async fn purge(
    transaction: &mut Transaction,
    owners: &[Uuid],
    limit: usize,
    now: Timestamp,
) -> StepResult<(usize, BTreeSet<Uuid>)> {
    let (mut count, mut damaged, mut left) = (0, 0, BTreeSet::new());
    while let Some(wanted) = document_limit(limit - count) {
        let Transaction { session, collections } = &mut *transaction;
        let projects = collections.projects.clone_with_type::<RawDocumentBuf>();
        let fields = doc! { "owner": 1, "notes.object": 1, "media.object": 1 };
        let found = projects.find(doc! { "owner": { "$in": owners } }).projection(fields);
        // What has been purged is not found any more, and what is damaged is passed over.
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
) -> StepResult<()> {
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

async fn save(transaction: &mut Transaction, commit: &SaveCommit) -> StepResult<SaveOutcome> {
    let plan = match plan_save(&save_reads(transaction, commit).await?, commit)? {
        SaveDecision::Save(plan) => *plan,
        SaveDecision::BytesNeeded => return Ok(SaveOutcome::BytesNeeded),
        SaveDecision::LookNeeded(media) => return Ok(SaveOutcome::LookNeeded(media)),
    };
    objects::write(transaction, &plan.rows).await?;
    if let Some(media) = plan.project.media.filter(|_| !plan.lost.is_empty()) {
        repoint(transaction, &plan.lost, media).await?;
    }
    put(transaction, &plan.project).await?;
    users::update_usage(transaction, &plan.user).await?;
    let doomed = plan.doomed().cloned().collect();
    Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
}

async fn save_reads(transaction: &mut Transaction, commit: &SaveCommit) -> StepResult<SaveReads> {
    // First, so that of several concurrent saves of one account only one continues.
    let owner = commit.caller.user;
    let Some(user) = users::lock(transaction, owner).await? else { return Ok(SaveReads::default()) };
    let session = sessions::find_of(transaction, commit.caller).await?;
    let project = find_one(transaction, titled(owner, &commit.metadata.title)).await?;
    let digest = commit.media.as_ref().map(|offer| offer.digest());
    let owned = match digest {
        None => None,
        Some(digest) => {
            let Transaction { session, collections } = &mut *transaction;
            let projects = collections.projects.clone_with_type::<RawDocumentBuf>();
            let found = projects.find_one(with_media(owner, digest)).projection(doc! { "media": 1 });
            found.session(session).await?.and_then(|found| readable_media(&found))
        }
    };
    let offered = commit.media.as_ref().and_then(|offer| offer.object());
    let old_notes = project.as_ref().map(|project| project.notes.object);
    let kept = project.as_ref().and_then(|project| project.media);
    let kept = kept.filter(|kept| Some(kept.digest) == digest);
    let named = [kept, owned].map(|media| media.map(|media| media.object));
    let ids = [Some(commit.notes.object), old_notes, offered, named[0], named[1]];
    let rows = objects::find_readable(transaction, &ids.into_iter().flatten().collect::<Vec<_>>()).await?;
    let row = |id: Option<ObjectId>| rows.iter().find(|row| Some(row.id) == id).cloned();
    let live = match digest {
        Some(digest) => objects::find_live(transaction, commit.namespace, digest).await?,
        None => None,
    };
    let mut candidates: Vec<Object> = Vec::new();
    for row in named.into_iter().map(row).chain([live]).flatten() {
        if candidates.iter().all(|known| known.id != row.id) {
            candidates.push(row);
        }
    }
    Ok(SaveReads {
        session,
        user: Some(user),
        notes: row(Some(commit.notes.object)),
        old_notes: row(old_notes),
        media: row(offered),
        project,
        owned,
        rows: candidates,
    })
}

async fn delete_titled(
    transaction: &mut Transaction,
    caller: Caller,
    title: &Title,
    precondition: &Precondition,
    now: Timestamp,
) -> StepResult<Deleted> {
    let absent = || Failure::from(Error::NotFound { what: "project" });
    let user = users::lock(transaction, caller.user).await?;
    sessions::admit(transaction, caller, user.is_some(), now).await?;
    let user = user.ok_or_else(absent)?;
    let project = find_one(transaction, titled(caller.user, title)).await?.ok_or_else(absent)?;
    precondition.check(Some(project.revision))?;
    delete(transaction, Some(user), project, now).await
}

/// Deletes a project. `user` is its owner's user record, absent if the account has been removed.
async fn delete(
    transaction: &mut Transaction,
    user: Option<User>,
    project: Project,
    now: Timestamp,
) -> StepResult<Deleted> {
    let (id, notes, media) = (uuid(project.id.as_bytes()), project.notes, project.media);
    let media_shared = match media {
        None => false,
        Some(media) => {
            let mut others = with_media(project.owner, media.digest);
            others.insert("_id", doc! { "$ne": id });
            let Transaction { session, collections } = &mut *transaction;
            let projects = collections.projects.clone_with_type::<Document>();
            let other = projects.find_one(others).projection(doc! { "_id": 1 }).session(session);
            other.await?.is_some()
        }
    };
    let ids = [Some(notes.object), media.map(|media| media.object)];
    let rows = objects::find_readable(transaction, &ids.into_iter().flatten().collect::<Vec<_>>()).await?;
    let row = |id: ObjectId| rows.iter().find(|row| row.id == id).cloned();
    let reads = DeleteReads {
        user,
        notes: row(notes.object),
        media: media.and_then(|media| row(media.object)),
        media_shared,
        project,
    };
    let plan = plan_delete(&reads, now);
    let Transaction { session, collections } = &mut *transaction;
    collections.projects.delete_one(doc! { "_id": id }).session(session).await?;
    objects::write(transaction, &plan.rows).await?;
    if let Some(user) = &plan.user {
        users::update_usage(transaction, user).await?;
    }
    Ok(Deleted { doomed: plan.doomed().cloned().collect::<Vec<Object>>() })
}

async fn find_one(transaction: &mut Transaction, filter: Document) -> StepResult<Option<Project>> {
    let Transaction { session, collections } = transaction;
    collections.projects.find_one(filter).session(session).await?.map(Project::try_from).transpose()
}

/// The media of a project. What cannot be read is not had: a save that brings the bytes needs none of it.
fn readable_media(project: &RawDocumentBuf) -> Option<MediaRef> {
    #[derive(Deserialize)]
    struct WithMedia {
        media: MediaDocument,
    }
    let read = deserialize_from_slice::<WithMedia>(project.as_bytes());
    let read = read.map_err(|error| mongodb::error::Error::from(error).into());
    log_damage(RecordKind::Project, read.and_then(|it| MediaRef::try_from(it.media)))
}

/// Adds a project, or replaces the one of its id.
async fn put(transaction: &mut Transaction, project: &Project) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    let id = doc! { "_id": uuid(project.id.as_bytes()) };
    let put = collections.projects.replace_one(id, ProjectDocument::of(project)).upsert(true);
    Ok(put.session(session).await.map(drop)?)
}

/// Repoints all projects that refer to lost media to other media of the same bytes.
///
/// A concurrent transaction that adds or deletes a reference writes to the row of the lost object, as this transaction
/// does, and so conflicts with it.
async fn repoint(transaction: &mut Transaction, lost: &[ObjectId], media: MediaRef) -> StepResult<()> {
    let lost: Vec<Uuid> = lost.iter().map(|id| uuid(id.as_bytes())).collect();
    let media = serialize_to_bson(&MediaDocument::of(&media)).map_err(mongodb::error::Error::from)?;
    let Transaction { session, collections } = transaction;
    let projects = collections.projects.clone_with_type::<Document>();
    let repoint = doc! { "$set": { "media": media } };
    let referring = doc! { "media.object": { "$in": lost } };
    let repointed = projects.update_many(referring, repoint).hint(Hint::Name("projects_by_media".to_owned()));
    Ok(repointed.session(session).await.map(drop)?)
}

fn titled(owner: UserId, title: &Title) -> Document {
    doc! { "owner": uuid(owner.as_bytes()), "title": title.as_str() }
}

fn with_media(owner: UserId, digest: Digest) -> Document {
    doc! { "owner": uuid(owner.as_bytes()), "media.digest": binary(&digest) }
}

/// What the purge of a project reads of it.
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

#[derive(Serialize, Deserialize)]
pub(super) struct ProjectDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    owner: Uuid,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    label: String,
    src: String,
    mimetype: String,
    last_modified: String,
    by_last_modified: LastModifiedPlace,
    by_title: TitlePlace,
    /// The n-grams of the title, for an index only.
    #[serde(skip_deserializing)]
    grams: BTreeSet<String>,
    /// As JSON text, so that numbers beyond the range of floats, and any names, are kept unchanged.
    extra: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaDocument>,
    notes: NotesDocument,
    revision: u64,
    save: u64,
    created: DateTime,
}

/// The sort key of the listings by last modification. MongoDB compares subdocuments field by field.
#[derive(Serialize, Deserialize)]
pub(super) struct LastModifiedPlace {
    at: DateTime,
    id: Uuid,
}

/// The sort key of the listings by title.
#[derive(Serialize, Deserialize)]
pub(super) struct TitlePlace {
    folded: String,
    title: String,
}

#[derive(Serialize, Deserialize)]
struct MediaDocument {
    object: Uuid,
    /// The owner's id, or null if the namespace is shared.
    namespace: Option<Uuid>,
    digest: Binary,
    size: u64,
}

#[derive(Serialize, Deserialize)]
struct NotesDocument {
    object: Uuid,
    size: u64,
}

impl LastModifiedPlace {
    pub(super) fn of(at: Timestamp, id: ProjectId) -> Self {
        Self { at: date(at), id: uuid(id.as_bytes()) }
    }
}

impl TitlePlace {
    pub(super) fn of(folded: String, title: &Title) -> Self {
        Self { folded, title: title.as_str().to_owned() }
    }
}

impl MediaDocument {
    fn of(media: &MediaRef) -> Self {
        Self {
            object: uuid(media.object.as_bytes()),
            namespace: namespace_owner(media.namespace),
            digest: binary(&media.digest),
            size: media.size,
        }
    }
}

impl ProjectDocument {
    fn of(project: &Project) -> Self {
        let Project { metadata, notes, .. } = project;
        Self {
            id: uuid(project.id.as_bytes()),
            owner: uuid(project.owner.as_bytes()),
            title: metadata.title.as_str().to_owned(),
            kind: metadata.kind.clone(),
            label: metadata.label.clone(),
            src: metadata.src.clone(),
            mimetype: metadata.mimetype.clone(),
            last_modified: metadata.last_modified.as_str().to_owned(),
            by_last_modified: LastModifiedPlace::of(metadata.last_modified.instant(), project.id),
            by_title: TitlePlace::of(metadata.title.folded(), &metadata.title),
            grams: metadata.title.ngrams(),
            extra: metadata.extra.to_json(),
            media: project.media.as_ref().map(MediaDocument::of),
            notes: NotesDocument { object: uuid(notes.object.as_bytes()), size: notes.size },
            revision: project.revision.get(),
            save: project.save,
            created: date(project.created),
        }
    }
}

impl TryFrom<MediaDocument> for MediaRef {
    type Error = Failure;

    fn try_from(document: MediaDocument) -> StepResult<Self> {
        Ok(Self {
            object: ObjectId::from_bytes(document.object.bytes()),
            namespace: namespace_of(document.namespace),
            digest: digest_of(&document.digest, "projects.media.digest")?,
            size: document.size,
        })
    }
}

impl TryFrom<ProjectDocument> for Project {
    type Error = Failure;

    fn try_from(document: ProjectDocument) -> StepResult<Self> {
        let last_modified = timestamp(document.by_last_modified.at);
        let title = Title::parse(&document.title).map_err(|_| Failure::Field { field: "projects.title" })?;
        let metadata = Metadata {
            title,
            kind: document.kind,
            label: document.label,
            src: document.src,
            mimetype: document.mimetype,
            last_modified: LastModified::parse_or(&document.last_modified, last_modified),
            extra: ExtraFields::from_json(&document.extra)
                .map_err(|_| Failure::Field { field: "projects.extra" })?,
        };
        let notes = document.notes;
        Ok(Self {
            id: ProjectId::from_bytes(document.id.bytes()),
            owner: UserId::from_bytes(document.owner.bytes()),
            metadata,
            media: document.media.map(MediaRef::try_from).transpose()?,
            notes: NotesRef { object: ObjectId::from_bytes(notes.object.bytes()), size: notes.size },
            revision: Revision::new(document.revision),
            save: document.save,
            created: timestamp(document.created),
        })
    }
}
