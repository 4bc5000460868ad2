//! Admission control: limits the connections in total and per address; idle connections are closed for new ones.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::activity::Activity;
use super::network::network;
use super::trusted_proxies::TrustedProxies;
use crate::config::{CONNECTIONS_MAX, CONNECTIONS_PER_ADDRESS_MAX};

/// How many connections may be open at once.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    /// In total.
    pub(crate) in_all: usize,
    /// For one address: an IPv4 address, or the /64 of an IPv6 address.
    pub(crate) per_address: usize,
    /// Trusted proxies, which have no limit per address, since each stands for many clients.
    pub(crate) proxies: TrustedProxies,
}

impl ConnectionLimits {
    /// The limits if `in_all` connections are possible: one address gets an eighth of them at most, so that a single
    /// address cannot use all.
    pub(crate) fn new(in_all: usize, proxies: TrustedProxies) -> Self {
        let in_all = in_all.min(CONNECTIONS_MAX);
        Self { in_all, per_address: CONNECTIONS_PER_ADDRESS_MAX.min(in_all.div_ceil(8)), proxies }
    }
}

/// Why a connection is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The limit of its address is reached, and none of the address's connections is idle.
    AddressIsFull,
    /// The limit in total is reached, and no connection is idle.
    AllIsFull,
}

/// The open connections.
///
/// A new connection beyond a limit replaces an idle one. For the limit of an address, that is the address's connection
/// that has been idle longest; for the limit in total, it is the longest idle one of the address with the most
/// connections. So idle connections, however many, never keep a new client out, and the address with the most loses
/// first.
#[derive(Debug)]
pub(super) struct Admission {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    count: usize,
    next_id: u64,
    /// By address; the connections of proxies, which have no limit per address, are under `None`.
    of_address: HashMap<Option<IpAddr>, HashMap<u64, Arc<Activity>>>,
}

/// The slot of an open connection; dropping it frees the slot.
#[derive(Debug)]
pub(super) struct Slot {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
    id: u64,
    /// The state of the connection.
    pub(super) activity: Arc<Activity>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.lock().remove(self.address, self.id);
    }
}

impl Admission {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Admits a new connection of `peer`.
    ///
    /// # Errors
    /// If a limit is reached, and there is no idle connection to close.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Slot, Refusal> {
        let is_proxy = self.limits.proxies.trusts(peer.to_canonical());
        let address = (!is_proxy).then(|| network(peer));
        let mut open = self.lock();
        let is_full = !is_proxy && open.count_of(address) >= self.limits.per_address;
        if is_full && !open.evict_of(address) {
            return Err(Refusal::AddressIsFull);
        }
        if open.count >= self.limits.in_all && !open.evict_any() {
            return Err(Refusal::AllIsFull);
        }
        let (id, activity) = open.add(address);
        Ok(Slot { admission: self.clone(), address, id, activity })
    }

    /// Closes an idle connection, because a resource of the system is exhausted. Returns false if none is idle.
    pub(super) fn make_room(&self) -> bool {
        self.lock().evict_any()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No code panics while it is locked.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn count_of(&self, address: Option<IpAddr>) -> usize {
        self.of_address.get(&address).map_or(0, HashMap::len)
    }

    fn add(&mut self, address: Option<IpAddr>) -> (u64, Arc<Activity>) {
        let (id, activity) = (self.next_id, Arc::new(Activity::new()));
        self.of_address.entry(address).or_default().insert(id, activity.clone());
        self.next_id += 1;
        self.count += 1;
        (id, activity)
    }

    /// Removes a connection; an evicted connection has been removed already.
    fn remove(&mut self, address: Option<IpAddr>, id: u64) {
        let Some(connections) = self.of_address.get_mut(&address) else { return };
        if connections.remove(&id).is_some() {
            self.count -= 1;
        }
        if connections.is_empty() {
            self.of_address.remove(&address);
        }
    }

    /// Closes the connection of this address that has been idle longest. Returns false if none is idle.
    fn evict_of(&mut self, address: Option<IpAddr>) -> bool {
        self.evict(|open| {
            let connections = open.of_address.get(&address)?.iter();
            let idle = connections.filter(|(_, activity)| activity.phase().is_idle());
            let longest = idle.min_by_key(|(_, activity)| activity.idle_since())?;
            Some((address, *longest.0))
        })
    }

    /// Closes the longest idle connection of the address that has the most connections; one of a proxy only if no other
    /// is idle. Returns false if none is idle.
    fn evict_any(&mut self) -> bool {
        self.evict(|open| {
            let connections = open.of_address.iter().flat_map(|(address, connections)| {
                let rank = if address.is_some() { connections.len() } else { 0 };
                connections.iter().map(move |(id, activity)| (rank, *address, *id, activity))
            });
            let idle = connections.filter(|(.., activity)| activity.phase().is_idle());
            let first = idle.max_by_key(|(rank, .., activity)| (*rank, Reverse(activity.idle_since())))?;
            Some((first.1, first.2))
        })
    }

    fn evict(&mut self, next: impl Fn(&Self) -> Option<(Option<IpAddr>, u64)>) -> bool {
        while let Some((address, id)) = next(self) {
            let connection = self.of_address.get(&address).and_then(|connections| connections.get(&id));
            // It may have begun a request meanwhile; then the next idle one is tried.
            if connection.is_some_and(|activity| activity.evict()) {
                self.remove(address, id);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::activity::{Pace, Phase};
    use super::*;

    fn admission(in_all: usize, per_address: usize) -> Arc<Admission> {
        let proxies = TrustedProxies::new(vec!["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
        Admission::new(ConnectionLimits { in_all, per_address, proxies })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[track_caller]
    fn admitted(admission: &Arc<Admission>, peer: &str) -> Slot {
        admission.admit(ip(peer)).unwrap()
    }

    #[track_caller]
    fn busy(admission: &Arc<Admission>, peer: &str) -> Slot {
        let slot = admitted(admission, peer);
        assert!(slot.activity.begin_request());
        slot
    }

    fn is_evicted(slot: &Slot) -> bool {
        slot.activity.phase() == Phase::Evicted
    }

    #[test]
    fn beyond_its_limit_an_address_loses_its_longest_idle_connection() {
        let admission = admission(100, 3);
        let working = busy(&admission, "192.0.2.1");
        let (first, second) = (admitted(&admission, "192.0.2.1"), admitted(&admission, "192.0.2.1"));
        let other = admitted(&admission, "192.0.2.2");
        // The first has been used since, so the second has been idle longer.
        assert!(first.activity.begin_request());
        first.activity.begin_response(Pace::AtMinimumRate);
        first.activity.end_response();
        first.activity.flushed();
        let _newcomer = admitted(&admission, "192.0.2.1");
        let evicted = [&working, &first, &second, &other].map(is_evicted);
        assert_eq!(evicted, [false, false, true, false]);
    }

    #[test]
    fn an_address_whose_connections_are_all_busy_gets_no_more() {
        let admission = admission(100, 2);
        let _working = [busy(&admission, "192.0.2.1"), busy(&admission, "192.0.2.1")];
        assert_eq!(admission.admit(ip("192.0.2.1")).unwrap_err(), Refusal::AddressIsFull);
        admitted(&admission, "192.0.2.2");
    }

    #[test]
    fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_address_is_that_address() {
        let admission = admission(100, 1);
        let _first = busy(&admission, "2001:db8::1");
        assert_eq!(admission.admit(ip("2001:db8::ffff:2")).unwrap_err(), Refusal::AddressIsFull);
        let _neighbour = busy(&admission, "2001:db8:0:1::1");
        let _v4 = busy(&admission, "192.0.2.1");
        assert_eq!(admission.admit(ip("::ffff:192.0.2.1")).unwrap_err(), Refusal::AddressIsFull);
    }

    #[test]
    fn a_trusted_proxy_has_no_limit_of_its_own() {
        let admission = admission(100, 1);
        let _of_proxies =
            ["10.0.0.1", "10.0.0.1", "::1", "::1", "::ffff:10.0.0.1"].map(|peer| busy(&admission, peer));
    }

    #[test]
    fn at_the_total_limit_the_address_with_most_connections_loses_one() {
        let admission = admission(6, 4);
        let proxied = admitted(&admission, "10.0.0.1");
        let modest = admitted(&admission, "192.0.2.1");
        let greedy: Vec<_> = (0..4).map(|_| admitted(&admission, "192.0.2.66")).collect();
        let _newcomer = busy(&admission, "192.0.2.2");
        assert!(is_evicted(&greedy[0]));
        assert!(!is_evicted(&modest) && !is_evicted(&proxied) && !greedy[1..].iter().any(is_evicted));
    }

    #[test]
    fn among_equals_the_longest_idle_connection_is_evicted_and_those_of_proxies_last() {
        let admission = admission(3, 4);
        let proxied = admitted(&admission, "10.0.0.1");
        let (first, second) = (admitted(&admission, "192.0.2.1"), admitted(&admission, "192.0.2.2"));
        let _newcomers = [busy(&admission, "192.0.2.3"), busy(&admission, "192.0.2.4")];
        assert!(is_evicted(&first) && is_evicted(&second) && !is_evicted(&proxied));
        let _newcomer = busy(&admission, "192.0.2.5");
        assert!(is_evicted(&proxied));
        assert_eq!(admission.admit(ip("192.0.2.6")).unwrap_err(), Refusal::AllIsFull);
    }

    #[test]
    fn a_place_is_free_when_its_connection_ends_and_counts_once() {
        let admission = admission(2, 2);
        let (first, second) = (admitted(&admission, "192.0.2.1"), admitted(&admission, "192.0.2.1"));
        let third = busy(&admission, "192.0.2.1");
        assert!(is_evicted(&first));
        drop(first);
        assert_eq!(admission.lock().count, 2, "an evicted connection gives its place once");
        drop((second, third));
        let open = admission.lock();
        assert_eq!((open.count, open.of_address.len()), (0, 0));
    }
}
