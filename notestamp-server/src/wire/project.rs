//! Projects, and listings of them.

use notestamp_store::{Cursor, InvalidValue, ListQuery, Order, Sort, Start};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::{Enum, Object};
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

use super::json::described;
use super::metadata::{self, ProjectMetadata};
use super::page_limit::page_limit;

/// A project with its notes.
#[derive(Debug, Serialize)]
pub(crate) struct OpenedProject {
    /// Its metadata.
    pub(crate) metadata: ProjectMetadata,
    /// Its notes: a JSON text, exactly as it was saved.
    pub(crate) content: &'static str,
}

described!(OpenedProject, "OpenedProject", {
    let description = Some("The notes: a JSON text, exactly as it was saved.");
    let content = MetaSchema { description, ..MetaSchema::new("string") };
    MetaSchema {
        description: Some("A project with its notes."),
        required: vec!["metadata", "content"],
        properties: vec![
            ("metadata", ProjectMetadata::schema_ref()),
            ("content", MetaSchemaRef::Inline(Box::new(content))),
        ],
        ..MetaSchema::new("object")
    }
});

/// A project whose notes are a field beside those of its metadata.
#[derive(Debug)]
pub(crate) struct ProjectWithNotes {
    /// Its metadata.
    pub(crate) metadata: ProjectMetadata,
    /// Its notes: a JSON text, exactly as it was saved.
    pub(crate) notes: &'static str,
}

impl Serialize for ProjectWithNotes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.metadata.serialize_fields(&mut map)?;
        map.serialize_entry("notes", &self.notes)?;
        map.end()
    }
}

described!(ProjectWithNotes, "ProjectWithNotes", {
    let mut schema = metadata::schema();
    let description = Some("The notes: a JSON text, exactly as it was saved.");
    let notes = MetaSchema { description, ..MetaSchema::new("string") };
    schema.description = Some("A project: the fields of its metadata, and its notes.");
    schema.required.push("notes");
    schema.properties.push(("notes", MetaSchemaRef::Inline(Box::new(notes))));
    schema.example = None;
    schema
});

/// The response to a save: the project as it has been saved.
#[derive(Debug, Serialize)]
pub(crate) struct SavedProject {
    /// Its metadata.
    pub(crate) metadata: ProjectMetadata,
}

described!(SavedProject, "SavedProject", {
    MetaSchema {
        description: Some("The project as it was saved."),
        required: vec!["metadata"],
        properties: vec![("metadata", ProjectMetadata::schema_ref())],
        ..MetaSchema::new("object")
    }
});

/// The projects that remain after a deletion.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct Directory {
    /// The account's projects, the latest save first.
    pub(crate) directory: Vec<ProjectMetadata>,
}

/// Whether a title is taken.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct Duplicate {
    /// Whether the account has a project with this title.
    #[oai(rename = "isDuplicate")]
    #[serde(rename = "isDuplicate")]
    pub(crate) is_duplicate: bool,
}

/// A URL at which media can be read.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct StreamUrl {
    /// A signed URL that needs no cookies for 10 to 15 minutes.
    #[oai(rename = "streamURL")]
    #[serde(rename = "streamURL")]
    pub(crate) stream_url: String,
}

/// The sort key of a listing.
#[derive(Clone, Copy, Debug, Enum, Serialize)]
pub(crate) enum SortBy {
    /// The `lastModified` of the metadata.
    #[oai(rename = "lastModified")]
    #[serde(rename = "lastModified")]
    LastModified,
    /// The title; letter case is ignored.
    #[oai(rename = "title")]
    #[serde(rename = "title")]
    Title,
}

/// The sort order of a listing.
#[derive(Clone, Copy, Debug, Enum, Serialize)]
pub(crate) enum SortOrder {
    /// Ascending: the earliest time or the first title comes first.
    #[oai(rename = "asc")]
    #[serde(rename = "asc")]
    Ascending,
    /// Descending: the latest time or the last title comes first.
    #[oai(rename = "desc")]
    #[serde(rename = "desc")]
    Descending,
}

/// The parameters of `GET /home/list`, as the client sent them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ListParameters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) search: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sort: Option<SortBy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order: Option<SortOrder>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cursor: Option<String>,
}

impl ListParameters {
    /// The store's query for these parameters.
    ///
    /// # Errors
    /// If the limit or the cursor is invalid.
    pub(crate) fn to_query(&self) -> Result<ListQuery, InvalidValue> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let limit = page_limit(self.limit)?;
        let sort = match self.sort {
            None => Sort::Saved,
            Some(SortBy::LastModified) => Sort::LastModified,
            Some(SortBy::Title) => Sort::Title,
        };
        // An empty cursor is invalid: if it counted as absent, the listing would start again and never end.
        let cursor = self.cursor.as_ref().map(|cursor| cursor.parse()).transpose()?;
        Ok(ListQuery {
            search: given(&self.search),
            kind: given(&self.kind),
            start: Start::new(sort, cursor)?,
            order: self.order.map(|order| match order {
                SortOrder::Ascending => Order::Ascending,
                SortOrder::Descending => Order::Descending,
            }),
            limit,
            ..ListQuery::default()
        })
    }

    /// A `Link` header (RFC 8288) that names the next page.
    pub(crate) fn next_link(&self, base: &str, next: &Cursor) -> String {
        let parameters = Self { cursor: Some(next.to_string()), ..self.clone() };
        let query = serde_urlencoded::to_string(parameters).expect("texts and numbers can be encoded");
        format!("<{base}/home/list?{query}>; rel=\"next\"")
    }
}
