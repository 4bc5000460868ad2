//! The store's identity, as the records hold it.

use mongodb::bson::{Document, Uuid, doc};
use mongodb::options::ReturnDocument;
use serde::{Deserialize, Serialize};

use super::bson::uuid;
use super::collections::Collections;
use super::error::{Failure, Result, is_duplicate_key};
use crate::domain::{ObjectKind, StoreId};
use crate::records::StoreIdentity;

/// The id of the document in `meta` that holds the identity.
const ID: &str = "store";

#[derive(Serialize, Deserialize)]
struct IdentityDocument {
    store: Uuid,
    notes_marked: bool,
    media_marked: bool,
}

/// Returns the store's identity; if the records have none, `proposed` becomes its id.
pub(super) async fn claim(collections: &Collections, proposed: StoreId) -> Result<StoreIdentity> {
    let new = doc! { "store": uuid(proposed.as_bytes()), "notes_marked": false, "media_marked": false };
    let meta = collections.meta.clone_with_type::<IdentityDocument>();
    let claim = || {
        meta.find_one_and_update(doc! { "_id": ID }, doc! { "$setOnInsert": new.clone() })
            .upsert(true)
            .return_document(ReturnDocument::After)
    };
    let claimed = match claim().await {
        // Another process has claimed the identity concurrently.
        Err(taken) if is_duplicate_key(&taken) => claim().await?,
        claimed => claimed?,
    };
    let found = claimed.ok_or(Failure::Field { field: "meta.store" })?;
    Ok(StoreIdentity {
        id: StoreId::from_bytes(found.store.bytes()),
        notes_marked: found.notes_marked,
        media_marked: found.media_marked,
    })
}

/// Records that the blob store of this kind has been given the id.
pub(super) async fn mark(collections: &Collections, kind: ObjectKind) -> Result<()> {
    let mark: Document = match kind {
        ObjectKind::Notes => doc! { "notes_marked": true },
        ObjectKind::Media => doc! { "media_marked": true },
    };
    Ok(collections.meta.update_one(doc! { "_id": ID }, doc! { "$set": mark }).await.map(drop)?)
}
