//! The state that all operations share.

use std::sync::Arc;

use notestamp_store::{Clock, Error, Store};
use tokio::sync::Notify;

use crate::auth::{Authenticator, Passwords, Throttle};
use crate::config::{MediaDelivery, ProjectListEntries};
use crate::metrics::Metrics;
use crate::offset_cursors::OffsetCursors;
use crate::once_per::OncePer;

/// The state that all operations share.
#[derive(Debug)]
pub(crate) struct State {
    /// Holds the accounts, sessions and projects.
    pub(crate) store: Store,
    /// Hashes and verifies passwords.
    pub(crate) passwords: Arc<Passwords>,
    /// Limits failed sign-ins.
    pub(crate) throttle: Throttle,
    /// Decides who sends a request, and sets the cookies of sessions.
    pub(crate) auth: Arc<Authenticator>,
    /// Whether media goes through the server, or players are redirected to the bucket.
    pub(crate) media_delivery: MediaDelivery,
    /// Whether `/project/list` holds metadata or titles.
    pub(crate) project_list: ProjectListEntries,
    /// The cursors that continue the pages of clients that use offsets.
    pub(crate) offset_cursors: OffsetCursors,
    /// Tells the time.
    pub(crate) clock: Arc<dyn Clock>,
    /// Counts requests, sweeps and forgotten sessions for the operator.
    pub(crate) metrics: Arc<Metrics>,
    /// The outcome of the last readiness probe.
    pub(crate) readiness: OncePer<Result<(), Arc<Error>>>,
    /// Starts a sweep before its scheduled time, because an account was removed.
    pub(crate) sweep_soon: Notify,
}
