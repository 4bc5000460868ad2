//! A queue for password hashing that is shared fairly by addresses.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Lets a limited number of hashes run at once; the others wait.
///
/// The addresses that wait take turns, so a request waits for one hash of each other address, and not for all requests
/// of an address that sends many. When the queue is full, the newest request of the address with the most is refused.
#[derive(Clone, Debug)]
pub(super) struct HashQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    at_once: usize,
    waiting_max: usize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    running: usize,
    waiting: usize,
    next_id: u64,
    /// The waiting requests of each address, the oldest first; no list is empty.
    of_address: HashMap<Option<IpAddr>, VecDeque<Ticket>>,
    /// The addresses that wait, each once, in the order of their turns.
    order: VecDeque<Option<IpAddr>>,
}

#[derive(Debug)]
struct Ticket {
    id: u64,
    turn: oneshot::Sender<Turn>,
}

/// The permission to hash; dropping it lets the next request hash.
#[derive(Debug)]
pub(super) struct Turn {
    /// `None` once the turn has passed on.
    queue: Option<HashQueue>,
}

/// The queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct QueueFull;

impl HashQueue {
    /// A queue in which `at_once` hashes run and `waiting_max` requests wait.
    pub(super) fn new(at_once: usize, waiting_max: usize) -> Self {
        Self(Arc::new(Shared { at_once, waiting_max, queue: Mutex::default() }))
    }

    /// Waits for the turn of a request from this address. If the future is dropped, its place is free.
    ///
    /// # Errors
    /// If the queue is full, and no other address has more requests in it; or later, if it becomes full and this
    /// request is the newest of the address with the most.
    pub(super) async fn turn(&self, address: Option<IpAddr>) -> Result<Turn, QueueFull> {
        let (place, turn) = {
            let mut queue = self.lock();
            if queue.running < self.0.at_once {
                queue.running += 1;
                return Ok(Turn { queue: Some(self.clone()) });
            }
            if queue.waiting >= self.0.waiting_max && !queue.refuse_one_for(address) {
                return Err(QueueFull);
            }
            let (sender, receiver) = oneshot::channel();
            (Place { queue: self.clone(), address, id: queue.add(address, sender) }, receiver)
        };
        let turn = turn.await.map_err(|_| QueueFull);
        drop(place);
        turn
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting
    }

    /// Whether no request hashes or waits.
    pub(super) fn is_idle(&self) -> bool {
        self.lock().running == 0
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it is locked.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else { return };
        let mut locked = queue.lock();
        let mut turn = Self { queue: Some(queue.clone()) };
        while let Some(next) = locked.next() {
            match next.send(turn) {
                Ok(()) => return,
                // That request has ended meanwhile.
                Err(refused) => turn = refused,
            }
        }
        turn.queue = None;
        locked.running -= 1;
    }
}

/// The place of a waiting request; dropping it removes the request from the queue.
struct Place {
    queue: HashQueue,
    address: Option<IpAddr>,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.lock().remove(self.address, self.id);
    }
}

impl Queue {
    fn add(&mut self, address: Option<IpAddr>, turn: oneshot::Sender<Turn>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.waiting += 1;
        let tickets = self.of_address.entry(address).or_default();
        if tickets.is_empty() {
            self.order.push_back(address);
        }
        tickets.push_back(Ticket { id, turn });
        id
    }

    /// The oldest request of the address whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let address = self.order.pop_front()?;
        let tickets = self.of_address.get_mut(&address)?;
        let first = tickets.pop_front()?;
        self.waiting -= 1;
        if tickets.is_empty() {
            self.of_address.remove(&address);
        } else {
            self.order.push_back(address);
        }
        Some(first.turn)
    }

    /// Refuses the newest request of the address with the most requests, if that address has more than this one will
    /// have.
    fn refuse_one_for(&mut self, address: Option<IpAddr>) -> bool {
        let of_address = self.of_address.get(&address).map_or(0, VecDeque::len);
        let most = self.of_address.iter().max_by_key(|(_, tickets)| tickets.len());
        let Some((&greediest, tickets)) = most else { return false };
        let Some(newest) = tickets.back().filter(|_| tickets.len() > of_address + 1) else { return false };
        let id = newest.id;
        self.remove(greediest, id);
        true
    }

    /// Removes a request, if it still waits.
    fn remove(&mut self, address: Option<IpAddr>, id: u64) {
        let Some(tickets) = self.of_address.get_mut(&address) else { return };
        let Some(index) = tickets.iter().position(|ticket| ticket.id == id) else { return };
        tickets.remove(index);
        self.waiting -= 1;
        if tickets.is_empty() {
            self.of_address.remove(&address);
            self.order.retain(|waiting| *waiting != address);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::{JoinHandle, yield_now};

    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    /// Starts a request that waits; it is in the queue when this returns.
    async fn enter(queue: &HashQueue, last: u8) -> JoinHandle<Result<Turn, QueueFull>> {
        let queue = queue.clone();
        let waiting = tokio::spawn(async move { queue.turn(address(last)).await });
        yield_now().await;
        waiting
    }

    #[tokio::test]
    async fn addresses_take_turns() {
        let queue = HashQueue::new(1, 10);
        let running = queue.turn(address(1)).await.unwrap();
        let first = enter(&queue, 1).await;
        let second = enter(&queue, 1).await;
        let other = enter(&queue, 2).await;
        drop(running);
        let turn = first.await.unwrap().unwrap();
        drop(turn);
        let turn = other.await.unwrap().unwrap();
        assert!(!second.is_finished());
        drop(turn);
        drop(second.await.unwrap().unwrap());
        assert!(queue.is_idle());
    }

    #[tokio::test]
    async fn in_a_full_queue_the_newest_of_the_address_with_the_most_is_refused() {
        let queue = HashQueue::new(1, 3);
        let running = queue.turn(address(9)).await.unwrap();
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(enter(&queue, 1).await);
        }
        assert_eq!(queue.turn(address(1)).await.unwrap_err(), QueueFull);
        let other = enter(&queue, 2).await;
        assert_eq!(many.pop().unwrap().await.unwrap().unwrap_err(), QueueFull);
        // Two against one: a second request of the other address would only turn the tables.
        assert_eq!(queue.turn(address(2)).await.unwrap_err(), QueueFull);
        drop(running);
        let [first, second] = many.try_into().unwrap();
        for waiting in [first, other, second] {
            drop(waiting.await.unwrap().unwrap());
        }
        assert!(queue.is_idle());
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_frees_its_place() {
        let queue = HashQueue::new(1, 1);
        let running = queue.turn(address(1)).await.unwrap();
        let gone = enter(&queue, 1).await;
        gone.abort();
        gone.await.unwrap_err();
        let next = enter(&queue, 1).await;
        drop(running);
        drop(next.await.unwrap().unwrap());
        let queue = queue.lock();
        assert_eq!((queue.running, queue.waiting, queue.order.len(), queue.of_address.len()), (0, 0, 0, 0));
    }

    #[tokio::test]
    async fn no_more_than_the_limit_run_at_once() {
        let queue = HashQueue::new(2, 10);
        let turns = [queue.turn(None).await.unwrap(), queue.turn(None).await.unwrap()];
        let third = enter(&queue, 1).await;
        assert!(!third.is_finished());
        drop(turns);
        drop(third.await.unwrap().unwrap());
    }
}
