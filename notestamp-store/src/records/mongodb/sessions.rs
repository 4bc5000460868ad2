use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, RawDocumentBuf, doc, serialize_to_document};

use super::bson::{date, limit as document_limit, uuid};
use super::documents::readable;
use super::documents::sessions::SessionDocument;
use super::error::Result as StepResult;
use super::transaction::Transaction;
use super::{MongoDbRecords, TIME_MAX, account};
use crate::clock::Timestamp;
use crate::domain::{Caller, RevocationReason, Session, SessionId, UserId};
use crate::error::{Error, Result};
use crate::protocol;
use crate::records::{RecordKind, SessionStore};

#[async_trait]
impl SessionStore for MongoDbRecords {
    async fn start_session(&self, session: &Session) -> Result<()> {
        self.account_transaction(session.user, session, |transaction, started| {
            start(transaction, started).boxed()
        })
        .await
    }

    async fn find_session(&self, id: SessionId) -> Result<Option<Session>> {
        self.bounded(async {
            let found = self.collections.sessions.find_one(doc! { "_id": uuid(id.as_bytes()) });
            // Without this limit the server would go on waiting for a majority after our timeout.
            let found = found.read_concern(self.session_reads.clone()).max_time(TIME_MAX).await?;
            let Some(session) = found.map(Session::try_from).transpose()? else { return Ok(None) };
            let is_present = account::is_present(&self.collections, session.user).await?;
            Ok(is_present.then_some(session))
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
            if !account::is_present(&self.collections, before.user).await? {
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

    async fn revoke_sessions(
        &self,
        user: UserId,
        except: Option<SessionId>,
        reason: RevocationReason,
        now: Timestamp,
    ) -> Result<u64> {
        let context = (user, except, reason, now);
        self.account_transaction(user, &context, |transaction, (user, except, reason, now)| {
            async move {
                account::touch(transaction, *user).await?;
                revoke_all(transaction, *user, *except, *reason, *now).await
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

    async fn count_sessions(&self) -> Result<u64> {
        self.bounded(async { Ok(self.collections.sessions.count_documents(doc! {}).await?) }).await
    }
}

/// The session of this id in the transaction's snapshot. The caller must check that its account exists.
async fn find(transaction: &mut Transaction, id: SessionId) -> StepResult<Option<Session>> {
    let Transaction { session, collections } = transaction;
    let found = collections.sessions.find_one(doc! { "_id": uuid(id.as_bytes()) }).session(session);
    found.await?.map(Session::try_from).transpose()
}

/// The session by which the caller acts; absent if the caller names none.
pub(super) async fn find_of(transaction: &mut Transaction, caller: Caller) -> StepResult<Option<Session>> {
    match caller.session {
        Some(id) => find(transaction, id).await,
        None => Ok(None),
    }
}

/// Refuses a caller whose session has ended, or whose account is absent. The transaction has written to the user
/// record before, and passes on whether it exists.
pub(super) async fn admit(
    transaction: &mut Transaction,
    caller: Caller,
    is_present: bool,
    now: Timestamp,
) -> StepResult<()> {
    let session = find_of(transaction, caller).await?.filter(|_| is_present);
    Ok(protocol::admit(caller, session.as_ref(), now)?)
}

/// Ends a session by compare-and-swap: returns false if it has changed since it was read.
async fn end(transaction: &mut Transaction, before: &Session, after: &Session) -> StepResult<bool> {
    if !account::touch(transaction, before.user).await? {
        return Ok(false);
    }
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
    let is_present = account::touch(transaction, caller.user).await?;
    admit(transaction, caller, is_present, now).await?;
    let open = find(transaction, id).await?;
    let open = open.filter(|session| is_present && session.user == caller.user && session.is_open(now));
    match open {
        Some(before) => end(transaction, &before, &before.clone().revoke(now, reason)).await,
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

/// Revokes the sessions of an account that are not revoked yet, except `except`; returns the count.
///
/// The transaction must have written to the user record before.
pub(super) async fn revoke_all(
    transaction: &mut Transaction,
    user: UserId,
    except: Option<SessionId>,
    reason: RevocationReason,
    now: Timestamp,
) -> StepResult<u64> {
    let Transaction { session, collections } = transaction;
    let mut open = doc! { "user": uuid(user.as_bytes()), "is_revoked": false };
    if let Some(except) = except {
        open.insert("_id", doc! { "$ne": uuid(except.as_bytes()) });
    }
    let revoked = doc! { "at": date(now), "reason": reason.as_str() };
    let revoke = doc! { "$set": { "is_revoked": true, "revoked": revoked } };
    Ok(collections.sessions.update_many(open, revoke).session(session).await?.modified_count)
}

pub(super) async fn start(transaction: &mut Transaction, started: &Session) -> StepResult<()> {
    if account::lock(transaction, started.user).await?.is_none() {
        return Err(Error::NoSuchAccount.into());
    }
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
    let Transaction { session, collections } = transaction;
    let id = uuid(user.as_bytes());
    let users = collections.users.clone_with_type::<Document>();
    if users.find_one(doc! { "_id": id }).session(&mut *session).await?.is_none() {
        return Ok(Vec::new());
    }
    let sessions = collections.sessions.clone_with_type::<RawDocumentBuf>();
    let (mut listed, mut skip) = (Vec::new(), 0);
    // Damaged sessions do not shorten the list.
    while let Some(wanted) = document_limit(limit - listed.len()) {
        let found = sessions.find(open(user, now)).sort(latest_used_first()).skip(skip).limit(wanted);
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

fn open(user: UserId, now: Timestamp) -> Document {
    doc! { "user": uuid(user.as_bytes()), "is_revoked": false, "tokens_end": { "$gt": date(now) } }
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
