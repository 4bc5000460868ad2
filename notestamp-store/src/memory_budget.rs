//! [`MemoryBudget`]: one limit for all bytes that are held in memory, with a share for each account and each address.

mod queue;

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::domain::UserId;
use crate::error::{Error, Result};

use queue::{Grants, Place, Queue};

/// A share of up to this size is small. The limits of accounts and addresses do not apply to small shares, so small
/// requests succeed even while large requests hold all other memory.
const SMALL_BYTES_MAX: u64 = 128 << 10;

/// The part of the budget that only small shares may hold: an eighth.
const SMALL_DIVISOR: u64 = 8;

/// The part of the budget that one account may hold: a quarter.
const ACCOUNT_DIVISOR: u64 = 4;

/// The part of the budget that one address may hold: a half, because many accounts may share an address.
const ADDRESS_DIVISOR: u64 = 2;

/// A request is slow when its client has not sent enough to acquire more memory for this long. Memory is acquired in
/// steps of 64 KiB or more, so a slow client sends less than 32 KiB/s.
const SLOW_AFTER: Duration = Duration::from_secs(2);

/// How long an acquisition waits before slow requests lose their memory to it: fast ones give theirs back meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// If no memory has been given back for this long, the requests that hold it wait for each other: each of them needs more
/// to go on. Then the latest of them loses its memory.
const STUCK_AFTER: Duration = Duration::from_secs(4);

const _: () = assert!(
    STUCK_AFTER.as_secs() < MemoryScope::WAIT_TIME_MAX.as_secs(),
    "else all requests that wait for each other are refused"
);

/// At most one request in this time loses its memory, so that no more of them lose it than necessary.
const REVOKED_EVERY: Duration = Duration::from_millis(100);

/// Limits the bytes of bodies, upload batches and responses that are held in memory at the same time.
///
/// Code that holds bytes acquires a [`MemoryShare`] first, by a [`MemoryScope`] that names the account and the address
/// for which they are held. Beyond a limit, an acquisition waits for a while, and then fails with
/// [`Error::OutOfMemory`]. One account holds at most a quarter of the budget, and one address at most half of it, so
/// that one user cannot take all.
///
/// Acquisitions that wait are served in the order of their arrival, so that many small ones do not starve a large one.
/// One that waits only for its own account or address does not hold up others.
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
}

#[derive(Debug, Default)]
struct Held {
    bytes: u64,
    /// Only owners that hold bytes.
    of_owner: HashMap<Owner, u64>,
    waiting: Queue<Claim, MemoryShare>,
    /// The requests that wait for a slow client.
    slow: Vec<MemoryScope>,
    last_revoked: Option<Instant>,
    last_freed: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Owner {
    Account(UserId),
    /// Of an IPv6 network, the first address.
    Address(IpAddr),
}

/// More memory that a request needs.
#[derive(Clone, Debug)]
struct Claim {
    scope: MemoryScope,
    bytes: u64,
    /// Whether it belongs to a small share.
    is_small: bool,
}

/// The limit that a claim would exceed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Obstacle {
    Total,
    Of(Owner),
}

impl MemoryBudget {
    /// A budget of this many bytes.
    pub fn new(bytes_max: u64) -> Self {
        Self(Arc::new(Shared { bytes_max, held: Mutex::default() }))
    }

    /// A scope for one request of an account and an address, as far as they are known; of an IPv6 network, its first
    /// address.
    pub fn scope(&self, account: Option<UserId>, address: Option<IpAddr>) -> MemoryScope {
        let request =
            Request { bytes: AtomicU64::new(0), grown: Mutex::new(Instant::now()), revoked: Notify::new() };
        MemoryScope { budget: self.clone(), account, address, request: Arc::new(request) }
    }

    /// The limit, in bytes.
    pub fn bytes_max(&self) -> u64 {
        self.0.bytes_max
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

    fn obstacle(&self, held: &Held, claim: &Claim) -> Option<Obstacle> {
        let bytes_max = if claim.is_small { self.0.bytes_max } else { self.bytes_max_of_large() };
        if held.bytes + claim.bytes > bytes_max {
            return Some(Obstacle::Total);
        }
        let exceeds = |owner: &Owner| {
            held.of_owner.get(owner).copied().unwrap_or(0) + claim.bytes > self.limit_of(*owner)
        };
        let exceeded = claim.scope.owners().find(exceeds).map(Obstacle::Of);
        exceeded.filter(|_| !claim.is_small)
    }

    /// Gives a claim its share. The limits have been checked.
    fn add(held: &mut Held, claim: Claim) -> MemoryShare {
        held.bytes += claim.bytes;
        for owner in claim.scope.owners() {
            *held.of_owner.entry(owner).or_default() += claim.bytes;
        }
        claim.scope.request.has_grown(claim.bytes);
        MemoryShare { scope: claim.scope, bytes: claim.bytes }
    }

    fn subtract(&self, scope: &MemoryScope, bytes: u64) {
        if bytes == 0 {
            return;
        }
        scope.request.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let mut held = self.lock();
        held.bytes -= bytes;
        held.last_freed = Some(Instant::now());
        for owner in scope.owners() {
            if let Some(of_owner) = held.of_owner.get_mut(&owner) {
                *of_owner -= bytes;
                if *of_owner == 0 {
                    held.of_owner.remove(&owner);
                }
            }
        }
        let granted = self.serve(&mut held);
        drop(held);
        granted.deliver();
    }

    /// Serves the claims that wait, in their order, as far as the limits allow. The shares must be delivered after the
    /// lock has been released.
    #[must_use]
    fn serve(&self, held: &mut Held) -> Grants<MemoryShare> {
        let mut waiting = std::mem::take(&mut held.waiting);
        let mut obstacles = Obstacles::default();
        let granted = waiting.serve(|claim| {
            if obstacles.hold_up(claim) {
                return None;
            }
            match self.obstacle(held, claim) {
                Some(obstacle) => {
                    obstacles.add(claim, obstacle);
                    None
                }
                None => Some(Self::add(held, claim.clone())),
            }
        });
        held.waiting = waiting;
        granted
    }

    /// Takes the memory of a request, if that helps this claim, which has waited since then.
    fn revoke_for(&self, claim: &Claim, waiting_since: Instant) {
        let mut held = self.lock();
        let now = Instant::now();
        if held.last_revoked.is_some_and(|last| now - last < REVOKED_EVERY) {
            return;
        }
        let unchanged_since = held.last_freed.unwrap_or(waiting_since).max(waiting_since);
        if let Some(revoked) = self.in_the_way(&held, claim, now - unchanged_since >= STUCK_AFTER) {
            held.last_revoked = Some(now);
            revoked.request.revoked.notify_waiters();
            held.forget_slow(&revoked);
        }
    }

    /// The request that is to lose its memory for this claim: the largest slow one; or, if all are stuck, the latest one
    /// that waits for memory itself.
    fn in_the_way(&self, held: &Held, claim: &Claim, are_stuck: bool) -> Option<MemoryScope> {
        let obstacle = self.obstacle(held, claim);
        let helps = |other: &&MemoryScope| {
            other.bytes_held() > 0
                && match obstacle {
                    Some(Obstacle::Total) => true,
                    Some(Obstacle::Of(Owner::Address(address))) => other.address == Some(address),
                    // An account does not lose one request to another of its own.
                    Some(Obstacle::Of(Owner::Account(_))) | None => false,
                }
        };
        let largest = held.slow.iter().filter(helps).max_by_key(|slow| slow.bytes_held());
        if largest.is_some() || !are_stuck {
            return largest.cloned();
        }
        let later = held.waiting.latest();
        let later = later.take_while(|other| !Arc::ptr_eq(&other.scope.request, &claim.scope.request));
        // One that would fit waits only for its turn.
        let stuck = later.filter(|other| self.obstacle(held, other).is_some()).map(|other| &other.scope);
        let mut helping = stuck.filter(helps);
        helping.next().cloned()
    }
}

/// What is in the way of the claims that have waited longer. A later claim that needs the same must not overtake them.
#[derive(Default)]
struct Obstacles {
    small: bool,
    large: bool,
    owners: Vec<Owner>,
}

impl Obstacles {
    fn add(&mut self, claim: &Claim, obstacle: Obstacle) {
        match obstacle {
            Obstacle::Total if claim.is_small => self.small = true,
            Obstacle::Total => self.large = true,
            Obstacle::Of(owner) => self.owners.push(owner),
        }
    }

    fn hold_up(&self, claim: &Claim) -> bool {
        match claim.is_small {
            true => self.small,
            false => self.large || claim.scope.owners().any(|owner| self.owners.contains(&owner)),
        }
    }
}

impl Held {
    fn forget_slow(&mut self, scope: &MemoryScope) {
        self.slow.retain(|slow| !Arc::ptr_eq(&slow.request, &scope.request));
    }
}

/// One request in a budget, and the account and the address for which it holds bytes. Clones are of the same request.
#[derive(Clone, Debug)]
pub struct MemoryScope {
    budget: MemoryBudget,
    account: Option<UserId>,
    address: Option<IpAddr>,
    request: Arc<Request>,
}

/// A request that holds bytes.
#[derive(Debug)]
struct Request {
    bytes: AtomicU64,
    /// When it acquired bytes the last time.
    grown: Mutex<Instant>,
    /// Notified when the request loses its bytes.
    revoked: Notify,
}

impl Request {
    fn has_grown(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        *self.grown.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn grown(&self) -> Instant {
        *self.grown.lock().unwrap_or_else(PoisonError::into_inner)
    }
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

    /// Waits until the client of this request has sent more, or taken more. If it is slow, and other requests need the
    /// memory that this one holds, this fails: then give the memory back.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if another request needs the memory.
    pub async fn wait_for_client<T>(&self, client: impl Future<Output = T>) -> Result<T> {
        let mut client = pin!(client);
        if let Ok(ready) = timeout_at(self.request.grown() + SLOW_AFTER, &mut client).await {
            return Ok(ready);
        }
        // From here on, a revocation wakes this task.
        let mut revoked = pin!(self.request.revoked.notified());
        revoked.as_mut().enable();
        let _slow = SlowRequest::new(self);
        tokio::select! {
            biased;
            ready = client => Ok(ready),
            () = revoked => Err(Error::OutOfMemory),
        }
    }

    /// Notes that the client has taken as much as one that is not slow takes in two seconds, 64 KiB or more.
    pub fn client_has_progressed(&self) {
        self.request.has_grown(0);
    }

    fn bytes_held(&self) -> u64 {
        self.request.bytes.load(Ordering::Relaxed)
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

    /// Waits until a claim of this scope can be granted.
    async fn granted(&self, bytes: u64, is_small: bool, time_max: Duration) -> Result<MemoryShare> {
        let claim = Claim { scope: self.clone(), bytes, is_small };
        let mut place = {
            let mut held = self.budget.lock();
            let place = held.waiting.enter(claim.clone());
            let granted = self.budget.serve(&mut held);
            drop(held);
            granted.deliver();
            QueuePlace { budget: self.budget.clone(), place }
        };
        let begin = Instant::now();
        let deadline = begin + time_max;
        let mut wake = begin + PATIENCE;
        let mut revoked = pin!(self.request.revoked.notified());
        loop {
            let granted = timeout_at(wake.min(deadline), &mut place.place.granted);
            let granted = tokio::select! {
                biased;
                granted = granted => granted,
                () = &mut revoked => return Err(Error::OutOfMemory),
            };
            match granted {
                Ok(granted) => return granted.map_err(|_| Error::OutOfMemory),
                Err(_) if Instant::now() >= deadline => return Err(Error::OutOfMemory),
                Err(_) => self.budget.revoke_for(&claim, begin),
            }
            wake += REVOKED_EVERY;
        }
    }
}

/// A request among those that wait for a slow client; dropping it removes the request from them.
struct SlowRequest<'a>(&'a MemoryScope);

impl<'a> SlowRequest<'a> {
    fn new(scope: &'a MemoryScope) -> Self {
        scope.budget.lock().slow.push(scope.clone());
        Self(scope)
    }
}

impl Drop for SlowRequest<'_> {
    fn drop(&mut self) {
        self.0.budget.lock().forget_slow(self.0);
    }
}

/// The place of an acquisition that waits; dropping it removes the acquisition from the queue.
struct QueuePlace {
    budget: MemoryBudget,
    place: Place<MemoryShare>,
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut held = self.budget.lock();
        if !held.waiting.leave(&self.place) {
            return;
        }
        // It may have held up others.
        let granted = self.budget.serve(&mut held);
        drop(held);
        granted.deliver();
    }
}

/// The right to hold bytes in memory; dropping it gives them back.
#[derive(Debug)]
pub struct MemoryShare {
    scope: MemoryScope,
    bytes: u64,
}

impl MemoryShare {
    /// The request that holds the share.
    pub fn scope(&self) -> &MemoryScope {
        &self.scope
    }

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
        let is_small = self.bytes + missing <= SMALL_BYTES_MAX;
        let mut more = self.scope.granted(missing, is_small, time_max).await?;
        self.bytes += std::mem::take(&mut more.bytes);
        Ok(())
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
        self.scope.budget.subtract(&self.scope, self.bytes);
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

    #[tokio::test(start_paused = true)]
    async fn a_large_acquisition_is_not_overtaken_by_later_ones() {
        let budget = MemoryBudget::new(160 * UNIT);
        let mut held = budget.scope(None, None).acquire(140 * UNIT).await.unwrap();
        let acquire = |bytes| {
            let scope = budget.scope(None, None);
            tokio::spawn(async move { scope.acquire(bytes).await.unwrap() })
        };
        let large = acquire(100 * UNIT);
        tokio::time::sleep(PATIENCE).await;
        let later = acquire(10 * UNIT);
        for _ in 0..9 {
            tokio::time::sleep(PATIENCE / 10).await;
            drop(held.split(11 * UNIT));
        }
        assert!(!large.is_finished() && !later.is_finished());
        drop(held.split(UNIT));
        let large = large.await.unwrap();
        assert!(!later.is_finished());
        drop(large);
        later.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_acquisition_that_waits_for_its_account_holds_up_no_other_account() {
        let budget = MemoryBudget::new(160 * UNIT);
        let (ada, bob) = (account(), account());
        let of = |account| budget.scope(Some(account), None);
        let _held = of(ada).acquire(40 * UNIT).await.unwrap();
        let scope = of(ada);
        let waiting = tokio::spawn(async move { scope.acquire(UNIT).await });
        tokio::task::yield_now().await;
        let begin = Instant::now();
        let _other = of(bob).acquire(UNIT).await.unwrap();
        assert_eq!(begin.elapsed(), Duration::ZERO);
        waiting.await.unwrap().unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn an_acquisition_whose_caller_is_gone_holds_up_nobody_and_keeps_nothing() {
        let budget = MemoryBudget::new(160 * UNIT);
        let mut held = budget.scope(None, None).acquire(130 * UNIT).await.unwrap();
        let scope = budget.scope(None, None);
        let gone = tokio::spawn(async move { scope.acquire(100 * UNIT).await });
        tokio::task::yield_now().await;
        let scope = budget.scope(None, None);
        let next = tokio::spawn(async move { scope.acquire(10 * UNIT).await });
        tokio::task::yield_now().await;
        assert!(!next.is_finished());
        gone.abort();
        gone.await.unwrap_err();
        assert_eq!(next.await.unwrap().unwrap().bytes(), 10 * UNIT);

        // The grant of a caller that is gone before it takes it is given back.
        let scope = budget.scope(None, None);
        let gone = tokio::spawn(async move { scope.acquire(100 * UNIT).await });
        tokio::task::yield_now().await;
        drop(held.split(130 * UNIT));
        gone.abort();
        gone.await.unwrap_err();
        assert_eq!(budget.bytes_held(), 0);
    }

    /// A request that holds this much, and whose client sends no more.
    async fn stalled(scope: MemoryScope, bytes: u64) -> tokio::task::JoinHandle<Result<()>> {
        let share = scope.acquire(bytes).await.unwrap();
        tokio::spawn(async move {
            let waited = scope.wait_for_client(std::future::pending()).await;
            drop(share);
            waited
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_slow_request_loses_its_memory_to_one_that_waits() {
        let budget = MemoryBudget::new(160 * UNIT);
        let large = stalled(budget.scope(None, None), 100 * UNIT).await;
        let small = stalled(budget.scope(None, None), 40 * UNIT).await;
        tokio::time::sleep(Duration::from_secs(60 * 60)).await;
        assert!(!large.is_finished(), "nobody needs its memory");
        let _share = budget.scope(None, None).acquire(50 * UNIT).await.unwrap();
        assert!(matches!(large.await.unwrap(), Err(Error::OutOfMemory)));
        assert!(!small.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_whose_client_sends_enough_keeps_its_memory() {
        let budget = MemoryBudget::new(160 * UNIT);
        let scope = budget.scope(None, None);
        let mut share = scope.acquire(120 * UNIT).await.unwrap();
        for step in 1..20 {
            scope.wait_for_client(tokio::time::sleep(SLOW_AFTER * 9 / 10)).await.unwrap();
            share.grow_to(120 * UNIT + (64 << 10) * step, MemoryScope::WAIT_TIME_MAX).await.unwrap();
            if step == 10 {
                let other = budget.scope(None, None);
                tokio::spawn(async move { other.acquire(100 * UNIT).await.unwrap_err() });
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_requests_that_wait_for_each_other_the_latest_loses_its_memory() {
        let budget = MemoryBudget::new(160 * UNIT);
        let mut waiting = Vec::new();
        for _ in 0..2 {
            let mut share = budget.scope(None, None).acquire(70 * UNIT).await.unwrap();
            waiting.push(async move {
                let begin = Instant::now();
                let grown = share.grow_to(100 * UNIT, 15 * STUCK_AFTER).await;
                (grown.is_ok(), begin.elapsed())
            });
        }
        let [earlier, later] = waiting.try_into().ok().unwrap();
        let (earlier, later) = tokio::join!(earlier, later);
        assert!(earlier.0 && !later.0);
        assert!(earlier.1 < 2 * STUCK_AFTER, "{earlier:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_loses_no_request_to_another_of_its_own() {
        let budget = MemoryBudget::new(160 * UNIT);
        let ada = account();
        let stalled = stalled(budget.scope(Some(ada), None), 40 * UNIT).await;
        tokio::time::sleep(SLOW_AFTER).await;
        budget.scope(Some(ada), None).acquire(UNIT).await.unwrap_err();
        assert!(!stalled.is_finished());
    }
}
