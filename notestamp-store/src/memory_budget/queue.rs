//! Claims that wait, in the order of their arrival.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// The queue of claims `C`, each of which waits for a share `S`.
#[derive(Debug)]
pub(super) struct Queue<C, S> {
    waiting: VecDeque<Waiting<C, S>>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting<C, S> {
    id: u64,
    claim: C,
    granted: oneshot::Sender<S>,
}

/// The place of a claim in the queue, and where its share arrives.
pub(super) struct Place<S> {
    id: u64,
    pub(super) granted: oneshot::Receiver<S>,
}

/// Shares that have been granted, each with the claim's receiver.
pub(super) struct Grants<S>(Vec<(oneshot::Sender<S>, S)>);

impl<S> Grants<S> {
    /// Delivers the shares. A share whose receiver is gone is dropped.
    pub(super) fn deliver(self) {
        for (granted, share) in self.0 {
            drop(granted.send(share));
        }
    }
}

impl<C, S> Default for Queue<C, S> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), next_id: 0 }
    }
}

impl<C, S> Queue<C, S> {
    /// Adds a claim at the end.
    pub(super) fn enter(&mut self, claim: C) -> Place<S> {
        let (sender, receiver) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        self.waiting.push_back(Waiting { id, claim, granted: sender });
        Place { id, granted: receiver }
    }

    /// Removes a claim; returns whether it was still waiting.
    pub(super) fn leave(&mut self, place: &Place<S>) -> bool {
        let found = self.waiting.binary_search_by_key(&place.id, |waiting| waiting.id);
        found.ok().and_then(|index| self.waiting.remove(index)).is_some()
    }

    /// The claims that wait, the latest first.
    pub(super) fn latest(&self) -> impl Iterator<Item = &C> {
        self.waiting.iter().rev().map(|waiting| &waiting.claim)
    }

    /// Asks for the share of each claim, in their order, and removes the claims that get one.
    pub(super) fn serve(&mut self, mut share_of: impl FnMut(&C) -> Option<S>) -> Grants<S> {
        let mut grants = Vec::new();
        let mut index = 0;
        while let Some(waiting) = self.waiting.get(index) {
            let Some(share) = share_of(&waiting.claim) else {
                index += 1;
                continue;
            };
            grants.extend(self.waiting.remove(index).map(|waiting| (waiting.granted, share)));
        }
        Grants(grants)
    }
}
