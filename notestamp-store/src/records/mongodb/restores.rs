use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use mongodb::bson::{Binary, Document, Uuid, doc, serialize_to_document};
use mongodb::error::Error as DriverError;
use serde::{Deserialize, Serialize};

use super::MongoDbRecords;
use super::bson::{binary, digest, uuid};
use super::collections::Collections;
use super::documents::objects::{InlineDocument, ObjectDocument};
use super::documents::projects::ProjectDocument;
use super::documents::states::StateDocument;
use super::documents::users::UserDocument;
use super::error::{Failure, Result as StepResult, is_duplicate_key};
use super::transaction::Transaction;
use crate::domain::{Object, ObjectState, RestoreId, RestoreMark, Trashed, User, Version};
use crate::error::{Error, Result};
use crate::records::{RestoreStore, StateKind, StateRecord};

/// The id of the document in `meta` that is the mark of a restore.
const ID: &str = "restore";

#[derive(Serialize, Deserialize)]
struct MarkDocument {
    restore: Uuid,
    snapshot: Binary,
}

#[async_trait]
impl RestoreStore for MongoDbRecords {
    /// An account that is created concurrently looks for the mark after it has been added, and this looks for accounts
    /// after it has written the mark. So at least one of the two notices the other, and takes its own change back.
    async fn begin_restore(&self, proposed: RestoreMark) -> Result<RestoreMark> {
        self.bounded(async {
            match find(&self.collections).await? {
                Some(mark) if mark.snapshot == proposed.snapshot => return Ok(mark),
                Some(_) => return Err(Error::Restoring.into()),
                None if !is_empty(&self.collections).await? => return Err(Error::NotEmpty.into()),
                None => {}
            }
            let mark = doc! {
                "_id": ID, "restore": uuid(proposed.id.as_bytes()), "snapshot": binary(&proposed.snapshot),
            };
            match self.collections.meta.insert_one(mark).await {
                Err(taken) if is_duplicate_key(&taken) => return Err(Error::Restoring.into()),
                inserted => drop(inserted?),
            }
            if is_empty(&self.collections).await? {
                return Ok(proposed);
            }
            end(&self.collections, proposed).await?;
            Err(Error::NotEmpty.into())
        })
        .await
    }

    async fn find_restore(&self) -> Result<Option<RestoreMark>> {
        self.bounded(find(&self.collections)).await
    }

    async fn restore_object(&self, row: &Object, inline: Option<&Bytes>) -> Result<()> {
        self.transaction(&(row, inline), |transaction, (row, inline)| {
            restore_object(transaction, row, *inline).boxed()
        })
        .await
    }

    async fn restore_states(&self, states: &[StateRecord]) -> Result<()> {
        self.transaction(states, |transaction, states| restore_states(transaction, states).boxed()).await
    }

    async fn restore_users(&self, users: &[User]) -> Result<()> {
        self.transaction(users, |transaction, users| {
            async move {
                for user in users {
                    let users = transaction.collections.users.clone_with_type();
                    put(transaction, &users, to_document(&UserDocument::of(user))?).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn end_restore(&self, mark: RestoreMark) -> Result<()> {
        self.bounded(end(&self.collections, mark)).await
    }
}

/// The mark of the restore that has begun and not ended.
pub(super) async fn find(collections: &Collections) -> StepResult<Option<RestoreMark>> {
    let found = collections.meta.clone_with_type::<MarkDocument>().find_one(doc! { "_id": ID }).await?;
    let mark = found.map(|found| -> StepResult<_> {
        let id = RestoreId::from_bytes(found.restore.bytes());
        Ok(RestoreMark { id, snapshot: digest(&found.snapshot, "meta.snapshot")? })
    });
    mark.transpose()
}

async fn end(collections: &Collections, mark: RestoreMark) -> StepResult<()> {
    let this = doc! { "_id": ID, "restore": uuid(mark.id.as_bytes()) };
    Ok(collections.meta.delete_one(this).await.map(drop)?)
}

async fn is_empty(collections: &Collections) -> StepResult<bool> {
    let Collections { users, removed_users, projects, versions, trash, objects, .. } = collections;
    let all = [
        users.clone_with_type::<Document>(),
        removed_users.clone_with_type(),
        projects.clone_with_type(),
        versions.clone_with_type(),
        trash.clone_with_type(),
        objects.clone_with_type(),
    ];
    for collection in all {
        if collection.find_one(doc! {}).projection(doc! { "_id": 1 }).await?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn restore_object(
    transaction: &mut Transaction,
    row: &Object,
    inline: Option<&Bytes>,
) -> StepResult<()> {
    let Transaction { session, collections } = &mut *transaction;
    let id = doc! { "_id": uuid(row.id.as_bytes()) };
    let found = collections.objects.find_one(id).session(&mut *session).await?;
    let found = found.map(Object::try_from).transpose()?;
    if found.is_some_and(|found| found.state != ObjectState::Reserved) {
        return Ok(());
    }
    let (objects, bytes) =
        (collections.objects.clone_with_type(), collections.inline_bytes.clone_with_type());
    put(transaction, &objects, to_document(&ObjectDocument::of(row))?).await?;
    match inline {
        Some(inline) => put(transaction, &bytes, to_document(&InlineDocument::of(row.id, inline))?).await,
        None => Ok(()),
    }
}

async fn restore_states(transaction: &mut Transaction, states: &[StateRecord]) -> StepResult<()> {
    let Collections { projects, versions, trash, .. } = transaction.collections.clone();
    for StateRecord { kind, project, .. } in states {
        let project = project.clone();
        let (collection, document) = match *kind {
            StateKind::Current => (projects.clone_with_type(), to_document(&ProjectDocument::of(&project))?),
            StateKind::Replaced(replaced) => {
                let version = StateDocument::of_version(&Version { project, replaced });
                (versions.clone_with_type(), to_document(&version)?)
            }
            StateKind::Trashed(deleted) => {
                let trashed = StateDocument::of_trashed(&Trashed { project, deleted });
                (trash.clone_with_type(), to_document(&trashed)?)
            }
        };
        put(transaction, &collection, document).await?;
    }
    Ok(())
}

/// Adds a document, or replaces the one of its id.
async fn put(
    transaction: &mut Transaction,
    collection: &mongodb::Collection<Document>,
    document: Document,
) -> StepResult<()> {
    let id = document.get("_id").cloned().ok_or(Failure::Field { field: "_id" })?;
    let put = collection.replace_one(doc! { "_id": id }, document).upsert(true);
    Ok(put.session(&mut transaction.session).await.map(drop)?)
}

fn to_document(document: &impl Serialize) -> StepResult<Document> {
    Ok(serialize_to_document(document).map_err(DriverError::from)?)
}
