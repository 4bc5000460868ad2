//! The sweep: deletes the objects that no project refers to. Every process may run it, at any time, also concurrently.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use crate::blob::TRANSFER_TIME_MAX;
use crate::clock::Timestamp;
use crate::domain::{ObjectKind, ProjectId, UserId};
use crate::error::{Error, Result, error_chain};
use crate::protocol::StaleBefore;
use crate::protocol::thinning::RECENT;

use super::Store;
use super::clock_readings::ClockReading;

/// The most records in one step of a sweep: other transactions wait only for that step.
const STEP: usize = 256;

/// The shortest time for which the sweep spares a reserved row after the deadline of its writer. A write that began
/// before the deadline may take minutes, a network may deliver a write long after its timeout, and the clocks of two
/// processes may differ.
pub(super) const MARGIN_MIN: Duration = Duration::from_secs(15 * 60);

const _: () = assert!(MARGIN_MIN.as_millis() > TRANSFER_TIME_MAX.as_millis());

/// How far the clock of the records' server and that of this process may be apart, to agree.
const CLOCKS_APART_MAX: Duration = Duration::from_secs(5 * 60);

const _: () = assert!(CLOCKS_APART_MAX.as_millis() < MARGIN_MIN.as_millis());

/// The result of a sweep.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SweepReport {
    /// The count of records of removed accounts that were purged.
    pub purged: usize,
    /// The count of versions that were purged, because they are not kept any longer.
    pub thinned: usize,
    /// The count of projects that were purged from the trash, because their time there was over.
    pub trash_purged: usize,
    /// The count of stale objects that were doomed.
    pub doomed: usize,
    /// The count of doomed objects whose bytes were deleted.
    pub deleted: usize,
    /// Whether no bytes were deleted because a backup is reading them; the next sweep after it deletes them.
    pub held: bool,
    /// The count of doomed objects whose bytes could not be deleted; the next sweep tries again. If both blob stores
    /// are unavailable, not all of them are counted.
    pub failed: usize,
}

impl Store {
    /// Runs one sweep to its end.
    ///
    /// It is safe at any time: a commit and a sweep that rely on the same ledger row conflict, and a path is used for
    /// only one object, ever. So a sweep that stalls and continues much later can only delete what it had doomed.
    ///
    /// # Errors
    /// If the records do not respond. An object that cannot be deleted is counted, and is no error.
    /// [`Error::Restoring`] while a backup is being restored.
    pub async fn sweep(&self) -> Result<SweepReport> {
        self.ensure_not_restoring().await?;
        let purged = self.purge_removed().await?;
        let (thinned, trash_purged) = self.sweep_kept().await?;
        let doomed = self.doom_stale(&self.stale_before().await?).await?;
        let mut report =
            SweepReport { purged, thinned, trash_purged, doomed, deleted: 0, failed: 0, held: false };

        let (mut after, mut unavailable) = (None, Vec::new());
        loop {
            let doomed = self.shared.records.list_doomed(after, STEP).await?;
            // Without doomed objects, this looks for holds that have expired.
            if !self.may_delete_bytes().await? {
                return Ok(SweepReport { held: true, ..report });
            }
            let Some(last) = doomed.last() else {
                return Ok(report);
            };
            after = Some(last.id);
            let count = doomed.len();
            self.find_unavailable(&mut unavailable).await;
            let within_reach = doomed.into_iter().filter(|row| !unavailable.contains(&row.kind)).collect();
            let deleted = self.delete_doomed(within_reach).await?;
            report.deleted += deleted;
            report.failed += count - deleted;
            if unavailable.len() == ObjectKind::ALL.len() {
                return Ok(report);
            }
        }
    }

    /// Purges what history and trash keep no longer; returns the counts of versions, and of projects in the trash.
    ///
    /// Like sessions, they are purged only if the readings of the clock agree for an hour, or if the clock of the
    /// records' server agrees with that of this process. What the settings do not keep at all is purged at once.
    async fn sweep_kept(&self) -> Result<(usize, usize)> {
        let (ClockReading { now, is_confirmed }, settings) = (self.shared.read_clock(), self.settings());
        let is_trusted = is_confirmed || self.agrees_with_server(now).await?;
        let thinned = match (settings.history, is_trusted) {
            (None, _) => self.thin_span(Timestamp::MIN..Timestamp::MAX, now).await?,
            (Some(history), true) => self.thin_by_age(history, now).await?,
            (Some(_), false) => 0,
        };
        let trash_purged = match (settings.trash, is_trusted) {
            (None, _) => self.purge_expired_trash(Timestamp::MAX).await?,
            (Some(trash), true) => self.purge_expired_trash(now.before(trash)).await?,
            (Some(_), false) => 0,
        };
        Ok((thinned, trash_purged))
    }

    /// Thins out the histories with versions that have become too old, or are no longer recent.
    async fn thin_by_age(&self, history: Duration, now: Timestamp) -> Result<usize> {
        let expired = now.before(history).after(Duration::from_millis(1));
        let mut thinned = self.thin_span(Timestamp::MIN..expired, now).await?;
        let not_recent = now.before(RECENT).after(Duration::from_millis(1));
        let done = *self.shared.thinned_up_to();
        thinned += self.thin_span(done.max(expired)..not_recent, now).await?;
        // A version is kept or purged once and for all when it is no longer recent, until it is too old.
        *self.shared.thinned_up_to() = not_recent;
        Ok(thinned)
    }

    /// Thins out the histories of the projects that have versions which were replaced in this span of time.
    async fn thin_span(&self, span: Range<Timestamp>, now: Timestamp) -> Result<usize> {
        let (mut thinned, mut after) = (0, None);
        while !span.is_empty() {
            let places = self.shared.records.list_replaced(span.clone(), after, STEP).await?;
            let Some(last) = places.last() else { break };
            after = Some(*last);
            let projects: BTreeSet<_> = places.iter().map(|place| (place.owner, place.project)).collect();
            for (owner, project) in projects {
                thinned += self.thin_history(owner, project, now).await?;
            }
        }
        Ok(thinned)
    }

    async fn thin_history(&self, owner: UserId, project: ProjectId, now: Timestamp) -> Result<usize> {
        let (mut total, history) = (0, self.settings().history);
        loop {
            let thinned = self.shared.records.thin_history(owner, project, history, STEP, now).await?;
            if thinned.purged == 0 {
                return Ok(total);
            }
            total += thinned.purged;
        }
    }

    /// Finds further blob stores that are unavailable. Without this check, each deletion would wait for its timeout.
    async fn find_unavailable(&self, unavailable: &mut Vec<ObjectKind>) {
        for kind in ObjectKind::ALL.into_iter().filter(|kind| !unavailable.contains(kind)).collect::<Vec<_>>()
        {
            // A full blob store must not be left out: deletions free its space. A foreign one must be: each object is
            // absent there, and an absent object counts as deleted.
            let asked = match self.check_identity(kind).await {
                Ok(()) => self.shared.blobs(kind).ping().await,
                refused => refused,
            };
            if let Err(error @ (Error::Unavailable { .. } | Error::ForeignStore { .. })) = asked {
                tracing::warn!(
                    error = error_chain(&error),
                    "the doomed objects of this blob store are left to the next sweep"
                );
                unavailable.push(kind);
            }
        }
    }

    /// The times before which a reservation and unreferenced media are stale. In its first hour, a process dooms
    /// reservations by their age only if the clock of the records' server agrees with its own.
    async fn stale_before(&self) -> Result<StaleBefore> {
        let (ClockReading { now, is_confirmed }, settings) = (self.shared.read_clock(), self.settings());
        // A writer stops at its deadline; the margin covers its last write.
        let margin = MARGIN_MIN.max(settings.upload_time_max / 2);
        let reserved = match is_confirmed || self.agrees_with_server(now).await? {
            true => now.before(settings.upload_time_max.saturating_add(margin)),
            // A process that has just started cannot know whether its clock is ahead, and the reservations belong to
            // uploads at other processes. Unreferenced media is not in use, so it needs no such care.
            false => Timestamp::MIN,
        };
        // This includes the present millisecond: without a grace period, one sweep is enough.
        let unreferenced = now.after(Duration::from_millis(1)).before(settings.sweep_grace);
        Ok(StaleBefore { reserved, unreferenced })
    }

    /// Whether the records have a server of their own, and its clock shows nearly this time.
    async fn agrees_with_server(&self, now: Timestamp) -> Result<bool> {
        let server = self.shared.records.server_time().await?;
        Ok(server.is_some_and(|server| now.since(server).max(server.since(now)) <= CLOCKS_APART_MAX))
    }

    /// Dooms all reservations: their process has ended.
    pub(super) async fn doom_reservations_of_the_past(&self) -> Result<()> {
        let before = StaleBefore { reserved: Timestamp::MAX, unreferenced: Timestamp::MIN };
        let doomed = self.doom_stale(&before).await?;
        if doomed > 0 {
            tracing::info!(doomed, "doomed the reservations that the previous process left");
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
