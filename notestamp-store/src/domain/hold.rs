use super::HoldId;

/// A mark in the records: while there is one, no process deletes the bytes of an object.
///
/// Its owner renews it. A process that has seen it unchanged for a while, by its own monotonic clock, takes it for that
/// of a process that has ended, and forgets it. So no comparison of two clocks is involved.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hold {
    /// The id.
    pub id: HoldId,
    /// How often it has been renewed.
    pub renewals: u64,
}
