//! Default values, so that a test shows only what matters to it.

use std::time::Duration;

use notestamp_store::protocol::{MediaCheck, MediaOffer, NewNotes, SaveCommit, Written};
use notestamp_store::records::{RecordStore, SaveOutcome};
use notestamp_store::{
    Digest, Email, Metadata, Namespace, Object, ObjectId, ObjectKind, OsRandom, PasswordHash, Precondition,
    Project, ProjectId, Session, SessionId, SessionTtl, Timestamp, Title, TokenId, User, UserId,
};

use crate::database::{TestDatabase, connect};

/// A time in the past, for any real clock.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_123);

const HOUR: Duration = Duration::from_secs(3_600);

/// Direct access to the database, to inspect or damage what the store keeps.
pub(crate) async fn behind(database: &TestDatabase) -> mongodb::Database {
    connect(&database.url).await.database(&database.name)
}

/// A user record that is not stored yet.
pub(crate) fn user(name: &str) -> User {
    let email = Email::parse(&format!("{name}@example.org")).unwrap();
    User::new(UserId::generate(NOW, &OsRandom), email, PasswordHash::new("$argon2id$…"), NOW)
}

/// Creates an account.
pub(crate) async fn account(store: &dyn RecordStore, name: &str) -> UserId {
    let user = user(name);
    store.create_user(&user).await.unwrap();
    user.id
}

/// A session that is not stored yet: its tokens end a day after [`NOW`].
pub(crate) fn session(user: UserId) -> Session {
    let ttl = SessionTtl { access: HOUR, refresh: 24 * HOUR, session_max: 24 * HOUR };
    let (id, token) = (SessionId::generate(NOW, &OsRandom), TokenId::generate(NOW, &OsRandom));
    Session::start(id, user, token, "Mozilla/5.0", NOW, &ttl)
}

pub(crate) fn title(text: &str) -> Title {
    Title::parse(text).unwrap()
}

/// A save with reserved rows, and with media of these bytes in this namespace.
pub(crate) async fn save(
    store: &dyn RecordStore,
    owner: UserId,
    text: &str,
    media: Option<&[u8]>,
    namespace: Namespace,
) -> notestamp_store::Result<SaveCommit> {
    let notes = Object::reserve(object_id(), ObjectKind::Notes, Namespace::Owner(owner), NOW);
    let row = Object::reserve(object_id(), ObjectKind::Media, namespace, NOW);
    let written =
        media.map(|bytes| Written { object: row.id, digest: Digest::of(bytes), size: bytes.len() as u64 });
    let commit = SaveCommit {
        caller: owner.into(),
        new_id: ProjectId::generate(NOW, &OsRandom),
        metadata: Metadata::new(title(text), NOW),
        precondition: Precondition::None,
        notes: NewNotes::Written(Written { object: notes.id, digest: Digest::of(b"[]"), size: 2 }),
        media: written.map(MediaOffer::Written),
        checks: Vec::new(),
        namespace,
        restores: None,
        history: None,
        quota_bytes_max: None,
        projects_max: u64::MAX,
        now: NOW,
    };
    let rows = if media.is_some() { vec![notes, row] } else { vec![notes] };
    store.reserve(&rows).await.map(|()| commit)
}

/// Saves a project, with its media in its owner's namespace.
pub(crate) async fn project(
    store: &dyn RecordStore,
    owner: UserId,
    text: &str,
    media: Option<&[u8]>,
) -> Project {
    let commit = save(store, owner, text, media, Namespace::Owner(owner)).await.unwrap();
    match commit_save(store, &commit).await.unwrap() {
        SaveOutcome::Saved { project, .. } => *project,
        other => panic!("its bytes are written: {other:?}"),
    }
}

/// Commits a save. Objects that the commit must check are reported as whole.
pub(crate) async fn commit_save(
    store: &dyn RecordStore,
    commit: &SaveCommit,
) -> notestamp_store::Result<SaveOutcome> {
    let mut commit = commit.clone();
    loop {
        match store.commit_save(&commit).await? {
            SaveOutcome::CheckNeeded(media) => {
                commit.checks.push(MediaCheck { object: media.object, is_whole: true });
            }
            outcome => return Ok(outcome),
        }
    }
}

fn object_id() -> ObjectId {
    ObjectId::generate(NOW, &OsRandom)
}
