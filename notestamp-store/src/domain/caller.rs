use std::net::IpAddr;

use super::{SessionId, UserId};

/// On whose behalf an operation runs: an account, and the session and the address that sent the request.
///
/// An operation with a session takes effect only while that session is open: its transaction reads the session again.
/// A program that embeds the store without sessions names only the account: `user.into()`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Caller {
    /// The account that acts, and that owns what the operation changes.
    pub user: UserId,
    /// The session that must be open; `None` if the program uses no sessions.
    pub session: Option<SessionId>,
    /// The address that the request came from, which shares in the [`MemoryBudget`](crate::MemoryBudget); of an IPv6
    /// network, its first address. `None` if it is unknown.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// An account that acts by one of its sessions.
    pub fn by_session(user: UserId, session: SessionId) -> Self {
        Self { user, session: Some(session), address: None }
    }

    /// The same caller, at this address.
    #[must_use]
    pub fn at(self, address: Option<IpAddr>) -> Self {
        Self { address, ..self }
    }
}

impl From<UserId> for Caller {
    fn from(user: UserId) -> Self {
        Self { user, session: None, address: None }
    }
}
