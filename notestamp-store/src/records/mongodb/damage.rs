//! Documents that cannot be read: left out of what many are read for, and found by the check.

use futures_util::TryStreamExt;
use mongodb::bson::{Binary, Bson, RawDocumentBuf, deserialize_from_slice, doc, spec::BinarySubtype};
use mongodb::error::Error as DriverError;
use serde::de::DeserializeOwned;

use super::collections::Collections;
use super::error::{Failure, Result};
use super::objects::ObjectDocument;
use super::projects::ProjectDocument;
use super::sessions::SessionDocument;
use super::users::UserDocument;
use crate::domain::{Object, Project, Session, User};
use crate::records::{DamagedPage, DamagedRecord, RecordKey, RecordKind};

/// Reads a document into what it stands for.
pub(super) fn read<D, T>(document: &RawDocumentBuf) -> Result<T>
where
    D: DeserializeOwned,
    T: TryFrom<D, Error = Failure>,
{
    deserialize_from_slice::<D>(document.as_bytes()).map_err(DriverError::from)?.try_into()
}

/// What these documents stand for. Those that are damaged are left out and logged.
pub(super) fn readable<D, T>(kind: RecordKind, documents: &[RawDocumentBuf]) -> Vec<T>
where
    D: DeserializeOwned,
    T: TryFrom<D, Error = Failure>,
{
    documents.iter().filter_map(|document| log_damage(kind, read::<D, T>(document))).collect()
}

/// What was read, unless it is damaged: that is logged.
pub(super) fn log_damage<T>(kind: RecordKind, read: Result<T>) -> Option<T> {
    read.inspect_err(|damage| {
        tracing::error!(record = kind.as_str(), error = %damage, "a damaged record is left out");
    })
    .ok()
}

/// Reads some records of a kind, in the order of their ids. A document whose `_id` is no UUID is no record.
pub(super) async fn find(
    collections: &Collections,
    kind: RecordKind,
    after: Option<RecordKey>,
    limit: i64,
) -> Result<DamagedPage> {
    let name = match kind {
        RecordKind::User => collections.users.name(),
        RecordKind::Session => collections.sessions.name(),
        RecordKind::Project => collections.projects.name(),
        RecordKind::Object => collections.objects.name(),
    };
    let records = collections.database.collection::<RawDocumentBuf>(name);
    let after = Binary { subtype: BinarySubtype::Uuid, bytes: after.unwrap_or_default() };
    let found = records.find(doc! { "_id": { "$gt": after } }).sort(doc! { "_id": 1 }).limit(limit).await?;
    let found: Vec<RawDocumentBuf> = found.try_collect().await?;
    let mut page = DamagedPage::default();
    for document in &found {
        let key = match document.get("_id").ok().flatten().map(Bson::try_from) {
            Some(Ok(Bson::Binary(id))) => id.bytes,
            _ => return Err(Failure::Field { field: "_id" }),
        };
        let read = match kind {
            RecordKind::User => read::<UserDocument, User>(document).map(drop),
            RecordKind::Session => read::<SessionDocument, Session>(document).map(drop),
            RecordKind::Project => read::<ProjectDocument, Project>(document).map(drop),
            RecordKind::Object => read::<ObjectDocument, Object>(document).map(drop),
        };
        if let Err(damage) = read {
            page.damaged.push(DamagedRecord::new(kind, &key, damage.to_string()));
        }
        page.next = Some(key);
    }
    if i64::try_from(found.len()).unwrap_or(i64::MAX) < limit {
        page.next = None;
    }
    Ok(page)
}
