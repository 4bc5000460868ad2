//! The indexes, the version of the schema, and the migrations from older versions.
//!
//! Each listing walks its own index, so that each page costs the same wherever it begins. The sort key of a
//! listing is a single field, a subdocument if it consists of several values, so that a cursor is one bound of that
//! walk.

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::{IndexOptions, ReturnDocument};
use mongodb::{Collection, IndexModel};

use super::collections::Collections;
use super::documents::projects::record_bytes;
use super::error::{Failure, Result, is_duplicate_key};
use crate::domain::{Title, UserId};
use crate::records::respelling::{report_collision, respelled};

/// The version that this program writes. A program that writes an older version must not run at the same time.
const VERSION: i64 = 7;

/// The last version in which projects have no n-grams of their titles.
const WITHOUT_GRAMS: i64 = 1;

/// The last version in which email addresses are only lower-cased, not in their one spelling.
const WITHOUT_ONE_SPELLING: i64 = 2;

/// The last version in which an operation that ends a session does not write to the user record, so that a save could
/// be committed after it, and in which records have no identity, which is created when it is first claimed. The
/// documents do not differ.
const WITHOUT_IDENTITY: i64 = 3;

/// The last version in which sessions do not carry the epoch in which they started.
const WITHOUT_EPOCHS: i64 = 4;

/// The last version without a history: projects have no time of their latest save, and accounts no usage of records.
const WITHOUT_HISTORY: i64 = 5;

/// The last version without inline notes: the rows of the ledger do not say where the bytes are.
const WITHOUT_INLINE: i64 = 6;

/// How many documents one step of a migration processes at most.
const BATCH: i64 = 1_000;

/// An index of earlier versions, by which MongoDB deleted sessions by its own clock, even if that was wrong for a
/// moment.
const SESSIONS_EXPIRY: &str = "sessions_ended";

/// The index of earlier versions for the sessions of an account.
const SESSIONS_WITHOUT_EPOCH: &str = "sessions_by_user";

/// Creates the collections and indexes that are absent. Idempotent; processes may run it concurrently.
///
/// # Errors
/// [`Failure::NewerSchema`], [`Failure::ForeignSchema`]; then nothing has been changed.
pub(super) async fn prepare(collections: &Collections) -> Result<()> {
    let database = || collections.database.name().to_owned();
    // In this order: a process writes the version before it creates the collections. So, if there are collections, a
    // version that is read after them is absent only in another program's database.
    let names = collections.database.list_collection_names().await?;
    match version(collections).await? {
        Some(found) if found > VERSION => {
            return Err(Failure::NewerSchema { database: database(), found, known: VERSION });
        }
        Some(
            VERSION | WITHOUT_INLINE | WITHOUT_HISTORY | WITHOUT_EPOCHS | WITHOUT_IDENTITY
            | WITHOUT_ONE_SPELLING | WITHOUT_GRAMS,
        ) => {}
        Some(_) => return Err(Failure::Field { field: "meta.version" }),
        None if names.iter().any(|name| !name.starts_with("system.")) => {
            return Err(Failure::ForeignSchema { database: database() });
        }
        None => record_version(collections).await?,
    }
    create_collections(collections, &names).await?;
    collections.users.create_indexes(users()).await?;
    drop_indexes(&collections.sessions, &[SESSIONS_EXPIRY, SESSIONS_WITHOUT_EPOCH]).await?;
    collections.sessions.create_indexes(sessions()).await?;
    collections.projects.create_indexes(projects()).await?;
    collections.versions.create_indexes(versions()).await?;
    collections.trash.create_indexes(trash()).await?;
    collections.objects.create_indexes(objects()).await?;
    Ok(())
}

/// Runs one step of the migration of documents that an older version has written. An interrupted migration continues
/// where it stopped.
///
/// Returns whether there may be more to do.
pub(super) async fn migrate(collections: &Collections) -> Result<bool> {
    match version(collections).await? {
        Some(WITHOUT_GRAMS) => add_some_grams(collections).await?,
        Some(WITHOUT_ONE_SPELLING) => respell_some_addresses(collections).await?,
        Some(WITHOUT_IDENTITY) => migrated(collections, WITHOUT_IDENTITY).await?,
        Some(WITHOUT_EPOCHS) => add_some_epochs(collections).await?,
        Some(WITHOUT_HISTORY) => add_some_times(collections).await?,
        Some(WITHOUT_INLINE) => add_some_places(collections).await?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Records that the documents have been migrated to the version after `found`.
async fn migrated(collections: &Collections, found: i64) -> Result<()> {
    let migrated =
        doc! { "$set": { "version": found + 1 }, "$unset": { RESPELLED_UP_TO: "", PLACED_UP_TO: "" } };
    collections.meta.update_one(doc! { "_id": "schema", "version": found }, migrated).await?;
    Ok(())
}

/// Sessions of an older version belong to the first epoch of their account.
async fn add_some_epochs(collections: &Collections) -> Result<()> {
    let sessions = collections.sessions.clone_with_type::<Document>();
    let old =
        sessions.find(doc! { "epoch": { "$exists": false } }).projection(doc! { "_id": 1 }).limit(BATCH);
    let old: Vec<Document> = old.await?.try_collect().await?;
    if old.is_empty() {
        return migrated(collections, WITHOUT_EPOCHS).await;
    }
    let ids: Vec<&Bson> = old.iter().filter_map(|session| session.get("_id")).collect();
    let first = doc! { "$set": { "epoch": 0_i64 } };
    sessions.update_many(doc! { "_id": { "$in": ids } }, first).await?;
    Ok(())
}

/// The states of projects of an older version were saved when their notes became live. Accounts get the usage of their
/// records afterwards.
async fn add_some_times(collections: &Collections) -> Result<()> {
    let projects = collections.projects.clone_with_type::<Document>();
    let old = doc! { "saved": { "$exists": false } };
    if projects.find_one(old.clone()).projection(doc! { "_id": 1 }).await?.is_none() {
        return add_some_record_bytes(collections).await;
    }
    let since = doc! { "$first": "$row.since" };
    let add = [
        doc! { "$match": old },
        doc! { "$limit": BATCH },
        doc! { "$lookup": { "from": "objects", "localField": "notes.object", "foreignField": "_id", "as": "row" } },
        doc! { "$project": { "saved": { "$ifNull": [since, "$created"] } } },
        doc! { "$merge": { "into": "projects", "whenNotMatched": "discard" } },
    ];
    projects.aggregate(add).await?;
    Ok(())
}

async fn add_some_record_bytes(collections: &Collections) -> Result<()> {
    let users = collections.users.clone_with_type::<Document>();
    let old = doc! { "usage.record_bytes": { "$exists": false } };
    let old = users.find(old).projection(doc! { "_id": 1 }).limit(BATCH);
    let old: Vec<Document> = old.await?.try_collect().await?;
    if old.is_empty() {
        return migrated(collections, WITHOUT_HISTORY).await;
    }
    let ids: Vec<&Bson> = old.iter().filter_map(|user| user.get("_id")).collect();
    let sums = [
        doc! { "$match": { "owner": { "$in": ids.clone() } } },
        doc! { "$group": { "_id": "$owner", "bytes": { "$sum": record_bytes() } } },
    ];
    let projects = collections.projects.clone_with_type::<Document>();
    let sums: Vec<Document> = projects.aggregate(sums).await?.try_collect().await?;
    let updates: Vec<Document> = ids
        .into_iter()
        .map(|id| {
            let sum = sums.iter().find(|sum| sum.get("_id") == Some(id)).and_then(|sum| sum.get("bytes"));
            let bytes = sum.and_then(|sum| sum.as_i64().or(sum.as_i32().map(i64::from))).unwrap_or(0);
            let usage = doc! {
                "usage.record_bytes": bytes, "usage.trashed": 0_i64, "usage.kept_bytes": 0_i64,
                "usage.kept_record_bytes": 0_i64,
            };
            doc! { "q": { "_id": id }, "u": { "$set": usage } }
        })
        .collect();
    let update = doc! { "update": collections.users.name(), "updates": updates, "ordered": false };
    collections.database.run_command(update).await?;
    Ok(())
}

async fn add_some_grams(collections: &Collections) -> Result<()> {
    let old = doc! { "grams": { "$exists": false } };
    let projects = collections.projects.clone_with_type::<Document>();
    let old = projects.find(old).projection(doc! { "title": 1 }).limit(BATCH).await?;
    let old: Vec<Document> = old.try_collect().await?;
    if old.is_empty() {
        return migrated(collections, WITHOUT_GRAMS).await;
    }
    let updates: Vec<Document> = old.iter().map(add_grams).collect::<Result<_>>()?;
    let update = doc! { "update": collections.projects.name(), "updates": updates, "ordered": false };
    collections.database.run_command(update).await?;
    Ok(())
}

/// The field beside the version that holds, during the migration of addresses, the last account that was checked.
const RESPELLED_UP_TO: &str = "respelled_up_to";

/// Migrates addresses in the order of the ids, which is the order in which the accounts were created.
async fn respell_some_addresses(collections: &Collections) -> Result<()> {
    let schema = collections.meta.find_one(doc! { "_id": "schema" }).await?.unwrap_or_default();
    // A lower-case ASCII address is in its one spelling already, unless it has A-labels; it may be invalid by the
    // current rules.
    let mut maybe_other = doc! { "email": { "$regex": r"[^!-~]|xn--|[<>]|@.*[%#/:?\[\\\]^|]" } };
    if let Some(done) = schema.get(RESPELLED_UP_TO) {
        maybe_other.insert("_id", doc! { "$gt": done.clone() });
    }
    let users = collections.users.clone_with_type::<Document>();
    let found =
        users.find(maybe_other).projection(doc! { "email": 1 }).sort(doc! { "_id": 1 }).limit(BATCH).await?;
    let found: Vec<Document> = found.try_collect().await?;
    let Some(last) = found.last().and_then(|user| user.get("_id")).cloned() else {
        return migrated(collections, WITHOUT_ONE_SPELLING).await;
    };
    for user in found {
        let field = |name| user.get(name).ok_or(Failure::Field { field: "users" });
        let (Bson::Binary(id), Bson::String(stored)) = (field("_id")?, field("email")?) else {
            return Err(Failure::Field { field: "users.email" });
        };
        let account = id.to_uuid().map_err(|_| Failure::Field { field: "users._id" })?;
        let account = UserId::from_bytes(account.bytes());
        let Some(email) = respelled(account, stored) else { continue };
        let unchanged = doc! { "_id": id, "email": stored };
        match users.update_one(unchanged, doc! { "$set": { "email": email.as_str() } }).await {
            Err(taken) if is_duplicate_key(&taken) => report_collision(account),
            respelled => drop(respelled?),
        }
    }
    let progress = doc! { "$set": { RESPELLED_UP_TO: last } };
    collections.meta.update_one(doc! { "_id": "schema", "version": WITHOUT_ONE_SPELLING }, progress).await?;
    Ok(())
}

/// The field beside the version that holds, during the migration of the ledger, the last row that was migrated.
const PLACED_UP_TO: &str = "placed_up_to";

/// All objects of an older version are in blob stores. Their rows are migrated in the order of their ids.
async fn add_some_places(collections: &Collections) -> Result<()> {
    let schema = collections.meta.find_one(doc! { "_id": "schema" }).await?.unwrap_or_default();
    let done = schema.get(PLACED_UP_TO).map(|done| doc! { "_id": { "$gt": done.clone() } });
    let objects = collections.objects.clone_with_type::<Document>();
    let rows = objects.find(done.unwrap_or_default()).projection(doc! { "_id": 1 });
    let rows: Vec<Document> = rows.sort(doc! { "_id": 1 }).limit(BATCH).await?.try_collect().await?;
    let Some(last) = rows.last().and_then(|row| row.get("_id")).cloned() else {
        return migrated(collections, WITHOUT_INLINE).await;
    };
    let ids: Vec<&Bson> = rows.iter().filter_map(|row| row.get("_id")).collect();
    let old = doc! { "_id": { "$in": ids }, "inline": { "$exists": false } };
    objects.update_many(old, doc! { "$set": { "inline": false } }).await?;
    let progress = doc! { "$set": { PLACED_UP_TO: last } };
    collections.meta.update_one(doc! { "_id": "schema", "version": WITHOUT_INLINE }, progress).await?;
    Ok(())
}

fn add_grams(project: &Document) -> Result<Document> {
    let title = project.get_str("title").ok().and_then(|title| Title::parse(title).ok());
    let id = project.get("_id").ok_or(Failure::Field { field: "projects._id" })?;
    // No search has to find a damaged title.
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

/// A transaction can create a collection when it first writes to it, but would conflict with others that create it
/// too.
async fn create_collections(collections: &Collections, existing: &[String]) -> Result<()> {
    const NAMESPACE_EXISTS: i32 = 48;
    let needed = [
        "users",
        "removed_users",
        "sessions",
        "projects",
        "versions",
        "trash",
        "objects",
        "inline_bytes",
        "held_bytes",
    ];
    for name in needed.into_iter().filter(|name| existing.iter().all(|existing| existing != name)) {
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

/// Drops those of these indexes that exist.
///
/// `dropIndexes` locks the whole collection, even for an index that does not exist: it waits for each open transaction,
/// and all other calls wait behind it. So it is sent only if there is something to drop.
async fn drop_indexes<T: Send + Sync>(collection: &Collection<T>, unused: &[&str]) -> Result<()> {
    const INDEX_NOT_FOUND: i32 = 27;
    let existing = collection.list_index_names().await?;
    for name in existing.iter().filter(|name| unused.contains(&name.as_str())) {
        match collection.drop_index(name).await {
            Err(error) if !matches!(&*error.kind, ErrorKind::Command(refused) if refused.code == INDEX_NOT_FOUND) =>
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

/// An index that contains only the documents that match `of`.
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
    vec![
        index("sessions_by_epoch", doc! { "user": 1, "epoch": 1, "is_revoked": 1, "last_used": 1, "_id": 1 }),
        index("sessions_by_tokens_end", doc! { "tokens_end": 1 }),
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
        // A search looks up titles by their n-grams.
        index("projects_by_gram", doc! { "owner": 1, "grams": 1 }),
        // For counting the references to notes.
        index("projects_by_notes", doc! { "notes.object": 1 }),
        // For repointing all projects that refer to lost media.
        partial("projects_by_media", doc! { "media.object": 1 }, with_media.clone()),
        partial("projects_by_media_digest", doc! { "owner": 1, "media.digest": 1, "_id": 1 }, with_media),
    ]
}

fn versions() -> Vec<IndexModel> {
    let with_media = doc! { "media.digest": { "$exists": true } };
    vec![
        // Also covers the times by which a save thins the history out.
        index("versions_by_project", doc! { "project": 1, "revision": -1, "saved": 1, "replaced": 1 }),
        index("versions_by_replaced", doc! { "replaced": 1, "project": 1, "revision": 1, "owner": 1 }),
        index("versions_by_notes", doc! { "notes.object": 1 }),
        index("versions_of_owner", doc! { "owner": 1, "replaced": 1, "project": 1, "revision": 1 }),
        partial("versions_by_media", doc! { "media.object": 1 }, with_media.clone()),
        partial("versions_by_media_digest", doc! { "owner": 1, "media.digest": 1, "_id": 1 }, with_media),
    ]
}

fn trash() -> Vec<IndexModel> {
    let with_media = doc! { "media.digest": { "$exists": true } };
    vec![
        index("trash_by_deleted", doc! { "deleted": 1, "_id": 1, "owner": 1 }),
        index("trash_by_notes", doc! { "notes.object": 1 }),
        index("trash_of_owner", doc! { "owner": 1, "deleted": 1, "_id": 1 }),
        partial("trash_by_media", doc! { "media.object": 1 }, with_media.clone()),
        partial("trash_by_media_digest", doc! { "owner": 1, "media.digest": 1, "_id": 1 }, with_media),
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
        // A sample of the live notes in the notes store tells whether that store is the right one.
        partial(
            "objects_live_notes",
            doc! { "kind": 1, "_id": 1 },
            doc! { "kind": "notes", "state": "live", "inline": false },
        ),
        partial("objects_reserved", doc! { "since": 1 }, doc! { "state": "reserved" }),
        partial(
            "objects_unreferenced",
            doc! { "since": 1, "_id": 1 },
            doc! { "state": "live", "references": 0 },
        ),
        partial("objects_doomed", doc! { "state": 1, "_id": 1 }, doc! { "state": "doomed" }),
    ]
}
