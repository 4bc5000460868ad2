//! The trash.

use std::num::NonZeroUsize;

use notestamp_store::{Error as StoreError, Timestamp, TrashCursor, Trashed};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::json::described;
use super::metadata::{self, ProjectMetadata};
use super::page_limit::{PAGE_LIMIT_MAX, page_limit};

/// The metadata of a project in the trash, with the times of its deletion and of its purge.
#[derive(Debug)]
pub(crate) struct TrashedMetadata {
    metadata: ProjectMetadata,
    deleted: Timestamp,
    purged: Timestamp,
}

impl TrashedMetadata {
    /// The metadata of a project in the trash. Its media does not play, so it has no URL.
    pub(crate) fn new(purged: Timestamp, trashed: Trashed) -> Self {
        let metadata = ProjectMetadata::new(trashed.project, |_| String::new());
        Self { metadata, deleted: trashed.deleted, purged }
    }
}

impl Serialize for TrashedMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("deleted", &self.deleted.to_string())?;
        map.serialize_entry("purged", &self.purged.to_string())?;
        self.metadata.serialize_fields(&mut map)?;
        map.end()
    }
}

described!(TrashedMetadata, "TrashedMetadata", {
    let time = |description| {
        let schema = MetaSchema { description: Some(description), ..MetaSchema::new("string") };
        MetaSchemaRef::Inline(Box::new(schema))
    };
    let mut schema = metadata::schema();
    schema.description =
        Some("The metadata of a project in the trash. The `src` of one with media is empty.");
    schema.properties.push(("deleted", time("The time of its deletion (ISO 8601).")));
    schema
        .properties
        .push(("purged", time("The time from which on it can no longer be restored (ISO 8601).")));
    schema.required.extend(["deleted", "purged"]);
    schema.example = None;
    schema
});

/// The parameters of `GET /home/trash`, as the client sent them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct TrashParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

impl TrashParameters {
    /// The cursor after which the page begins; `None` for the first page.
    ///
    /// # Errors
    /// If it is invalid. An empty cursor is: if it counted as absent, the listing would never end.
    pub(crate) fn after(&self) -> Result<Option<TrashCursor>, StoreError> {
        Ok(self.cursor.as_ref().map(|cursor| cursor.parse()).transpose()?)
    }

    /// How many projects the page has at most.
    ///
    /// # Errors
    /// If the limit is invalid.
    pub(crate) fn limit(&self) -> Result<NonZeroUsize, StoreError> {
        Ok(page_limit(self.limit)?.unwrap_or(PAGE_LIMIT_MAX))
    }

    /// A `Link` header (RFC 8288) that names the next page.
    pub(crate) fn next_link(&self, base: &str, next: TrashCursor) -> String {
        let parameters = Self { cursor: Some(next.to_string()), ..self.clone() };
        let query = serde_urlencoded::to_string(parameters).expect("texts and numbers can be encoded");
        format!("<{base}/home/trash?{query}>; rel=\"next\"")
    }
}
