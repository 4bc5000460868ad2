//! Finds the documents that cannot be read.

use futures_util::TryStreamExt;
use mongodb::bson::{Binary, Bson, RawDocumentBuf, doc, spec::BinarySubtype};

use super::collections::Collections;
use super::documents::objects::ObjectDocument;
use super::documents::projects::ProjectDocument;
use super::documents::read;
use super::documents::sessions::SessionDocument;
use super::documents::states::StateDocument;
use super::documents::users::UserDocument;
use super::error::{Failure, Result};
use crate::domain::{Object, Project, Session, Trashed, User, Version};
use crate::records::{DamagedPage, DamagedRecord, RecordKey, RecordKind};

/// Reads some records of a kind, in the order of their ids. A document whose `_id` is no binary value is no
/// record.
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
        RecordKind::Version => collections.versions.name(),
        RecordKind::Trashed => collections.trash.name(),
        RecordKind::Object => collections.objects.name(),
    };
    let records = collections.database.collection::<RawDocumentBuf>(name);
    let subtype = match kind {
        RecordKind::Version => BinarySubtype::Generic,
        _ => BinarySubtype::Uuid,
    };
    let after = Binary { subtype, bytes: after.unwrap_or_default() };
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
            RecordKind::Version => read::<StateDocument, Version>(document).map(drop),
            RecordKind::Trashed => read::<StateDocument, Trashed>(document).map(drop),
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
