//! The uploads in progress of each account: how many there are, and how many bytes of media they have brought.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::domain::UserId;
use crate::error::{Error, Result};

/// How long an upload waits for a place: a burst of short uploads passes one after the other.
const WAIT_TIME_MAX: Duration = Duration::from_secs(3);

/// How many exports of one account may be in progress at once in this process: each reads all that the account has.
pub(super) const EXPORTS_AT_ONCE_MAX: usize = 2;

/// The uploads in progress in this process, by account. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Uploads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// How many uploads one account may have in progress.
    at_once_max: usize,
    /// Only accounts with uploads in progress, or that wait for a place.
    of_account: Mutex<HashMap<UserId, Arc<OfAccount>>>,
}

#[derive(Debug)]
struct OfAccount {
    places: Arc<Semaphore>,
    /// The bytes of media that the uploads have brought so far.
    bytes: AtomicU64,
}

impl Uploads {
    /// No uploads yet; an account may have this many at once.
    pub(super) fn new(at_once_max: usize) -> Self {
        Self(Arc::new(Shared { at_once_max, of_account: Mutex::default() }))
    }

    /// Begins an upload of an account; waits while the account has too many.
    ///
    /// # Errors
    /// [`Error::TooManyUploads`] if it has too many for too long.
    pub(super) async fn begin(&self, account: UserId) -> Result<UploadPlace> {
        let entry = Entry::of(self.clone(), account);
        let places = entry.of_account.places.clone();
        match timeout(WAIT_TIME_MAX, places.acquire_owned()).await {
            Ok(permit) => {
                let permit = permit.expect("the semaphore is never closed");
                Ok(UploadPlace { entry, bytes: 0, _permit: permit })
            }
            Err(_) => Err(Error::TooManyUploads { max: self.0.at_once_max }),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Arc<OfAccount>>> {
        // No code panics while it is locked.
        self.0.of_account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An upload in progress; dropping it frees its place.
#[derive(Debug)]
pub(super) struct UploadPlace {
    entry: Entry,
    /// The bytes of media that this upload has brought so far.
    bytes: u64,
    _permit: OwnedSemaphorePermit,
}

impl UploadPlace {
    /// Counts bytes of media that have arrived.
    pub(super) fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.entry.of_account.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The bytes of media that this upload has brought so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The bytes of media that all uploads in progress of its account have brought so far.
    pub(super) fn bytes_of_account(&self) -> u64 {
        self.entry.of_account.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for UploadPlace {
    fn drop(&mut self) {
        self.entry.of_account.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A reference to the entry of an account. Dropping the last one removes the entry.
#[derive(Debug)]
struct Entry {
    uploads: Uploads,
    account: UserId,
    of_account: Arc<OfAccount>,
}

impl Entry {
    fn of(uploads: Uploads, account: UserId) -> Self {
        let new = || {
            let places = Arc::new(Semaphore::new(uploads.0.at_once_max));
            Arc::new(OfAccount { places, bytes: AtomicU64::new(0) })
        };
        let of_account = uploads.lock().entry(account).or_insert_with(new).clone();
        Self { uploads, account, of_account }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut entries = self.uploads.lock();
        // One reference is the map's, the other is this one. More are made only while the map is locked.
        if Arc::strong_count(&self.of_account) == 2 {
            entries.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::clock::Timestamp;
    use crate::random::OsRandom;

    fn account() -> UserId {
        UserId::generate(Timestamp::from_millis(0), &OsRandom)
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_beyond_the_limit_of_its_account_waits_and_is_refused() {
        let uploads = Uploads::new(2);
        let (ada, bob) = (account(), account());
        let first = uploads.begin(ada).await.unwrap();
        let _second = uploads.begin(ada).await.unwrap();
        let begin = Instant::now();
        let refused = uploads.begin(ada).await.unwrap_err();
        assert!(matches!(refused, Error::TooManyUploads { max: 2 }));
        assert_eq!(begin.elapsed(), WAIT_TIME_MAX);
        let _of_another = uploads.begin(bob).await.unwrap();
        assert_eq!(begin.elapsed(), WAIT_TIME_MAX);

        let waiting = uploads.begin(ada);
        let (waited, ()) = tokio::join!(waiting, async {
            tokio::time::sleep(WAIT_TIME_MAX / 2).await;
            drop(first);
        });
        waited.unwrap();
    }

    #[tokio::test]
    async fn the_bytes_of_an_account_are_those_of_its_uploads_in_progress() {
        let uploads = Uploads::new(8);
        let ada = account();
        let mut first = uploads.begin(ada).await.unwrap();
        let mut second = uploads.begin(ada).await.unwrap();
        first.add(3);
        second.add(4);
        second.add(5);
        assert_eq!((second.bytes(), second.bytes_of_account()), (9, 12));
        drop(first);
        assert_eq!(second.bytes_of_account(), 9);
        drop(second);
        assert!(uploads.lock().is_empty());
    }
}
