use std::fmt;

use async_trait::async_trait;

use crate::error::Result;

/// Remembers what has been imported from another program, so that a repeated import does not bring back what has been
/// deleted here.
#[async_trait]
pub trait ImportLog: fmt::Debug + Send + Sync {
    /// What [`record_import`](Self::record_import) has recorded last under this key; absent if nothing was.
    async fn find_import(&self, key: &str) -> Result<Option<String>>;

    /// Records a value under a key, and replaces what was recorded there.
    async fn record_import(&self, key: &str, value: &str) -> Result<()>;
}
