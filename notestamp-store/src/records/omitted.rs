//! Counts the damaged records that are omitted: from lists, purges and sweeps, and from the search for a session.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use super::RecordKind;

/// One count for each kind, in the order of [`RecordKind::ALL`].
static OMITTED: [AtomicU64; RecordKind::ALL.len()] = [const { AtomicU64::new(0) }; RecordKind::ALL.len()];

/// How often this process has omitted a damaged record of this kind; a record that is read twice counts twice.
///
/// The count belongs to the process, as the log does, and not to one store: records are read in transactions and on
/// threads of a backend, which have no access to the store. It is meant for a metric, whose increase tells the
/// operator to run a [check](crate::Store::check).
pub fn damaged_omitted(kind: RecordKind) -> u64 {
    OMITTED[kind as usize].load(Ordering::Relaxed)
}

/// Logs and counts that a damaged record is omitted.
pub(crate) fn omit_damaged(kind: RecordKind, damage: &dyn Display) {
    OMITTED[kind as usize].fetch_add(1, Ordering::Relaxed);
    tracing::error!(record = kind.as_str(), error = %damage, "a damaged record is omitted");
}
