//! A save as JSON, from older clients: `{metadata, content}`, or `{title, stmp}` where `stmp` are the notes.

use poem::{Body, Request, RequestBody};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type as _;

use super::placeholder::{is_placeholder, media_is_no_file};
use super::schema::{content_schema, digest_schema, schema};
use super::texts::{UploadTexts, json_text};
use super::{CONTENT, MEDIA_FILE};
use crate::error::ApiError;
use crate::http::content_type;
use crate::wire::fields::Fields;
use crate::wire::metadata::{MetadataInput, ProjectMetadata};

/// A JSON body, not yet read.
pub(crate) struct UploadJson(pub(crate) Body);

/// Parses the body.
///
/// # Errors
/// 400 if it is not a JSON object, or a field is invalid.
pub(crate) fn parse(body: &[u8]) -> Result<UploadTexts, ApiError> {
    let Fields(mut fields) = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("the body cannot be read: {e}")))?;
    let mut texts = UploadTexts::new(CONTENT);
    if let Some(value) = fields.remove("mediaDigest") {
        let given: Option<String> = serde_json::from_str(value.get())
            .map_err(|_| ApiError::bad_request("mediaDigest is not a text"))?;
        texts.set_media_digest(&given.unwrap_or_default())?;
    }
    // Media in JSON is refused unless it is a placeholder: `JSON.stringify` makes `{}` of a file.
    if let Some(media) = fields.remove(MEDIA_FILE)
        && !is_placeholder(&json_text(media)?)
    {
        return Err(media_is_no_file());
    }
    let content = fields.remove(CONTENT);
    let stmp = fields.remove("stmp");
    if let Some(notes) = content.or(stmp) {
        texts.set_notes(json_text(notes)?);
    }
    match fields.remove("metadata") {
        Some(metadata) => texts.set_metadata(&json_text(metadata)?)?,
        None => {
            let mut flat = MetadataInput::default();
            for (name, value) in fields {
                flat.set(name, value).map_err(notestamp_store::Error::from)?;
            }
            texts.set_flat_metadata(flat);
        }
    }
    Ok(texts)
}

impl Payload for UploadJson {
    const CONTENT_TYPE: &'static str = "application/json";

    fn check_content_type(content_type: &str) -> bool {
        content_type::is_of(content_type, Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        schema(
            vec![
                ("metadata", ProjectMetadata::schema_ref()),
                (CONTENT, content_schema()),
                ("mediaDigest", digest_schema()),
            ],
            vec![CONTENT, "metadata"],
        )
    }

    fn register(registry: &mut Registry) {
        ProjectMetadata::register(registry);
    }
}

impl ParsePayload for UploadJson {
    const IS_REQUIRED: bool = true;

    async fn from_request(_request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(body.take()?))
    }
}
