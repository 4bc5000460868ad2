//! What the SQLite backend promises beyond the common contract: one process at a time, private files, and clear errors
//! for a file that is damaged or of another kind.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use notestamp_store::protocol::{NewNotes, SaveCommit, Written};
use notestamp_store::records::{
    HistoryStore, ObjectLedger, ProjectStore, RecordStore, SaveOutcome, SessionStore, SqliteRecords,
    UserStore,
};
use notestamp_store::{
    Digest, Durability, Email, Error, ListQuery, Metadata, Namespace, Object, ObjectId, ObjectKind,
    PasswordHash, Precondition, Project, ProjectId, Result, RevocationReason, Session, SessionId, SessionTtl,
    Timestamp, Title, TokenId, Usage, User, UserId, Version,
};
use rusqlite::Connection;
use tempfile::TempDir;

#[tokio::test]
async fn a_second_open_is_refused_and_names_the_file() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let refused = open(&path).await.unwrap_err();
    assert!(matches!(refused, Error::InUse { .. }), "{refused:?}");
    assert!(refused.to_string().contains("metadata.db"), "{refused}");
    assert!(store.is_exclusive());

    store.close().await.unwrap();
    open(&path).await.expect("the database is no longer open");
}

#[cfg(unix)]
#[tokio::test]
async fn a_second_open_by_another_name_is_refused() {
    let (folder, path) = place();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let _store = open(&path).await.unwrap();
    assert!(matches!(open(&link).await, Err(Error::InUse { .. })));
}

#[tokio::test]
async fn the_lock_ends_with_its_process_and_acknowledged_changes_remain() {
    if let Some(path) = std::env::var_os(Holder::VARIABLE) {
        return Holder::hold(Path::new(&path)).await;
    }
    let (_folder, path) = place();
    let mut holder = Holder::spawn(&path);
    assert!(matches!(open(&path).await, Err(Error::InUse { .. })));

    holder.0.kill().unwrap();
    holder.0.wait().unwrap();
    let store = open(&path).await.expect("its holder is dead");
    assert_eq!(store.find_user(user(1).id).await.unwrap(), Some(user(1)));
}

#[tokio::test]
async fn a_store_dropped_without_a_close_loses_nothing() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    store.create_user(&user(1)).await.unwrap();
    drop(store);

    let store = open(&path).await.expect("the drop has let go of it");
    assert_eq!(store.find_user(user(1).id).await.unwrap(), Some(user(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_completes_accepted_operations_and_refuses_later_ones() {
    let (_folder, path) = place();
    let store = Arc::new(open(&path).await.unwrap());
    let writers: Vec<_> = (0..200)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.create_user(&user(n)).await })
        })
        .collect();
    store.close().await.unwrap();
    let mut outcomes = Vec::new();
    for writer in writers {
        outcomes.push(writer.await.unwrap());
    }

    let refused = |outcome: &Result<()>| matches!(outcome, Err(Error::Unavailable { .. }));
    assert!(refused(&store.create_user(&user(200)).await));
    assert!(refused(&store.ping().await));
    store.close().await.expect("closing twice does nothing");
    let reopened = open(&path).await.unwrap();
    for (n, outcome) in (0..).zip(&outcomes) {
        assert!(outcome.is_ok() || refused(outcome), "{outcome:?}");
        let found = reopened.find_user(user(n).id).await.unwrap();
        assert_eq!(found.is_some(), outcome.is_ok(), "user {n}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_close_removes_the_write_ahead_log() {
    let (folder, path) = place();
    let store = open(&path).await.unwrap();
    store.create_user(&user(1)).await.unwrap();
    store.ping().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(names_in(&folder), ["metadata.db", "metadata.db.lock", "metadata.db.reserve"]);
}

#[cfg(unix)]
#[tokio::test]
async fn all_files_of_the_database_are_private() {
    use std::os::unix::fs::PermissionsExt;

    let (folder, path) = place();
    let store = open(&path).await.unwrap();
    store.create_user(&user(1)).await.unwrap();
    let names = names_in(&folder);
    assert_eq!(
        names,
        ["metadata.db", "metadata.db-shm", "metadata.db-wal", "metadata.db.lock", "metadata.db.reserve"]
    );
    for name in names {
        let mode = fs::metadata(folder.path().join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_not_changed() {
    let (_folder, path) = place();
    open(&path).await.unwrap().close().await.unwrap();
    let set = |version: i64| {
        Connection::open(&path).unwrap().pragma_update(None, "user_version", version).unwrap();
    };
    let current = Connection::open(&path).unwrap();
    let current = current.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    set(1_000);
    let Err(Error::Backend { source, .. }) = open(&path).await else { panic!("it was opened") };
    let message = source.to_string();
    assert!(message.contains("metadata.db") && message.contains("newer"), "{message}");

    set(current);
    open(&path).await.expect("nothing else was changed, and the lock was let go");
}

/// Gives a database the tables that version 5 has.
const BACK_TO_VERSION_5: &str = "
    DROP TABLE held_bytes;
    DROP TABLE holds;
    DROP TABLE restore;
    DROP TABLE inline_bytes;
    DROP INDEX objects_live_notes;
    ALTER TABLE objects DROP COLUMN inline;
    DROP TABLE versions;
    DROP TABLE trash;
    ALTER TABLE projects DROP COLUMN saved;
    ALTER TABLE users DROP COLUMN usage_record_bytes;
    ALTER TABLE users DROP COLUMN usage_trashed;
    ALTER TABLE users DROP COLUMN usage_kept_bytes;
    ALTER TABLE users DROP COLUMN usage_kept_record_bytes;
    PRAGMA user_version = 5";

/// Gives a database of version 5 the tables that version 4 has.
const BACK_TO_VERSION_4: &str = "
    DROP INDEX sessions_by_user;
    CREATE INDEX sessions_by_user ON sessions (user, revoked_at, last_used, id);
    ALTER TABLE sessions DROP COLUMN epoch;
    ALTER TABLE users DROP COLUMN epoch_begun_reason;
    ALTER TABLE users DROP COLUMN epoch_begun_at;
    ALTER TABLE users DROP COLUMN session_epoch;
    PRAGMA user_version = 4";

/// Projects as version 5 stored them: without the time of their latest save, and without a usage of their records.
#[tokio::test]
async fn projects_of_an_older_database_get_a_history() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let ada = user(1);
    store.create_user(&ada).await.unwrap();
    store.create_user(&user(2)).await.unwrap();
    let mut metadata = Metadata::new(Title::parse("Größe").unwrap(), NOW);
    metadata.label = "Ton \"1\"".to_owned();
    let first = save(&store, ada.id, 1, metadata.clone(), NOW).await;
    let later = NOW.after(Duration::from_secs(60));
    save(&store, ada.id, 2, Metadata::new(Title::parse("Other").unwrap(), NOW), later).await;
    let before = store.list_projects(ada.id, &ListQuery::default()).await.unwrap().projects;
    let usage = store.find_user(ada.id).await.unwrap().unwrap().usage;
    assert!(usage.record_bytes > 2 * Project::RECORD_BYTES);
    store.close().await.unwrap();
    Connection::open(&path).unwrap().execute_batch(BACK_TO_VERSION_5).unwrap();

    let store = open(&path).await.unwrap();
    assert_eq!(store.list_projects(ada.id, &ListQuery::default()).await.unwrap().projects, before);
    assert_eq!(store.find_user(ada.id).await.unwrap().unwrap().usage, usage);
    assert_eq!(store.find_user(user(2).id).await.unwrap().unwrap().usage, Usage::default());
    // The next save keeps the state that the older version saved.
    save(&store, ada.id, 3, metadata, later).await;
    let versions = store.list_versions(ada.id, first.id, None, 10).await.unwrap();
    assert_eq!(versions, [Version { project: first, replaced: later }]);
}

/// Saves a project with a history; `n` makes its objects unique.
async fn save(store: &SqliteRecords, owner: UserId, n: u8, metadata: Metadata, now: Timestamp) -> Project {
    let (notes, home) = (ObjectId::from_bytes([n; 16]), Namespace::Owner(owner));
    store.reserve(&[Object::reserve(notes, ObjectKind::Notes, home, now)]).await.unwrap();
    let commit = SaveCommit {
        notes: NewNotes::Written(Written { object: notes, digest: Digest::of(&[n]), size: 1 }),
        now,
        ..commit(owner, n.into(), metadata)
    };
    match store.commit_save(&commit).await.unwrap() {
        SaveOutcome::Saved { project, .. } => *project,
        other => panic!("{other:?}"),
    }
}

/// The commit of a save with a history and without notes yet; `n` makes its project unique.
fn commit(owner: UserId, n: u16, metadata: Metadata) -> SaveCommit {
    let nothing = Written { object: ObjectId::from_bytes([0xff; 16]), digest: Digest::of(b""), size: 0 };
    SaveCommit {
        caller: owner.into(),
        new_id: ProjectId::from_bytes([[1; 14].as_slice(), &n.to_be_bytes()].concat().try_into().unwrap()),
        metadata,
        precondition: Precondition::None,
        notes: NewNotes::Written(nothing),
        media: None,
        checks: Vec::new(),
        namespace: Namespace::Owner(owner),
        restores: None,
        history: Some(Duration::from_secs(86_400)),
        quota_bytes_max: None,
        projects_max: 10,
        now: NOW,
    }
}

/// Each page of a save is written to the log as a whole. This number does not depend on the machine.
#[tokio::test]
async fn a_save_of_small_notes_writes_few_pages_and_the_log_is_used_again() {
    let (folder, path) = place();
    let store = open(&path).await.unwrap();
    let ada = user(1);
    store.create_user(&ada).await.unwrap();
    let bytes = Bytes::from(vec![b' '; 2 << 10]);
    let save = async |n: u16| {
        let object =
            ObjectId::from_bytes([[0; 14].as_slice(), &n.to_be_bytes()].concat().try_into().unwrap());
        let title = format!("project {}", n % 20);
        let commit = SaveCommit {
            notes: NewNotes::Inline { object, digest: Digest::of(&n.to_be_bytes()), bytes: bytes.clone() },
            projects_max: 100,
            ..commit(ada.id, n, Metadata::new(Title::parse(&title).unwrap(), NOW))
        };
        assert!(matches!(store.commit_save(&commit).await, Ok(SaveOutcome::Saved { .. })));
    };
    let log = || fs::metadata(folder.path().join("metadata.db-wal")).unwrap().len();
    for n in 0..30 {
        save(n).await;
    }
    let before = log();
    for n in 30..130 {
        save(n).await;
    }
    let each = (log() - before) / 100;
    assert!(each <= 26 << 10, "{each} bytes");
    for n in 130..500 {
        save(n).await;
    }
    assert!(log() <= 6 << 20, "{} bytes", log());
    store.close().await.unwrap();
}

/// Sessions as version 4 stored them: without the epoch in which they started.
#[tokio::test]
async fn sessions_of_an_older_database_stay_open_and_end_with_all_others() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let ada = user(1);
    store.create_user(&ada).await.unwrap();
    let (kept, signed_out) = (session(1), session(2));
    for session in [&kept, &signed_out] {
        assert!(store.start_session(session, 100, NOW).await.unwrap());
    }
    assert!(
        store.revoke_session(ada.id.into(), signed_out.id, RevocationReason::SignedOut, NOW).await.unwrap()
    );
    store.close().await.unwrap();
    let file = Connection::open(&path).unwrap();
    file.execute_batch(BACK_TO_VERSION_5).unwrap();
    file.execute_batch(BACK_TO_VERSION_4).unwrap();
    drop(file);

    let store = open(&path).await.unwrap();
    assert_eq!(store.find_user(ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.list_sessions(ada.id, 10, NOW).await.unwrap(), std::slice::from_ref(&kept));
    let logged = store.find_session(signed_out.id).await.unwrap();
    assert_eq!(logged, Some(signed_out.revoke(NOW, RevocationReason::SignedOut)));

    assert!(store.revoke_all_sessions(ada.id, RevocationReason::PasswordChanged, NOW).await.unwrap());
    let ended = store.find_session(kept.id).await.unwrap();
    assert_eq!(ended, Some(kept.revoke(NOW, RevocationReason::PasswordChanged)));
    let epoch = store.find_user(ada.id).await.unwrap().unwrap().session_epoch;
    assert!(!store.start_session(&session(3), 100, NOW).await.unwrap());
    assert!(store.start_session(&session(3).in_epoch(epoch), 100, NOW).await.unwrap());
    assert_eq!(store.list_sessions(ada.id, 10, NOW).await.unwrap(), [session(3).in_epoch(epoch)]);
}

/// Addresses as version 2 stored them: only trimmed and in lower case.
#[tokio::test]
async fn addresses_of_an_older_database_are_normalized() {
    let (_folder, path) = place();
    let store = open(&path).await.unwrap();
    let cases = [
        ("ada@example.org", "ada@example.org"),
        ("jose\u{301}@example.org", "jos\u{e9}@example.org"),
        ("ada@xn--bcher-kva.example", "ada@bücher.example"),
        // Of these two addresses the second has the right spelling already.
        ("straße@example.org", "straße@example.org"),
        ("strasse@example.org", "strasse@example.org"),
        // Of these two neither has it; the first account is older.
        ("ada@bu\u{308}cher2.example", "ada@bücher2.example"),
        ("ada@xn--bcher2-3ya.example", "ada@xn--bcher2-3ya.example"),
        ("<eve@example.org>", "<eve@example.org>"),
    ];
    for (n, (stored, _)) in (0..).zip(cases) {
        store.create_user(&User { email: Email::stored(stored), ..user(n) }).await.unwrap();
    }
    store.close().await.unwrap();
    let file = Connection::open(&path).unwrap();
    file.execute_batch(BACK_TO_VERSION_5).unwrap();
    file.execute_batch(BACK_TO_VERSION_4).unwrap();
    file.execute_batch("DROP TABLE store; PRAGMA user_version = 2").unwrap();
    drop(file);

    let store = open(&path).await.unwrap();
    for (n, (stored, expected)) in (0..).zip(cases) {
        let kept = store.find_user(user(n).id).await.unwrap().unwrap();
        assert_eq!(kept.email.as_str(), expected, "{stored}");
    }
    for (typed, n) in [("JOSE\u{301}@example.org", 1), ("STRASSE@example.org", 4), ("ada@BÜCHER2.example", 5)]
    {
        let found = store.find_user_by_email(&Email::parse(typed).unwrap()).await.unwrap().unwrap();
        assert_eq!(found.id, user(n).id, "{typed}");
    }
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    let (_folder, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE bookmarks (url TEXT)").unwrap();
    assert!(matches!(open(&path).await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_corrupt() {
    let (_folder, path) = place();
    fs::write(&path, "not a database ".repeat(1_000)).unwrap();
    let refused = open(&path).await.unwrap_err();
    assert!(matches!(refused, Error::Corrupt(_)), "{refused:?}");
}

#[tokio::test]
async fn a_truncated_database_is_corrupt() {
    for pages_left in [0.5, 1.0, 2.0, 5.0, 20.0] {
        let (_folder, path) = place();
        let store = open(&path).await.unwrap();
        for n in 0..200 {
            store.create_user(&user(n)).await.unwrap();
        }
        store.close().await.unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len((1024.0 * pages_left) as u64).unwrap();
        let refused = open(&path).await.map(drop);
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{pages_left} pages left: {refused:?}");
    }
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let (folder, _) = place();
    let refused = open(&folder.path().join("missing/metadata.db")).await;
    let Err(Error::Unavailable { source, .. }) = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("missing"), "{source}");
}

/// Another process, which keeps a database open until it is killed; it runs one of these tests.
struct Holder(Child);

impl Holder {
    const TEST: &str = "the_lock_ends_with_its_process_and_acknowledged_changes_remain";
    /// The environment variable with the path of the database to keep open.
    const VARIABLE: &str = "NOTESTAMP_TEST_HOLD_DATABASE";

    /// The main function of the process.
    async fn hold(path: &Path) {
        let store = open(path).await.unwrap();
        store.create_user(&user(1)).await.unwrap();
        println!("\nholding");
        std::future::pending().await
    }

    /// Starts the process, and waits until it has the database open.
    fn spawn(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", Self::TEST, "--nocapture"])
            .env(Self::VARIABLE, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let holding = output.any(|line| line.unwrap() == "holding");
        let holder = Self(child);
        assert!(holding, "the other process ended early");
        holder
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Begins a query that stays open: it reads the snapshot with which it began.
fn begin_query(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch("BEGIN; SELECT count(*) FROM users").unwrap();
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_stays_bounded_under_overlapping_queries() {
    const MIB: usize = 1 << 20;

    let (folder, path) = place();
    let store = Arc::new(SqliteRecords::open(&path, Durability::Relaxed).await.unwrap());
    store.create_user(&user(1)).await.unwrap();
    let log = folder.path().join("metadata.db-wal");
    let (mut query, mut before, mut longest) = (begin_query(&path), user(1).password_hash, 0);
    for n in 0..48_u8 {
        let after = PasswordHash::new(char::from(b'0' + n).to_string().repeat(MIB));
        let write = {
            let (store, before, after) = (Arc::clone(&store), before.clone(), after.clone());
            async move { store.replace_password_hash(user(1).id, &before, &after).await }
        };
        let mut write = tokio::spawn(write);
        // The writer may wait for the open query, but not for ever.
        if tokio::time::timeout(Duration::from_millis(200), &mut write)
            .await
            .is_ok_and(|it| it.unwrap().unwrap())
        {
            longest = longest.max(fs::metadata(&log).unwrap().len());
            let next = begin_query(&path);
            query = next;
        } else {
            drop(query);
            query = begin_query(&path);
            assert!(write.await.unwrap().unwrap());
        }
        before = after;
    }
    drop(query);
    assert!(longest <= 24 * MIB as u64, "it was {longest} bytes long");
    store.close().await.unwrap();
}

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metadata.db");
    (folder, path)
}

async fn open(path: &Path) -> Result<SqliteRecords> {
    SqliteRecords::open(path, Durability::Full).await
}

const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A session of the first user.
fn session(n: u8) -> Session {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let ttl = SessionTtl { access: DAY, refresh: DAY, session_max: DAY };
    Session::start(SessionId::from_bytes([n; 16]), user(1).id, TokenId::from_bytes([n; 16]), "", NOW, &ttl)
}

fn user(n: u8) -> User {
    let email = Email::parse(&format!("user{n}@example.org")).unwrap();
    User::new(UserId::from_bytes([n; 16]), email, PasswordHash::new("$argon2id$…"), Timestamp::from_millis(1))
}

fn names_in(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
