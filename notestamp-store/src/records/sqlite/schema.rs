//! The tables, and the migrations from older versions of the schema.
//!
//! Ids and digests are BLOBs of their bytes. Times are milliseconds since 1970. A namespace is its owner's id or, if
//! it is shared, empty. Each listing walks its own index, so that each page costs the same wherever it begins; a
//! search looks up the n-grams that few titles have. `ANALYZE` is never run, so the query plans in the tests are those
//! of production.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, named_params};

use super::error::{Failure, Result};
use super::ngrams;
use crate::domain::{ProjectId, Title, UserId};
use crate::records::respelling::{report_collision, respelled};

/// The migrations from each version to the next; `user_version` is the count of those that have been done.
const MIGRATIONS: &[fn(&Connection) -> Result<()>] = &[
    |database| Ok(database.execute_batch(VERSION_1)?),
    to_version_2,
    to_version_3,
    |database| Ok(database.execute_batch(VERSION_4)?),
    |database| Ok(database.execute_batch(VERSION_5)?),
    |database| Ok(database.execute_batch(VERSION_6)?),
    |database| Ok(database.execute_batch(VERSION_7)?),
    |database| Ok(database.execute_batch(VERSION_8)?),
    |database| Ok(database.execute_batch(VERSION_9)?),
];

/// Migrates the tables to the current version, in one transaction.
///
/// # Errors
/// - [`Failure::NewerSchema`] if a newer version of this crate has written the database.
/// - [`Failure::ForeignSchema`] if it is another program's database.
///
/// After either the database is unchanged.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let known = i64::try_from(MIGRATIONS.len()).expect("there are few versions");
    let found: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = match usize::try_from(found) {
        Ok(done) if found <= known => done,
        _ => return Err(Failure::NewerSchema { path: path.to_owned(), found, known }),
    };
    if found == 0
        && transaction.query_one("SELECT EXISTS (SELECT 1 FROM sqlite_schema)", (), |row| row.get(0))?
    {
        return Err(Failure::ForeignSchema { path: path.to_owned() });
    }
    for migration in &MIGRATIONS[done..] {
        migration(&transaction)?;
    }
    if found < known {
        transaction.pragma_update(None, "user_version", known)?;
    }
    Ok(transaction.commit()?)
}

const VERSION_1: &str = "
CREATE TABLE users (
    id             BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    email          TEXT    NOT NULL UNIQUE,
    password_hash  TEXT    NOT NULL,
    created        INTEGER NOT NULL,
    usage_projects INTEGER NOT NULL CHECK (usage_projects >= 0),
    usage_bytes    INTEGER NOT NULL CHECK (usage_bytes >= 0),
    saves          INTEGER NOT NULL CHECK (saves >= 0)
) STRICT;

-- Accounts that are no more, but of which sessions or projects may be left. So neither refers to users:
-- what finds them asks whether their user is still there.
CREATE TABLE removed_users (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16)
) STRICT, WITHOUT ROWID;

CREATE TABLE sessions (
    id              BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    user            BLOB    NOT NULL CHECK (length(user) = 16),
    generation      INTEGER NOT NULL CHECK (generation >= 0),
    current         BLOB    NOT NULL CHECK (length(current) = 16),
    previous        BLOB    CHECK (length(previous) = 16),
    rotated_at      INTEGER NOT NULL,
    refresh_expires INTEGER NOT NULL,
    confirmed       INTEGER NOT NULL CHECK (confirmed IN (0, 1)),
    created         INTEGER NOT NULL,
    last_used       INTEGER NOT NULL,
    absolute_end    INTEGER NOT NULL,
    tokens_end      INTEGER NOT NULL,
    user_agent      TEXT    NOT NULL,
    revoked_at      INTEGER,
    revoked_reason  TEXT,
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user, revoked_at, last_used, id);
CREATE INDEX sessions_by_tokens_end ON sessions (tokens_end);

-- The ledger.
CREATE TABLE objects (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    kind       TEXT    NOT NULL CHECK (kind IN ('notes', 'media')),
    namespace  BLOB    NOT NULL CHECK (length(namespace) IN (0, 16)),
    state      TEXT    NOT NULL CHECK (state IN ('reserved', 'live', 'doomed')),
    digest     BLOB    CHECK (length(digest) = 32),
    size       INTEGER CHECK (size >= 0),
    reference_count INTEGER NOT NULL CHECK (reference_count >= 0),
    since      INTEGER NOT NULL,
    CHECK ((digest IS NULL) = (size IS NULL)),
    CHECK (state <> 'live' OR digest IS NOT NULL),
    CHECK (state = 'live' OR reference_count = 0)
) STRICT, WITHOUT ROWID;

-- Stored once: equal bytes in one namespace are one live object.
CREATE UNIQUE INDEX objects_live_media ON objects (namespace, digest) WHERE kind = 'media' AND state = 'live';
CREATE INDEX objects_reserved ON objects (since) WHERE state = 'reserved';
CREATE INDEX objects_unreferenced ON objects (since) WHERE state = 'live' AND reference_count = 0;
CREATE INDEX objects_doomed ON objects (id) WHERE state = 'doomed';

-- Never dangling: an object that a project refers to cannot be forgotten.
CREATE TABLE projects (
    id                 BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    owner              BLOB    NOT NULL CHECK (length(owner) = 16),
    title              TEXT    NOT NULL,
    title_folded       TEXT    NOT NULL,
    type               TEXT    NOT NULL,
    label              TEXT    NOT NULL,
    src                TEXT    NOT NULL,
    mimetype           TEXT    NOT NULL,
    last_modified      INTEGER NOT NULL,
    last_modified_text TEXT    NOT NULL,
    extra              TEXT    NOT NULL,
    media              BLOB    REFERENCES objects (id),
    media_namespace    BLOB    CHECK (length(media_namespace) IN (0, 16)),
    media_digest       BLOB    CHECK (length(media_digest) = 32),
    media_size         INTEGER CHECK (media_size >= 0),
    notes              BLOB    NOT NULL UNIQUE REFERENCES objects (id),
    notes_size         INTEGER NOT NULL CHECK (notes_size >= 0),
    revision           INTEGER NOT NULL CHECK (revision > 0),
    save               INTEGER NOT NULL CHECK (save > 0),
    created            INTEGER NOT NULL,
    CHECK ((media IS NULL) = (media_namespace IS NULL)),
    CHECK ((media IS NULL) = (media_digest IS NULL)),
    CHECK ((media IS NULL) = (media_size IS NULL))
) STRICT;

CREATE UNIQUE INDEX projects_by_exact_title ON projects (owner, title);
CREATE UNIQUE INDEX projects_by_save ON projects (owner, save);
CREATE INDEX projects_by_last_modified ON projects (owner, last_modified, id);
CREATE INDEX projects_by_title ON projects (owner, title_folded, title);
CREATE INDEX projects_of_type_by_save ON projects (owner, type, save);
CREATE INDEX projects_of_type_by_last_modified ON projects (owner, type, last_modified, id);
CREATE INDEX projects_of_type_by_title ON projects (owner, type, title_folded, title);
CREATE INDEX projects_by_media ON projects (media) WHERE media IS NOT NULL;
CREATE INDEX projects_by_media_digest ON projects (owner, media_digest, id) WHERE media_digest IS NOT NULL;
";

/// A search looks up titles by their n-grams. `title_documents` maps a project to its row in that index, for
/// deletions.
const VERSION_2: &str = "
CREATE TABLE title_documents (
    number  INTEGER PRIMARY KEY,
    project BLOB    NOT NULL UNIQUE CHECK (length(project) = 16)
) STRICT;

CREATE VIRTUAL TABLE title_grams USING fts5 (
    grams, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

ALTER TABLE users ADD COLUMN revision_floor INTEGER NOT NULL DEFAULT 0 CHECK (revision_floor >= 0);
";

/// The store's identity. An older database has none, and its blob stores have not been given an id.
const VERSION_4: &str = "
CREATE TABLE store (
    only_one     INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    id           BLOB    NOT NULL CHECK (length(id) = 16),
    notes_marked INTEGER NOT NULL DEFAULT 0 CHECK (notes_marked IN (0, 1)),
    media_marked INTEGER NOT NULL DEFAULT 0 CHECK (media_marked IN (0, 1))
) STRICT;
";

/// The epoch of an account's sessions: those of an earlier epoch are revoked. So the index of the open sessions begins
/// with the account and the epoch.
const VERSION_5: &str = "
ALTER TABLE users ADD COLUMN session_epoch INTEGER NOT NULL DEFAULT 0 CHECK (session_epoch >= 0);
ALTER TABLE users ADD COLUMN epoch_begun_at INTEGER CHECK ((epoch_begun_at IS NULL) = (session_epoch = 0));
ALTER TABLE users ADD COLUMN epoch_begun_reason TEXT
    CHECK ((epoch_begun_reason IS NULL) = (session_epoch = 0));

ALTER TABLE sessions ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0 CHECK (epoch >= 0);
DROP INDEX sessions_by_user;
CREATE INDEX sessions_by_user ON sessions (user, epoch, revoked_at, last_used, id);
";

/// History and trash. The states of projects that older versions have saved were saved when their notes became live. A
/// version, and a project in the trash, has the columns of a project that are not only for its listings.
const VERSION_6: &str = "
ALTER TABLE projects ADD COLUMN saved INTEGER NOT NULL DEFAULT 0;
UPDATE projects SET saved = coalesce((SELECT since FROM objects WHERE id = notes), created);

ALTER TABLE users ADD COLUMN usage_record_bytes INTEGER NOT NULL DEFAULT 0 CHECK (usage_record_bytes >= 0);
ALTER TABLE users ADD COLUMN usage_trashed INTEGER NOT NULL DEFAULT 0 CHECK (usage_trashed >= 0);
ALTER TABLE users ADD COLUMN usage_kept_bytes INTEGER NOT NULL DEFAULT 0 CHECK (usage_kept_bytes >= 0);
ALTER TABLE users ADD COLUMN usage_kept_record_bytes INTEGER NOT NULL DEFAULT 0
    CHECK (usage_kept_record_bytes >= 0);
UPDATE users SET usage_record_bytes = coalesce((
    SELECT sum(1024 + octet_length(title) + octet_length(type) + octet_length(label) + octet_length(src)
        + octet_length(mimetype) + octet_length(last_modified_text) + octet_length(extra))
    FROM projects WHERE owner = users.id
), 0);

CREATE TABLE versions (
    id                 BLOB    NOT NULL CHECK (length(id) = 16),
    revision           INTEGER NOT NULL CHECK (revision > 0),
    replaced           INTEGER NOT NULL,
    owner              BLOB    NOT NULL CHECK (length(owner) = 16),
    title              TEXT    NOT NULL,
    type               TEXT    NOT NULL,
    label              TEXT    NOT NULL,
    src                TEXT    NOT NULL,
    mimetype           TEXT    NOT NULL,
    last_modified      INTEGER NOT NULL,
    last_modified_text TEXT    NOT NULL,
    extra              TEXT    NOT NULL,
    media              BLOB    REFERENCES objects (id),
    media_namespace    BLOB    CHECK (length(media_namespace) IN (0, 16)),
    media_digest       BLOB    CHECK (length(media_digest) = 32),
    media_size         INTEGER CHECK (media_size >= 0),
    notes              BLOB    NOT NULL UNIQUE REFERENCES objects (id),
    notes_size         INTEGER NOT NULL CHECK (notes_size >= 0),
    save               INTEGER NOT NULL CHECK (save > 0),
    created            INTEGER NOT NULL,
    saved              INTEGER NOT NULL,
    PRIMARY KEY (id, revision),
    CHECK ((media IS NULL) = (media_namespace IS NULL)),
    CHECK ((media IS NULL) = (media_digest IS NULL)),
    CHECK ((media IS NULL) = (media_size IS NULL))
) STRICT;

CREATE INDEX versions_by_replaced ON versions (replaced, id, revision);
CREATE INDEX versions_of_owner_by_replaced ON versions (owner, replaced, id, revision);
CREATE INDEX versions_by_media ON versions (media) WHERE media IS NOT NULL;
CREATE INDEX versions_by_media_digest ON versions (owner, media_digest, id, revision)
    WHERE media_digest IS NOT NULL;

CREATE TABLE trash (
    id                 BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    deleted            INTEGER NOT NULL,
    owner              BLOB    NOT NULL CHECK (length(owner) = 16),
    title              TEXT    NOT NULL,
    type               TEXT    NOT NULL,
    label              TEXT    NOT NULL,
    src                TEXT    NOT NULL,
    mimetype           TEXT    NOT NULL,
    last_modified      INTEGER NOT NULL,
    last_modified_text TEXT    NOT NULL,
    extra              TEXT    NOT NULL,
    media              BLOB    REFERENCES objects (id),
    media_namespace    BLOB    CHECK (length(media_namespace) IN (0, 16)),
    media_digest       BLOB    CHECK (length(media_digest) = 32),
    media_size         INTEGER CHECK (media_size >= 0),
    notes              BLOB    NOT NULL UNIQUE REFERENCES objects (id),
    notes_size         INTEGER NOT NULL CHECK (notes_size >= 0),
    revision           INTEGER NOT NULL CHECK (revision > 0),
    save               INTEGER NOT NULL CHECK (save > 0),
    created            INTEGER NOT NULL,
    saved              INTEGER NOT NULL,
    CHECK ((media IS NULL) = (media_namespace IS NULL)),
    CHECK ((media IS NULL) = (media_digest IS NULL)),
    CHECK ((media IS NULL) = (media_size IS NULL))
) STRICT;

CREATE INDEX trash_by_deleted ON trash (deleted, id);
CREATE INDEX trash_of_owner_by_deleted ON trash (owner, deleted, id);
CREATE INDEX trash_by_media ON trash (media) WHERE media IS NOT NULL;
CREATE INDEX trash_by_media_digest ON trash (owner, media_digest, id) WHERE media_digest IS NOT NULL;
";

/// Inline notes. Their bytes have a table of their own, so that reading rows of the ledger never reads them. All notes of
/// older versions are in the notes store.
const VERSION_7: &str = "
ALTER TABLE objects ADD COLUMN inline INTEGER NOT NULL DEFAULT 0
    CHECK (inline = 0 OR inline = 1 AND kind = 'notes' AND state = 'live');

-- The live notes in the notes store: a sample of them tells whether that store is the right one.
CREATE INDEX objects_live_notes ON objects (id) WHERE kind = 'notes' AND state = 'live' AND inline = 0;

CREATE TABLE inline_bytes (
    id    BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16) REFERENCES objects (id),
    bytes BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

const VERSION_8: &str = "
-- What has been taken over from another program.
CREATE TABLE IF NOT EXISTS imports (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
";

/// The holds of backups, the bytes of inline notes that were removed while there is a hold, and the mark of a restore.
const VERSION_9: &str = "
CREATE TABLE holds (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    renewals INTEGER NOT NULL CHECK (renewals >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE held_bytes (
    id    BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    bytes BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE restore (
    only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1),
    id       BLOB    NOT NULL CHECK (length(id) = 16),
    snapshot BLOB    NOT NULL CHECK (length(snapshot) = 32)
) STRICT;
";

fn to_version_2(database: &Connection) -> Result<()> {
    database.execute_batch(VERSION_2)?;
    let mut projects = database.prepare("SELECT owner, id, title FROM projects")?;
    let mut projects = projects.query(())?;
    while let Some(project) = projects.next()? {
        let (owner, id) = (UserId::from_bytes(project.get(0)?), ProjectId::from_bytes(project.get(1)?));
        // No search has to find a damaged title.
        if let Ok(title) = Title::parse(&project.get::<_, String>(2)?) {
            ngrams::add(database, owner, id, &title)?;
        }
    }
    Ok(())
}

/// Changes each stored address to its one spelling by the current rules of [`Email`](crate::domain::Email).
fn to_version_3(database: &Connection) -> Result<()> {
    let mut accounts = database.prepare("SELECT id, email FROM users ORDER BY created, id")?;
    let accounts =
        accounts.query_map((), |row| Ok((UserId::from_bytes(row.get(0)?), row.get::<_, String>(1)?)))?;
    let respell = "UPDATE OR IGNORE users SET email = :email WHERE id = :id";
    let mut respell = database.prepare(respell)?;
    for account in accounts.collect::<rusqlite::Result<Vec<_>>>()? {
        let (id, stored) = account;
        let Some(email) = respelled(id, &stored) else { continue };
        if respell.execute(named_params! { ":email": email.as_str(), ":id": id.as_bytes() })? == 0 {
            report_collision(id);
        }
    }
    Ok(())
}

/// The query plan of a statement, one line for each step.
#[cfg(test)]
pub(super) fn query_plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get("detail").unwrap());
    }
    plan
}

/// An empty database of the current version, in memory.
#[cfg(test)]
pub(super) fn empty_database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate(&mut connection, Path::new(":memory:")).unwrap();
    connection
}
