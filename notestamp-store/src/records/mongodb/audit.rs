//! Counts anew what the records keep as numbers.

use std::collections::HashMap;

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::Collection;
use mongodb::bson::{Binary, Document, RawDocumentBuf, Uuid, deserialize_from_slice, doc};
use mongodb::options::Hint;
use serde::Deserialize;

use super::bson::{limit as document_limit, uuid};
use super::collections::Collections;
use super::documents::objects::ObjectDocument;
use super::documents::projects::{ProjectDocument, record_bytes};
use super::documents::readable;
use super::documents::users::UserDocument;
use super::error::{Failure, Result as StepResult};
use super::transaction::Transaction;
use super::{MongoDbRecords, account, objects};
use crate::clock::Timestamp;
use crate::domain::{Object, ObjectId, ObjectState, Project, ProjectId, Title, Usage, User, UserId};
use crate::error::Result;
use crate::protocol::recount;
use crate::records::{AuditedObject, DanglingPage, RecordAudit, RecordKind, Referrers};

#[async_trait]
impl RecordAudit for MongoDbRecords {
    async fn count_objects(&self) -> Result<u64> {
        self.bounded(async { Ok(self.collections.objects.estimated_document_count().await?) }).await
    }

    async fn audit_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<AuditedObject>> {
        self.transaction(&(after, limit), |transaction, (after, limit)| {
            async move {
                let after = after.map(|id| uuid(id.as_bytes()));
                let rows =
                    page::<ObjectDocument, Object>(transaction, RecordKind::Object, after, *limit).await?;
                let ids: Vec<Uuid> = rows.iter().map(|row| uuid(row.id.as_bytes())).collect();
                let counted = count_references(transaction, &ids).await?;
                let sizes = inline_sizes(transaction, &ids).await?;
                let audited = rows.into_iter().zip(&ids).map(|(row, id)| AuditedObject {
                    row,
                    counted: counted.get(id).copied().unwrap_or(0),
                    inline_size: sizes.get(id).copied(),
                });
                Ok(audited.collect())
            }
            .boxed()
        })
        .await
    }

    async fn find_referrers(&self, id: ObjectId) -> Result<Referrers> {
        self.transaction(&id, |transaction, id| {
            async move {
                let id = uuid(id.as_bytes());
                let count = count_references(transaction, &[id]).await?.get(&id).copied().unwrap_or(0);
                let Transaction { session, collections } = transaction;
                let mut first = None;
                for states in states_of(collections) {
                    let states = states.clone_with_type::<ReferrerDocument>();
                    for field in REFERENCES {
                        if first.is_none() {
                            let found = states.find_one(doc! { field: id });
                            let found = found.projection(doc! { "owner": 1, "title": 1 });
                            first = found.session(&mut *session).await?.and_then(ReferrerDocument::readable);
                        }
                    }
                }
                Ok(Referrers { count, first })
            }
            .boxed()
        })
        .await
    }

    async fn find_dangling(&self, after: Option<ProjectId>, limit: usize) -> Result<DanglingPage> {
        self.transaction(&(after, limit), |transaction, (after, limit)| {
            async move {
                let after = after.map(|id| uuid(id.as_bytes()));
                let kind = RecordKind::Project;
                let projects = page::<ProjectDocument, Project>(transaction, kind, after, *limit).await?;
                let next = projects.last().filter(|_| projects.len() == *limit).map(|project| project.id);
                let notes = projects.iter().map(|project| project.notes.object);
                let media = projects.iter().filter_map(|project| project.media).map(|media| media.object);
                let ids: Vec<ObjectId> = notes.chain(media).collect();
                let rows = objects::find_readable(transaction, &ids).await?;
                let rows: HashMap<ObjectId, Object> = rows.into_iter().map(|row| (row.id, row)).collect();
                let live = |id| rows.get(&id).filter(|row| row.state == ObjectState::Live)?.content;
                let is_whole = |project: &Project| {
                    live(project.notes.object).is_some_and(|(_, size)| size == project.notes.size)
                        && project.media.is_none_or(|it| live(it.object) == Some((it.digest, it.size)))
                };
                Ok(DanglingPage { projects: projects.into_iter().filter(|it| !is_whole(it)).collect(), next })
            }
            .boxed()
        })
        .await
    }

    async fn audit_usage(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(User, Usage)>> {
        self.transaction(&(after, limit), |transaction, (after, limit)| {
            async move {
                let after = after.map(|id| uuid(id.as_bytes()));
                let users = page::<UserDocument, User>(transaction, RecordKind::User, after, *limit).await?;
                let mut audited = Vec::new();
                for user in users {
                    let usage = count_usage(transaction, user.id).await?;
                    audited.push((user, usage));
                }
                Ok(audited)
            }
            .boxed()
        })
        .await
    }

    async fn correct_references(&self, id: ObjectId, now: Timestamp) -> Result<bool> {
        self.transaction(&(id, now), |transaction, (id, now)| {
            async move {
                let rows = objects::find_all(transaction, &[*id]).await?;
                let Some(row) = rows.first() else { return Ok(false) };
                let id = uuid(id.as_bytes());
                let counted = count_references(transaction, &[id]).await?.get(&id).copied().unwrap_or(0);
                let Some(corrected) = recount(row, counted, *now) else { return Ok(false) };
                objects::write(transaction, &[corrected]).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn correct_usage(&self, id: UserId) -> Result<bool> {
        self.account_transaction(id, &id, |transaction, id| {
            async move {
                let Some(user) = account::lock(transaction, *id).await? else { return Ok(false) };
                let usage = count_usage(transaction, *id).await?;
                account::update_usage(transaction, &User { usage, ..user }).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }

    async fn restore_row(&self, row: &Object) -> Result<bool> {
        self.transaction(row, |transaction, row| {
            async move {
                let id = uuid(row.id.as_bytes());
                let references = count_references(transaction, &[id]).await?.get(&id).copied().unwrap_or(0);
                if references == 0 || !objects::find_readable(transaction, &[row.id]).await?.is_empty() {
                    return Ok(false);
                }
                objects::insert(transaction, &[Object { references, ..row.clone() }]).await?;
                Ok(true)
            }
            .boxed()
        })
        .await
    }
}

/// The collections whose documents refer to objects: projects, versions and the trash.
fn states_of(collections: &Collections) -> [Collection<RawDocumentBuf>; 3] {
    [
        collections.projects.clone_with_type(),
        collections.versions.clone_with_type(),
        collections.trash.clone_with_type(),
    ]
}

/// The fields by which these refer to objects; each has an index.
const REFERENCES: [&str; 2] = ["notes.object", "media.object"];

/// The owner and the title of a project.
#[derive(Deserialize)]
struct ReferrerDocument {
    owner: Uuid,
    title: String,
}

impl ReferrerDocument {
    fn readable(self) -> Option<(UserId, Title)> {
        Some((UserId::from_bytes(self.owner.bytes()), Title::parse(&self.title).ok()?))
    }
}

#[derive(Deserialize)]
struct Counted {
    #[serde(rename = "_id")]
    id: Uuid,
    count: i64,
}

/// Up to `limit` records in the order of their ids, after the id `after`. Damaged ones do not shorten a page.
async fn page<D, T>(
    transaction: &mut Transaction,
    kind: RecordKind,
    after: Option<Uuid>,
    limit: usize,
) -> StepResult<Vec<T>>
where
    D: serde::de::DeserializeOwned,
    T: TryFrom<D, Error = Failure>,
{
    let Transaction { session, collections } = transaction;
    let name = match kind {
        RecordKind::User => collections.users.name(),
        RecordKind::Session => collections.sessions.name(),
        RecordKind::Project => collections.projects.name(),
        RecordKind::Version => collections.versions.name(),
        RecordKind::Trashed => collections.trash.name(),
        RecordKind::Object => collections.objects.name(),
    };
    let records = collections.database.collection::<RawDocumentBuf>(name);
    let filter = after.map(|id| doc! { "_id": { "$gt": id } }).unwrap_or_default();
    let (mut list, mut skip) = (Vec::new(), 0);
    while let Some(wanted) = document_limit(limit - list.len()) {
        let found = records.find(filter.clone()).sort(doc! { "_id": 1 }).skip(skip).limit(wanted);
        let mut found = found.hint(Hint::Keys(doc! { "_id": 1 })).session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(&mut *session).try_collect().await?;
        list.extend(readable::<D, T>(kind, &found));
        skip += found.len() as u64;
        if (found.len() as i64) < wanted {
            break;
        }
    }
    Ok(list)
}

/// How many references there are to each of these objects; those without a reference are left out.
async fn count_references(transaction: &mut Transaction, ids: &[Uuid]) -> StepResult<HashMap<Uuid, u64>> {
    let mut counts = HashMap::new();
    for states in states_of(&transaction.collections) {
        for field in REFERENCES {
            let mut refers = doc! { field: { "$in": ids } };
            if field == "media.object" {
                // The condition of the partial index.
                refers.insert("media.digest", doc! { "$exists": true });
            }
            let count = doc! { "$group": { "_id": format!("${field}"), "count": { "$sum": 1_i64 } } };
            let pipeline = vec![doc! { "$match": refers }, count];
            for found in aggregate::<Counted>(transaction, &states, pipeline).await? {
                *counts.entry(found.id).or_default() += u64::try_from(found.count).unwrap_or(0);
            }
        }
    }
    Ok(counts)
}

/// How many bytes the records have of each of these objects; those of which they have none are left out.
async fn inline_sizes(transaction: &mut Transaction, ids: &[Uuid]) -> StepResult<HashMap<Uuid, u64>> {
    let inline = transaction.collections.inline_bytes.clone_with_type();
    let sizes = vec![
        doc! { "$match": { "_id": { "$in": ids } } },
        doc! { "$project": { "count": { "$toLong": { "$binarySize": "$bytes" } } } },
    ];
    let found = aggregate::<Counted>(transaction, &inline, sizes).await?;
    Ok(found.into_iter().map(|it| (it.id, u64::try_from(it.count).unwrap_or(0))).collect())
}

/// What an account uses: see [`Usage`].
async fn count_usage(transaction: &mut Transaction, owner: UserId) -> StepResult<Usage> {
    let [projects, versions, trash] = states_of(&transaction.collections);
    let owner = uuid(owner.as_bytes());
    let shown = sums(transaction, &projects, owner).await?;
    let kept = sums(transaction, &versions, owner).await?;
    let trashed = sums(transaction, &trash, owner).await?;
    let shown_media = media_of(transaction, &projects, owner).await?;
    let mut kept_media = media_of(transaction, &versions, owner).await?;
    kept_media.extend(media_of(transaction, &trash, owner).await?);
    kept_media.retain(|digest, _| !shown_media.contains_key(digest));
    let bytes = |sums: &[&Sums], media: &HashMap<Vec<u8>, u64>| {
        sums.iter().map(|it| it.notes).sum::<u64>() + media.values().sum::<u64>()
    };
    Ok(Usage {
        projects: shown.count,
        bytes: bytes(&[&shown], &shown_media),
        record_bytes: shown.records,
        trashed: trashed.count,
        kept_bytes: bytes(&[&kept, &trashed], &kept_media),
        kept_record_bytes: kept.records + trashed.records,
    })
}

/// The sums over the documents of an account in one collection.
#[derive(Deserialize, Default)]
struct Sums {
    count: u64,
    notes: u64,
    records: u64,
}

async fn sums(
    transaction: &mut Transaction,
    states: &Collection<RawDocumentBuf>,
    owner: Uuid,
) -> StepResult<Sums> {
    let sums = doc! { "$group": {
        "_id": null,
        "count": { "$sum": 1_i64 },
        "notes": { "$sum": { "$toLong": "$notes.size" } },
        "records": { "$sum": { "$toLong": record_bytes() } },
    } };
    let found = aggregate::<Sums>(transaction, states, vec![doc! { "$match": { "owner": owner } }, sums]);
    Ok(found.await?.pop().unwrap_or_default())
}

/// The digests of the media in one collection of an account, each with its size.
async fn media_of(
    transaction: &mut Transaction,
    states: &Collection<RawDocumentBuf>,
    owner: Uuid,
) -> StepResult<HashMap<Vec<u8>, u64>> {
    #[derive(Deserialize)]
    struct Media {
        #[serde(rename = "_id")]
        digest: Binary,
        size: i64,
    }
    let media = vec![
        doc! { "$match": { "owner": owner, "media.digest": { "$exists": true } } },
        doc! { "$group": { "_id": "$media.digest", "size": { "$first": { "$toLong": "$media.size" } } } },
    ];
    let found = aggregate::<Media>(transaction, states, media).await?.into_iter();
    Ok(found.map(|media| (media.digest.bytes, u64::try_from(media.size).unwrap_or(0))).collect())
}

async fn aggregate<T: serde::de::DeserializeOwned>(
    transaction: &mut Transaction,
    states: &Collection<RawDocumentBuf>,
    pipeline: Vec<Document>,
) -> StepResult<Vec<T>> {
    let session = &mut transaction.session;
    let mut found = states.aggregate(pipeline).with_type::<RawDocumentBuf>().session(&mut *session).await?;
    let found: Vec<RawDocumentBuf> = found.stream(session).try_collect().await?;
    let read = |document: &RawDocumentBuf| {
        deserialize_from_slice(document.as_bytes()).map_err(|error| mongodb::error::Error::from(error).into())
    };
    found.iter().map(read).collect()
}
