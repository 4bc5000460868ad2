//! What a handler may reach.

use std::sync::Arc;

use notestamp_store::{Clock, Error, Random, Store};
use poem::Request;
use tokio::sync::Notify;

use crate::auth::{MediaUrls, Passwords, SessionCookies, Throttle, Tokens};
use crate::config::{MediaDelivery, ProjectList};
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
    /// Makes and reads tokens.
    pub tokens: Tokens,
    /// Makes and verifies URLs of media that need no tokens.
    pub media_urls: MediaUrls,
    /// How the tokens travel.
    pub cookies: SessionCookies,
    /// How media gets to players.
    pub media_delivery: MediaDelivery,
    /// What `/project/list` holds.
    pub project_list: ProjectList,
    /// Where the pages of clients that count go on.
    pub offset_cursors: OffsetCursors,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Makes what nobody can guess.
    pub random: Arc<dyn Random>,
    /// Counts what happens.
    pub metrics: Arc<Metrics>,
    /// Whether the stores are ready.
    pub readiness: OncePer<Result<(), Arc<Error>>>,
    /// Wakes the sweep before its time: there is something to take away.
    pub sweep_soon: Notify,
}

impl State {
    /// The state that the app gives to every request.
    pub fn of(request: &Request) -> &Self {
        request.data::<Arc<Self>>().expect("the app gives its state to every request")
    }
}
