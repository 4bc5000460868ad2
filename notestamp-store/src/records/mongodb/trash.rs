use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::bson::{date, limit as document_limit, uuid};
use super::documents::readable;
use super::documents::states::StateDocument;
use super::documents::trash::OwnedDocument;
use super::error::Result as StepResult;
use super::projects::{find_one, find_to_delete, put};
use super::save_reads::{media_use, titled};
use super::transaction::Transaction;
use super::{MongoDbRecords, account, purge, sessions};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, MediaRef, Object, Precondition, Project, ProjectId, ProjectKey, TrashCursor, Trashed, User,
    UserId,
};
use crate::error::Result;
use crate::protocol::{
    Holding, MediaUse, TrashReads, TrashRestore, TrashRestoreReads, plan_trash, plan_trash_restore,
};
use crate::records::{Deleted, RecordKind, TrashStore};

#[async_trait]
impl TrashStore for MongoDbRecords {
    async fn trash_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        trashed_max: u64,
        now: Timestamp,
    ) -> Result<Deleted> {
        let context = (caller, key, precondition, trashed_max, now);
        self.account_transaction(caller.user, &context, |transaction, context| {
            let (caller, key, precondition, trashed_max, now) = *context;
            trash(transaction, caller, key, precondition, trashed_max, now).boxed()
        })
        .await
    }

    async fn list_trash(
        &self,
        owner: UserId,
        after: Option<TrashCursor>,
        limit: usize,
    ) -> Result<Vec<Trashed>> {
        let trash = self.collections.trash.clone_with_type::<RawDocumentBuf>();
        let filter = before(owner, after);
        self.bounded(async {
            let (mut found, mut skip) = (Vec::new(), 0);
            // Damaged records make no page shorter.
            while let Some(wanted) = document_limit(limit - found.len()) {
                let page = trash.find(filter.clone()).sort(doc! { "deleted": -1, "_id": -1 });
                let page: Vec<RawDocumentBuf> = page.skip(skip).limit(wanted).await?.try_collect().await?;
                found.extend(readable::<StateDocument, Trashed>(RecordKind::Trashed, &page));
                skip += page.len() as u64;
                if (page.len() as i64) < wanted {
                    break;
                }
            }
            Ok(if account::is_present(&self.collections, owner).await? { found } else { Vec::new() })
        })
        .await
    }

    async fn restore_trashed(&self, restore: &TrashRestore) -> Result<Project> {
        self.account_transaction(restore.caller.user, restore, |transaction, restore| {
            untrash(transaction, restore).boxed()
        })
        .await
    }

    async fn purge_trashed(
        &self,
        caller: Caller,
        ids: &[ProjectId],
        now: Timestamp,
    ) -> Result<(usize, Deleted)> {
        self.account_transaction(caller.user, &(caller, ids, now), |transaction, (caller, ids, now)| {
            purge_some(transaction, *caller, ids, *now).boxed()
        })
        .await
    }

    async fn list_expired_trash(&self, before: Timestamp, limit: usize) -> Result<Vec<(UserId, ProjectId)>> {
        let Some(limit) = document_limit(limit) else { return Ok(Vec::new()) };
        self.bounded(async {
            let trash = self.collections.trash.clone_with_type::<OwnedDocument>();
            let found = trash.find(doc! { "deleted": { "$lt": date(before) } });
            let found = found.sort(doc! { "deleted": 1, "_id": 1 }).projection(doc! { "owner": 1 });
            let found: Vec<OwnedDocument> = found.limit(limit).await?.try_collect().await?;
            Ok(found.into_iter().map(<(UserId, ProjectId)>::from).collect())
        })
        .await
    }
}

async fn trash(
    transaction: &mut Transaction,
    caller: Caller,
    key: &ProjectKey,
    precondition: &Precondition,
    trashed_max: u64,
    now: Timestamp,
) -> StepResult<Deleted> {
    let (user, project) = find_to_delete(transaction, caller, key, precondition, now).await?;
    let Transaction { session, collections } = &mut *transaction;
    collections.projects.delete_one(doc! { "_id": uuid(project.id.as_bytes()) }).session(session).await?;
    let others = other_use(transaction, caller.user, project.media).await?;
    let plan = plan_trash(TrashReads { user, project, others }, now);
    let Transaction { session, collections } = &mut *transaction;
    collections.trash.insert_one(StateDocument::of_trashed(&plan.trashed)).session(session).await?;
    let (mut user, mut doomed) = (plan.user, Vec::new());
    for _ in trashed_max..user.usage.trashed {
        let Some(first) = purge::first_deleted(transaction, caller.user).await? else { break };
        user = purge_one(transaction, user, first, now, &mut doomed).await?;
    }
    account::update_usage(transaction, &user).await?;
    Ok(Deleted { doomed })
}

async fn untrash(transaction: &mut Transaction, restore: &TrashRestore) -> StepResult<Project> {
    let owner = restore.caller.user;
    let user = account::lock(transaction, owner).await?;
    let epoch = user.as_ref().map(|user| user.session_epoch);
    sessions::admit(transaction, restore.caller, epoch, restore.now).await?;
    let trashed = find_trashed(transaction, owner, restore.id).await?;
    let title_taken = match &trashed {
        Some(trashed) => find_one(transaction, titled(owner, restore.title(trashed))).await?.is_some(),
        None => false,
    };
    let Transaction { session, collections } = &mut *transaction;
    collections.trash.delete_one(doc! { "_id": uuid(restore.id.as_bytes()) }).session(session).await?;
    let media = trashed.as_ref().and_then(|trashed| trashed.project.media);
    let others = other_use(transaction, owner, media).await?;
    let reads = TrashRestoreReads { user, trashed, title_taken, others };
    let plan = plan_trash_restore(reads, restore)?;
    put(transaction, &plan.project).await?;
    account::update_usage(transaction, &plan.user).await?;
    Ok(plan.project)
}

async fn purge_some(
    transaction: &mut Transaction,
    caller: Caller,
    ids: &[ProjectId],
    now: Timestamp,
) -> StepResult<(usize, Deleted)> {
    let user = account::lock(transaction, caller.user).await?;
    sessions::admit(transaction, caller, user.as_ref().map(|user| user.session_epoch), now).await?;
    let (mut count, mut doomed) = (0, Vec::new());
    let Some(mut user) = user else { return Ok((count, Deleted { doomed })) };
    for id in ids {
        let Some(trashed) = find_trashed(transaction, caller.user, *id).await? else { continue };
        user = purge_one(transaction, user, trashed, now, &mut doomed).await?;
        count += 1;
    }
    account::update_usage(transaction, &user).await?;
    Ok((count, Deleted { doomed }))
}

/// Purges a project from the trash; returns the changed user record.
async fn purge_one(
    transaction: &mut Transaction,
    user: User,
    trashed: Trashed,
    now: Timestamp,
    doomed: &mut Vec<Object>,
) -> StepResult<User> {
    let states = purge::with_versions(transaction, Holding::Trashed, trashed.project).await?;
    purge::purge(transaction, user, states, now, doomed).await
}

/// How the other records of an account use the media of a project, whose own record has been removed.
async fn other_use(
    transaction: &mut Transaction,
    owner: UserId,
    media: Option<MediaRef>,
) -> StepResult<MediaUse> {
    match media {
        Some(media) => media_use(transaction, owner, media.digest, None).await,
        None => Ok(MediaUse::default()),
    }
}

async fn find_trashed(
    transaction: &mut Transaction,
    owner: UserId,
    id: ProjectId,
) -> StepResult<Option<Trashed>> {
    let Transaction { session, collections } = transaction;
    let filter = doc! { "_id": uuid(id.as_bytes()), "owner": uuid(owner.as_bytes()) };
    collections.trash.find_one(filter).session(session).await?.map(Trashed::try_from).transpose()
}

/// The trash of an account that was deleted before the cursor.
fn before(owner: UserId, cursor: Option<TrashCursor>) -> Document {
    let owner = uuid(owner.as_bytes());
    let Some(TrashCursor { deleted, id }) = cursor else { return doc! { "owner": owner } };
    let (deleted, id) = (date(deleted), uuid(id.as_bytes()));
    let before = [doc! { "deleted": { "$lt": deleted } }, doc! { "deleted": deleted, "_id": { "$lt": id } }];
    doc! { "owner": owner, "deleted": { "$lte": deleted }, "$or": before }
}
