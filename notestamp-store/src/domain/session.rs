//! A session as a pure state machine: rotation, grace and replay detection without I/O.

use std::time::Duration;

use super::{SessionId, TokenId, UserId};
use crate::clock::Timestamp;

/// One sign-in and its chain of refresh tokens.
///
/// Each refresh *rotates*: it replaces the refresh token and counts the generation, which every
/// token carries. The token before the current one stays good for [`Session::GRACE`], and after
/// that until the successor is *confirmed*, that is until a request has come with a token of the
/// new generation: browsers send several requests with one old pair at once, and answers get
/// lost. It is answered with the same successor, never with a second branch. Any older token, and
/// the previous one later, is a *replay*: somebody has a copy, and the session is revoked (RFC
/// 9700, 4.14.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Names it; every token of it carries this.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How many refresh tokens came before the current one.
    pub generation: u64,
    /// The refresh token of this generation.
    pub current: TokenId,
    /// The one before.
    pub previous: Option<TokenId>,
    /// When the current refresh token was made.
    pub rotated_at: Timestamp,
    /// When the current refresh token expires.
    pub refresh_expires: Timestamp,
    /// Whether a token of the current generation has been seen.
    pub confirmed: bool,
    /// When the user signed in.
    pub created: Timestamp,
    /// When a token was last rotated or confirmed.
    pub last_used: Timestamp,
    /// When it ends, whatever happens.
    pub absolute_end: Timestamp,
    /// When the last token of it can no longer be valid: then its record can be forgotten.
    pub tokens_end: Timestamp,
    /// What the user signed in with, in that program's own words.
    pub user_agent: String,
    /// When and why it was ended, if it was.
    pub revoked: Option<Revocation>,
}

/// The end of a session before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: RevocationReason,
}

/// Why a session was ended before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RevocationReason {
    /// Its user signed out.
    SignedOut,
    /// Its user ended it from another session.
    Ended,
    /// The password was changed.
    PasswordChanged,
    /// A refresh token that had been replaced came again.
    Replayed,
}

/// How long the tokens of a session last.
#[derive(Clone, Copy, Debug)]
pub struct SessionTtl {
    /// An access token.
    pub access: Duration,
    /// A refresh token.
    pub refresh: Duration,
    /// The session as a whole.
    pub session_max: Duration,
}

/// The answer to a refresh token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// It was the current one: this is the session now, with a new one.
    Rotated(Session),
    /// It was the previous one, and may still be: answer with the tokens of this unchanged session.
    SameSuccessor(Session),
    /// It had been replaced: this is the session now, revoked.
    Replayed(Session),
    /// The session has ended, or never had such a token.
    Refused,
}

/// The answer to an access token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessUse {
    /// It is good, and nothing changes.
    Good(Session),
    /// It is good, and the first of its generation: this is the session now.
    Confirmed(Session),
    /// The session has ended, or never had such a token.
    Refused,
}

impl Session {
    /// How long the previous refresh token is good whatever has been seen since.
    pub const GRACE: Duration = Duration::from_secs(30);

    /// The longest user agent that is kept, in characters.
    pub const USER_AGENT_CHARS_MAX: usize = 256;

    /// A new session, of generation 0.
    pub fn start(
        id: SessionId,
        user: UserId,
        first: TokenId,
        user_agent: &str,
        now: Timestamp,
        ttl: &SessionTtl,
    ) -> Self {
        let absolute_end = now.after(ttl.session_max);
        Self {
            id,
            user,
            generation: 0,
            current: first,
            previous: None,
            rotated_at: now,
            refresh_expires: now.after(ttl.refresh).min(absolute_end),
            confirmed: false,
            created: now,
            last_used: now,
            absolute_end,
            tokens_end: tokens_end(now, absolute_end, ttl),
            user_agent: user_agent.chars().take(Self::USER_AGENT_CHARS_MAX).collect(),
            revoked: None,
        }
    }

    /// Whether tokens of it may be served.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.absolute_end
    }

    /// Presents a refresh token, which is authentic and has not expired; `next` is a new id, in case.
    pub fn refresh(
        self,
        presented: TokenId,
        generation: u64,
        next: TokenId,
        now: Timestamp,
        ttl: &SessionTtl,
    ) -> Refresh {
        if !self.is_open(now) || generation > self.generation {
            return Refresh::Refused;
        }
        if presented == self.current {
            return Refresh::Rotated(Self {
                generation: self.generation + 1,
                current: next,
                previous: Some(presented),
                rotated_at: now,
                refresh_expires: now.after(ttl.refresh).min(self.absolute_end),
                confirmed: false,
                last_used: now,
                tokens_end: tokens_end(now, self.absolute_end, ttl).max(self.tokens_end),
                ..self
            });
        }
        let in_grace = now < self.rotated_at.after(Self::GRACE);
        if self.previous == Some(presented) && (in_grace || !self.confirmed) {
            return Refresh::SameSuccessor(self);
        }
        Refresh::Replayed(self.revoke(now, RevocationReason::Replayed))
    }

    /// Presents an access token of a generation, which is authentic and has not expired.
    pub fn use_access(self, generation: u64, now: Timestamp) -> AccessUse {
        if !self.is_open(now) || generation > self.generation {
            AccessUse::Refused
        } else if generation == self.generation && !self.confirmed {
            AccessUse::Confirmed(Self { confirmed: true, last_used: now, ..self })
        } else {
            AccessUse::Good(self)
        }
    }

    /// Ends it; one that has ended stays as it was.
    #[must_use]
    pub fn revoke(self, at: Timestamp, reason: RevocationReason) -> Self {
        Self { revoked: self.revoked.or(Some(Revocation { at, reason })), ..self }
    }
}

/// The same successor, and with it a new access token, is given out for as long as the refresh
/// token before it lives, which is no longer than the successor does.
fn tokens_end(rotated_at: Timestamp, absolute_end: Timestamp, ttl: &SessionTtl) -> Timestamp {
    rotated_at.after(ttl.refresh).after(ttl.access).min(absolute_end)
}

impl RevocationReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::SignedOut, Self::Ended, Self::PasswordChanged, Self::Replayed];

    /// The word that backends keep for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Ended => "ended",
            Self::PasswordChanged => "password_changed",
            Self::Replayed => "replayed",
        }
    }

    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}
