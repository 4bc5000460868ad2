//! The indexes, and which version of the schema a database has.
//!
//! Each listing walks an index of its own, so a page costs the same wherever it is: what a listing is sorted
//! by is one field, made of several where it takes several, so that a cursor is one bound of that walk.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{IndexOptions, ReturnDocument};

use super::collections::Collections;
use super::error::{Failure, Result};
use crate::domain::Title;

/// The version that this program writes. A program that writes an older one must not run beside it.
const VERSION: i64 = 3;

/// Before it, whatever ended a session did not write the account, so that a save could be committed after it; and records
/// had no identity, which is made when it is asked for. Nothing in the documents differs.
const WITHOUT_IDENTITY: i64 = 2;

/// Before it, projects had no grams of their titles.
const WITHOUT_GRAMS: i64 = 1;

/// How many projects are brought up to date by one command.
const BATCH: i64 = 1_000;

/// How long sessions outlive their tokens by the server's clock before an index removes them: longer than
/// any clocks are apart, so that it comes after [`forget_expired_sessions`], never before.
///
/// [`forget_expired_sessions`]: crate::records::SessionStore::forget_expired_sessions
const SESSIONS_SPARED: Duration = Duration::from_secs(24 * 3600);

/// Makes what is missing; whoever else is doing so at the same moment does the same.
///
/// # Errors
/// [`Failure::NewerSchema`], [`Failure::ForeignSchema`]; then nothing has been changed.
pub(super) async fn prepare(collections: &Collections) -> Result<()> {
    let database = || collections.database.name().to_owned();
    // In this order: whoever makes the collections has written the version before.
    let names = collections.database.list_collection_names().await?;
    match version(collections).await? {
        Some(found) if found > VERSION => {
            return Err(Failure::NewerSchema { database: database(), found, known: VERSION });
        }
        Some(VERSION | WITHOUT_IDENTITY | WITHOUT_GRAMS) => {}
        Some(_) => return Err(Failure::Field { field: "meta.version" }),
        None if names.iter().any(|name| !name.starts_with("system.")) => {
            return Err(Failure::ForeignSchema { database: database() });
        }
        None => record_version(collections).await?,
    }
    create_collections(collections).await?;
    collections.users.create_indexes(users()).await?;
    collections.sessions.create_indexes(sessions()).await?;
    collections.projects.create_indexes(projects()).await?;
    collections.objects.create_indexes(objects()).await?;
    Ok(())
}

/// Brings the documents up to date that an older version has written, some at a time; done again, it goes on from there.
///
/// Answers whether there may be more.
pub(super) async fn migrate(collections: &Collections) -> Result<bool> {
    match version(collections).await? {
        Some(WITHOUT_GRAMS) => {}
        Some(WITHOUT_IDENTITY) => return migrated(collections, WITHOUT_IDENTITY).await.map(|()| false),
        _ => return Ok(false),
    }
    let old = doc! { "grams": { "$exists": false } };
    let projects = collections.projects.clone_with_type::<Document>();
    let old = projects.find(old).projection(doc! { "title": 1 }).limit(BATCH).await?;
    let old: Vec<Document> = old.try_collect().await?;
    if old.is_empty() {
        return migrated(collections, WITHOUT_GRAMS).await.map(|()| false);
    }
    let updates: Vec<Document> = old.iter().map(add_grams).collect::<Result<_>>()?;
    let update = doc! { "update": collections.projects.name(), "updates": updates, "ordered": false };
    collections.database.run_command(update).await?;
    Ok(true)
}

/// Records that the documents are up to date, unless another process has.
async fn migrated(collections: &Collections, from: i64) -> Result<()> {
    let migrated = doc! { "$set": { "version": VERSION } };
    let schema = collections.meta.update_one(doc! { "_id": "schema", "version": from }, migrated);
    Ok(schema.await.map(drop)?)
}

fn add_grams(project: &Document) -> Result<Document> {
    let title = project.get_str("title").ok().and_then(|title| Title::parse(title).ok());
    let id = project.get("_id").ok_or(Failure::Field { field: "projects._id" })?;
    // A title that is damaged is found by nobody.
    let grams: Vec<String> = title.map(|title| title.ngrams().into_iter().collect()).unwrap_or_default();
    Ok(doc! { "q": { "_id": id }, "u": { "$set": { "grams": grams } } })
}

async fn version(collections: &Collections) -> Result<Option<i64>> {
    let schema = collections.meta.find_one(doc! { "_id": "schema" }).await?;
    let version = |schema: Document| schema.get_i64("version").map_err(|_| META_VERSION);
    schema.map(version).transpose()
}

const META_VERSION: Failure = Failure::Field { field: "meta.version" };

async fn record_version(collections: &Collections) -> Result<()> {
    let recorded = collections
        .meta
        .find_one_and_update(doc! { "_id": "schema" }, doc! { "$setOnInsert": { "version": VERSION } })
        .upsert(true)
        .return_document(ReturnDocument::After);
    recorded.await.map(drop).map_err(Failure::from)
}

/// A transaction could make them as it writes to them, but would collide with others that do so, too.
async fn create_collections(collections: &Collections) -> Result<()> {
    const NAMESPACE_EXISTS: i32 = 48;
    for name in ["users", "removed_users", "sessions", "projects", "objects"] {
        match collections.database.create_collection(name).await {
            Err(error) if !matches!(&*error.kind, ErrorKind::Command(refused) if refused.code == NAMESPACE_EXISTS) =>
            {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

fn index(name: &str, keys: Document) -> IndexModel {
    with_options(keys, IndexOptions::builder().name(name.to_owned()).build())
}

fn unique(name: &str, keys: Document) -> IndexModel {
    with_options(keys, IndexOptions::builder().name(name.to_owned()).unique(true).build())
}

/// An index of some documents only.
fn partial(name: &str, keys: Document, of: Document) -> IndexModel {
    with_options(keys, IndexOptions::builder().name(name.to_owned()).partial_filter_expression(of).build())
}

fn with_options(keys: Document, options: IndexOptions) -> IndexModel {
    IndexModel::builder().keys(keys).options(options).build()
}

fn users() -> Vec<IndexModel> {
    vec![unique("users_by_email", doc! { "email": 1 })]
}

fn sessions() -> Vec<IndexModel> {
    let spared =
        IndexOptions::builder().name("sessions_ended".to_owned()).expire_after(SESSIONS_SPARED).build();
    vec![
        index("sessions_by_user", doc! { "user": 1, "is_revoked": 1, "last_used": 1, "_id": 1 }),
        index("sessions_by_tokens_end", doc! { "tokens_end": 1 }),
        with_options(doc! { "tokens_end_by_server": 1 }, spared),
    ]
}

fn projects() -> Vec<IndexModel> {
    let with_media = doc! { "media.digest": { "$exists": true } };
    vec![
        unique("projects_by_exact_title", doc! { "owner": 1, "title": 1 }),
        unique("projects_by_save", doc! { "owner": 1, "save": 1 }),
        index("projects_by_last_modified", doc! { "owner": 1, "by_last_modified": 1 }),
        index("projects_by_title", doc! { "owner": 1, "by_title": 1 }),
        index("projects_of_type_by_save", doc! { "owner": 1, "type": 1, "save": 1 }),
        index("projects_of_type_by_last_modified", doc! { "owner": 1, "type": 1, "by_last_modified": 1 }),
        index("projects_of_type_by_title", doc! { "owner": 1, "type": 1, "by_title": 1 }),
        // A search looks titles up by their grams.
        index("projects_by_gram", doc! { "owner": 1, "grams": 1 }),
        // Media whose bytes are lost is replaced for all that refer to it.
        partial("projects_by_media", doc! { "media.object": 1 }, with_media.clone()),
        partial("projects_by_media_digest", doc! { "owner": 1, "media.digest": 1, "_id": 1 }, with_media),
    ]
}

fn objects() -> Vec<IndexModel> {
    // Stored once: equal bytes in one namespace are one live object.
    let live_media = IndexOptions::builder()
        .name("objects_live_media".to_owned())
        .unique(true)
        .partial_filter_expression(doc! { "kind": "media", "state": "live" })
        .build();
    vec![
        with_options(doc! { "namespace": 1, "digest": 1 }, live_media),
        partial("objects_reserved", doc! { "since": 1 }, doc! { "state": "reserved" }),
        partial(
            "objects_unreferenced",
            doc! { "since": 1, "_id": 1 },
            doc! { "state": "live", "references": 0 },
        ),
        partial("objects_doomed", doc! { "state": 1, "_id": 1 }, doc! { "state": "doomed" }),
    ]
}
