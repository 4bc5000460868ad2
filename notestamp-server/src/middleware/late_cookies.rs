//! Leaves out cookies that would arrive late, so that they never replace newer ones in a browser.
//!
//! A browser keeps the cookies that arrive last. Cookies of a slow response could replace newer ones: tokens that
//! another tab has received meanwhile, so that the next request would be taken for a replay; or those of another user
//! who has signed in meanwhile, whose notes would then go into the wrong account. If tokens are left out, the next
//! request presents the old refresh token and gets them again (see `Session`).
//!
//! So a request whose body or work takes long gets no new tokens in the first place, see
//! [`Policy`](super::path_policy::Policy), and a sign-in starts its session when everything else is done.

use std::sync::{Arc, Mutex, PoisonError};

use notestamp_store::{MonotonicTime, SessionTtl};
use poem::Request;

use crate::config::COOKIE_AGE_MAX;

/// When the cookies of a response were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct CookiesMade(Arc<Mutex<Option<MonotonicTime>>>);

impl CookiesMade {
    /// The time for the response to this request.
    pub(crate) fn of(request: &Request) -> Self {
        let given = request.extensions().get::<Self>();
        given.cloned().expect("the middleware adds it to every request")
    }

    /// Records that the cookies were made at `now`.
    pub(crate) fn at(&self, now: MonotonicTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Returns whether the cookies are too old to be sent.
    ///
    /// While an access token is valid, no tab requests its successor. So cookies younger than its lifetime cannot
    /// replace newer tokens of the same session.
    pub(crate) fn are_late(&self, now: MonotonicTime, ttl: &SessionTtl) -> bool {
        let made = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.is_some_and(|made| now.since(made) > COOKIE_AGE_MAX.min(ttl.access))
    }
}
