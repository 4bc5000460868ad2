//! The scheduled work of a server: sweeps, and forgets expired sessions and old failed sign-ins.

use std::sync::Arc;
use std::time::Duration;

use notestamp_store::{SweepReport, error_chain};
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// How many expired sessions are forgotten in one step, so that no sign-in waits long for the step.
const SESSIONS_STEP: usize = 500;

/// Runs at once, then after each interval `every` and whenever a request asks for a sweep, until it is cancelled.
pub(crate) async fn run(state: Arc<State>, every: Duration, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = once(&state) => {}
        }
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(every) => {}
            () = state.sweep_soon.notified() => {}
        }
    }
}

async fn once(state: &State) {
    state.throttle.forget_old();
    match state.store.sweep().await {
        Ok(report) => {
            state.metrics.swept(&report);
            if report != SweepReport::default() {
                let SweepReport { purged, thinned, trash_purged, doomed, deleted, held, failed } = report;
                tracing::info!(purged, thinned, trash_purged, doomed, deleted, held, failed, "swept");
            }
        }
        Err(error) => tracing::warn!(error = error_chain(&error), "the sweep failed; the next one continues"),
    }
    match state.store.forget_expired_sessions(SESSIONS_STEP).await {
        Ok(0) => {}
        Ok(forgotten) => {
            state.metrics.sessions_forgotten(forgotten);
            tracing::info!(forgotten, "forgot sessions whose tokens have expired");
        }
        Err(error) => tracing::warn!(
            error = error_chain(&error),
            "cannot forget expired sessions now; it is tried again later"
        ),
    }
}
