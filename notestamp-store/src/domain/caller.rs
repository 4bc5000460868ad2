use super::{SessionId, UserId};

/// On whose behalf an operation runs: an account, and the session by which its user has asked.
///
/// An operation that names a session takes effect only while that session is open: its transaction looks at the
/// session again. A program that embeds the store and has no sessions names only the account: `user.into()`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Caller {
    /// The account.
    pub user: UserId,
    /// The session, where there is one.
    pub session: Option<SessionId>,
}

impl Caller {
    /// An account by one of its sessions.
    pub fn by_session(user: UserId, session: SessionId) -> Self {
        Self { user, session: Some(session) }
    }
}

impl From<UserId> for Caller {
    fn from(user: UserId) -> Self {
        Self { user, session: None }
    }
}
