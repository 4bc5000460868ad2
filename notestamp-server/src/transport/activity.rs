//! The state of a connection, shared with the admission control, which may have to close it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use tokio::sync::Notify;

/// How fast the client must read a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// At a minimum rate, because the response is held in memory until it has been read. The default.
    AtMinimumRate,
    /// At any rate, as long as there is progress: a player reads media at the speed of the recording. Handlers set it
    /// as an extension of the response.
    OfReader,
}

/// The phase of a connection: what it is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Waiting for the first byte of a request.
    Idle,
    /// Reading the head of a request.
    Head,
    /// Reading a request's body, or waiting for the handler.
    Request,
    /// Sending a response.
    Response,
    /// Sending the end of a response whose body has been read completely.
    ResponseEnd,
    /// The response has been sent, and the rest of the request's body is read and dropped.
    Draining,
    /// Closed to make room for another connection.
    Evicted,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Idle,
        Self::Head,
        Self::Request,
        Self::Response,
        Self::ResponseEnd,
        Self::Draining,
        Self::Evicted,
    ];

    fn from_bits(bits: u8) -> Self {
        Self::ALL[usize::from(bits)]
    }

    /// Returns whether no request is in progress; a request begins when its head has arrived.
    pub(super) fn is_idle(self) -> bool {
        matches!(self, Self::Idle | Self::Head)
    }
}

/// The phase of one connection.
///
/// Only the connection itself changes its phase, except for [`evict`](Self::evict) and [`end_body`](Self::end_body),
/// which any task may call: each change is a compare-and-swap, so that a connection is never closed after it has begun
/// a request.
#[derive(Debug)]
pub(super) struct Activity {
    phase: AtomicU8,
    is_held: AtomicBool,
    /// A sequence number: greater than that of every connection that became idle earlier.
    idle_since: AtomicU64,
    evicted: Notify,
    /// Whether the body of the last request may still be read.
    has_body: AtomicBool,
    hung_up: Notify,
}

/// The next value of [`Activity::idle_since`].
static IDLE_ORDER: AtomicU64 = AtomicU64::new(0);

impl Activity {
    /// The state of a new connection: idle from now on.
    pub(super) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Idle as u8),
            is_held: AtomicBool::new(true),
            idle_since: AtomicU64::new(IDLE_ORDER.fetch_add(1, Ordering::Relaxed)),
            evicted: Notify::new(),
            has_body: AtomicBool::new(false),
            hung_up: Notify::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::from_bits(self.phase.load(Ordering::SeqCst))
    }

    /// A number that orders connections by when they became idle.
    pub(super) fn idle_since(&self) -> u64 {
        self.idle_since.load(Ordering::Acquire)
    }

    /// The pace of the last response.
    pub(super) fn pace(&self) -> Pace {
        if self.is_held.load(Ordering::Relaxed) { Pace::AtMinimumRate } else { Pace::OfReader }
    }

    /// Returns whether a response at the reader's pace is being sent: its client can resume it by a range request.
    pub(super) fn is_streaming(&self) -> bool {
        matches!(self.phase(), Phase::Response | Phase::ResponseEnd) && self.pace() == Pace::OfReader
    }

    /// Call it when the first byte of a request has arrived.
    pub(super) fn begin_head(&self) {
        self.shift(Phase::Idle, Phase::Head);
    }

    /// Call it when the head of a request has arrived. Returns false if the connection has been evicted meanwhile.
    pub(super) fn begin_request(&self) -> bool {
        let next = |bits| (Phase::from_bits(bits) != Phase::Evicted).then_some(Phase::Request as u8);
        self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok()
    }

    /// Call it when a response begins.
    pub(super) fn begin_response(&self, pace: Pace) {
        self.is_held.store(pace == Pace::AtMinimumRate, Ordering::Relaxed);
        self.shift(Phase::Request, Phase::Response);
    }

    /// Call it when the body of the response has ended; the peer may not have received all of it yet.
    pub(super) fn end_response(&self) {
        self.shift(Phase::Response, Phase::ResponseEnd);
    }

    /// Call it when all bytes to be sent have been written to the system.
    pub(super) fn flushed(&self) {
        if self.phase() == Phase::ResponseEnd {
            self.shift(Phase::ResponseEnd, Phase::Draining);
            self.drained();
        }
    }

    /// Call it when a request has a body, before it is read.
    pub(super) fn begin_body(&self) {
        self.has_body.store(true, Ordering::SeqCst);
    }

    /// Call it when the body of the request is no longer read.
    pub(super) fn end_body(&self) {
        self.has_body.store(false, Ordering::SeqCst);
        self.drained();
    }

    /// Becomes idle if the response has been sent and the body of the request is no longer read. Of two tasks that call
    /// this after their part of it, at least one sees the other's.
    fn drained(&self) {
        if self.phase() == Phase::Draining && !self.has_body.load(Ordering::SeqCst) {
            self.idle_since.store(IDLE_ORDER.fetch_add(1, Ordering::Relaxed), Ordering::Release);
            self.shift(Phase::Draining, Phase::Idle);
        }
    }

    /// Call it when the peer is gone, and the response to its request is not needed.
    pub(super) fn hang_up(&self) {
        self.hung_up.notify_one();
    }

    /// Waits until the peer is gone.
    pub(super) async fn hung_up(&self) {
        self.hung_up.notified().await;
    }

    /// Compare-and-swap: closes the connection if it is idle, and returns whether it was.
    pub(super) fn evict(&self) -> bool {
        let next = |bits| Phase::from_bits(bits).is_idle().then_some(Phase::Evicted as u8);
        let was_idle = self.phase.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).is_ok();
        if was_idle {
            self.evicted.notify_one();
        }
        was_idle
    }

    /// Closes the connection, whatever it is doing.
    pub(super) fn cut(&self) {
        self.evicted.notify_one();
    }

    /// Waits until the connection has been evicted or cut.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    fn shift(&self, from: Phase, to: Phase) {
        // In any other phase nothing changes.
        let _ = self.phase.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_round_trips_through_its_bits() {
        for phase in Phase::ALL {
            assert_eq!(Phase::from_bits(phase as u8), phase);
        }
    }

    #[test]
    fn a_connection_can_be_evicted_only_between_requests() {
        let activity = Activity::new();
        activity.begin_head();
        assert!(activity.begin_request());
        assert!(!activity.evict());
        activity.begin_response(Pace::OfReader);
        assert!(!activity.evict());
        activity.end_response();
        assert!(!activity.evict());
        activity.flushed();
        assert!(activity.evict());
        assert!(!activity.begin_request(), "what has been evicted begins no request");
        assert!(!activity.evict(), "it gives way once");
    }

    #[test]
    fn it_is_not_idle_while_the_rest_of_a_body_is_read() {
        for drained_first in [true, false] {
            let activity = Activity::new();
            assert!(activity.begin_request());
            activity.begin_body();
            activity.begin_response(Pace::AtMinimumRate);
            activity.end_response();
            if drained_first {
                activity.end_body();
                assert!(!activity.evict(), "the response is not sent yet");
                activity.flushed();
            } else {
                activity.flushed();
                assert!(!activity.phase().is_idle() && !activity.evict(), "its body is still read");
                activity.end_body();
            }
            assert!(activity.evict());
        }
    }

    #[test]
    fn the_connection_that_became_idle_last_is_last() {
        let (first, second) = (Activity::new(), Activity::new());
        assert!(first.idle_since() < second.idle_since());
        assert!(first.begin_request());
        first.begin_response(Pace::AtMinimumRate);
        first.end_response();
        first.flushed();
        assert!(second.idle_since() < first.idle_since());
    }
}
