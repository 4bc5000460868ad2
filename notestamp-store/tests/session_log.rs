//! The log of revoked sessions is kept for as long as their tokens could be presented, and is then forgotten in steps
//! that do not block other calls for long.

#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "in a test, to panic is to fail")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use notestamp_store::records::{RecordStore, SessionStore as _, SqliteRecords};
use notestamp_store::{
    BlobStore, BlobUrl, Clock as _, Durability, Email, ManualClock, ObjectKind, OsRandom, PasswordHash,
    RevocationReason, Session, SessionId, SessionTtl, Store, Timestamp, TokenId, User,
};
use rusqlite::Connection;
use tempfile::TempDir;

const SIGN_OUTS: usize = 100_000;
/// The same limit as the server uses.
const STEP: usize = 500;
const SECOND: Duration = Duration::from_secs(1);
const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

struct Log {
    store: Store,
    records: Arc<SqliteRecords>,
    clock: Arc<ManualClock>,
    user: User,
    folder: TempDir,
}

impl Log {
    async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // These tests do not cover a power loss, and syncing takes long.
        let records = SqliteRecords::open(folder.path().join("metadata.db"), Durability::Relaxed).await;
        let records = Arc::new(records.unwrap());
        let blobs = async |kind| {
            BlobStore::open(kind, &BlobUrl::parse("memory:///").unwrap(), Durability::Relaxed).await.unwrap()
        };
        let clock = Arc::new(ManualClock::new(START));
        let (notes, media) = (blobs(ObjectKind::Notes).await, blobs(ObjectKind::Media).await);
        let dyn_records: Arc<dyn RecordStore> = records.clone();
        let store = Store::builder(dyn_records, notes, media).clock(clock.clone()).open().await.unwrap();
        let email = Email::parse("ada@example.org").unwrap();
        let user = store.create_account(email, PasswordHash::new("$argon2id$".to_owned())).await.unwrap();
        Self { store, records, clock, user, folder }
    }

    fn ttl(&self) -> &SessionTtl {
        &self.store.settings().session_ttl
    }

    async fn sign_in(&self) -> Session {
        self.store.start_session(&self.user, "a browser").await.unwrap().expect("the password is the same")
    }

    /// Adds signed-out sessions, many in one transaction.
    async fn sign_outs(&self, count: usize) {
        let signed_out = |_| {
            let (id, first) = (SessionId::generate(START, &OsRandom), TokenId::generate(START, &OsRandom));
            Session::start(id, self.user.id, first, "a browser", START, self.ttl())
                .revoke(START, RevocationReason::SignedOut)
        };
        let sessions = stream::iter((0..count).map(signed_out));
        let started = sessions.map(|session| {
            let records = self.records.clone();
            async move { records.start_session(&session, usize::MAX, START).await }
        });
        started.buffer_unordered(256).try_collect::<Vec<bool>>().await.unwrap();
    }

    /// The count of all sessions on record, revoked or not.
    fn count(&self) -> u64 {
        let database = Connection::open(self.folder.path().join("metadata.db")).unwrap();
        database.query_one("SELECT count(*) FROM sessions", (), |row| row.get(0)).unwrap()
    }
}

#[tokio::test]
async fn a_hundred_thousand_sign_outs_are_logged_then_forgotten_and_no_sign_in_waits_for_it() {
    let log = Log::empty().await;
    let kept = log.sign_in().await;
    assert_eq!(log.count(), 1);
    log.sign_outs(SIGN_OUTS).await;
    assert_eq!(log.count(), 1 + SIGN_OUTS as u64);

    // Nothing is forgotten while a token could still be valid.
    log.clock.advance(kept.tokens_end.since(START) - SECOND);
    assert_eq!(log.store.forget_expired_sessions(STEP).await.unwrap(), 0);
    let fresh = log.sign_in().await;
    log.clock.advance(SECOND);

    // A concurrent sign-in waits for one step at most, not for all of them.
    let meanwhile = async {
        log.sign_in().await;
        log.count()
    };
    let (forgotten, left) = tokio::join!(log.store.forget_expired_sessions(STEP), meanwhile);
    assert!(left > SIGN_OUTS as u64 / 2, "{left} were left when the sign-in was done");
    assert_eq!(forgotten.unwrap(), 1 + SIGN_OUTS);
    assert_eq!(log.count(), 2);
    let open = log.store.list_sessions(log.user.id, 10).await.unwrap();
    assert_eq!(open.len(), 2);
    assert!(open.iter().any(|session| session.id == fresh.id));
}

#[tokio::test]
async fn a_session_stays_recorded_and_revoked_until_its_last_token_has_expired() {
    let log = Log::empty().await;
    let session = log.sign_in().await;
    let rotated =
        log.store.refresh_session(session.user, session.id, session.current, 0).await.unwrap().unwrap();
    let reason = RevocationReason::SignedOut;
    assert!(log.store.revoke_session(log.user.id, session.id, reason).await.unwrap());
    let end = rotated.refresh_expires.after(log.ttl().access);
    log.clock.advance(end.since(START) - SECOND);
    log.store.forget_expired_sessions(STEP).await.unwrap();
    let logged = log.records.find_session(session.id).await.unwrap().expect("it is in the log");
    assert_eq!(logged.revoked.map(|revocation| revocation.reason), Some(reason));
    assert!(log.store.use_session(log.user.id, session.id, 1).await.unwrap().is_none());
    log.clock.advance(SECOND);
    assert_eq!(log.store.forget_expired_sessions(STEP).await.unwrap(), 1);
    assert_eq!(log.count(), 0);
    assert!(log.store.use_session(log.user.id, session.id, 1).await.unwrap().is_none());
}

/// A session is forgotten only if it has expired by every reading of the clock of the last hour, so one wrong reading
/// does no harm.
#[tokio::test]
async fn a_clock_that_is_a_month_ahead_for_five_seconds_forgets_no_session() {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    let log = Log::empty().await;
    let session = log.sign_in().await;
    let right = || log.clock.now();
    for read_before in [false, true] {
        if read_before {
            log.clock.advance(HOUR);
            assert_eq!(log.store.forget_expired_sessions(STEP).await.unwrap(), 0);
        }
        let before = right();
        log.clock.step_to(before.after(2 * MONTH));
        for _ in 0..5 {
            log.clock.advance(SECOND);
            assert_eq!(log.store.forget_expired_sessions(STEP).await.unwrap(), 0);
        }
        log.clock.step_to(before.after(5 * SECOND));
        assert_eq!(log.store.forget_expired_sessions(STEP).await.unwrap(), 0);
    }
    assert!(log.store.use_session(log.user.id, session.id, 0).await.unwrap().is_some());

    log.clock.advance(session.tokens_end.since(right()));
    assert_eq!(log.store.forget_expired_sessions(STEP).await.unwrap(), 1, "its time has really come");
}

#[tokio::test]
async fn a_process_that_starts_while_the_clock_is_ahead_forgets_no_session() {
    let log = Log::empty().await;
    let session = log.sign_in().await;
    log.clock.step_to(session.tokens_end);
    let blobs = async |kind| {
        BlobStore::open(kind, &BlobUrl::parse("memory:///").unwrap(), Durability::Relaxed).await.unwrap()
    };
    let (notes, media) = (blobs(ObjectKind::Notes).await, blobs(ObjectKind::Media).await);
    let records: Arc<dyn RecordStore> = log.records.clone();
    let next = Store::builder(records, notes, media).clock(log.clock.clone()).open().await.unwrap();
    assert_eq!(next.forget_expired_sessions(STEP).await.unwrap(), 0);
    log.clock.step_to(START);
    log.clock.advance(2 * Duration::from_secs(60 * 60));
    assert_eq!(next.forget_expired_sessions(STEP).await.unwrap(), 0);
    assert!(next.use_session(log.user.id, session.id, 0).await.unwrap().is_some());
}
