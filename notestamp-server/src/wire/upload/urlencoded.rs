//! A save as `application/x-www-form-urlencoded`, from older clients: the same fields as in JSON, each a text.

use notestamp_store::{Error as StoreError, ExtraFields};
use poem::{Body, Request, RequestBody};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type as _;

use super::placeholder::{is_placeholder, media_is_no_file};
use super::schema::{content_schema, digest_schema, schema, text_schema};
use super::texts::UploadTexts;
use super::{CONTENT, MEDIA_FILE};
use crate::error::ApiError;
use crate::http::content_type;
use crate::wire::form::Form;
use crate::wire::metadata::{MetadataInput, ProjectMetadata};

/// A form without files, not yet read.
pub(crate) struct UploadUrlencoded(pub(crate) Body);

/// Parses the body.
///
/// # Errors
/// 400 if it cannot be read, has too many fields, or a field is invalid.
pub(crate) fn parse(body: &[u8]) -> Result<UploadTexts, ApiError> {
    let Form(fields) = Form::<Vec<(String, String)>>::parse(body)?;
    if fields.len() > ExtraFields::COUNT_MAX {
        return Err(ApiError::bad_request("the body has too many fields"));
    }
    let mut texts = UploadTexts::new(CONTENT);
    let mut flat = MetadataInput::default();
    for (name, value) in fields {
        match name.as_str() {
            CONTENT | "stmp" => texts.set_notes(value.into()),
            "metadata" => texts.set_metadata(value.as_bytes())?,
            "mediaDigest" => texts.set_media_digest(&value)?,
            MEDIA_FILE if is_placeholder(value.as_bytes()) => {}
            MEDIA_FILE => return Err(media_is_no_file()),
            _ => {
                let json = serde_json::value::to_raw_value(&value).expect("a text is JSON");
                flat.set(name, &json).map_err(StoreError::from)?;
            }
        }
    }
    texts.set_flat_metadata(flat);
    Ok(texts)
}

impl Payload for UploadUrlencoded {
    const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

    fn check_content_type(content_type: &str) -> bool {
        content_type::is_of(content_type, Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        schema(
            vec![
                ("metadata", text_schema(None, "The metadata: a JSON object.")),
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

impl ParsePayload for UploadUrlencoded {
    const IS_REQUIRED: bool = true;

    async fn from_request(_request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(body.take()?))
    }
}
