//! Pages of projects: each is a walk along one index, from the cursor to the limit.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc, serialize_to_bson};
use mongodb::error::Error as DriverError;
use mongodb::options::Hint;

use super::error::Result;
use super::projects::{LastModifiedPlace, ProjectDocument, TitlePlace};
use super::transaction::Transaction;
use super::values::{limit as document_limit, uuid};
use crate::domain::{Cursor, InvalidValue, ListQuery, Order, Page, Project, Sort, UserId};

/// A page of an owner's projects.
pub(super) async fn list(transaction: &mut Transaction, owner: UserId, query: &ListQuery) -> Result<Page> {
    if query.after.as_ref().is_some_and(|cursor| cursor.sort() != query.sort) {
        return Err(InvalidValue::new("cursor", "was made for another sort").into());
    }
    let Transaction { session, collections } = transaction;
    let id = doc! { "_id": uuid(owner.as_bytes()) };
    if collections.users.find_one(id).session(&mut *session).await?.is_none() {
        return Ok(Page { projects: Vec::new(), next: None });
    }
    let Listing { filter, sort, index, limit, skip } = Listing::of(owner, query)?;
    let mut found = collections.projects.find(filter).sort(sort).hint(Hint::Name(index));
    if let Some(limit) = limit {
        found = found.limit(limit);
    }
    if skip > 0 {
        found = found.skip(skip);
    }
    let mut found = found.session(&mut *session).await?;
    let found: Vec<ProjectDocument> = found.stream(session).try_collect().await?;
    let mut projects = found.into_iter().map(Project::try_from).collect::<Result<Vec<_>>>()?;

    // One more than the limit was asked for, to learn whether there is a next page.
    let limit = query.limit.map_or(usize::MAX, |limit| limit.get());
    let more = projects.len() > limit;
    projects.truncate(limit);
    let next = projects.last().filter(|_| more).map(|last| Cursor::of(last, query.sort));
    Ok(Page { projects, next })
}

/// What is asked of the collection.
struct Listing {
    filter: Document,
    sort: Document,
    index: String,
    limit: Option<i64>,
    skip: u64,
}

impl Listing {
    fn of(owner: UserId, query: &ListQuery) -> Result<Self> {
        let mut filter = doc! { "owner": uuid(owner.as_bytes()) };
        if let Some(kind) = &query.kind {
            filter.insert("type", kind);
        }
        let (beyond, direction) = match query.order() {
            Order::Ascending => ("$gt", 1),
            Order::Descending => ("$lt", -1),
        };
        let (index, key) = match query.sort {
            Sort::Saved => ("save", "save"),
            Sort::LastModified => ("last_modified", "by_last_modified"),
            Sort::Title => ("title", "by_title"),
        };
        if let Some(cursor) = &query.after {
            filter.insert(key, doc! { beyond: place_of(cursor)? });
        }
        let found = |field: &str, text: String| {
            doc! { "$gte": [{ "$indexOfBytes": [field, { "$literal": text }] }, 0] }
        };
        let searched = query.folded_search().map(|text| found("$by_title.folded", text));
        let contained = query.normalized_contains().map(|text| found("$title", text));
        let texts: Vec<_> = searched.into_iter().chain(contained).collect();
        if !texts.is_empty() {
            filter.insert("$expr", doc! { "$and": texts });
        }
        let of_type = if query.kind.is_some() { "of_type_" } else { "" };
        Ok(Self {
            filter,
            sort: doc! { key: direction },
            index: format!("projects_{of_type}by_{index}"),
            skip: query.skip as u64,
            limit: query.limit.and_then(|limit| document_limit(limit.get().saturating_add(1))),
        })
    }
}

/// The value of the field that a listing is sorted by, where it goes on.
fn place_of(cursor: &Cursor) -> Result<Bson> {
    let place = match cursor {
        // Clients can make up any number; none that is kept is greater than the greatest here.
        Cursor::Saved(save) => Ok(Bson::from(i64::try_from(*save).unwrap_or(i64::MAX))),
        Cursor::LastModified(at, id) => serialize_to_bson(&LastModifiedPlace::of(*at, *id)),
        Cursor::Title(folded, title) => serialize_to_bson(&TitlePlace::of(folded.clone(), title)),
    };
    place.map_err(|error| DriverError::from(error).into())
}
