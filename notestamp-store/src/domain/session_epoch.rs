use super::{Revocation, RevocationReason, Session};
use crate::clock::Timestamp;

/// The epoch of an account's sessions, a part of its user record.
///
/// A session carries the number of the epoch in which it started. Beginning a new epoch revokes all sessions of the
/// earlier epochs: one write to the user record, however many sessions there are. Their own records do not change, and
/// are forgotten when their last tokens have expired, as those of all sessions are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionEpoch {
    /// How many epochs came before this one.
    pub number: u64,
    /// The revocation that began this epoch; `None` in the first one.
    pub begun_by: Option<Revocation>,
}

impl Session {
    /// This new session, in this epoch of its account.
    #[must_use]
    pub fn in_epoch(self, epoch: SessionEpoch) -> Self {
        Self { epoch: epoch.number, ..self }
    }
}

impl SessionEpoch {
    /// The next epoch: every session that has started so far is revoked.
    #[must_use]
    pub fn next(self, at: Timestamp, reason: RevocationReason) -> Self {
        Self { number: self.number + 1, begun_by: Some(Revocation { at, reason }) }
    }

    /// A session as it is in this epoch of its account: revoked if it started in an earlier one. A session that was
    /// revoked by itself before keeps that revocation.
    pub(crate) fn apply_to(self, session: Session) -> Session {
        match self.begun_by {
            Some(Revocation { at, reason }) if session.epoch < self.number => session.revoke(at, reason),
            _ => session,
        }
    }
}
