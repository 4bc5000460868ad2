//! The user record of an account, as the steps that change something of the account read and write it.

use mongodb::Collection;
use mongodb::bson::{Document, doc, serialize_to_bson, serialize_to_document};
use mongodb::options::ReturnDocument;

use super::bson::uuid;
use super::collections::Collections;
use super::documents::users::{EpochDocument, UsageFields, WithEpoch};
use super::error::{Failure, Result};
use super::transaction::Transaction;
use crate::domain::{SessionEpoch, User, UserId};

/// Whether an account has not been removed.
pub(super) async fn is_present(collections: &Collections, id: UserId) -> Result<bool> {
    let users = collections.users.clone_with_type::<Document>();
    let found = users.find_one(doc! { "_id": uuid(id.as_bytes()) }).projection(doc! { "_id": 1 });
    Ok(found.await?.is_some())
}

/// The user record of this id; absent if the account has been removed. Until the commit, any concurrent transaction
/// that writes to the record conflicts with this one.
pub(super) async fn lock(transaction: &mut Transaction, id: UserId) -> Result<Option<User>> {
    let Transaction { session, collections } = transaction;
    let found = collections
        .users
        .find_one_and_update(doc! { "_id": uuid(id.as_bytes()) }, doc! { "$inc": { "writes": 1 } })
        .return_document(ReturnDocument::After)
        .session(session);
    found.await?.map(User::try_from).transpose()
}

/// The epoch of the sessions of this account; absent if the account has been removed.
pub(super) async fn find_epoch(collections: &Collections, id: UserId) -> Result<Option<SessionEpoch>> {
    let users = with_epoch(collections);
    let found = users.find_one(doc! { "_id": uuid(id.as_bytes()) });
    found.projection(epoch_fields()).await?.map(SessionEpoch::try_from).transpose()
}

/// The same, in the transaction's snapshot.
pub(super) async fn find_epoch_within(
    transaction: &mut Transaction,
    id: UserId,
) -> Result<Option<SessionEpoch>> {
    let Transaction { session, collections } = transaction;
    let users = with_epoch(collections);
    let found = users.find_one(doc! { "_id": uuid(id.as_bytes()) });
    found.projection(epoch_fields()).session(session).await?.map(SessionEpoch::try_from).transpose()
}

/// The epoch of the sessions of this account, whose user record this transaction writes to, as [`lock`] does.
pub(super) async fn lock_epoch(transaction: &mut Transaction, id: UserId) -> Result<Option<SessionEpoch>> {
    let Transaction { session, collections } = transaction;
    let users = with_epoch(collections);
    let found = users
        .find_one_and_update(doc! { "_id": uuid(id.as_bytes()) }, doc! { "$inc": { "writes": 1 } })
        .projection(epoch_fields())
        .session(session);
    found.await?.map(SessionEpoch::try_from).transpose()
}

/// Writes the epoch of the sessions of this account.
pub(super) async fn update_epoch(
    transaction: &mut Transaction,
    id: UserId,
    epoch: SessionEpoch,
) -> Result<()> {
    let Transaction { session, collections } = transaction;
    let fields = serialize_to_bson(&EpochDocument::of(epoch)).map_err(mongodb::error::Error::from)?;
    let update = doc! { "$set": { "session_epoch": fields }, "$inc": { "writes": 1 } };
    let updated = collections.users.update_one(doc! { "_id": uuid(id.as_bytes()) }, update).session(session);
    if updated.await?.matched_count == 0 { Err(Failure::RowLost) } else { Ok(()) }
}

/// The user records, of which only the epoch of the sessions is read.
pub(super) fn with_epoch(collections: &Collections) -> Collection<WithEpoch> {
    collections.users.clone_with_type()
}

pub(super) fn epoch_fields() -> Document {
    doc! { "session_epoch": 1 }
}

/// Writes the fields of a user record that a save or a deletion changes.
pub(super) async fn update_usage(transaction: &mut Transaction, user: &User) -> Result<()> {
    let Transaction { session, collections } = transaction;
    let usage = serialize_to_document(&UsageFields::of(user)).map_err(mongodb::error::Error::from)?;
    let update = doc! { "$set": usage, "$inc": { "writes": 1 } };
    let updated =
        collections.users.update_one(doc! { "_id": uuid(user.id.as_bytes()) }, update).session(session);
    if updated.await?.matched_count == 0 { Err(Failure::RowLost) } else { Ok(()) }
}
