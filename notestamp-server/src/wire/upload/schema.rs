//! The OpenAPI description of a save's body.

use poem_openapi::registry::{MetaSchema, MetaSchemaRef};

/// The schema of an object with these properties.
pub(crate) fn schema(
    properties: Vec<(&'static str, MetaSchemaRef)>,
    required: Vec<&'static str>,
) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema { required, properties, ..MetaSchema::new("object") }))
}

/// The schema of a text.
pub(crate) fn text_schema(format: Option<&'static str>, description: &'static str) -> MetaSchemaRef {
    let description = Some(description);
    MetaSchemaRef::Inline(Box::new(MetaSchema { format, description, ..MetaSchema::new("string") }))
}

/// The schema of the notes.
pub(crate) fn content_schema() -> MetaSchemaRef {
    let description = Some("The notes: a JSON text, stored byte for byte.");
    let example = Some(serde_json::json!("[{\"text\": \"Hello\", \"at\": 1.5}]"));
    MetaSchemaRef::Inline(Box::new(MetaSchema { description, example, ..MetaSchema::new("string") }))
}

/// The schema of the media's digest.
pub(crate) fn digest_schema() -> MetaSchemaRef {
    let description = Some(
        "The SHA-256 of the media, in hexadecimal digits. With a media file, it is verified. Without one, it selects \
         media that this account already has. An empty text counts as absent.",
    );
    // Swagger UI fills forms in with examples.
    let example = Some(serde_json::json!(""));
    MetaSchemaRef::Inline(Box::new(MetaSchema { description, example, ..MetaSchema::new("string") }))
}
