//! The holds of backups: while there is one, no process deletes the bytes of an object.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::domain::{Hold, HoldId};
use crate::error::{Result, error_chain};

use super::Store;
use super::hold_watch::HOLD_TIME;

/// How often a backup renews its hold.
const RENEWED_EVERY: Duration = Duration::from_secs(30);

const _: () = assert!(3 * RENEWED_EVERY.as_millis() < HOLD_TIME.as_millis(), "two renewals may fail");

/// A hold that is renewed until this is dropped.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) id: HoldId,
    is_lost: Arc<AtomicBool>,
    _ends: DropGuard,
}

impl Holding {
    /// Whether the hold has been there all the time.
    pub(super) fn is_good(&self) -> bool {
        !self.is_lost.load(Ordering::Relaxed)
    }
}

impl Store {
    /// Whether bytes may be deleted. The caller has doomed their rows before.
    pub(super) async fn may_delete_bytes(&self) -> Result<bool> {
        let holds = self.shared.records.list_holds().await?;
        let expired = {
            let mut watch = self.shared.hold_watch.lock().unwrap_or_else(PoisonError::into_inner);
            watch.find_expired(&holds, self.shared.clock.monotonic())
        };
        for hold in &expired {
            tracing::warn!(hold = %hold.id, "forgot the hold of a backup that does not renew it any more");
            self.shared.records.forget_hold(*hold).await?;
        }
        Ok(expired.len() == holds.len())
    }

    /// Forgets all holds: their process has ended.
    pub(super) async fn forget_holds_of_the_past(&self) -> Result<()> {
        for hold in self.shared.records.list_holds().await? {
            self.shared.records.forget_hold(hold).await?;
        }
        Ok(())
    }

    /// Adds a hold, and renews it in the background.
    pub(super) async fn hold(&self) -> Result<Holding> {
        let id = HoldId::generate(self.shared.clock.now(), &*self.shared.random);
        let hold = Hold { id, renewals: 0 };
        let ending = CancellationToken::new();
        let is_lost = Arc::new(AtomicBool::new(false));
        self.shared.records.add_hold(hold).await?;
        let holding = Holding { id, is_lost: is_lost.clone(), _ends: ending.clone().drop_guard() };
        let store = self.clone();
        self.shared.tasks.spawn(async move { store.renew(hold, &ending, &is_lost).await });
        Ok(holding)
    }

    async fn renew(&self, mut hold: Hold, ending: &CancellationToken, is_lost: &AtomicBool) {
        let records = &self.shared.records;
        while ending.run_until_cancelled(tokio::time::sleep(RENEWED_EVERY)).await.is_some() {
            let renewed = Hold { renewals: hold.renewals + 1, ..hold };
            match records.renew_hold(renewed).await {
                Ok(true) => hold = renewed,
                Ok(false) => {
                    is_lost.store(true, Ordering::Relaxed);
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = error_chain(&error), "cannot renew the hold of a backup now");
                    // It may have been renewed nevertheless, and is renewed with the next number.
                    hold = renewed;
                }
            }
        }
        if let Err(error) = records.forget_hold(hold).await {
            tracing::warn!(error = error_chain(&error), "the hold of a backup is left to expire");
        }
    }
}
