//! A session as a pure state machine: rotation, grace and replay detection without I/O.

use std::time::Duration;

use super::{SessionId, TokenId, UserId};
use crate::clock::Timestamp;

/// One sign-in and its chain of refresh tokens.
///
/// Each refresh *rotates*: it replaces the refresh token and increments the generation, which every token carries. The
/// previous token stays valid for [`Session::GRACE`], and after that until its successor is *confirmed*: until a
/// request has come with a token of the new generation. This is needed because browsers send several requests with the
/// same old tokens at once, and responses get lost. The previous token always gets the same successor, never a second
/// one. Any older token, and the previous one after that time, is a *replay*: the token has been copied, and the
/// session is revoked (RFC 9700, 4.14.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// The id; every token of the session carries it.
    pub id: SessionId,
    /// The account that signed in.
    pub user: UserId,
    /// The number of the account's [`SessionEpoch`](super::SessionEpoch) in which the session started.
    pub epoch: u64,
    /// How many refresh tokens came before the current one.
    pub generation: u64,
    /// The refresh token of this generation.
    pub current: TokenId,
    /// The refresh token of the previous generation; `None` before the first rotation.
    pub previous: Option<TokenId>,
    /// When the current refresh token was made.
    pub rotated_at: Timestamp,
    /// When the current refresh token expires.
    pub refresh_expires: Timestamp,
    /// Whether a request has come with a token of the current generation.
    pub confirmed: bool,
    /// When the user signed in.
    pub created: Timestamp,
    /// When the session was last used: exact to [`Session::USE_RECORDED_EVERY`].
    pub last_used: Timestamp,
    /// When the session ends at the latest; refreshes do not extend it.
    pub absolute_end: Timestamp,
    /// When the last token of the session has expired: from then on its record can be forgotten.
    pub tokens_end: Timestamp,
    /// The `User-Agent` of the sign-in, cut to [`Session::USER_AGENT_CHARS_MAX`].
    pub user_agent: String,
    /// When and why the session was revoked; `None` if it was not.
    pub revoked: Option<Revocation>,
}

/// The revocation of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// When the session was revoked.
    pub at: Timestamp,
    /// Why the session was revoked.
    pub reason: RevocationReason,
}

/// Why a session was revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RevocationReason {
    /// The user signed out.
    SignedOut,
    /// The user ended it from another session, or the operator ended it.
    Ended,
    /// The password was changed.
    PasswordChanged,
    /// A replaced refresh token was used again.
    Replayed,
    /// Other sessions of the account were used more recently, and it may have no more of them.
    TooMany,
}

/// How long a session and its tokens are valid.
#[derive(Clone, Copy, Debug)]
pub struct SessionTtl {
    /// The lifetime of an access token.
    pub access: Duration,
    /// The lifetime of a refresh token.
    pub refresh: Duration,
    /// The lifetime of the session, however often it is refreshed.
    pub session_max: Duration,
}

/// The outcome of [`Session::refresh`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refresh {
    /// The token was the current one. This is the session after the rotation.
    Rotated(Session),
    /// The token was the previous one and is still valid. Respond with the current tokens of this unchanged session.
    SameSuccessor(Session),
    /// The token was a replay. This is the session after its revocation.
    Replayed(Session),
    /// The session has ended, or never had this token.
    Refused,
}

/// The outcome of [`Session::use_refresh`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RefreshUse {
    /// The token is valid, and the session is unchanged.
    Good(Session),
    /// The token is valid and the first use of its generation. This is the session after the confirmation.
    Confirmed(Session),
    /// The token was a replay. This is the session after its revocation.
    Replayed(Session),
    /// The session has ended, or never had this token.
    Refused,
}

/// The outcome of [`Session::use_access`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessUse {
    /// The token is valid, and the session is unchanged.
    Good(Session),
    /// The token is valid and the first use of its generation. This is the session after the confirmation.
    Confirmed(Session),
    /// The session has ended, or never had a token of this generation.
    Refused,
}

impl Session {
    /// How long the previous refresh token stays valid after a rotation, even if its successor is confirmed.
    pub const GRACE: Duration = Duration::from_secs(30);

    /// How often the use of a session is recorded, besides rotations and confirmations.
    pub const USE_RECORDED_EVERY: Duration = Duration::from_secs(60 * 60);

    /// By how much the civil clocks of two processes may differ. A rotation that lies further in the future than this
    /// was recorded by a clock that has been set since.
    pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(30);

    /// The longest user agent that is kept, in characters.
    pub const USER_AGENT_CHARS_MAX: usize = 256;

    /// A new session, of generation 0, in the account's first epoch.
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
            epoch: 0,
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

    /// Whether the other value is the same state of this session: no two states are equal in these three fields.
    pub(crate) fn is_unchanged_in(&self, other: &Self) -> bool {
        let state = |it: &Self| (it.id, it.generation, it.confirmed, it.revoked.is_some());
        state(self) == state(other)
    }

    /// Whether the session is neither revoked nor past its absolute end.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && now < self.absolute_end
    }

    /// The time since the last rotation by the civil clock; `None` if the clock shows a time before the rotation, by
    /// more than [`Session::CLOCK_SKEW_MAX`].
    pub fn since_rotation(&self, now: Timestamp) -> Option<Duration> {
        (now.after(Self::CLOCK_SKEW_MAX) >= self.rotated_at).then(|| now.since(self.rotated_at))
    }

    /// Decides about a refresh token. The caller has verified that it is authentic and has not expired; `next` is the
    /// id of the new token, if the session is rotated.
    ///
    /// `since_rotation` is the time since the last rotation, by a clock that was not set in between. If it is `None`,
    /// the elapsed time is unknown. The previous token of a confirmed generation is then refused, and the session is
    /// not revoked.
    pub fn refresh(
        self,
        presented: TokenId,
        generation: u64,
        next: TokenId,
        now: Timestamp,
        since_rotation: Option<Duration>,
        ttl: &SessionTtl,
    ) -> Refresh {
        match self.status_of(presented, generation, now, since_rotation) {
            RefreshTokenStatus::Current => Refresh::Rotated(Self {
                generation: self.generation + 1,
                current: next,
                previous: Some(presented),
                rotated_at: now,
                refresh_expires: now.after(ttl.refresh).min(self.absolute_end),
                confirmed: false,
                last_used: now,
                tokens_end: tokens_end(now, self.absolute_end, ttl).max(self.tokens_end),
                ..self
            }),
            RefreshTokenStatus::Previous => Refresh::SameSuccessor(self),
            RefreshTokenStatus::Replayed => Refresh::Replayed(self.revoke(now, RevocationReason::Replayed)),
            RefreshTokenStatus::Refused => Refresh::Refused,
        }
    }

    /// Decides about a refresh token without rotation, for a request whose response sets no cookies. The same tokens
    /// are valid, and the same are replays, as in [`refresh`](Self::refresh).
    ///
    /// The current token confirms its generation, as an access token does: the client has received it.
    pub fn use_refresh(
        self,
        presented: TokenId,
        generation: u64,
        now: Timestamp,
        since_rotation: Option<Duration>,
    ) -> RefreshUse {
        match self.status_of(presented, generation, now, since_rotation) {
            RefreshTokenStatus::Current if !self.confirmed => RefreshUse::Confirmed(self.confirm(now)),
            RefreshTokenStatus::Current | RefreshTokenStatus::Previous => RefreshUse::Good(self),
            RefreshTokenStatus::Replayed => {
                RefreshUse::Replayed(self.revoke(now, RevocationReason::Replayed))
            }
            RefreshTokenStatus::Refused => RefreshUse::Refused,
        }
    }

    /// Decides about an access token of this generation. The caller has verified that it is authentic and has not
    /// expired.
    pub fn use_access(self, generation: u64, now: Timestamp) -> AccessUse {
        if !self.is_open(now) || generation > self.generation {
            AccessUse::Refused
        } else if generation == self.generation && !self.confirmed {
            AccessUse::Confirmed(self.confirm(now))
        } else {
            AccessUse::Good(self)
        }
    }

    /// The relation of a refresh token to the session.
    fn status_of(
        &self,
        presented: TokenId,
        generation: u64,
        now: Timestamp,
        since_rotation: Option<Duration>,
    ) -> RefreshTokenStatus {
        if !self.is_open(now) || generation > self.generation {
            return RefreshTokenStatus::Refused;
        }
        if presented == self.current {
            return RefreshTokenStatus::Current;
        }
        match since_rotation {
            _ if self.previous != Some(presented) => RefreshTokenStatus::Replayed,
            _ if !self.confirmed => RefreshTokenStatus::Previous,
            Some(since) if since < Self::GRACE => RefreshTokenStatus::Previous,
            Some(_) => RefreshTokenStatus::Replayed,
            None => RefreshTokenStatus::Refused,
        }
    }

    /// The session with this use recorded; `None` if a use was recorded within [`Session::USE_RECORDED_EVERY`].
    pub fn recorded(&self, now: Timestamp) -> Option<Self> {
        let is_due = now.since(self.last_used) >= Self::USE_RECORDED_EVERY;
        is_due.then(|| Self { last_used: now, ..self.clone() })
    }

    fn confirm(self, now: Timestamp) -> Self {
        Self { confirmed: true, last_used: now, ..self }
    }

    /// Revokes the session; a session that is revoked already keeps its first revocation.
    #[must_use]
    pub fn revoke(self, at: Timestamp, reason: RevocationReason) -> Self {
        Self { revoked: self.revoked.or(Some(Revocation { at, reason })), ..self }
    }
}

/// The relation of a refresh token to its session.
enum RefreshTokenStatus {
    Current,
    /// The previous token, while it is still valid.
    Previous,
    Replayed,
    /// The session has ended, or never had this token; or it is the previous token, and the time since the rotation is
    /// unknown.
    Refused,
}

/// When the last token of the session expires. While the previous refresh token is valid, it gets the same successor
/// with a new access token; it expires no later than the successor. So the last access token is issued at the latest
/// when the successor expires.
fn tokens_end(rotated_at: Timestamp, absolute_end: Timestamp, ttl: &SessionTtl) -> Timestamp {
    rotated_at.after(ttl.refresh).after(ttl.access).min(absolute_end)
}

impl RevocationReason {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::SignedOut, Self::Ended, Self::PasswordChanged, Self::Replayed, Self::TooMany];

    /// The word by which backends store the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed_out",
            Self::Ended => "ended",
            Self::PasswordChanged => "password_changed",
            Self::Replayed => "replayed",
            Self::TooMany => "too_many",
        }
    }

    /// Parses the word of [`as_str`](Self::as_str); `None` if it is unknown.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: SessionTtl = SessionTtl {
        access: Duration::from_secs(60),
        refresh: Duration::from_secs(3_600),
        session_max: Duration::from_secs(7_200),
    };
    const START: Timestamp = Timestamp::from_millis(1_000_000);
    const SECOND: Duration = Duration::from_secs(1);

    fn token(n: u8) -> TokenId {
        TokenId::from_bytes([n; 16])
    }

    /// A session that begins with token 0 and is rotated to token 1, 2 and so on, once a minute.
    fn rotated(times: u8) -> Session {
        let (id, user) = (SessionId::from_bytes([1; 16]), UserId::from_bytes([2; 16]));
        let first = Session::start(id, user, token(0), "a browser", START, &TTL);
        (1..=times).fold(first, |session, n| {
            let now = START.after(60 * SECOND * u32::from(n));
            match session.refresh(token(n - 1), u64::from(n) - 1, token(n), now, None, &TTL) {
                Refresh::Rotated(session) => session,
                other => panic!("{other:?}"),
            }
        })
    }

    fn confirmed(session: Session) -> Session {
        Session { confirmed: true, ..session }
    }

    #[test]
    fn the_current_refresh_token_is_served_without_rotation_and_confirms_once() {
        let before = rotated(1);
        let now = before.rotated_at.after(10 * SECOND);
        let RefreshUse::Confirmed(after) = before.clone().use_refresh(token(1), 1, now, None) else {
            panic!("it is the first of its generation")
        };
        assert_eq!(after, Session { confirmed: true, last_used: now, ..before });
        assert_eq!(after.clone().use_refresh(token(1), 1, now, None), RefreshUse::Good(after));
    }

    #[test]
    fn the_previous_refresh_token_is_served_without_rotation_while_it_is_valid_and_confirms_nothing() {
        let unconfirmed = rotated(1);
        let late = unconfirmed.rotated_at.after(1_000 * SECOND);
        assert_eq!(
            unconfirmed.clone().use_refresh(token(0), 0, late, None),
            RefreshUse::Good(unconfirmed.clone())
        );
        let confirmed = confirmed(unconfirmed);
        let in_grace = Some(Session::GRACE - SECOND);
        // Only the time since the rotation decides, and not what the civil clock shows.
        for now in [START.before(1_000 * SECOND), late] {
            let used = confirmed.clone().use_refresh(token(0), 0, now, in_grace);
            assert_eq!(used, RefreshUse::Good(confirmed.clone()));
        }
    }

    #[test]
    fn the_previous_refresh_token_is_refused_without_revocation_if_the_time_since_the_rotation_is_unknown() {
        let session = confirmed(rotated(1));
        let now = session.rotated_at.before(Session::CLOCK_SKEW_MAX + SECOND);
        assert_eq!(session.since_rotation(now), None);
        assert_eq!(session.clone().refresh(token(0), 0, token(9), now, None, &TTL), Refresh::Refused);
        assert_eq!(session.clone().use_refresh(token(0), 0, now, None), RefreshUse::Refused);
        // For the current token, and for one that is two rotations old, the clock does not matter.
        assert_eq!(session.clone().use_refresh(token(1), 1, now, None), RefreshUse::Good(session));
        let replayed = rotated(2).use_refresh(token(0), 0, now, None);
        assert!(matches!(replayed, RefreshUse::Replayed(_)), "{replayed:?}");
    }

    #[test]
    fn clocks_that_differ_by_little_tell_the_time_since_the_rotation() {
        let session = rotated(1);
        let at = session.rotated_at;
        assert_eq!(session.since_rotation(at.before(Session::CLOCK_SKEW_MAX)), Some(Duration::ZERO));
        assert_eq!(session.since_rotation(at.after(7 * SECOND)), Some(7 * SECOND));
    }

    #[test]
    fn a_replaced_refresh_token_is_a_replay_without_rotation_too() {
        let after_grace = rotated(1).rotated_at.after(Session::GRACE);
        for (session, presented, generation, now) in [
            (confirmed(rotated(1)), token(0), 0, after_grace),
            (rotated(2), token(0), 0, rotated(2).rotated_at),
            (rotated(1), token(9), 1, after_grace),
        ] {
            let RefreshUse::Replayed(after) =
                session.clone().use_refresh(presented, generation, now, Some(Session::GRACE))
            else {
                panic!("{presented:?} of {session:?}")
            };
            assert_eq!(after, session.revoke(now, RevocationReason::Replayed));
        }
    }

    #[test]
    fn ended_sessions_and_unknown_generations_are_refused_without_rotation_too() {
        let now = rotated(1).rotated_at;
        let ended = rotated(1).revoke(now, RevocationReason::SignedOut);
        assert_eq!(ended.use_refresh(token(1), 1, now, None), RefreshUse::Refused);
        assert_eq!(rotated(1).use_refresh(token(1), 1, rotated(1).absolute_end, None), RefreshUse::Refused);
        assert_eq!(rotated(1).use_refresh(token(2), 2, now, None), RefreshUse::Refused);
    }

    /// In every state of a session, `refresh` and `use_refresh` agree on which tokens are valid.
    #[test]
    fn the_same_tokens_are_valid_with_and_without_rotation() {
        for session in [rotated(0), rotated(1), rotated(2), confirmed(rotated(1)), confirmed(rotated(2))] {
            for (n, seconds) in (0..4).flat_map(|n| [0, 29, 30, 1_000, 8_000].map(|seconds| (n, seconds))) {
                let now = session.rotated_at.after(seconds * SECOND);
                let since = session.since_rotation(now);
                let rotating = session.clone().refresh(token(n), u64::from(n), token(99), now, since, &TTL);
                let without = session.clone().use_refresh(token(n), u64::from(n), now, since);
                assert!(
                    matches!(
                        (&rotating, &without),
                        (Refresh::Rotated(_), RefreshUse::Good(_) | RefreshUse::Confirmed(_))
                            | (Refresh::SameSuccessor(_), RefreshUse::Good(_))
                            | (Refresh::Replayed(_), RefreshUse::Replayed(_))
                            | (Refresh::Refused, RefreshUse::Refused)
                    ),
                    "token {n} after {seconds} s: {rotating:?}, {without:?}"
                );
            }
        }
    }
}
