//! What a handler may reach.

use std::sync::Arc;

use notestamp_store::{Clock, Error, Store};
use tokio::sync::Notify;

use crate::auth::{Authenticator, Passwords, Throttle};
use crate::config::{MediaDelivery, ProjectListEntries};
use crate::metrics::Metrics;
use crate::offset_cursors::OffsetCursors;
use crate::once_per::OncePer;

/// Everything that requests share.
#[derive(Debug)]
pub struct State {
    /// Accounts, sessions and projects.
    pub store: Store,
    /// Hashes and verifies passwords.
    pub passwords: Passwords,
    /// Limits failed sign-ins.
    pub throttle: Throttle,
    /// Decides who sends a request, and sets the cookies of sessions.
    pub auth: Arc<Authenticator>,
    /// How media gets to players.
    pub media_delivery: MediaDelivery,
    /// What `/project/list` holds.
    pub project_list: ProjectListEntries,
    /// Where the pages of clients that count go on.
    pub offset_cursors: OffsetCursors,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// Whether the stores are ready.
    pub readiness: OncePer<Result<(), Arc<Error>>>,
    /// Wakes the sweep before its time: there is something to take away.
    pub sweep_soon: Notify,
}
