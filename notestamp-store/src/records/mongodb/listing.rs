//! Pages of projects, and the starts of whole lists. Each is either a walk along one index, from the cursor to the
//! limit, or a lookup of the few projects that contain a searched n-gram.

use std::num::NonZeroUsize;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc, serialize_to_bson};
use mongodb::error::Error as DriverError;
use mongodb::options::Hint;

use super::bson::{limit as document_limit, uuid};
use super::documents::projects::{IdDocument, LastModifiedPlace, ProjectDocument, TitlePlace};
use super::documents::readable;
use super::error::Result;
use super::transaction::Transaction;
use crate::domain::{Cursor, ListQuery, Order, Page, Project, ProjectId, Sort, Start, UserId};
use crate::records::{ListStart, RecordKind};

/// More than any account has projects, and so small that its sum with a limit fits into 64 bits, as MongoDB requires.
const SKIP_MAX: u64 = 1 << 62;

/// Up to this many projects a search examines one by one; beyond that it walks the index of the sort order.
const CANDIDATES_MAX: u64 = 1_000;

const BY_GRAM: &str = "projects_by_gram";

/// A page of an owner's projects.
pub(super) async fn list(transaction: &mut Transaction, owner: UserId, query: &ListQuery) -> Result<Page> {
    let Transaction { session, collections } = &mut *transaction;
    let id = doc! { "_id": uuid(owner.as_bytes()) };
    if collections.users.clone_with_type::<Document>().find_one(id).session(&mut *session).await?.is_none() {
        return Ok(Page::empty());
    }
    let rare = rare(transaction, owner, query).await?;
    let Transaction { session, collections } = transaction;
    let Listing { filter, sort, index, limit } = Listing::of(owner, query, rare)?;
    let skip = u64::try_from(query.skip).unwrap_or(SKIP_MAX).min(SKIP_MAX);
    let raw = collections.projects.clone_with_type::<RawDocumentBuf>();
    let (mut projects, mut skip) = (Vec::new(), skip);
    // Once, unless there are damaged ones among them: those make no page shorter.
    loop {
        let wanted = limit.map(|limit| limit - projects.len() as i64);
        let mut found =
            raw.find(filter.clone()).sort(sort.clone()).hint(Hint::Name(index.clone())).skip(skip);
        found = found.projection(doc! { "grams": 0 });
        if let Some(wanted) = wanted {
            found = found.limit(wanted);
        }
        let mut found = found.session(&mut *session).await?;
        let found: Vec<RawDocumentBuf> = found.stream(&mut *session).try_collect().await?;
        projects.extend(readable::<ProjectDocument, Project>(RecordKind::Project, &found));
        skip += found.len() as u64;
        let is_complete = limit.is_none_or(|limit| projects.len() as i64 >= limit);
        if is_complete || wanted.is_none_or(|wanted| (found.len() as i64) < wanted) {
            break;
        }
    }
    Ok(Page::of(projects, query))
}

/// The first `len` of an owner's projects that a query selects, and the ids of all others.
pub(super) async fn start(
    transaction: &mut Transaction,
    owner: UserId,
    query: &ListQuery,
    len: NonZeroUsize,
) -> Result<ListStart> {
    let first = ListQuery { limit: Some(len), ..query.clone() };
    let Page { projects, next } = list(transaction, owner, &first).await?;
    let rest = match next {
        None => Vec::new(),
        Some(next) => {
            let rest = ListQuery { start: Start::After(next), limit: None, skip: 0, ..query.clone() };
            ids(transaction, owner, &rest).await?
        }
    };
    Ok(ListStart { projects, rest })
}

/// The ids of all projects that a query selects.
async fn ids(transaction: &mut Transaction, owner: UserId, query: &ListQuery) -> Result<Vec<ProjectId>> {
    let rare = rare(transaction, owner, query).await?;
    let Transaction { session, collections } = transaction;
    let Listing { filter, sort, index, .. } = Listing::of(owner, query, rare)?;
    let raw = collections.projects.clone_with_type::<RawDocumentBuf>();
    let found = raw.find(filter).sort(sort).hint(Hint::Name(index)).projection(doc! { "_id": 1 });
    let mut found = found.session(&mut *session).await?;
    let mut ids = Vec::new();
    let mut found = found.stream(session);
    while let Some(document) = found.try_next().await? {
        ids.extend(readable::<IdDocument, ProjectId>(RecordKind::Project, &[document]));
    }
    Ok(ids)
}

/// A filter for one n-gram that few projects contain. Returns `None` if many projects contain every n-gram of the
/// query: then a walk in the sort order soon finds enough projects for a page.
async fn rare(transaction: &mut Transaction, owner: UserId, query: &ListQuery) -> Result<Option<Document>> {
    let Transaction { session, collections } = transaction;
    for gram in query.lookups() {
        let filter = doc! { "owner": uuid(owner.as_bytes()), "grams": gram };
        let found = collections.projects.count_documents(filter.clone()).limit(CANDIDATES_MAX + 1);
        let found = found.hint(Hint::Name(BY_GRAM.to_owned())).session(&mut *session).await?;
        if found <= CANDIDATES_MAX {
            return Ok(Some(filter));
        }
    }
    Ok(None)
}

/// A query on the collection of projects.
struct Listing {
    filter: Document,
    sort: Document,
    index: String,
    limit: Option<i64>,
}

impl Listing {
    /// The query that looks up the `rare` n-gram or, without one, walks the index of the sort order.
    fn of(owner: UserId, query: &ListQuery, rare: Option<Document>) -> Result<Self> {
        let is_rare = rare.is_some();
        let mut filter = rare.unwrap_or_else(|| doc! { "owner": uuid(owner.as_bytes()) });
        if let Some(kind) = &query.kind {
            filter.insert("type", kind);
        }
        let (beyond, direction) = match query.order() {
            Order::Ascending => ("$gt", 1),
            Order::Descending => ("$lt", -1),
        };
        let (index, key) = match query.sort() {
            Sort::Saved => ("save", "save"),
            Sort::LastModified => ("last_modified", "by_last_modified"),
            Sort::Title => ("title", "by_title"),
        };
        if let Some(cursor) = query.after() {
            filter.insert(key, doc! { beyond: place_of(cursor)? });
        }
        let texts = [("$by_title.folded", query.folded_search()), ("$title", query.normalized_contains())];
        let conditions = texts.into_iter().filter_map(|(field, text)| {
            let found_at = doc! { "$indexOfBytes": [field, { "$literal": text? }] };
            Some(Bson::from(doc! { "$gte": [found_at, 0] }))
        });
        let conditions: Vec<_> = conditions.collect();
        if !conditions.is_empty() {
            filter.insert("$expr", doc! { "$and": conditions });
        }
        let of_type = if query.kind.is_some() { "of_type_" } else { "" };
        Ok(Self {
            filter,
            sort: doc! { key: direction },
            index: if is_rare { BY_GRAM.to_owned() } else { format!("projects_{of_type}by_{index}") },
            limit: query.wanted().and_then(document_limit),
        })
    }
}

/// The value of the sort field at the cursor.
fn place_of(cursor: &Cursor) -> Result<Bson> {
    let place = match cursor {
        // A cursor comes from a client and may hold any number; no stored number is greater than `i64::MAX`.
        Cursor::Saved(save) => Ok(Bson::from(i64::try_from(*save).unwrap_or(i64::MAX))),
        Cursor::LastModified(at, id) => serialize_to_bson(&LastModifiedPlace::of(*at, *id)),
        Cursor::Title(folded, title) => serialize_to_bson(&TitlePlace::of(folded.clone(), title)),
    };
    place.map_err(|error| DriverError::from(error).into())
}
