//! Listing an account's projects.

use crate::domain::{Caller, ListQuery, Page};
use crate::error::Result;

use super::Store;

impl Store {
    /// A page of an account's projects; all of them if the query has no limit.
    ///
    /// The caller's session is checked after the page has been read.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    pub async fn list_projects(&self, caller: impl Into<Caller>, query: &ListQuery) -> Result<Page> {
        let caller = caller.into();
        let page = self.shared.records.list_projects(caller.user, query).await?;
        self.admit(caller).await?;
        Ok(page)
    }
}
