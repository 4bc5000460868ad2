//! The history of a project.

use std::num::NonZeroUsize;

use notestamp_store::{Error as StoreError, InvalidValue, Project, Revision};
use poem_openapi::Object;
use serde::Serialize;

use super::page_limit::{PAGE_LIMIT_MAX, page_limit};

/// A version of a project, or its current state.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub(crate) struct VersionEntry {
    /// The revision, which opens or restores the version.
    revision: u64,
    /// The time when it was saved (ISO 8601).
    saved: String,
    /// The size of its notes, in bytes.
    #[oai(rename = "notesSize")]
    #[serde(rename = "notesSize")]
    notes_size: u64,
    /// The SHA-256 of its media, in hexadecimal digits; absent if the server keeps no media of it.
    #[oai(rename = "mediaDigest")]
    #[serde(rename = "mediaDigest", skip_serializing_if = "Option::is_none")]
    media_digest: Option<String>,
    /// The size of its media, in bytes.
    #[oai(rename = "mediaSize")]
    #[serde(rename = "mediaSize", skip_serializing_if = "Option::is_none")]
    media_size: Option<u64>,
    /// The name of the media module, for people.
    label: String,
    /// The media module that shows it.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// The media type of its media.
    mimetype: String,
}

impl VersionEntry {
    /// The entry of a state of a project.
    pub(crate) fn of(project: &Project) -> Self {
        Self {
            revision: project.revision.get(),
            saved: project.saved.to_string(),
            notes_size: project.notes.size,
            media_digest: project.media.map(|media| media.digest.to_string()),
            media_size: project.media.map(|media| media.size),
            label: project.metadata.label.clone(),
            kind: project.metadata.kind.clone(),
            mimetype: project.metadata.mimetype.clone(),
        }
    }
}

/// The parameters of `GET /home/history`, as the client sent them.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HistoryParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

impl HistoryParameters {
    /// The revision before which the page begins; `None` for the first page.
    ///
    /// # Errors
    /// If the cursor is invalid. An empty cursor is: if it counted as absent, the listing would never end.
    pub(crate) fn before(&self) -> Result<Option<Revision>, StoreError> {
        let parse = |cursor: &String| cursor.parse().map(Revision::new);
        let before = self.cursor.as_ref().map(parse).transpose();
        Ok(before.map_err(|_| InvalidValue::new("cursor", "is not a cursor of this server"))?)
    }

    /// How many versions the page has at most.
    ///
    /// # Errors
    /// If the limit is invalid.
    pub(crate) fn limit(&self) -> Result<NonZeroUsize, StoreError> {
        Ok(page_limit(self.limit)?.unwrap_or(PAGE_LIMIT_MAX))
    }

    /// A `Link` header (RFC 8288) that names the next page.
    pub(crate) fn next_link(&self, base: &str, next: Revision) -> String {
        let parameters = Self { cursor: Some(next.to_string()), ..self.clone() };
        let query = serde_urlencoded::to_string(parameters).expect("texts and numbers can be encoded");
        format!("<{base}/home/history?{query}>; rel=\"next\"")
    }
}
