//! Listing an account's projects: page by page, or a whole list in chunks.

use std::num::NonZeroUsize;
use std::vec;

use crate::domain::{Caller, ListQuery, Page, Project, ProjectId, SessionId};
use crate::error::Result;

use super::Store;

/// How many projects a chunk of a list has at most: one read for most accounts, and a megabyte of the largest metadata.
const CHUNK_LEN: NonZeroUsize = NonZeroUsize::new(64).expect("it is not 0");

impl Store {
    /// A page of an account's projects. A query without a limit returns all of them at once; if there may be many,
    /// [`stream_projects`](Self::stream_projects) reads them in bounded memory.
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

    /// All projects that a query selects, whatever its limit, in chunks. Reads the first chunk.
    ///
    /// The list has the projects and the order of the moment of this call. Each project that exists until the end of
    /// the list appears exactly once. Each chunk has the projects as they are when it is read.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    pub async fn stream_projects(
        &self,
        caller: impl Into<Caller>,
        query: &ListQuery,
    ) -> Result<ProjectStream> {
        let caller = caller.into();
        let start = self.shared.records.start_list(caller.user, query, CHUNK_LEN).await?;
        self.admit(caller).await?;
        let (first, rest) = (Some(start.projects), start.rest.into_iter());
        Ok(ProjectStream { store: self.clone(), caller, query: query.clone(), first, rest })
    }
}

/// A list of projects that is read in chunks; see [`Store::stream_projects`].
#[derive(Debug)]
pub struct ProjectStream {
    store: Store,
    caller: Caller,
    query: ListQuery,
    /// The first chunk, until it is taken.
    first: Option<Vec<Project>>,
    /// The projects after the first chunk that have not been read yet.
    rest: vec::IntoIter<ProjectId>,
}

impl ProjectStream {
    /// Continues the list on behalf of this session, which has been started after the first chunk was read.
    #[must_use]
    pub fn by_session(self, session: SessionId) -> Self {
        Self { caller: Caller::by_session(self.caller.user, session), ..self }
    }

    /// Whether projects are left to read after the first chunk.
    pub fn has_more_chunks(&self) -> bool {
        self.rest.len() > 0
    }

    /// The next chunk; `None` at the end of the list. Its memory is all that the stream needs, besides 16 bytes for
    /// each project.
    ///
    /// The caller's session is checked after each chunk has been read.
    ///
    /// # Errors
    /// [`Error::SessionEnded`](crate::Error::SessionEnded) if the caller's session has ended.
    pub async fn next_chunk(&mut self) -> Result<Option<Vec<Project>>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let ids: Vec<_> = self.rest.by_ref().take(CHUNK_LEN.get()).collect();
        if ids.is_empty() {
            return Ok(None);
        }
        let mut chunk = self.store.shared.records.find_projects_by_ids(self.caller.user, &ids).await?;
        self.store.admit(self.caller).await?;
        // A save may have changed what the query selects by.
        chunk.retain(|project| self.query.admits(project));
        Ok(Some(chunk))
    }
}
