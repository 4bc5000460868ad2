//! Whole lists of projects. A list of one chunk is sent at once. A longer one is read and written chunk by chunk while
//! it is sent, so that its memory does not grow with its length.

use std::io;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use notestamp_store::{
    Caller, Error as StoreError, Hasher, ListQuery, Project, ProjectStream, SessionId, error_chain,
};
use poem::Body;
use poem::http::HeaderMap;
use poem_openapi::types::Type;
use serde::Serialize;
use tracing::Span;

use super::conditional::Conditional;
use super::list_memory::ListMemory;
use crate::entity_tags;
use crate::error::ApiError;
use crate::http::entity_tag::EntityTag;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::json::StreamedJson;

/// A response that contains all projects that a query selects; `entry` makes the list's entry of a project. Its JSON is
/// that of a `T`.
pub(crate) struct WholeList<T, F> {
    state: Arc<State>,
    caller: Caller,
    query: ListQuery,
    projects: ProjectStream,
    text: ListText<F>,
    memory: ListMemory,
    of: PhantomData<fn() -> T>,
}

impl<T, E, F> WholeList<T, F>
where
    T: Type + Serialize,
    E: Serialize + 'static,
    F: Fn(Project) -> E + Send + 'static,
{
    /// Reads the first chunk of a list. `empty` is the response to a query that selects no project.
    ///
    /// # Errors
    /// 401 if the caller's session has ended; 503 if other requests hold too much memory; those of the store.
    pub(crate) async fn read(
        state: &Arc<State>,
        caller: impl Into<Caller>,
        held: &HeldMemory,
        query: &ListQuery,
        empty: &T,
        entry: F,
    ) -> Result<Self, ApiError> {
        let (state, caller, query) = (Arc::clone(state), caller.into(), query.clone());
        let mut projects = state.store.stream_projects(caller, &query).await?;
        let mut text = ListText::around(empty, entry).map_err(ApiError::unserializable)?;
        text.extend(projects.next_chunk().await?.unwrap_or_default()).map_err(ApiError::unserializable)?;
        let mut memory = ListMemory::new(&state.store, caller, held);
        memory.hold(text.written.len()).await?;
        Ok(Self { state, caller, query, projects, text, memory, of: PhantomData })
    }

    /// The rest of the list is read on behalf of this session.
    #[must_use]
    pub(crate) fn by_session(self, session: SessionId) -> Self {
        Self { projects: self.projects.by_session(session), ..self }
    }

    /// The body of the response.
    pub(crate) fn into_body(mut self) -> StreamedJson<T> {
        if !self.projects.has_more_chunks() {
            self.text.end();
            return StreamedJson::new(self.text.take().into());
        }
        let Self { projects, text, memory, .. } = self;
        let unsent = Unsent { projects, text, memory, span: Span::current() };
        StreamedJson::new(Body::from_bytes_stream(stream::try_unfold(unsent, Unsent::next)))
    }

    /// Responds with the list and its entity tag, or with 304. Beside the projects, the list depends on `variant`.
    ///
    /// The tag is strong. For one chunk it is the digest of the bytes, as for a page. The bytes of a longer list are
    /// not known yet, so its tag is made of all that they depend on.
    ///
    /// # Errors
    /// As for [`Conditional::new`]; those of [`read`](Self::read).
    pub(crate) async fn conditional(
        mut self,
        headers: &HeaderMap,
        variant: &str,
    ) -> Result<Conditional<StreamedJson<T>>, ApiError> {
        if self.projects.has_more_chunks() {
            let tag = self.tag_of_many(variant).await?;
            // Read after the tag: if a project is saved in between, the tag is of an earlier state, and so matches
            // nothing later. The other order could give the tag of the later state to a list of the earlier one.
            self.projects = self.state.store.stream_projects(self.caller, &self.query).await?;
            self.text.restart();
            self.text
                .extend(self.projects.next_chunk().await?.unwrap_or_default())
                .map_err(ApiError::unserializable)?;
            self.memory.hold(self.text.written.len()).await?;
            if self.projects.has_more_chunks() {
                return Conditional::new(headers, &tag, self.into_body());
            }
        }
        self.text.end();
        let written = self.text.take();
        let tag = entity_tags::of_digest(&digest_of(&[&written]));
        Conditional::new(headers, &tag, StreamedJson::new(written.into()))
    }

    /// The tag of a list of several chunks. Each save increases the account's number of saves. Between two saves, each
    /// deletion decreases the number of projects. So these two numbers identify the state of the account's projects.
    async fn tag_of_many(&self, variant: &str) -> Result<EntityTag, ApiError> {
        let account = self.state.store.find_account(self.caller.user).await?;
        let library = account.map(|account| (account.saves, account.usage.projects));
        let selected = format!("{} {:?} {library:?}", self.caller.user, self.query);
        let program = env!("CARGO_PKG_VERSION");
        let parts = [program.as_bytes(), &self.text.before, selected.as_bytes(), variant.as_bytes()];
        Ok(entity_tags::of_digest(&digest_of(&parts)))
    }
}

/// The unsent part of a list.
struct Unsent<F> {
    projects: ProjectStream,
    text: ListText<F>,
    memory: ListMemory,
    /// The request's.
    span: Span,
}

impl<E: Serialize, F: Fn(Project) -> E> Unsent<F> {
    /// The next bytes, and the part that is unsent after them. An error breaks the response off, so that its client
    /// does not take it for complete.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        loop {
            let written = self.text.take();
            if !written.is_empty() {
                self.memory.hold(written.len()).await.map_err(io::Error::other)?;
                return Ok(Some((written.into(), self)));
            }
            match self.projects.next_chunk().await {
                Ok(Some(chunk)) => self.text.extend(chunk)?,
                Ok(None) if self.text.has_ended => return Ok(None),
                Ok(None) => self.text.end(),
                Err(error @ StoreError::SessionEnded) => {
                    tracing::info!(parent: &self.span, "a list is broken off: its session has ended");
                    return Err(io::Error::other(error));
                }
                Err(error) => {
                    let reason = error_chain(&error);
                    tracing::error!(parent: &self.span, error = reason, "a list is broken off");
                    return Err(io::Error::other(error));
                }
            }
        }
    }
}

/// The JSON text of a list, written from its beginning to its end.
struct ListText<F> {
    /// The text before the first entry.
    before: Vec<u8>,
    /// The text after the last entry.
    after: Vec<u8>,
    entry: F,
    /// The written bytes that have not been taken yet.
    written: Vec<u8>,
    has_entries: bool,
    has_ended: bool,
}

impl<E: Serialize, F: Fn(Project) -> E> ListText<F> {
    /// The text of the list that is `empty` so far: its last array gets the entries.
    fn around(empty: &impl Serialize, entry: F) -> serde_json::Result<Self> {
        let mut before = serde_json::to_vec(empty)?;
        let array = before.windows(2).rposition(|pair| pair == b"[]");
        let after = before.split_off(array.expect("a list without entries has an empty array") + 1);
        let written = before.clone();
        Ok(Self { before, after, entry, written, has_entries: false, has_ended: false })
    }

    /// Forgets all that has been written, and begins again.
    fn restart(&mut self) {
        self.written.clone_from(&self.before);
        self.has_entries = false;
    }

    /// Writes the entries of these projects.
    fn extend(&mut self, projects: Vec<Project>) -> serde_json::Result<()> {
        for project in projects {
            if mem::replace(&mut self.has_entries, true) {
                self.written.push(b',');
            }
            serde_json::to_writer(&mut self.written, &(self.entry)(project))?;
        }
        Ok(())
    }

    /// Writes the end of the text.
    fn end(&mut self) {
        self.written.append(&mut self.after);
        self.has_ended = true;
    }

    fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.written)
    }
}

/// A digest of texts and of the boundaries between them.
fn digest_of(parts: &[&[u8]]) -> notestamp_store::Digest {
    let mut hasher = Hasher::new();
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            hasher.update(&[0]);
        }
        hasher.update(part);
    }
    hasher.finish().0
}
