use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{DateTime, Document, Uuid, doc, serialize_to_document};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use super::bson::{date, limit as document_limit, timestamp, uuid};
use super::collections::Collections;
use super::error::{Failure, Result as StepResult, is_duplicate_key};
use super::transaction::Transaction;
use super::{MongoDbRecords, projects, sessions};
use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, Revision, RevocationReason, Session, Usage, User, UserId};
use crate::error::{Error, Result};
use crate::records::UserStore;

/// How many records one purge deletes at most, so that its transaction stays short.
const PURGED_MAX: usize = 32;

/// How many removed accounts a purge processes together.
const REMOVED_MAX: usize = 64;

#[async_trait]
impl UserStore for MongoDbRecords {
    async fn create_user(&self, user: &User) -> Result<()> {
        self.bounded(async {
            match self.collections.users.insert_one(UserDocument::of(user)).await {
                Err(taken) if is_duplicate_key(&taken) => {
                    Err(Error::AlreadyExists { what: "account" }.into())
                }
                inserted => Ok(inserted.map(drop)?),
            }
        })
        .await
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        self.find_one_user(doc! { "_id": uuid(id.as_bytes()) }).await
    }

    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>> {
        self.find_one_user(doc! { "email": email.as_str() }).await
    }

    async fn replace_password_hash(
        &self,
        id: UserId,
        before: &PasswordHash,
        after: &PasswordHash,
    ) -> Result<bool> {
        self.bounded(async {
            let unchanged = doc! { "_id": uuid(id.as_bytes()), "password_hash": before.as_phc() };
            let replace = doc! { "$set": { "password_hash": after.as_phc() } };
            let replaced = self.collections.users.update_one(unchanged, replace).await?;
            Ok(replaced.matched_count > 0)
        })
        .await
    }

    async fn change_password(
        &self,
        caller: Caller,
        before: &PasswordHash,
        after: &PasswordHash,
        session: &Session,
        now: Timestamp,
    ) -> Result<bool> {
        let context = (caller, before, after, session, now);
        self.account_transaction(
            session.user,
            &context,
            |transaction, (caller, before, after, session, now)| {
                change_password(transaction, *caller, before, after, session, *now).boxed()
            },
        )
        .await
    }

    async fn remove_user(&self, caller: Caller, now: Timestamp) -> Result<bool> {
        self.account_transaction(caller.user, &(caller, now), |transaction, (caller, now)| {
            remove(transaction, *caller, *now).boxed()
        })
        .await
    }

    async fn purge_removed(&self, limit: usize, now: Timestamp) -> Result<usize> {
        let limit = limit.min(PURGED_MAX);
        self.transaction(&(limit, now), |transaction, (limit, now)| {
            purge_removed(transaction, *limit, *now).boxed()
        })
        .await
    }
}

impl MongoDbRecords {
    async fn find_one_user(&self, filter: Document) -> Result<Option<User>> {
        self.bounded(async {
            let found = self.collections.users.find_one(filter).await?;
            found.map(User::try_from).transpose()
        })
        .await
    }
}

/// Whether an account has not been removed.
pub(super) async fn is_present(collections: &Collections, id: UserId) -> StepResult<bool> {
    let users = collections.users.clone_with_type::<Document>();
    let found = users.find_one(doc! { "_id": uuid(id.as_bytes()) }).projection(doc! { "_id": 1 });
    Ok(found.await?.is_some())
}

/// The user record of this id; absent if the account has been removed. Until the commit, any concurrent transaction
/// that writes to the record conflicts with this one.
pub(super) async fn lock(transaction: &mut Transaction, id: UserId) -> StepResult<Option<User>> {
    let Transaction { session, collections } = transaction;
    let found = collections
        .users
        .find_one_and_update(doc! { "_id": uuid(id.as_bytes()) }, doc! { "$inc": { "writes": 1 } })
        .return_document(ReturnDocument::After)
        .session(session);
    found.await?.map(User::try_from).transpose()
}

/// Writes to a user record as [`lock`] does, without reading it; returns whether it exists.
pub(super) async fn touch(transaction: &mut Transaction, id: UserId) -> StepResult<bool> {
    let Transaction { session, collections } = transaction;
    let touch = doc! { "$inc": { "writes": 1 } };
    let touched = collections.users.update_one(doc! { "_id": uuid(id.as_bytes()) }, touch).session(session);
    Ok(touched.await?.matched_count > 0)
}

/// Writes the fields of a user record that a save or a deletion changes.
pub(super) async fn update_usage(transaction: &mut Transaction, user: &User) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    let usage = UsageFields {
        usage: UsageDocument::of(user),
        saves: user.saves,
        revision_floor: user.revision_floor.get(),
    };
    let usage = serialize_to_document(&usage).map_err(mongodb::error::Error::from)?;
    let update = doc! { "$set": usage, "$inc": { "writes": 1 } };
    let updated =
        collections.users.update_one(doc! { "_id": uuid(user.id.as_bytes()) }, update).session(session);
    if updated.await?.matched_count == 0 { Err(Failure::RowLost) } else { Ok(()) }
}

/// A concurrent start of a session conflicts with the change of the user record.
async fn change_password(
    transaction: &mut Transaction,
    caller: Caller,
    before: &PasswordHash,
    after: &PasswordHash,
    new: &Session,
    now: Timestamp,
) -> StepResult<bool> {
    let is_present = touch(transaction, new.user).await?;
    sessions::admit(transaction, caller, is_present, now).await?;
    let Transaction { session, collections } = &mut *transaction;
    let unchanged = doc! { "_id": uuid(new.user.as_bytes()), "password_hash": before.as_phc() };
    let replace = doc! { "$set": { "password_hash": after.as_phc() }, "$inc": { "writes": 1 } };
    let replaced = collections.users.update_one(unchanged, replace).session(session).await?;
    if replaced.matched_count == 0 {
        return Ok(false);
    }
    sessions::revoke_all(transaction, new.user, None, RevocationReason::PasswordChanged, now).await?;
    sessions::start(transaction, new).await?;
    Ok(true)
}

async fn remove(transaction: &mut Transaction, caller: Caller, now: Timestamp) -> StepResult<bool> {
    let id = uuid(caller.user.as_bytes());
    let Transaction { session, collections } = &mut *transaction;
    let removed = collections.users.delete_one(doc! { "_id": id }).session(session).await?;
    sessions::admit(transaction, caller, removed.deleted_count > 0, now).await?;
    let Transaction { session, collections } = transaction;
    if removed.deleted_count == 0 {
        return Ok(false);
    }
    let remember = collections.removed_users.replace_one(doc! { "_id": id }, RemovedUser { id });
    remember.upsert(true).session(session).await?;
    Ok(true)
}

/// Purges removed accounts one batch after the other, until the limit is reached or each account has been visited.
async fn purge_removed(transaction: &mut Transaction, limit: usize, now: Timestamp) -> StepResult<usize> {
    let (mut purged, mut after) = (0, None);
    while purged < limit {
        let removed = some_removed(transaction, after).await?;
        let Some(last) = removed.last() else { break };
        after = Some(*last);
        purged += purge_sessions(transaction, &removed, limit - purged).await?;
        let (projects, left) = projects::purge(transaction, &removed, limit - purged, now).await?;
        purged += projects;
        if purged < limit {
            // Only records that cannot be read are left of these accounts. Nothing can be added: that would conflict with
            // the removal.
            let gone: Vec<Uuid> = removed.into_iter().filter(|id| !left.contains(id)).collect();
            let Transaction { session, collections } = &mut *transaction;
            let removed = &collections.removed_users;
            removed.delete_many(doc! { "_id": { "$in": gone } }).session(session).await?;
        }
    }
    Ok(purged)
}

/// Some removed accounts, in the order of their ids.
async fn some_removed(transaction: &mut Transaction, after: Option<Uuid>) -> StepResult<Vec<Uuid>> {
    let Transaction { session, collections } = transaction;
    let limit = document_limit(REMOVED_MAX).expect("it is not zero");
    let beyond = after.map(|after| doc! { "_id": { "$gt": after } }).unwrap_or_default();
    let found = collections.removed_users.find(beyond).sort(doc! { "_id": 1 }).limit(limit);
    let mut found = found.session(&mut *session).await?;
    let removed: Vec<RemovedUser> = found.stream(session).try_collect().await?;
    Ok(removed.into_iter().map(|user| user.id).collect())
}

async fn purge_sessions(transaction: &mut Transaction, users: &[Uuid], limit: usize) -> StepResult<usize> {
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

#[derive(Serialize, Deserialize)]
pub(super) struct UserDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    email: String,
    password_hash: String,
    created: DateTime,
    usage: UsageDocument,
    saves: u64,
    /// Absent if an earlier version has written the document.
    #[serde(default)]
    revision_floor: u64,
    /// Incremented by each transaction that relies on the record, to make concurrent ones conflict.
    writes: u64,
}

#[derive(Serialize, Deserialize)]
struct UsageDocument {
    projects: u64,
    bytes: u64,
}

/// The fields that saves and deletions change.
#[derive(Serialize)]
struct UsageFields {
    usage: UsageDocument,
    saves: u64,
    revision_floor: u64,
}

/// A removed account that is not purged yet.
#[derive(Serialize, Deserialize)]
pub(super) struct RemovedUser {
    #[serde(rename = "_id")]
    id: Uuid,
}

impl UserDocument {
    fn of(user: &User) -> Self {
        Self {
            id: uuid(user.id.as_bytes()),
            email: user.email.as_str().to_owned(),
            password_hash: user.password_hash.as_phc().to_owned(),
            created: date(user.created),
            usage: UsageDocument::of(user),
            saves: user.saves,
            revision_floor: user.revision_floor.get(),
            writes: 0,
        }
    }
}

impl UsageDocument {
    fn of(user: &User) -> Self {
        Self { projects: user.usage.projects, bytes: user.usage.bytes }
    }
}

impl TryFrom<UserDocument> for User {
    type Error = Failure;

    fn try_from(document: UserDocument) -> StepResult<Self> {
        let UserDocument { id, email, password_hash, created, usage, saves, revision_floor, writes: _ } =
            document;
        Ok(Self {
            id: UserId::from_bytes(id.bytes()),
            email: Email::stored(email),
            password_hash: PasswordHash::new(password_hash),
            created: timestamp(created),
            usage: Usage { projects: usage.projects, bytes: usage.bytes },
            saves,
            revision_floor: Revision::new(revision_floor),
        })
    }
}
