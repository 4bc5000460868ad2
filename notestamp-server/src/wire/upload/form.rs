//! A save as `multipart/form-data`, the only body that can carry media.

use poem::{Request, RequestBody};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type as _;

use super::schema::{content_schema, digest_schema, schema, text_schema};
use super::{CONTENT, MEDIA_FILE};
use crate::config::MULTIPART_PARTS_MAX;
use crate::error::ApiError;
use crate::http::content_type;
use crate::http::multipart::MultipartReader;
use crate::wire::metadata::ProjectMetadata;

/// A form, not yet read.
pub(crate) struct UploadForm(pub(crate) Box<MultipartReader>);

/// Which part of a form holds the notes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NotesPart {
    /// The name of the part.
    pub(crate) name: &'static str,
    /// Whether it is a file part, so that a placeholder for a missing file counts as absent, and the metadata may hold
    /// the notes instead.
    pub(crate) is_file: bool,
}

impl Payload for UploadForm {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        content_type::is_of(content_type, Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        let media = text_schema(
            Some("binary"),
            "The media file. An empty text, `null` or `undefined` means no media.",
        );
        schema(
            vec![
                (MEDIA_FILE, media),
                (CONTENT, content_schema()),
                ("metadata", ProjectMetadata::schema_ref()),
                ("mediaDigest", digest_schema()),
            ],
            vec!["content", "metadata"],
        )
    }

    fn register(registry: &mut Registry) {
        ProjectMetadata::register(registry);
    }
}

impl ParsePayload for UploadForm {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(Box::new(form_reader(request, body)?)))
    }
}

/// Returns a reader of the request's form.
pub(in crate::wire) fn form_reader(
    request: &Request,
    body: &mut RequestBody,
) -> poem::Result<MultipartReader> {
    let content_type = request.content_type().unwrap_or_default();
    Ok(MultipartReader::new(content_type, body.take()?, MULTIPART_PARTS_MAX).map_err(ApiError::from)?)
}
