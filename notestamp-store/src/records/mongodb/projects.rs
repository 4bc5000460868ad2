use std::collections::HashMap;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, RawDocumentBuf, Uuid, doc, serialize_to_bson};
use mongodb::options::Hint;

use super::bson::uuid;
use super::documents::projects::{MediaDocument, ProjectDocument};
use super::documents::readable;
use super::error::{Failure, Result as StepResult};
use super::save_reads::{readable_media, save_reads, titled, with_media};
use super::transaction::Transaction;
use super::{MongoDbRecords, account, listing, objects, sessions};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Object, ObjectId, Page, Precondition, Project, ProjectId, Title,
    User, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{DeleteReads, SaveCommit, SaveDecision, check_precondition, plan_delete, plan_save};
use crate::records::{Deleted, ListStart, ProjectStore, RecordKind, SaveOutcome};

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
            Ok(account::is_present(&self.collections, owner).await?.then_some(media))
        })
        .await
    }

    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        self.transaction(&(owner, query), |transaction, (owner, query)| {
            listing::list(transaction, *owner, query).boxed()
        })
        .await
    }

    async fn start_list(&self, owner: UserId, query: &ListQuery, len: NonZeroUsize) -> Result<ListStart> {
        self.transaction(&(owner, query), move |transaction, (owner, query)| {
            listing::start(transaction, *owner, query, len).boxed()
        })
        .await
    }

    async fn find_projects_by_ids(&self, owner: UserId, ids: &[ProjectId]) -> Result<Vec<Project>> {
        let wanted: Vec<Uuid> = ids.iter().map(|id| uuid(id.as_bytes())).collect();
        self.bounded(async {
            let projects = self.collections.projects.clone_with_type::<RawDocumentBuf>();
            let filter = doc! { "_id": { "$in": wanted }, "owner": uuid(owner.as_bytes()) };
            let found: Vec<_> =
                projects.find(filter).projection(doc! { "grams": 0 }).await?.try_collect().await?;
            let found = readable::<ProjectDocument, Project>(RecordKind::Project, &found);
            let mut found: HashMap<_, _> = found.into_iter().map(|project| (project.id, project)).collect();
            let in_order = ids.iter().filter_map(|id| found.remove(id)).collect();
            Ok(if account::is_present(&self.collections, owner).await? { in_order } else { Vec::new() })
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
            Ok(account::is_present(&self.collections, owner).await?.then_some(project))
        })
        .await
    }
}

async fn save(transaction: &mut Transaction, commit: &SaveCommit) -> StepResult<SaveOutcome> {
    let plan = match plan_save(&save_reads(transaction, commit).await?, commit)? {
        SaveDecision::Save(plan) => *plan,
        SaveDecision::BytesNeeded => return Ok(SaveOutcome::BytesNeeded),
        SaveDecision::CheckNeeded(media) => return Ok(SaveOutcome::CheckNeeded(media)),
    };
    objects::write(transaction, &plan.rows).await?;
    if let Some(media) = plan.project.media.filter(|_| !plan.lost.is_empty()) {
        repoint(transaction, &plan.lost, media).await?;
    }
    put(transaction, &plan.project).await?;
    account::update_usage(transaction, &plan.user).await?;
    let doomed = plan.doomed().cloned().collect();
    Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
}

async fn delete_titled(
    transaction: &mut Transaction,
    caller: Caller,
    title: &Title,
    precondition: &Precondition,
    now: Timestamp,
) -> StepResult<Deleted> {
    let absent = || Failure::from(Error::NoSuchProject);
    let user = account::lock(transaction, caller.user).await?;
    sessions::admit(transaction, caller, user.as_ref().map(|user| user.session_epoch), now).await?;
    let user = user.ok_or_else(absent)?;
    let project = find_one(transaction, titled(caller.user, title)).await?.ok_or_else(absent)?;
    check_precondition(precondition, Some(project.revision))?;
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
        account::update_usage(transaction, user).await?;
    }
    Ok(Deleted { doomed: plan.doomed().cloned().collect::<Vec<Object>>() })
}

async fn find_one(transaction: &mut Transaction, filter: Document) -> StepResult<Option<Project>> {
    let Transaction { session, collections } = transaction;
    collections.projects.find_one(filter).session(session).await?.map(Project::try_from).transpose()
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
