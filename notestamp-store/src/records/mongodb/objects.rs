use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Document, RawDocumentBuf, Uuid, doc, serialize_to_document};
use mongodb::options::{Hint, ReadConcern};
use serde::Deserialize;

use super::bson::{binary, date, limit as document_limit, namespace_owner, uuid};
use super::documents::objects::{InlineDocument, ObjectDocument};
use super::documents::{read, readable};
use super::error::{Failure, Result as StepResult, is_duplicate_key};
use super::transaction::Transaction;
use super::{MongoDbRecords, holds};
use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, Object, ObjectId, ObjectKind, ObjectState};
use crate::error::{Error, Result};
use crate::protocol::{StaleBefore, doom_if_stale, doom_reserved};
use crate::records::{ObjectLedger, RecordKind};

#[async_trait]
impl ObjectLedger for MongoDbRecords {
    async fn reserve(&self, rows: &[Object]) -> Result<()> {
        match rows {
            [] => Ok(()),
            // One document is written atomically without a transaction, which would be a command more.
            [row] => {
                self.bounded(async {
                    match self.collections.objects.insert_one(ObjectDocument::of(row)).await {
                        Err(taken) if is_duplicate_key(&taken) => Err(Error::ObjectExists.into()),
                        inserted => Ok(inserted.map(drop)?),
                    }
                })
                .await
            }
            rows => self.transaction(rows, |transaction, rows| insert(transaction, rows).boxed()).await,
        }
    }

    async fn find_object(&self, id: ObjectId) -> Result<Option<Object>> {
        self.bounded(async {
            let found = self.collections.objects.find_one(doc! { "_id": uuid(id.as_bytes()) }).await?;
            found.map(Object::try_from).transpose()
        })
        .await
    }

    async fn find_live_media(&self, namespace: Namespace, digest: Digest) -> Result<Option<Object>> {
        self.bounded(async {
            let found = self.collections.objects.find_one(live(namespace, digest)).await?;
            found.map(Object::try_from).transpose()
        })
        .await
    }

    async fn sample_live(&self, kind: ObjectKind, limit: usize) -> Result<Vec<Object>> {
        let Some(limit) = document_limit(limit) else { return Ok(Vec::new()) };
        self.bounded(async {
            let live = doc! { "kind": kind.as_str(), "state": ObjectState::Live.as_str(), "inline": false };
            let index = match kind {
                ObjectKind::Notes => "objects_live_notes",
                ObjectKind::Media => "objects_live_media",
            };
            let objects = self.collections.objects.clone_with_type::<RawDocumentBuf>();
            let found = objects.find(live).limit(limit).hint(Hint::Name(index.to_owned()));
            let found: Vec<RawDocumentBuf> = found.await?.try_collect().await?;
            Ok(readable::<ObjectDocument, Object>(RecordKind::Object, &found))
        })
        .await
    }

    async fn doom_reserved(&self, ids: &[ObjectId], now: Timestamp) -> Result<Vec<ObjectId>> {
        self.transaction(&(ids, now), |transaction, (ids, now)| {
            async move {
                let rows = find_all(transaction, ids).await?;
                let doomed = rows.iter().filter_map(|row| doom_reserved(Some(row), *now).ok());
                let doomed: Vec<Object> = doomed.collect();
                write(transaction, &doomed).await?;
                Ok(rows.iter().filter(|row| row.state == ObjectState::Live).map(|row| row.id).collect())
            }
            .boxed()
        })
        .await
    }

    async fn doom_stale(&self, before: &StaleBefore, limit: usize, now: Timestamp) -> Result<usize> {
        self.transaction(&(before, limit, now), |transaction, (before, limit, now)| {
            doom_stale(transaction, before, *limit, *now).boxed()
        })
        .await
    }

    async fn list_doomed(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        self.list(doomed(after), limit, Hint::Name("objects_doomed".to_owned())).await
    }

    async fn forget_doomed(&self, ids: &[ObjectId]) -> Result<()> {
        let ids: Vec<Uuid> = ids.iter().map(|id| uuid(id.as_bytes())).collect();
        self.transaction(&ids, |transaction, ids| {
            async move {
                let Transaction { session, collections } = transaction;
                let doomed = doc! { "_id": { "$in": ids }, "state": ObjectState::Doomed.as_str() };
                Ok(collections.objects.delete_many(doomed).session(session).await.map(drop)?)
            }
            .boxed()
        })
        .await
    }

    async fn list_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<Object>> {
        self.list(beyond(after), limit, Hint::Keys(doc! { "_id": 1 })).await
    }

    /// The bytes may be missing if the object is removed at the same time.
    async fn find_with_bytes(&self, id: ObjectId) -> Result<Option<(Object, Option<Bytes>)>> {
        #[derive(Deserialize)]
        struct Found {
            row: RawDocumentBuf,
            inline: Vec<InlineDocument>,
        }
        let bytes =
            doc! { "from": "inline_bytes", "localField": "_id", "foreignField": "_id", "as": "inline" };
        let find = [
            doc! { "$match": { "_id": uuid(id.as_bytes()) } },
            doc! { "$project": { "row": "$$ROOT" } },
            doc! { "$lookup": bytes },
        ];
        self.bounded(async {
            let mut found = self.collections.objects.aggregate(find).with_type::<Found>().await?;
            let Some(found) = found.try_next().await? else { return Ok(None) };
            let row = read::<ObjectDocument, Object>(&found.row)?;
            Ok(Some((row, found.inline.into_iter().next().map(Bytes::from))))
        })
        .await
    }

    async fn find_inline_bytes(&self, id: ObjectId) -> Result<Option<Bytes>> {
        self.bounded(async {
            let found = self.collections.inline_bytes.find_one(doc! { "_id": uuid(id.as_bytes()) }).await?;
            Ok(found.map(Bytes::from))
        })
        .await
    }
}

impl MongoDbRecords {
    /// Lists rows in the order of their ids, with read concern `majority`: the caller may delete bytes because of the
    /// result.
    async fn list(&self, filter: Document, limit: usize, hint: Hint) -> Result<Vec<Object>> {
        let objects = self.collections.objects.clone_with_type::<RawDocumentBuf>();
        self.bounded(async {
            let (mut rows, mut skip) = (Vec::new(), 0);
            // Damaged rows do not shorten a page.
            while let Some(wanted) = document_limit(limit - rows.len()) {
                let found = objects.find(filter.clone()).sort(doc! { "_id": 1 }).skip(skip).limit(wanted);
                let found = found.hint(hint.clone()).read_concern(ReadConcern::majority());
                let found: Vec<RawDocumentBuf> = found.await?.try_collect().await?;
                rows.extend(readable::<ObjectDocument, Object>(RecordKind::Object, &found));
                skip += found.len() as u64;
                if (found.len() as i64) < wanted {
                    break;
                }
            }
            Ok(rows)
        })
        .await
    }
}

/// The rows of these ids that exist, each once.
pub(super) async fn find_all(transaction: &mut Transaction, ids: &[ObjectId]) -> StepResult<Vec<Object>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| uuid(id.as_bytes())).collect();
    find(transaction, doc! { "_id": { "$in": ids } }).await
}

/// The same; those that are damaged are absent.
pub(super) async fn find_readable(
    transaction: &mut Transaction,
    ids: &[ObjectId],
) -> StepResult<Vec<Object>> {
    let limit = ids.len();
    let ids: Vec<Uuid> = ids.iter().map(|id| uuid(id.as_bytes())).collect();
    find_some(transaction, doc! { "_id": { "$in": ids } }, limit).await
}

/// Writes rows that exist, all in one command, except that those that are gone are removed, with their bytes.
///
/// # Errors
/// - [`Failure::DuplicateKey`] if another row has become the live row of the same bytes.
/// - [`Failure::RowLost`] if a row is absent.
pub(super) async fn write(transaction: &mut Transaction, rows: &[Object]) -> StepResult<()> {
    remove_gone(transaction, rows).await?;
    let mut updates = Vec::new();
    for row in rows.iter().filter(|row| !row.is_gone()) {
        let fields = serialize_to_document(&ObjectDocument::of(row)).map_err(mongodb::error::Error::from)?;
        let update = doc! { "$set": fields, "$inc": { "writes": 1 } };
        updates.push(doc! { "q": { "_id": uuid(row.id.as_bytes()) }, "u": update });
    }
    if updates.is_empty() {
        return Ok(());
    }
    let count = updates.len();
    let Transaction { session, collections } = transaction;
    let command = doc! { "update": collections.objects.name(), "updates": updates };
    let response = collections.database.run_command(command).session(session).await?;
    // The only unique index that can refuse an update of an existing row is that of the live media.
    if response.contains_key("writeErrors") {
        return Err(Failure::DuplicateKey);
    }
    let written = response.get_i32("n").ok().and_then(|n| usize::try_from(n).ok());
    if written == Some(count) { Ok(()) } else { Err(Failure::RowLost) }
}

async fn remove_gone(transaction: &mut Transaction, rows: &[Object]) -> StepResult<()> {
    let gone = rows.iter().filter(|row| row.is_gone()).map(|row| uuid(row.id.as_bytes()));
    let gone: Vec<Uuid> = gone.collect();
    if gone.is_empty() {
        return Ok(());
    }
    holds::keep_bytes(transaction, &gone).await?;
    let Transaction { session, collections } = transaction;
    let gone = doc! { "_id": { "$in": gone } };
    collections.inline_bytes.delete_many(gone.clone()).session(&mut *session).await?;
    Ok(collections.objects.delete_many(gone).session(session).await.map(drop)?)
}

/// Adds the row and the bytes of an inline object.
pub(super) async fn insert_inline(
    transaction: &mut Transaction,
    row: &Object,
    bytes: &[u8],
) -> StepResult<()> {
    insert(transaction, std::slice::from_ref(row)).await?;
    let Transaction { session, collections } = transaction;
    let bytes = InlineDocument::of(row.id, bytes);
    Ok(collections.inline_bytes.insert_one(bytes).session(session).await.map(drop)?)
}

pub(super) async fn insert(transaction: &mut Transaction, rows: &[Object]) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    match collections.objects.insert_many(rows.iter().map(ObjectDocument::of)).session(session).await {
        Err(taken) if is_duplicate_key(&taken) => Err(Error::ObjectExists.into()),
        inserted => Ok(inserted.map(drop)?),
    }
}

async fn doom_stale(
    transaction: &mut Transaction,
    before: &StaleBefore,
    limit: usize,
    now: Timestamp,
) -> StepResult<usize> {
    let mut stale = Vec::new();
    for filter in [stale_reserved(before.reserved), stale_unreferenced(before.unreferenced)] {
        stale.extend(find_some(transaction, filter, limit - stale.len()).await?);
    }
    let doomed: Vec<Object> = stale.iter().filter_map(|row| doom_if_stale(row, before, now)).collect();
    write(transaction, &doomed).await?;
    Ok(doomed.len())
}

/// Up to `limit` rows; those that are damaged are left out.
async fn find_some(transaction: &mut Transaction, filter: Document, limit: usize) -> StepResult<Vec<Object>> {
    let Transaction { session, collections } = transaction;
    let objects = collections.objects.clone_with_type::<RawDocumentBuf>();
    let (mut rows, mut skip) = (Vec::new(), 0);
    while let Some(wanted) = document_limit(limit - rows.len()) {
        let found = objects.find(filter.clone()).skip(skip).limit(wanted).session(&mut *session);
        let found: Vec<RawDocumentBuf> = found.await?.stream(&mut *session).try_collect().await?;
        rows.extend(readable::<ObjectDocument, Object>(RecordKind::Object, &found));
        skip += found.len() as u64;
        if (found.len() as i64) < wanted {
            break;
        }
    }
    Ok(rows)
}

async fn find(transaction: &mut Transaction, filter: Document) -> StepResult<Vec<Object>> {
    let Transaction { session, collections } = transaction;
    let found: Vec<ObjectDocument> =
        collections.objects.find(filter).session(&mut *session).await?.stream(session).try_collect().await?;
    found.into_iter().map(Object::try_from).collect()
}

/// The filter for the live media of this digest in this namespace.
pub(super) fn live(namespace: Namespace, digest: Digest) -> Document {
    doc! {
        "namespace": namespace_owner(namespace),
        "digest": binary(&digest),
        "kind": ObjectKind::Media.as_str(),
        "state": ObjectState::Live.as_str(),
    }
}

fn stale_reserved(before: Timestamp) -> Document {
    doc! { "state": ObjectState::Reserved.as_str(), "since": { "$lt": date(before) } }
}

fn stale_unreferenced(before: Timestamp) -> Document {
    doc! { "state": ObjectState::Live.as_str(), "references": 0, "since": { "$lt": date(before) } }
}

fn doomed(after: Option<ObjectId>) -> Document {
    let mut filter = doc! { "state": ObjectState::Doomed.as_str() };
    filter.extend(beyond(after));
    filter
}

fn beyond(after: Option<ObjectId>) -> Document {
    after.map(|id| doc! { "_id": { "$gt": uuid(id.as_bytes()) } }).unwrap_or_default()
}
