use std::sync::Arc;

use notestamp_store::Store;

use crate::auth::Passwords;

/// What the tools work with.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) passwords: Arc<Passwords>,
}
