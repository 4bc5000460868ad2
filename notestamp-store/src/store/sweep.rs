//! The sweep: takes away what nothing refers to. Anybody may run it, at any time, in any process.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::domain::ObjectKind;
use crate::error::{Error, Result, error_chain};
use crate::protocol::StaleBefore;

use super::Store;

/// How many records one step of a sweep touches, so that nobody waits long behind it.
const STEP: usize = 256;

/// How long a writer's row is spared after the writer's time is up, at the least. A write that it has begun by then may
/// take minutes, and one that a network has held back may arrive when it has long been given up; and the clocks of
/// two processes may differ.
const MARGIN_MIN: Duration = Duration::from_secs(15 * 60);

/// What a sweep did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepReport {
    /// Records of removed accounts that were taken away.
    pub purged: usize,
    /// Objects that were found stale.
    pub doomed: usize,
    /// Objects whose bytes were deleted.
    pub deleted: usize,
    /// Objects whose bytes could not be deleted now; the next sweep tries again. Where the blob stores are away, not all
    /// of them are counted.
    pub failed: usize,
}

impl Store {
    /// Runs one sweep to its end.
    ///
    /// It is always safe: whoever commits a save contends with it for the same ledger rows, and a path is
    /// used for one life of one object, so that a sweep which stalls and goes on much later hits only what was doomed.
    ///
    /// # Errors
    /// Where the records do not answer. Objects that cannot be deleted are counted, not an error.
    pub async fn sweep(&self) -> Result<SweepReport> {
        let purged = self.purge_removed().await?;
        let doomed = self.doom_stale(&self.stale_before()).await?;
        let mut report = SweepReport { purged, doomed, deleted: 0, failed: 0 };

        let (mut after, mut away) = (None, Vec::new());
        loop {
            let doomed = self.shared.records.list_doomed(after, STEP).await?;
            let Some(last) = doomed.last() else {
                return Ok(report);
            };
            after = Some(last.id);
            let count = doomed.len();
            self.look_who_is_away(&mut away).await;
            let within_reach = doomed.into_iter().filter(|row| !away.contains(&row.kind)).collect();
            let deleted = self.delete_doomed(within_reach).await?;
            report.deleted += deleted;
            report.failed += count - deleted;
            if away.len() == ObjectKind::ALL.len() {
                return Ok(report);
            }
        }
    }

    /// Asks the blob stores that are not known to be away. To find that out by one object after the other would take
    /// seconds for each.
    async fn look_who_is_away(&self, away: &mut Vec<ObjectKind>) {
        for kind in ObjectKind::ALL.into_iter().filter(|kind| !away.contains(kind)).collect::<Vec<_>>() {
            // One that is full can be asked to delete; it should be. In one that is not ours nothing is found, and what is
            // not found counts as deleted.
            let asked = match self.check_identity(kind).await {
                Ok(()) => self.shared.blobs(kind).ping().await,
                refused => refused,
            };
            if let Err(error @ (Error::Unavailable { .. } | Error::ForeignStore { .. })) = asked {
                tracing::warn!(
                    error = error_chain(&error),
                    "the next sweep will delete the remaining doomed objects of this store"
                );
                away.push(kind);
            }
        }
    }

    /// Rows of writers that have stopped by now, and media whose grace is over.
    fn stale_before(&self) -> StaleBefore {
        let (now, settings) = (self.shared.look_at_clock().now, self.settings());
        // A writer stops when its time is up, and a sweep keeps well behind it.
        let margin = MARGIN_MIN.max(settings.upload_time_max / 2);
        let reserved = now.before(settings.upload_time_max.saturating_add(margin));
        // Up to now, this millisecond included: with no grace at all, one sweep is enough.
        let unreferenced = now.after(Duration::from_millis(1)).before(settings.sweep_grace);
        StaleBefore { reserved, unreferenced }
    }

    /// Dooms all that is reserved now: no writer of it can be alive.
    pub(super) async fn doom_reservations_of_the_past(&self) -> Result<()> {
        let before = StaleBefore { reserved: Timestamp::MAX, unreferenced: Timestamp::MIN };
        let doomed = self.doom_stale(&before).await?;
        if doomed > 0 {
            tracing::info!(doomed, "doomed the reservations of a process that has ended");
        }
        Ok(())
    }

    async fn doom_stale(&self, before: &StaleBefore) -> Result<usize> {
        let mut total = 0;
        loop {
            let now = self.shared.clock.now();
            match self.shared.records.doom_stale(before, STEP, now).await? {
                0 => return Ok(total),
                doomed => total += doomed,
            }
        }
    }

    async fn purge_removed(&self) -> Result<usize> {
        let mut total = 0;
        loop {
            let now = self.shared.clock.now();
            match self.shared.records.purge_removed(STEP, now).await? {
                0 => return Ok(total),
                purged => total += purged,
            }
        }
    }
}
