use std::collections::HashMap;
use std::num::NonZeroUsize;

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::Collection;
use mongodb::bson::{Document, RawDocumentBuf, Uuid, doc, serialize_to_bson};
use mongodb::options::Hint;

use super::bson::uuid;
use super::collections::Collections;
use super::documents::projects::{MediaDocument, ProjectDocument};
use super::documents::readable;
use super::documents::states::StateDocument;
use super::error::{Failure, Result as StepResult};
use super::save_reads::{readable_media, save_reads, titled, with_media};
use super::transaction::Transaction;
use super::{MongoDbRecords, account, history, listing, objects, purge, sessions};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Object, ObjectId, Page, Precondition, Project, ProjectId,
    ProjectKey, Title, User, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{
    Holding, PURGED_FOR_QUOTA_MAX, SaveCommit, SaveDecision, SavePlan, check_precondition, exceeds_quota,
    plan_save,
};
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
            let Collections { projects, versions, trash, .. } = &self.collections;
            let states = [projects.clone_with_type(), versions.clone_with_type(), trash.clone_with_type()];
            for states in states {
                let states: Collection<RawDocumentBuf> = states;
                let found = states.find_one(with_media(owner, digest)).projection(doc! { "media": 1 });
                if let Some(media) = found.await?.and_then(|found| readable_media(&found)) {
                    return Ok(account::is_present(&self.collections, owner).await?.then_some(media));
                }
            }
            Ok(None)
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
        key: &ProjectKey,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted> {
        let context = (caller, key, precondition, now);
        self.account_transaction(caller.user, &context, |transaction, (caller, key, precondition, now)| {
            delete(transaction, *caller, key, precondition, *now).boxed()
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
    if let (Some(row), Some(bytes)) = (&plan.inline, commit.notes.inline_bytes()) {
        objects::insert_inline(transaction, row, bytes).await?;
    }
    objects::write(transaction, &plan.rows).await?;
    put(transaction, &plan.project).await?;
    if let Some(version) = &plan.version {
        let Transaction { session, collections } = &mut *transaction;
        collections.versions.insert_one(StateDocument::of_version(version)).session(session).await?;
    }
    if let Some(media) = plan.project.media.filter(|_| !plan.lost.is_empty()) {
        repoint(transaction, &plan.lost, media).await?;
    }
    let mut doomed: Vec<_> = plan.doomed().cloned().collect();
    let user = purge_surplus(transaction, commit, &plan, &mut doomed).await?;
    account::update_usage(transaction, &user).await?;
    Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
}

/// Purges the versions that a save has thinned out and, while the account exceeds its quota, the oldest of what it
/// keeps. Returns the user record.
async fn purge_surplus(
    transaction: &mut Transaction,
    commit: &SaveCommit,
    plan: &SavePlan,
    doomed: &mut Vec<Object>,
) -> StepResult<User> {
    let thinned = history::find_readable(transaction, plan.project.id, &plan.thinned).await?;
    let mut user = purge::purge(transaction, plan.user.clone(), thinned, commit.now, doomed).await?;
    for _ in 0..PURGED_FOR_QUOTA_MAX {
        if !exceeds_quota(&user, commit) {
            break;
        }
        let oldest = purge::oldest_kept(transaction, user.id).await?;
        if oldest.is_empty() {
            break;
        }
        user = purge::purge(transaction, user, oldest, commit.now, doomed).await?;
    }
    Ok(user)
}

async fn delete(
    transaction: &mut Transaction,
    caller: Caller,
    key: &ProjectKey,
    precondition: &Precondition,
    now: Timestamp,
) -> StepResult<Deleted> {
    let (user, project) = find_to_delete(transaction, caller, key, precondition, now).await?;
    let states = purge::with_versions(transaction, Holding::Current, project).await?;
    let mut doomed = Vec::new();
    let user = purge::purge(transaction, user, states, now, &mut doomed).await?;
    account::update_usage(transaction, &user).await?;
    Ok(Deleted { doomed })
}

/// The user record, which this writes to, and the project that is to be deleted.
pub(super) async fn find_to_delete(
    transaction: &mut Transaction,
    caller: Caller,
    key: &ProjectKey,
    precondition: &Precondition,
    now: Timestamp,
) -> StepResult<(User, Project)> {
    let absent = || Failure::from(Error::NoSuchProject);
    let user = account::lock(transaction, caller.user).await?;
    sessions::admit(transaction, caller, user.as_ref().map(|user| user.session_epoch), now).await?;
    let user = user.ok_or_else(absent)?;
    let filter = match key {
        ProjectKey::Title(title) => titled(caller.user, title),
        ProjectKey::Id(id) => doc! { "_id": uuid(id.as_bytes()), "owner": uuid(caller.user.as_bytes()) },
    };
    let project = find_one(transaction, filter).await?.ok_or_else(absent)?;
    check_precondition(precondition, Some(project.revision))?;
    Ok((user, project))
}

pub(super) async fn find_one(transaction: &mut Transaction, filter: Document) -> StepResult<Option<Project>> {
    let Transaction { session, collections } = transaction;
    collections.projects.find_one(filter).session(session).await?.map(Project::try_from).transpose()
}

/// Adds a project, or replaces the one of its id.
pub(super) async fn put(transaction: &mut Transaction, project: &Project) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    let id = doc! { "_id": uuid(project.id.as_bytes()) };
    let put = collections.projects.replace_one(id, ProjectDocument::of(project)).upsert(true);
    Ok(put.session(session).await.map(drop)?)
}

/// Repoints all records that refer to lost media to other media of the same bytes.
///
/// A concurrent transaction that adds or deletes a reference writes to the row of the lost object, as this transaction
/// does, and so conflicts with it. One that moves a reference to another record writes to the record that had it.
async fn repoint(transaction: &mut Transaction, lost: &[ObjectId], media: MediaRef) -> StepResult<()> {
    let lost: Vec<Uuid> = lost.iter().map(|id| uuid(id.as_bytes())).collect();
    let media = serialize_to_bson(&MediaDocument::of(&media)).map_err(mongodb::error::Error::from)?;
    let Transaction { session, collections } = transaction;
    let Collections { projects, versions, trash, .. } = collections;
    let states: [(Collection<Document>, &str); 3] = [
        (projects.clone_with_type(), "projects_by_media"),
        (versions.clone_with_type(), "versions_by_media"),
        (trash.clone_with_type(), "trash_by_media"),
    ];
    for (states, index) in states {
        let repoint = doc! { "$set": { "media": media.clone() } };
        let referring = doc! { "media.object": { "$in": &lost } };
        let repointed = states.update_many(referring, repoint).hint(Hint::Name(index.to_owned()));
        repointed.session(&mut *session).await?;
    }
    Ok(())
}
