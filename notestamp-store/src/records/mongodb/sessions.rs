use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, RawDocumentBuf, doc, serialize_to_document};

use super::bson::{date, limit as document_limit, uuid};
use super::documents::readable;
use super::documents::sessions::SessionDocument;
use super::error::{Failure, Result as StepResult};
use super::transaction::Transaction;
use super::{MongoDbRecords, TIME_MAX, account};
use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionEpoch, SessionId, UserId};
use crate::error::{Error, Result};
use crate::protocol;
use crate::records::sessions::REVOKED_MAX;
use crate::records::{RecordKind, SessionStore};

#[async_trait]
impl SessionStore for MongoDbRecords {
    async fn start_session(&self, session: &Session, open_max: usize, now: Timestamp) -> Result<bool> {
        let context = (session, open_max, now);
        self.account_transaction(session.user, &context, |transaction, (session, open_max, now)| {
            start(transaction, session, *open_max, *now).boxed()
        })
        .await
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        self.bounded(async {
            let found = self.collections.sessions.find_one(doc! { "_id": uuid(id.as_bytes()) });
            // Without this limit the server would go on waiting for a majority after our timeout.
            let found = found.read_concern(self.session_reads.clone()).max_time(TIME_MAX).await?;
            let Some(session) = found.map(Session::try_from).transpose()? else { return Ok(None) };
            let epoch = account::find_epoch(&self.collections, session.user).await?;
            Ok(epoch.map(|epoch| epoch.apply_to(session)))
        })
        .await
    }

    async fn replace_session(&self, before: &Session, after: &Session) -> Result<bool> {
        if after.revoked.is_some() {
            return self
                .account_transaction(before.user, &(before, after), |transaction, (before, after)| {
                    end(transaction, before, after).boxed()
                })
                .await;
        }
        self.bounded(async {
            let epoch = account::find_epoch(&self.collections, before.user).await?;
            if epoch.is_none_or(|epoch| !epoch.apply_to(before.clone()).is_unchanged_in(before)) {
                return Ok(false);
            }
            let replaced = self.collections.sessions.update_one(as_it_was(before), keep(after)?).await?;
            Ok(replaced.matched_count > 0)
        })
        .await
    }

    async fn revoke_session(
        &self,
        caller: Caller,
        id: SessionId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        let context = (caller, id, reason, now);
        self.account_transaction(caller.user, &context, |transaction, (caller, id, reason, now)| {
            revoke(transaction, *caller, *id, *reason, *now).boxed()
        })
        .await
    }

    async fn revoke_all_sessions(
        &self,
        user: UserId,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<bool> {
        self.account_transaction(user, &(user, reason, now), |transaction, (user, reason, now)| {
            async move {
                let Some(epoch) = account::lock_epoch(transaction, *user).await? else { return Ok(false) };
                account::update_epoch(transaction, *user, epoch.next(*now, *reason)).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn list_sessions(&self, user: UserId, limit: usize, now: Timestamp) -> Result<Vec<Session>> {
        self.transaction(&(user, limit, now), |transaction, (user, limit, now)| {
            list(transaction, *user, *limit, *now).boxed()
        })
        .await
    }

    async fn forget_expired_sessions(&self, limit: usize, now: Timestamp) -> Result<usize> {
        self.transaction(&(limit, now), |transaction, (limit, now)| {
            forget_expired(transaction, *limit, *now).boxed()
        })
        .await
    }
}

/// The session of this id in the transaction's snapshot, if it is of this account, whose epoch this is.
async fn find(
    transaction: &mut Transaction,
    user: UserId,
    epoch: SessionEpoch,
    id: SessionId,
) -> StepResult<Option<Session>> {
    let Transaction { session, collections } = transaction;
    let of_user = doc! { "_id": uuid(id.as_bytes()), "user": uuid(user.as_bytes()) };
    let found = collections.sessions.find_one(of_user).session(session).await?;
    let found = found.map(Session::try_from).transpose()?;
    Ok(found.map(|session| epoch.apply_to(session)))
}

/// The session by which the caller acts; absent if the caller names none. `epoch` is that of the caller's account.
async fn find_of(
    transaction: &mut Transaction,
    caller: Caller,
    epoch: SessionEpoch,
) -> StepResult<Option<Session>> {
    match caller.session {
        Some(id) => find(transaction, caller.user, epoch, id).await,
        None => Ok(None),
    }
}

/// Refuses a caller whose session has ended, or whose account is absent. The transaction has written to the user
/// record before, and passes on its epoch, which is absent with the account.
pub(super) async fn admit(
    transaction: &mut Transaction,
    caller: Caller,
    epoch: Option<SessionEpoch>,
    now: Timestamp,
) -> StepResult<()> {
    let session = match epoch {
        Some(epoch) => find_of(transaction, caller, epoch).await?,
        None => None,
    };
    Ok(protocol::admit(caller, session.as_ref(), now)?)
}

/// Ends a session by compare-and-swap: returns false if it has changed since it was read.
async fn end(transaction: &mut Transaction, before: &Session, after: &Session) -> StepResult<bool> {
    let epoch = account::lock_epoch(transaction, before.user).await?;
    if epoch.is_none_or(|epoch| !epoch.apply_to(before.clone()).is_unchanged_in(before)) {
        return Ok(false);
    }
    replace(transaction, before, after).await
}

async fn replace(transaction: &mut Transaction, before: &Session, after: &Session) -> StepResult<bool> {
    let Transaction { session, collections } = transaction;
    let replaced = collections.sessions.update_one(as_it_was(before), keep(after)?).session(session);
    Ok(replaced.await?.matched_count > 0)
}

async fn revoke(
    transaction: &mut Transaction,
    caller: Caller,
    id: SessionId,
    reason: RevocationReason,
    now: Timestamp,
) -> StepResult<bool> {
    let epoch = account::lock_epoch(transaction, caller.user).await?;
    admit(transaction, caller, epoch, now).await?;
    let Some(epoch) = epoch else { return Ok(false) };
    match find(transaction, caller.user, epoch, id).await?.filter(|session| session.is_open(now)) {
        Some(before) => replace(transaction, &before, &before.clone().revoke(now, reason)).await,
        None => Ok(false),
    }
}

/// A filter for this session in this state.
fn as_it_was(session: &Session) -> Document {
    doc! {
        "_id": uuid(session.id.as_bytes()),
        "generation": i64::try_from(session.generation).unwrap_or(i64::MAX),
        "confirmed": session.confirmed,
        "is_revoked": session.revoked.is_some(),
    }
}

async fn start(
    transaction: &mut Transaction,
    started: &Session,
    open_max: usize,
    now: Timestamp,
) -> StepResult<bool> {
    let epoch = account::lock_epoch(transaction, started.user).await?;
    let epoch = epoch.ok_or_else(|| Failure::from(Error::NoSuchAccount))?;
    if started.epoch != epoch.number {
        return Ok(false);
    }
    revoke_surplus(transaction, started.user, epoch, open_max.saturating_sub(1), now).await?;
    put(transaction, started).await?;
    Ok(true)
}

/// Revokes the open sessions of an account, except the `kept` most recently used ones.
async fn revoke_surplus(
    transaction: &mut Transaction,
    user: UserId,
    epoch: SessionEpoch,
    kept: usize,
    now: Timestamp,
) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    let sessions = collections.sessions.clone_with_type::<Document>();
    let surplus =
        sessions.find(open(user, epoch, now)).projection(doc! { "_id": 1 }).sort(latest_used_first());
    let surplus = surplus.skip(kept as u64).limit(REVOKED_MAX as i64);
    let mut surplus = surplus.session(&mut *session).await?;
    let surplus: Vec<_> =
        surplus.stream(&mut *session).map_ok(|session| session.get("_id").cloned()).try_collect().await?;
    if surplus.is_empty() {
        return Ok(());
    }
    let revoked = doc! { "at": date(now), "reason": RevocationReason::TooMany.as_str() };
    let revoke = doc! { "$set": { "is_revoked": true, "revoked": revoked } };
    sessions.update_many(doc! { "_id": { "$in": surplus } }, revoke).session(session).await?;
    Ok(())
}

/// Adds a session.
pub(super) async fn put(transaction: &mut Transaction, started: &Session) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    let new = doc! { "_id": uuid(started.id.as_bytes()) };
    collections.sessions.update_one(new, keep(started)?).upsert(true).session(session).await?;
    Ok(())
}

async fn list(
    transaction: &mut Transaction,
    user: UserId,
    limit: usize,
    now: Timestamp,
) -> StepResult<Vec<Session>> {
    let Some(epoch) = account::find_epoch_within(transaction, user).await? else { return Ok(Vec::new()) };
    let Transaction { session, collections } = transaction;
    let sessions = collections.sessions.clone_with_type::<RawDocumentBuf>();
    let (mut listed, mut skip) = (Vec::new(), 0);
    // Damaged sessions do not shorten the list.
    while let Some(wanted) = document_limit(limit - listed.len()) {
        let found = sessions.find(open(user, epoch, now)).sort(latest_used_first()).skip(skip).limit(wanted);
        let mut found = found.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(&mut *session).try_collect().await?;
        listed.extend(readable::<SessionDocument, Session>(RecordKind::Session, &found));
        skip += found.len() as u64;
        if (found.len() as i64) < wanted {
            break;
        }
    }
    Ok(listed)
}

async fn forget_expired(transaction: &mut Transaction, limit: usize, now: Timestamp) -> StepResult<usize> {
    let Some(limit) = document_limit(limit) else { return Ok(0) };
    let Transaction { session, collections } = transaction;
    let sessions = collections.sessions.clone_with_type::<Document>();
    let found = sessions.find(expired(now)).projection(doc! { "_id": 1 }).sort(doc! { "tokens_end": 1 });
    let mut found = found.limit(limit).session(&mut *session).await?;
    let found: Vec<_> =
        found.stream(session).map_ok(|session| session.get("_id").cloned()).try_collect().await?;
    collections.sessions.delete_many(doc! { "_id": { "$in": &found } }).session(session).await?;
    Ok(found.len())
}

fn open(user: UserId, epoch: SessionEpoch, now: Timestamp) -> Document {
    let epoch = i64::try_from(epoch.number).unwrap_or(i64::MAX);
    let user = uuid(user.as_bytes());
    doc! { "user": user, "epoch": epoch, "is_revoked": false, "tokens_end": { "$gt": date(now) } }
}

fn latest_used_first() -> Document {
    doc! { "last_used": -1, "_id": -1 }
}

fn expired(now: Timestamp) -> Document {
    doc! { "tokens_end": { "$lte": date(now) } }
}

/// The update that replaces a document's fields by those of this session.
fn keep(session: &Session) -> StepResult<Vec<Document>> {
    let fields = serialize_to_document(&SessionDocument::of(session)).map_err(mongodb::error::Error::from)?;
    Ok(vec![doc! { "$replaceWith": { "$literal": fields } }])
}
