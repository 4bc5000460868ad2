use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, RawDocumentBuf, doc};

use super::account::{epoch_fields, lock_epoch, update_epoch, with_epoch};
use super::bson::{limit as document_limit, uuid};
use super::documents::readable;
use super::documents::users::{RemovedUser, UserDocument};
use super::error::{Result as StepResult, is_duplicate_key};
use super::transaction::Transaction;
use super::{MongoDbRecords, purge, restores, sessions};
use crate::clock::Timestamp;
use crate::domain::{Caller, Email, PasswordHash, RevocationReason, Session, SessionEpoch, User, UserId};
use crate::error::{Error, Result};
use crate::records::{RecordKind, UserStore};

#[async_trait]
impl UserStore for MongoDbRecords {
    async fn create_user(&self, user: &User) -> Result<()> {
        self.bounded(async {
            match self.collections.users.insert_one(UserDocument::of(user)).await {
                Err(taken) if is_duplicate_key(&taken) => return Err(Error::EmailTaken.into()),
                inserted => drop(inserted?),
            }
            // After it has been added: see `begin_restore`.
            if restores::find(&self.collections).await?.is_some() {
                self.collections.users.delete_one(doc! { "_id": uuid(user.id.as_bytes()) }).await?;
                return Err(Error::Restoring.into());
            }
            Ok(())
        })
        .await
    }

    async fn find_user(&self, id: UserId) -> Result<Option<User>> {
        self.find_one_user(doc! { "_id": uuid(id.as_bytes()) }).await
    }

    async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>> {
        self.find_one_user(doc! { "email": email.as_str() }).await
    }

    async fn list_users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>> {
        let users = self.collections.users.clone_with_type::<RawDocumentBuf>();
        let after = after.map(|id| doc! { "_id": { "$gt": uuid(id.as_bytes()) } }).unwrap_or_default();
        self.bounded(async {
            let (mut list, mut skip) = (Vec::new(), 0);
            // Damaged records do not shorten a page.
            while let Some(wanted) = document_limit(limit - list.len()) {
                let found = users.find(after.clone()).sort(doc! { "_id": 1 }).skip(skip).limit(wanted);
                let found: Vec<RawDocumentBuf> = found.await?.try_collect().await?;
                list.extend(readable::<UserDocument, User>(RecordKind::User, &found));
                skip += found.len() as u64;
                if (found.len() as i64) < wanted {
                    break;
                }
            }
            Ok(list)
        })
        .await
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
    ) -> Result<Option<Session>> {
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
        self.transaction(&(limit, now), |transaction, (limit, now)| {
            purge::purge_removed(transaction, *limit, *now).boxed()
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

/// A concurrent start of a session conflicts with the change of the user record.
async fn change_password(
    transaction: &mut Transaction,
    caller: Caller,
    before: &PasswordHash,
    after: &PasswordHash,
    new: &Session,
    now: Timestamp,
) -> StepResult<Option<Session>> {
    let epoch = lock_epoch(transaction, new.user).await?;
    sessions::admit(transaction, caller, epoch, now).await?;
    let Some(epoch) = epoch else { return Ok(None) };
    let Transaction { session, collections } = &mut *transaction;
    let unchanged = doc! { "_id": uuid(new.user.as_bytes()), "password_hash": before.as_phc() };
    let replace = doc! { "$set": { "password_hash": after.as_phc() }, "$inc": { "writes": 1 } };
    let replaced = collections.users.update_one(unchanged, replace).session(session).await?;
    if replaced.matched_count == 0 {
        return Ok(None);
    }
    let next = epoch.next(now, RevocationReason::PasswordChanged);
    update_epoch(transaction, new.user, next).await?;
    let started = new.clone().in_epoch(next);
    sessions::put(transaction, &started).await?;
    Ok(Some(started))
}

async fn remove(transaction: &mut Transaction, caller: Caller, now: Timestamp) -> StepResult<bool> {
    let id = uuid(caller.user.as_bytes());
    let Transaction { session, collections } = &mut *transaction;
    let users = with_epoch(collections);
    let removed = users.find_one_and_delete(doc! { "_id": id });
    let removed = removed.projection(epoch_fields()).session(session).await?;
    let epoch = removed.map(SessionEpoch::try_from).transpose()?;
    sessions::admit(transaction, caller, epoch, now).await?;
    if epoch.is_none() {
        return Ok(false);
    }
    let Transaction { session, collections } = transaction;
    let remember = collections.removed_users.replace_one(doc! { "_id": id }, RemovedUser { id });
    remember.upsert(true).session(session).await?;
    Ok(true)
}
