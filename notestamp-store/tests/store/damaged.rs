//! Rows that cannot be read do not affect other operations.

#![cfg(feature = "sqlite")]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use notestamp_store::records::SqliteRecords;
use notestamp_store::{
    BlobStore, BlobUrl, CheckEvent, CheckOptions, CheckReport, Durability, Email, Error, Finding,
    FindingName, ListQuery, ManualClock, ObjectKind, Precondition, RevocationReason, Start, Store, UserId,
};
use rusqlite::Connection;
use tempfile::TempDir;

use super::fixture::{NOW, account, draft, long_notes, media, notes, title};

/// A store in a folder whose database the test can change directly.
struct Damaged {
    folder: TempDir,
    clock: Arc<ManualClock>,
    store: Store,
    owner: UserId,
}

impl Damaged {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(NOW));
        let store = open(folder.path(), &clock).await;
        let owner = account(&store, "ada@example.org").await;
        Self { folder, clock, store, owner }
    }

    /// Closes the store, executes this SQL without the checks of the schema, and opens the store again.
    async fn by(mut self, sql: &str) -> Self {
        self.store.close().await.unwrap();
        let database = Connection::open(self.folder.path().join("metadata.db")).unwrap();
        database.pragma_update(None, "ignore_check_constraints", true).unwrap();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(database.execute(sql, ()).unwrap() > 0, "{sql}");
        drop(database);
        self.store = open(self.folder.path(), &self.clock).await;
        self
    }

    async fn titles(&self, query: &ListQuery) -> Vec<String> {
        let page = self.store.list_projects(self.owner, query).await.unwrap();
        page.projects.iter().map(|project| project.metadata.title.as_str().to_owned()).collect()
    }

    fn let_time_pass(&self) {
        let settings = self.store.settings();
        self.clock.advance(settings.sweep_grace + 2 * settings.upload_time_max);
    }

    async fn report(&self) -> CheckReport {
        self.store.check().await.unwrap()
    }

    async fn findings(&self, options: CheckOptions) -> Vec<Finding> {
        let (events, mut reported) = tokio::sync::mpsc::channel(1_000);
        self.store.check_with(options, &events).await.unwrap();
        drop(events);
        let mut findings = Vec::new();
        while let Some(event) = reported.recv().await {
            if let CheckEvent::Finding(finding) = event {
                findings.push(finding);
            }
        }
        findings
    }

    /// What a check of all bytes finds.
    async fn deep(&self) -> Vec<Finding> {
        self.findings(CheckOptions { deep: true, repair: false }).await
    }

    /// The kinds of the damaged records that a check finds.
    async fn damaged(&self) -> Vec<&'static str> {
        let report = self.report().await;
        report.named(FindingName::DamagedRecord).map(|finding| finding.kind).collect()
    }
}

async fn open(folder: &Path, clock: &Arc<ManualClock>) -> Store {
    let blobs = async |kind: ObjectKind| {
        let url = BlobUrl::folder(folder.join(format!("{kind:?}"))).unwrap();
        BlobStore::open(kind, &url, Durability::Relaxed).await.unwrap()
    };
    let records = SqliteRecords::open(folder.join("metadata.db"), Durability::Relaxed).await.unwrap();
    let (notes, media) = (blobs(ObjectKind::Notes).await, blobs(ObjectKind::Media).await);
    Store::builder(Arc::new(records), notes, media).clock(clock.clone()).open().await.unwrap()
}

/// Each of these makes a project unreadable.
const PROJECTS: [&str; 5] = [
    "UPDATE projects SET title = char(10) WHERE title = 'b'",
    "UPDATE projects SET extra = 'no JSON' WHERE title = 'b'",
    "UPDATE projects SET media_digest = x'00' WHERE title = 'b'",
    "UPDATE projects SET revision = -1 WHERE title = 'b'",
    "UPDATE projects SET label = CAST(x'ff' AS TEXT) WHERE title = 'b'",
];

#[tokio::test]
async fn a_damaged_project_is_omitted_from_lists_and_reported() {
    for sql in PROJECTS {
        let it = Damaged::new().await;
        for text in ["a", "b", "c"] {
            draft(&it.store, it.owner, text).media(&media(1, 10)).save().await;
        }
        let it = it.by(sql).await;
        assert_eq!(it.titles(&ListQuery::default()).await, ["c", "a"], "{sql}");
        let by_one = |start| ListQuery { limit: 1.try_into().ok(), start, ..ListQuery::default() };
        let first = it.store.list_projects(it.owner, &by_one(Start::default())).await.unwrap();
        assert!(first.next.is_some(), "{sql}: there is another behind the damaged one");
        assert_eq!(it.titles(&by_one(Start::After(first.next.unwrap()))).await, ["a"]);
        let second = ListQuery { skip: 1, ..by_one(Start::default()) };
        assert_eq!(it.titles(&second).await, ["a"], "{sql}");
        if !sql.contains("SET title") {
            let opened = it.store.open_project(it.owner, &title("b")).await;
            assert!(matches!(opened, Err(Error::Corrupt(_))), "{sql}: {opened:?}");
        }
        assert_eq!(it.damaged().await, ["project"], "{sql}");

        // Other projects are not affected.
        draft(&it.store, it.owner, "a").media(&media(1, 10)).save().await;
        draft(&it.store, it.owner, "d").announcing(&media(1, 10)).save().await;
        it.store.delete_project(it.owner, &title("c")).await.unwrap();
        assert_eq!(it.titles(&ListQuery::default()).await, ["d", "a"]);
    }
}

#[tokio::test]
async fn a_sweep_continues_past_a_damaged_project_of_a_removed_account() {
    for sql in PROJECTS.into_iter().chain(["UPDATE projects SET notes = x'00' WHERE title = 'b'"]) {
        let is_purged = !sql.contains("SET notes");
        let it = Damaged::new().await;
        for text in ["a", "b", "c"] {
            draft(&it.store, it.owner, text).media(&media(1, 10)).save().await;
        }
        let it = it.by(sql).await;
        let other = account(&it.store, "bob@example.org").await;
        draft(&it.store, other, "a").save().await;
        for removed in [it.owner, other] {
            assert!(it.store.remove_account(removed).await.unwrap());
        }
        for _ in 0..2 {
            it.let_time_pass();
            it.store.sweep().await.unwrap();
        }
        let report = it.report().await;
        if is_purged {
            assert_eq!(report, CheckReport::default(), "{sql}");
        } else {
            // Its references are unknown.
            assert_eq!(report.named(FindingName::DamagedRecord).count(), 1);
        }
    }
}

#[tokio::test]
async fn a_sweep_continues_past_a_damaged_row_of_the_ledger() {
    let it = Damaged::new().await;
    for text in ["a", "b", "c"] {
        draft(&it.store, it.owner, text).media(&media(1, 10)).save().await;
    }
    draft(&it.store, it.owner, "other").media(&media(2, 10)).save().await;
    let damage = "UPDATE objects SET state = 'doomed', reference_count = 0, namespace = x'00' \
                  WHERE kind = 'media' AND reference_count = 1";
    let it = it.by(damage).await;
    for text in ["a", "b"] {
        it.store.delete_project(it.owner, &title(text)).await.unwrap();
    }
    it.store.delete_project(it.owner, &title("other")).await.unwrap();
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    let report = it.report().await;
    let kinds: Vec<_> = report.findings.iter().map(|finding| (finding.name, finding.kind)).collect();
    assert_eq!(kinds, [(FindingName::DamagedRecord, "object")]);
    assert_eq!(report.unreferenced, [], "{report:?}");
}

#[tokio::test]
async fn a_damaged_session_does_not_prevent_a_sign_in() {
    let it = Damaged::new().await;
    let user = it.store.find_account(it.owner).await.unwrap().unwrap();
    let broken = it.store.start_session(&user, "broken").await.unwrap().unwrap();
    it.store.start_session(&user, "whole").await.unwrap().unwrap();
    let sql = "UPDATE sessions SET revoked_reason = 'never heard of', revoked_at = NULL WHERE user_agent = 'broken'";
    let it = it.by(sql).await;
    let agents = async || -> Vec<String> {
        let sessions = it.store.list_sessions(it.owner, 10).await.unwrap();
        sessions.into_iter().map(|session| session.user_agent).collect()
    };
    assert_eq!(it.store.use_session(it.owner, broken.id, 0).await.unwrap(), None);
    assert!(!it.store.revoke_session(it.owner, broken.id, RevocationReason::SignedOut).await.unwrap());
    it.store.start_session(&user, "new").await.unwrap().unwrap();
    let mut listed = agents().await;
    listed.sort();
    assert_eq!(listed, ["new", "whole"]);
    assert_eq!(it.damaged().await, ["session"]);

    it.store.remove_account(it.owner).await.unwrap();
    it.store.sweep().await.unwrap();
    assert_eq!(it.report().await, CheckReport::default());
}

#[tokio::test]
async fn a_damaged_account_affects_no_other() {
    let it = Damaged::new().await;
    let sql = "UPDATE users SET usage_bytes = -1 WHERE email = 'ada@example.org'";
    let it = it.by(sql).await;
    let found = it.store.find_account_by_email(&Email::parse("ada@example.org").unwrap()).await;
    assert!(matches!(found, Err(Error::Corrupt(_))), "{found:?}");
    let bob = account(&it.store, "bob@example.org").await;
    draft(&it.store, bob, "a").save().await;
    it.store.sweep().await.unwrap();
    assert_eq!(it.damaged().await, ["user"]);

    assert!(it.store.remove_account(it.owner).await.unwrap());
    it.store.sweep().await.unwrap();
    assert_eq!(it.report().await, CheckReport::default());
}

/// The only file of notes.
fn notes_file(folder: &Path) -> std::path::PathBuf {
    let mut folders = fs::read_dir(folder.join("Notes")).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.find(|path| path.is_dir()).unwrap();
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn notes_are_verified_against_their_digest() {
    let it = Damaged::new().await;
    let text = long_notes();
    draft(&it.store, it.owner, "a").notes(&text).save().await;
    let file = notes_file(it.folder.path());
    let saved = fs::read(&file).unwrap();
    assert_eq!(&saved, notes(&text).as_bytes());
    let mut other = saved.clone();
    other[3] ^= 1;
    fs::write(&file, other).unwrap();
    let opened = it.store.open_project(it.owner, &title("a")).await;
    assert!(matches!(opened, Err(Error::Corrupt(_))), "{opened:?}");
    fs::write(&file, saved).unwrap();
    it.store.open_project(it.owner, &title("a")).await.unwrap();
}

#[tokio::test]
async fn damaged_inline_notes_are_named_exactly() {
    for (damage, name) in [
        ("DELETE FROM inline_bytes", FindingName::Missing),
        ("UPDATE inline_bytes SET bytes = x'22'", FindingName::WrongLength),
        ("UPDATE inline_bytes SET bytes = CAST('\"Words\"' AS BLOB)", FindingName::WrongDigest),
    ] {
        let it = Damaged::new().await;
        draft(&it.store, it.owner, "a").notes("words").save().await;
        it.store.open_project(it.owner, &title("a")).await.unwrap();
        assert_eq!(it.deep().await, []);
        let it = it.by(damage).await;
        let opened = it.store.open_project(it.owner, &title("a")).await;
        assert!(matches!(opened, Err(Error::Corrupt(_))), "{damage}: {opened:?}");
        let found = it.deep().await;
        let [finding] = &found[..] else { panic!("{damage}: {found:?}") };
        assert_eq!((finding.name, finding.kind), (name, "notes"));
        assert_eq!(finding.title.as_deref(), Some("a"));
        // The next save replaces them.
        draft(&it.store, it.owner, "a").notes("words").save().await;
        it.store.open_project(it.owner, &title("a")).await.unwrap();
    }
}

#[tokio::test]
async fn inline_notes_whose_row_is_lost_or_damaged_are_not_lost() {
    let it = Damaged::new().await;
    draft(&it.store, it.owner, "a").notes("words").save().await;
    let it = it.by("UPDATE objects SET kind = 'unknown'").await;
    let opened = it.store.open_project(it.owner, &title("a")).await.unwrap();
    assert_eq!(&opened.notes, notes("words").as_bytes());
    let it = it.by("DELETE FROM objects").await;
    let repair = CheckOptions { repair: true, ..CheckOptions::default() };
    assert!(it.findings(repair).await.iter().all(|finding| finding.is_repaired));
    assert_eq!(it.deep().await, []);
    let opened = it.store.open_project(it.owner, &title("a")).await.unwrap();
    assert_eq!(&opened.notes, notes("words").as_bytes());
}

#[tokio::test]
async fn deleted_data_is_overwritten_in_the_file() {
    let it = Damaged::new().await;
    let secret = "a title that nobody else has".repeat(5);
    draft(&it.store, it.owner, &secret).save().await;
    draft(&it.store, it.owner, "another").save().await;
    it.store.close().await.unwrap();
    let database = it.folder.path().join("metadata.db");
    let holds = |text: &str| {
        let bytes = fs::read(&database).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(holds(&secret));
    let store = open(it.folder.path(), &it.clock).await;
    let secret_title = title(&secret);
    store.delete_project_permanently_if(it.owner, &secret_title, &Precondition::None).await.unwrap();
    store.close().await.unwrap();
    assert!(!holds(&secret) && holds("another"));
}

#[tokio::test]
async fn the_folders_of_a_removed_account_are_deleted_with_its_last_object() {
    let it = Damaged::new().await;
    let other = account(&it.store, "bob@example.org").await;
    let text = long_notes();
    for owner in [it.owner, other] {
        draft(&it.store, owner, "a").notes(&text).media(&media(1, 10)).save().await;
    }
    let folders = || {
        let mut names = Vec::new();
        for kind in ["Notes", "Media"] {
            let entries = fs::read_dir(it.folder.path().join(kind)).unwrap().map(Result::unwrap);
            names.extend(
                entries.filter(|it| it.path().is_dir()).map(|it| it.file_name().into_string().unwrap()),
            );
        }
        names
    };
    assert_eq!(folders().len(), 4);
    // An upload that began before the removal, and ends after it.
    let mut late = it.store.begin_save(it.owner).await.unwrap();
    it.store.remove_account(it.owner).await.unwrap();
    for _ in 0..2 {
        it.let_time_pass();
        it.store.sweep().await.unwrap();
    }
    assert_eq!(folders(), [other.to_string(), other.to_string()]);

    it.store.delete_project(other, &title("a")).await.unwrap();
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    assert_eq!(folders().len(), 2, "an account that is there keeps them");
    draft(&it.store, other, "b").notes(&text).media(&media(1, 10)).save().await;

    let bytes = media(3, 3_000_000);
    let written = late.write_media(super::fixture::body(&bytes)).await;
    let request =
        notestamp_store::SaveRequest::new(notestamp_store::Metadata::new(title("late"), NOW), notes("late"));
    let committed = late.commit(request).await;
    assert!(written.is_err() || committed.is_err());
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    assert_eq!(folders(), [other.to_string(), other.to_string()]);
    assert_eq!(it.report().await, CheckReport::default());
}
