//! The user record of an account, as the steps that change something of the account read and write it.

use mongodb::bson::{Document, doc, serialize_to_document};
use mongodb::options::ReturnDocument;

use super::bson::uuid;
use super::collections::Collections;
use super::documents::users::UsageFields;
use super::error::{Failure, Result};
use super::transaction::Transaction;
use crate::domain::{User, UserId};

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

/// Writes to a user record as [`lock`] does, without reading it; returns whether it exists.
pub(super) async fn touch(transaction: &mut Transaction, id: UserId) -> Result<bool> {
    let Transaction { session, collections } = transaction;
    let touch = doc! { "$inc": { "writes": 1 } };
    let touched = collections.users.update_one(doc! { "_id": uuid(id.as_bytes()) }, touch).session(session);
    Ok(touched.await?.matched_count > 0)
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
