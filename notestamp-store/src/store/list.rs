//! Listing an account's projects.

use crate::domain::{ListQuery, Page, UserId};
use crate::error::Result;

use super::Store;

impl Store {
    /// A page of an account's projects; all of them where the query sets no limit.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) where the query's cursor is of another sort.
    pub async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        self.shared.records.list_projects(owner, query).await
    }
}
