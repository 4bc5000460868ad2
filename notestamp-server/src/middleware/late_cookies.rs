//! Cookies that come late are left out, so that a browser's cookie jar never goes back.
//!
//! A browser keeps the cookies that come last. Those of a response that took long would replace newer ones: tokens that
//! another tab has got meanwhile, and the next request would be taken for a replay; or those of another user who has
//! signed in meanwhile, and that user's notes would go into the wrong account. Tokens that were left out are made again for
//! the next request, which shows the old refresh token (see `Session`).
//!
//! So a request whose body or work takes long is served without new tokens in the first place, see
//! [`Policy`](super::path_policy::Policy), and a sign-in starts its session when everything else is done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notestamp_store::{MonotonicTime, SessionTtl};
use poem::Request;

/// How old cookies may be when the head of their response is written.
const AGE_MAX: Duration = Duration::from_secs(10);

/// When the cookies of a response were made.
#[derive(Clone, Debug, Default)]
pub struct CookiesMade(Arc<Mutex<Option<MonotonicTime>>>);

impl CookiesMade {
    /// That of the response to this request.
    pub fn of(request: &Request) -> Self {
        let given = request.extensions().get::<Self>();
        given.cloned().expect("the edge gives one to every request")
    }

    /// They are made now, or anew.
    pub fn at(&self, now: MonotonicTime) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether they are too old by now.
    ///
    /// While an access token is good, no tab asks for its successor, so that within its life there is none to replace.
    pub fn are_late(&self, now: MonotonicTime, ttl: &SessionTtl) -> bool {
        let made = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.is_some_and(|made| now.since(made) > AGE_MAX.min(ttl.access))
    }
}
