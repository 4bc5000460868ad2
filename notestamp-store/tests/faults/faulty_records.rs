//! A record store with fault injection.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use notestamp_store::protocol::{SaveCommit, StaleBefore, TrashRestore};
use notestamp_store::records::{
    AuditedObject, DamagedPage, DanglingPage, Deleted, HistoryStore, HoldStore, ImportLog, ListStart,
    ObjectLedger, ProjectStore, RecordAudit, RecordKey, RecordKind, RecordSnapshot, RecordStore, Referrers,
    ReplacedAt, RestoreStore, SaveOutcome, SessionStore, StateRecord, StoreIdentity, ThinnedHistory,
    TrashStore, UserStore,
};
use notestamp_store::{
    Caller, Digest, Email, Error, Hold, HoldId, ListQuery, MediaRef, Namespace, Object, ObjectId, ObjectKind,
    Page, PasswordHash, Precondition, Project, ProjectId, ProjectKey, RestoreMark, Result, Revision,
    RevocationReason, Session, SessionId, StoreId, Timestamp, Title, TrashCursor, Trashed, Usage, User,
    UserId, Version,
};

use super::faults::{Faults, reason};

#[derive(Debug)]
pub struct FaultyRecords {
    pub inner: Arc<dyn RecordStore>,
    pub faults: Arc<Faults>,
}

/// Passes each method on to the inner store, unless the call is broken.
macro_rules! pass_on {
    ($($trait:ident { $(fn $method:ident($($argument:ident: $type:ty),*) -> $output:ty;)* })*) => {$(
        #[async_trait]
        impl $trait for FaultyRecords {
            $(async fn $method(&self $(, $argument: $type)*) -> Result<$output> {
                let unavailable = || Error::Unavailable { backend: "faulty", source: reason().into() };
                self.faults.pass(stringify!($method), self.inner.$method($($argument),*), unavailable).await
            })*
        }
    )*};
}

pass_on! {
    UserStore {
        fn create_user(user: &User) -> ();
        fn find_user(id: UserId) -> Option<User>;
        fn find_user_by_email(email: &Email) -> Option<User>;
        fn list_users(after: Option<UserId>, limit: usize) -> Vec<User>;
        fn replace_password_hash(id: UserId, before: &PasswordHash, after: &PasswordHash) -> bool;
        fn change_password(
            caller: Caller, before: &PasswordHash, after: &PasswordHash, session: &Session, now: Timestamp
        ) -> Option<Session>;
        fn remove_user(caller: Caller, now: Timestamp) -> bool;
        fn purge_removed(limit: usize, now: Timestamp) -> usize;
    }
    SessionStore {
        fn start_session(session: &Session, open_max: usize, now: Timestamp) -> bool;
        fn find_session(id: SessionId) -> Option<Session>;
        fn replace_session(before: &Session, after: &Session) -> bool;
        fn revoke_session(caller: Caller, id: SessionId, reason: RevocationReason, now: Timestamp) -> bool;
        fn revoke_all_sessions(user: UserId, reason: RevocationReason, now: Timestamp) -> bool;
        fn list_sessions(user: UserId, limit: usize, now: Timestamp) -> Vec<Session>;
        fn forget_expired_sessions(limit: usize, now: Timestamp) -> usize;
    }
    ProjectStore {
        fn find_project(owner: UserId, title: &Title) -> Option<Project>;
        fn find_project_by_id(owner: UserId, id: ProjectId) -> Option<Project>;
        fn find_owned_media(owner: UserId, digest: Digest) -> Option<MediaRef>;
        fn list_projects(owner: UserId, query: &ListQuery) -> Page;
        fn start_list(owner: UserId, query: &ListQuery, len: NonZeroUsize) -> ListStart;
        fn find_projects_by_ids(owner: UserId, ids: &[ProjectId]) -> Vec<Project>;
        fn commit_save(commit: &SaveCommit) -> SaveOutcome;
        fn delete_project_if(
            caller: Caller, key: &ProjectKey, precondition: &Precondition, now: Timestamp
        ) -> Deleted;
    }
    HistoryStore {
        fn find_version(owner: UserId, project: ProjectId, revision: Revision) -> Option<Version>;
        fn list_versions(
            owner: UserId, project: ProjectId, before: Option<Revision>, limit: usize
        ) -> Vec<Version>;
        fn list_replaced(
            span: Range<Timestamp>, after: Option<ReplacedAt>, limit: usize
        ) -> Vec<ReplacedAt>;
        fn thin_history(
            owner: UserId, project: ProjectId, history: Option<Duration>, limit: usize, now: Timestamp
        ) -> ThinnedHistory;
    }
    TrashStore {
        fn trash_project_if(
            caller: Caller, key: &ProjectKey, precondition: &Precondition, trashed_max: u64, now: Timestamp
        ) -> Deleted;
        fn list_trash(owner: UserId, after: Option<TrashCursor>, limit: usize) -> Vec<Trashed>;
        fn restore_trashed(restore: &TrashRestore) -> Project;
        fn purge_trashed(caller: Caller, ids: &[ProjectId], now: Timestamp) -> (usize, Deleted);
        fn list_expired_trash(before: Timestamp, limit: usize) -> Vec<(UserId, ProjectId)>;
    }
    ObjectLedger {
        fn reserve(rows: &[Object]) -> ();
        fn find_object(id: ObjectId) -> Option<Object>;
        fn find_live_media(namespace: Namespace, digest: Digest) -> Option<Object>;
        fn sample_live(kind: ObjectKind, limit: usize) -> Vec<Object>;
        fn doom_reserved(ids: &[ObjectId], now: Timestamp) -> Vec<ObjectId>;
        fn doom_stale(before: &StaleBefore, limit: usize, now: Timestamp) -> usize;
        fn list_doomed(after: Option<ObjectId>, limit: usize) -> Vec<Object>;
        fn forget_doomed(ids: &[ObjectId]) -> ();
        fn list_objects(after: Option<ObjectId>, limit: usize) -> Vec<Object>;
        fn find_with_bytes(id: ObjectId) -> Option<(Object, Option<Bytes>)>;
        fn find_inline_bytes(id: ObjectId) -> Option<Bytes>;
    }
    RecordAudit {
        fn count_objects() -> u64;
        fn audit_objects(after: Option<ObjectId>, limit: usize) -> Vec<AuditedObject>;
        fn find_referrers(id: ObjectId) -> Referrers;
        fn find_dangling(after: Option<ProjectId>, limit: usize) -> DanglingPage;
        fn audit_usage(after: Option<UserId>, limit: usize) -> Vec<(User, Usage)>;
        fn correct_references(id: ObjectId, now: Timestamp) -> bool;
        fn correct_usage(id: UserId) -> bool;
        fn restore_row(row: &Object) -> bool;
    }
    ImportLog {
        fn find_import(key: &str) -> Option<String>;
        fn record_import(key: &str, value: &str) -> ();
    }
    HoldStore {
        fn add_hold(hold: Hold) -> ();
        fn renew_hold(hold: Hold) -> bool;
        fn forget_hold(hold: Hold) -> ();
        fn list_holds() -> Vec<Hold>;
        fn find_held_bytes(id: ObjectId) -> Option<Bytes>;
        fn read_snapshot(hold: HoldId) -> RecordSnapshot;
    }
    RestoreStore {
        fn begin_restore(proposed: RestoreMark) -> RestoreMark;
        fn find_restore() -> Option<RestoreMark>;
        fn restore_object(row: &Object, inline: Option<&Bytes>) -> ();
        fn restore_states(states: &[StateRecord]) -> ();
        fn restore_users(users: &[User]) -> ();
        fn end_restore(mark: RestoreMark) -> ();
    }
}

#[async_trait]
impl RecordStore for FaultyRecords {
    fn name(&self) -> &'static str {
        "faulty"
    }

    /// Not exclusive: another store without faults has the same records open.
    fn is_exclusive(&self) -> bool {
        false
    }

    async fn claim_identity(&self, proposed: StoreId) -> Result<StoreIdentity> {
        self.inner.claim_identity(proposed).await
    }

    async fn mark_blob_store(&self, kind: ObjectKind) -> Result<()> {
        self.inner.mark_blob_store(kind).await
    }

    async fn find_damaged(
        &self,
        kind: RecordKind,
        after: Option<RecordKey>,
        limit: usize,
    ) -> Result<DamagedPage> {
        self.inner.find_damaged(kind, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn ensure_room(&self) -> Result<()> {
        self.inner.ensure_room().await
    }

    /// Leaves the records open, because the other store still uses them.
    async fn close(&self) -> Result<()> {
        Ok(())
    }
}
