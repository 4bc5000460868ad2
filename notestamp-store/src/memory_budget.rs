//! [`MemoryBudget`]: one limit for all bytes that are held in memory, with a share for each account and each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::domain::UserId;
use crate::error::{Error, Result};

/// A share of up to this size is small. The limits of accounts and addresses do not apply to small shares, so small
/// requests succeed even while large requests hold all other memory.
const SMALL_BYTES_MAX: u64 = 128 << 10;

/// The part of the budget that only small shares may hold: an eighth.
const SMALL_DIVISOR: u64 = 8;

/// The part of the budget that one account may hold: a quarter.
const ACCOUNT_DIVISOR: u64 = 4;

/// The part of the budget that one address may hold: a half, because many accounts may share an address.
const ADDRESS_DIVISOR: u64 = 2;

/// Limits the bytes of bodies, upload batches and responses that are held in memory at the same time.
///
/// Code that holds bytes acquires a [`MemoryShare`] first, by a [`MemoryScope`] that names the account and the address
/// for which they are held. Beyond a limit, an acquisition waits for a while, and then fails with
/// [`Error::OutOfMemory`]. One account holds at most a quarter of the budget, and one address at most half of it, so
/// that one user cannot take all.
///
/// Clones share one budget.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use notestamp_store::MemoryBudget;
/// let budget = MemoryBudget::new(64 << 20);
/// let scope = budget.scope(None, Some("192.0.2.1".parse().unwrap()));
/// let share = scope.acquire(1 << 20).await.unwrap();
/// assert_eq!(budget.bytes_held(), 1 << 20);
/// drop(share);
/// assert_eq!(budget.bytes_held(), 0);
/// # });
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    bytes_max: u64,
    held: Mutex<Held>,
    /// Notified when bytes are given back.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    /// Only owners that hold bytes.
    of_owner: HashMap<Owner, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owner {
    Account(UserId),
    /// Of an IPv6 network, the first address.
    Address(IpAddr),
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Shared { bytes_max, held: Mutex::default(), freed: Notify::new() }))
    }

    /// A scope for an account and an address, as far as they are known; of an IPv6 network, its first address.
    pub fn scope(&self, account: Option<UserId>, address: Option<IpAddr>) -> MemoryScope {
        MemoryScope { budget: self.clone(), account, address }
    }

    /// How many bytes are held now.
    pub fn bytes_held(&self) -> u64 {
        self.lock().bytes
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // No code panics while it is locked.
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bytes_max_of_large(&self) -> u64 {
        self.0.bytes_max - self.0.bytes_max / SMALL_DIVISOR
    }

    fn limit_of(&self, owner: Owner) -> u64 {
        match owner {
            Owner::Account(_) => self.0.bytes_max / ACCOUNT_DIVISOR,
            Owner::Address(_) => self.0.bytes_max / ADDRESS_DIVISOR,
        }
    }

    /// Adds bytes to a share that holds `before` already.
    fn try_add(&self, owners: impl Iterator<Item = Owner> + Clone, before: u64, bytes: u64) -> bool {
        let mut held = self.lock();
        let fits = |owner| held.of_owner.get(&owner).copied().unwrap_or(0) + bytes <= self.limit_of(owner);
        let is_small = before + bytes <= SMALL_BYTES_MAX;
        let (bytes_max, fit) = match is_small {
            true => (self.0.bytes_max, true),
            false => (self.bytes_max_of_large(), owners.clone().all(fits)),
        };
        if held.bytes + bytes > bytes_max || !fit {
            return false;
        }
        held.bytes += bytes;
        for owner in owners {
            *held.of_owner.entry(owner).or_default() += bytes;
        }
        true
    }

    fn subtract(&self, owners: impl Iterator<Item = Owner>, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut held = self.lock();
        held.bytes -= bytes;
        for owner in owners {
            if let Some(of_owner) = held.of_owner.get_mut(&owner) {
                *of_owner -= bytes;
                if *of_owner == 0 {
                    held.of_owner.remove(&owner);
                }
            }
        }
        drop(held);
        self.0.freed.notify_waiters();
    }
}

/// A budget, and the account and the address for which bytes are held.
#[derive(Clone, Debug)]
pub struct MemoryScope {
    budget: MemoryBudget,
    account: Option<UserId>,
    address: Option<IpAddr>,
}

impl MemoryScope {
    /// How long an acquisition waits: shorter than a client waits for a response.
    pub const WAIT_TIME_MAX: Duration = Duration::from_secs(5);

    /// Acquires a share of this many bytes; waits while too much is held.
    ///
    /// More than the scope may ever hold counts as all that it may hold.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] after 5 seconds.
    pub async fn acquire(&self, bytes: u64) -> Result<MemoryShare> {
        let mut share = MemoryShare { scope: self.clone(), bytes: 0 };
        share.grow_to(bytes, Self::WAIT_TIME_MAX).await?;
        Ok(share)
    }

    fn owners(&self) -> impl Iterator<Item = Owner> + Clone + use<> {
        let account = self.account.map(Owner::Account);
        account.into_iter().chain(self.address.map(Owner::Address))
    }

    /// The most that this scope can hold.
    fn bytes_max(&self) -> u64 {
        let limits = self.owners().map(|owner| self.budget.limit_of(owner));
        limits.min().unwrap_or(u64::MAX).min(self.budget.bytes_max_of_large())
    }
}

/// The right to hold bytes in memory; dropping it gives them back.
#[derive(Debug)]
pub struct MemoryShare {
    scope: MemoryScope,
    bytes: u64,
}

impl MemoryShare {
    /// How many bytes the share allows.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows the share to this many bytes, if it is smaller; waits for up to `time_max` while too much is held. If it
    /// fails, the share stays as it was.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] after that time.
    pub async fn grow_to(&mut self, bytes: u64, time_max: Duration) -> Result<()> {
        let missing = bytes.min(self.scope.bytes_max()).saturating_sub(self.bytes);
        if missing == 0 {
            return Ok(());
        }
        let budget = &self.scope.budget;
        let deadline = Instant::now() + time_max;
        loop {
            let freed = budget.0.freed.notified();
            let mut freed = std::pin::pin!(freed);
            // From here on, bytes that are given back wake this task.
            freed.as_mut().enable();
            if budget.try_add(self.scope.owners(), self.bytes, missing) {
                self.bytes += missing;
                return Ok(());
            }
            if timeout_at(deadline, freed).await.is_err() {
                return Err(Error::OutOfMemory);
            }
        }
    }

    /// Splits off a share of this many bytes, or of all bytes if it has fewer.
    pub fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { scope: self.scope.clone(), bytes }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.scope.budget.subtract(self.scope.owners(), self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::random::OsRandom;

    /// A unit that is not small.
    const UNIT: u64 = 1 << 20;

    fn account() -> UserId {
        UserId::generate(Timestamp::from_millis(0), &OsRandom)
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_holds_a_quarter_and_an_address_half() {
        let budget = MemoryBudget::new(160 * UNIT);
        let (first, second) = (account(), account());
        let of = |account, last| budget.scope(Some(account), Some(address(last)));
        let _first = of(first, 1).acquire(40 * UNIT).await.unwrap();
        of(first, 2).acquire(UNIT).await.unwrap_err();
        let _second = of(second, 1).acquire(40 * UNIT).await.unwrap();
        of(account(), 1).acquire(UNIT).await.unwrap_err();
        let _third = of(account(), 2).acquire(40 * UNIT).await.unwrap();
        let _rest = budget.scope(None, None).acquire(20 * UNIT).await.unwrap();
        budget.scope(None, None).acquire(UNIT).await.unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_share_is_there_when_large_ones_hold_all_that_they_may() {
        let budget = MemoryBudget::new(160 * UNIT);
        let scope = budget.scope(Some(account()), Some(address(1)));
        let _large = scope.acquire(40 * UNIT).await.unwrap();
        let _others = budget.scope(None, None).acquire(100 * UNIT).await.unwrap();
        let mut small = scope.acquire(SMALL_BYTES_MAX).await.unwrap();
        small.grow_to(SMALL_BYTES_MAX + 1, MemoryScope::WAIT_TIME_MAX).await.unwrap_err();
        assert_eq!(budget.bytes_held(), 140 * UNIT + SMALL_BYTES_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_acquisition_gets_what_is_given_back() {
        let budget = MemoryBudget::new(160 * UNIT);
        let mut held = budget.scope(None, None).acquire(140 * UNIT).await.unwrap();
        let scope = budget.scope(None, None);
        let waiting = tokio::spawn(async move { scope.acquire(40 * UNIT).await });
        tokio::time::sleep(MemoryScope::WAIT_TIME_MAX / 2).await;
        drop(held.split(30 * UNIT));
        tokio::time::sleep(MemoryScope::WAIT_TIME_MAX / 4).await;
        assert!(!waiting.is_finished());
        drop(held.split(10 * UNIT));
        assert_eq!(waiting.await.unwrap().unwrap().bytes(), 40 * UNIT);
        assert_eq!(budget.bytes_held(), 100 * UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn after_its_time_an_acquisition_fails_and_holds_nothing() {
        let budget = MemoryBudget::new(160 * UNIT);
        let held = budget.scope(None, None).acquire(140 * UNIT).await.unwrap();
        let begin = Instant::now();
        budget.scope(None, None).acquire(UNIT).await.unwrap_err();
        assert_eq!(begin.elapsed(), MemoryScope::WAIT_TIME_MAX);
        drop(held);
        assert_eq!(budget.bytes_held(), 0);
        assert!(budget.lock().of_owner.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_that_cannot_grow_stays_as_it_was() {
        let budget = MemoryBudget::new(160 * UNIT);
        let mut share = budget.scope(None, None).acquire(100 * UNIT).await.unwrap();
        let _other = budget.scope(None, None).acquire(40 * UNIT).await.unwrap();
        share.grow_to(101 * UNIT, MemoryScope::WAIT_TIME_MAX).await.unwrap_err();
        assert_eq!((share.bytes(), budget.bytes_held()), (100 * UNIT, 140 * UNIT));
    }

    #[tokio::test(start_paused = true)]
    async fn more_than_a_scope_may_hold_counts_as_all_of_it() {
        let budget = MemoryBudget::new(160 * UNIT);
        let scope = budget.scope(Some(account()), None);
        assert_eq!(scope.acquire(1_000 * UNIT).await.unwrap().bytes(), 40 * UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_split_share_is_given_back_in_parts() {
        let budget = MemoryBudget::new(160 * UNIT);
        let mut share = budget.scope(None, Some(address(1))).acquire(50 * UNIT).await.unwrap();
        let part = share.split(30 * UNIT);
        drop(share);
        assert_eq!(budget.bytes_held(), 30 * UNIT);
        drop(part);
        assert_eq!(budget.bytes_held(), 0);
        assert!(budget.lock().of_owner.is_empty());
    }
}
