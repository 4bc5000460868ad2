//! Listing an account's projects.

use crate::domain::{Caller, ListQuery, Page};
use crate::error::Result;

use super::Store;

impl Store {
    /// A page of an account's projects; all of them where the query sets no limit.
    ///
    /// Where the caller names a session, it was still open after the page had been read.
    ///
    /// # Errors
    /// - [`Error::SessionEnded`](crate::Error::SessionEnded) where the caller's session has ended.
    /// - [`Error::Invalid`](crate::Error::Invalid) where the query's cursor is of another sort.
    pub async fn list_projects(&self, caller: impl Into<Caller>, query: &ListQuery) -> Result<Page> {
        let caller = caller.into();
        let page = self.shared.records.list_projects(caller.user, query).await?;
        self.admit(caller).await?;
        Ok(page)
    }
}
