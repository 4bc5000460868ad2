//! All records in this process's memory: for tests, for demos, and as the reference for other backends.

mod audit;
mod history;
mod holds;
mod imports;
mod kept;
mod ledger;
mod library;
mod objects;
mod projects;
mod purge;
mod restores;
mod sessions;
mod trash;
mod users;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use self::ledger::Ledger;
use self::library::Library;
use super::{DamagedPage, RecordKey, RecordKind, RecordStore, StoreIdentity};
use crate::domain::{
    Email, Hold, HoldId, ObjectKind, RestoreMark, Session, SessionId, StoreId, User, UserId,
};
use crate::error::{Error, Result};

const BACKEND: &str = "memory";

/// Keeps all records in memory: they are lost when it is dropped.
///
/// One lock around plain data, and each method one critical section without a suspension point:
/// the simplest code that keeps the contract, so that other backends can be compared with it.
///
/// ```
/// use notestamp_store::records::{MemoryRecords, UserStore};
/// use notestamp_store::{Clock, Email, OsRandom, PasswordHash, SystemClock, User, UserId};
/// # tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(async {
/// let store = MemoryRecords::new();
/// let now = SystemClock.now();
/// let email = Email::parse("ada@example.org")?;
/// let ada = User::new(UserId::generate(now, &OsRandom), email, PasswordHash::new("$argon2id$…"), now);
/// store.create_user(&ada).await?;
/// assert_eq!(store.find_user(ada.id).await?, Some(ada));
/// # Ok::<(), notestamp_store::Error>(())
/// # }).expect("it works");
/// ```
#[derive(Debug, Default)]
pub struct MemoryRecords {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    identity: Option<StoreIdentity>,
    users: HashMap<UserId, User>,
    emails: HashMap<Email, UserId>,
    /// The removed accounts of which sessions or projects may be left to purge.
    removed: BTreeSet<UserId>,
    sessions: BTreeMap<SessionId, Session>,
    libraries: HashMap<UserId, Library>,
    ledger: Ledger,
    /// What has been imported from other programs.
    imports: HashMap<String, String>,
    holds: BTreeMap<HoldId, Hold>,
    restore: Option<RestoreMark>,
}

impl MemoryRecords {
    /// An empty record store.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.state.lock().expect("nothing panics while it holds the lock");
        if state.closed {
            return Err(Error::Unavailable { backend: BACKEND, source: "it is closed".into() });
        }
        Ok(state)
    }
}

#[async_trait]
impl RecordStore for MemoryRecords {
    fn name(&self) -> &'static str {
        BACKEND
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    async fn claim_identity(&self, proposed: StoreId) -> Result<StoreIdentity> {
        Ok(*self.lock()?.identity.get_or_insert(StoreIdentity::new(proposed)))
    }

    async fn mark_blob_store(&self, kind: ObjectKind) -> Result<()> {
        if let Some(identity) = &mut self.lock()?.identity {
            identity.mark(kind);
        }
        Ok(())
    }

    /// Records in memory are never damaged.
    async fn find_damaged(&self, _: RecordKind, _: Option<RecordKey>, _: usize) -> Result<DamagedPage> {
        self.lock().map(|_| DamagedPage::default())
    }

    async fn ping(&self) -> Result<()> {
        self.lock().map(drop)
    }

    async fn ensure_room(&self) -> Result<()> {
        Ok(())
    }

    async fn close(&self) -> Result<()> {
        self.lock()?.closed = true;
        Ok(())
    }
}
