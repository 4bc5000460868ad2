//! The memory that a request and its response hold.

use std::sync::{Arc, Mutex, PoisonError};

use notestamp_store::{MemoryScope, MemoryShare};
use poem::{FromRequest, Request, RequestBody};

/// The shares of the memory budget that a request and its response hold. They are given back when the client has taken
/// the response. The middleware gives it to each request and to its response, as an extension.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldMemory(Arc<Mutex<Vec<MemoryShare>>>);

impl HeldMemory {
    /// The scope of the largest share, if one is larger than `bytes`.
    pub(super) fn scope_beyond(&self, bytes: u64) -> Option<MemoryScope> {
        let shares = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let largest = shares.iter().max_by_key(|share| share.bytes());
        largest.filter(|share| share.bytes() > bytes).map(|share| share.scope().clone())
    }

    /// Holds a share until the client has taken the response.
    pub(crate) fn hold(&self, share: MemoryShare) {
        // No code panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(share);
    }
}

impl<'a> FromRequest<'a> for HeldMemory {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let given = request.extensions().get::<Self>();
        Ok(given.cloned().expect("the middleware gives it to every request"))
    }
}
