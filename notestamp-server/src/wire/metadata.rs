//! A project's metadata: six known texts, further fields of a media module, and in responses the server's own fields.

use notestamp_store::{
    ExtraFields, InvalidValue, LastModified, Metadata, Project, ProjectId, Timestamp, Title,
};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::ToJSON;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::fields::Fields;
use super::json::described;

/// Metadata as a client sends it.
#[derive(Debug, Default)]
pub(crate) struct MetadataInput {
    title: String,
    kind: String,
    label: String,
    src: String,
    /// An old name of `src`.
    link: String,
    mimetype: String,
    last_modified: String,
    extra: ExtraFields,
    /// Not metadata, but some clients send the notes here.
    notes: Option<Box<RawValue>>,
}

/// Fields of responses that clients send back: ignored in requests.
const IGNORED: [&str; 4] = ["id", "revision", "mediaDigest", "mediaSize"];

impl MetadataInput {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// If it is not a JSON object, and those of [`Self::set`].
    pub(crate) fn parse(json: &[u8]) -> Result<Self, InvalidValue> {
        let Fields(fields) = serde_json::from_slice(json)
            .map_err(|e| InvalidValue::new("metadata", format!("cannot be read: {e}")))?;
        let mut input = Self::default();
        for (name, value) in fields {
            input.set(name, value)?;
        }
        Ok(input)
    }

    /// Sets a field; of two fields with one name the last wins. A known field that is `null` becomes an empty text.
    ///
    /// # Errors
    /// If a known field is not a text, if a further field is nested too deeply, or if there are too many further
    /// fields.
    pub(crate) fn set(&mut self, name: String, value: &RawValue) -> Result<(), InvalidValue> {
        let known = match name.as_str() {
            "title" => &mut self.title,
            "type" => &mut self.kind,
            "label" => &mut self.label,
            "src" => &mut self.src,
            "link" => &mut self.link,
            "mimetype" => &mut self.mimetype,
            "lastModified" => {
                // An invalid time is replaced by the server's time in `into_metadata`.
                self.last_modified = serde_json::from_str(value.get()).unwrap_or_default();
                return Ok(());
            }
            "notes" => {
                self.notes = Some(value.to_owned());
                return Ok(());
            }
            ignored if IGNORED.contains(&ignored) => return Ok(()),
            _ => return self.extra.set(name, value.to_owned()),
        };
        let text: Option<String> = serde_json::from_str(value.get())
            .map_err(|_| InvalidValue::new("metadata", format!("has a {name} that is not a text")))?;
        *known = text.unwrap_or_default();
        Ok(())
    }

    /// Takes the notes that the client sent with the metadata, if any.
    pub(crate) fn take_notes(&mut self) -> Option<Box<RawValue>> {
        self.notes.take()
    }

    /// Converts it into the store's metadata; `now` replaces an absent or invalid `lastModified`.
    ///
    /// # Errors
    /// If the title is invalid.
    pub(crate) fn into_metadata(self, now: Timestamp) -> Result<Metadata, InvalidValue> {
        Ok(Metadata {
            title: Title::parse(&self.title)?,
            kind: self.kind,
            label: self.label,
            src: if self.src.is_empty() { self.link } else { self.src },
            mimetype: self.mimetype,
            last_modified: LastModified::parse_or(&self.last_modified, now),
            extra: self.extra,
        })
    }
}

/// Metadata as responses carry it.
#[derive(Debug)]
pub(crate) struct ProjectMetadata {
    project: Project,
    src: String,
}

impl ProjectMetadata {
    /// The metadata of a project; `media_url` makes the URL of media that this server keeps.
    pub(crate) fn new(project: Project, media_url: impl FnOnce(ProjectId) -> String) -> Self {
        let src = match project.media {
            Some(_) => media_url(project.id),
            None => project.metadata.src.clone(),
        };
        Self { project, src }
    }

    /// Replaces `src` by what `change` makes of it.
    pub(super) fn map_src(self, change: impl FnOnce(String) -> String) -> Self {
        Self { src: change(self.src), ..self }
    }
}

impl Serialize for ProjectMetadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.serialize_fields(&mut map)?;
        map.end()
    }
}

impl ProjectMetadata {
    /// Serializes its fields into an object, which may have further fields.
    pub(super) fn serialize_fields<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Self { project, src } = self;
        let metadata = &project.metadata;
        map.serialize_entry("title", metadata.title.as_str())?;
        map.serialize_entry("type", &metadata.kind)?;
        map.serialize_entry("label", &metadata.label)?;
        map.serialize_entry("src", src)?;
        map.serialize_entry("mimetype", &metadata.mimetype)?;
        map.serialize_entry("lastModified", metadata.last_modified.as_str())?;
        map.serialize_entry("id", &project.id.to_string())?;
        map.serialize_entry("revision", &project.revision.get())?;
        if let Some(media) = &project.media {
            map.serialize_entry("mediaDigest", &media.digest.to_string())?;
            map.serialize_entry("mediaSize", &media.size)?;
        }
        for (name, value) in metadata.extra.iter() {
            map.serialize_entry(name, value)?;
        }
        Ok(())
    }
}

/// The schema for requests and responses: the server's own fields are marked read-only.
pub(super) fn schema() -> MetaSchema {
    let field = |ty: &'static str, description: &'static str, read_only: bool| {
        let description = Some(description);
        let schema = MetaSchema { description, read_only, ..MetaSchema::new(ty) };
        MetaSchemaRef::Inline(Box::new(schema))
    };
    let text = |description| field("string", description, false);
    MetaSchema {
        description: Some(
            "The properties of a project that its owner sets. Unknown fields are stored and returned too.",
        ),
        required: vec!["title"],
        properties: vec![
            (
                "title",
                text("The title: 1 to 255 code points, without control characters; unique in the account."),
            ),
            ("type", text("The media module that shows the project: `audio`, `youtube`, `pdf`, …")),
            ("label", text("The name of the media module, for people.")),
            (
                "src",
                text(
                    "The URL of the media: stored as it was sent; for media on this server, the \
                     absolute URL of its bytes.",
                ),
            ),
            ("mimetype", text("The media type of the project's media; stored with the media.")),
            (
                "lastModified",
                text("A time in ISO 8601; the server's time replaces an absent or invalid one."),
            ),
            ("id", field("string", "The project's id.", true)),
            (
                "revision",
                field(
                    "integer",
                    "The number of the project's current revision; each save increases it.",
                    true,
                ),
            ),
            (
                "mediaDigest",
                field("string", "The SHA-256 of the project's media, in hexadecimal digits.", true),
            ),
            ("mediaSize", field("integer", "The size of the project's media, in bytes.", true)),
        ],
        additional_properties: Some(Box::new(MetaSchemaRef::Inline(Box::new(MetaSchema::ANY)))),
        example: Some(serde_json::json!({
            "title": "Lecture 1", "type": "audio", "label": "Audio", "src": "",
            "mimetype": "audio/wav", "lastModified": "2024-03-01T12:00:00.000Z",
        })),
        ..MetaSchema::new("object")
    }
}

described!(ProjectMetadata, "Metadata", schema());

/// Required by derived objects that contain it; the responses themselves are serialized by serde.
impl ToJSON for ProjectMetadata {
    fn to_json(&self) -> Option<serde_json::Value> {
        serde_json::to_value(self).ok()
    }
}
