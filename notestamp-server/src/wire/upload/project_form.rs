//! A save as `multipart/form-data` in the `/project` dialect, where the notes are a file too.

use poem::{Request, RequestBody};
use poem_openapi::ApiRequest;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type as _;

use super::form::{NotesPart, form_reader};
use super::schema::{digest_schema, schema, text_schema};
use super::{MEDIA_FILE, Upload};
use crate::http::content_type;
use crate::http::multipart::MultipartReader;
use crate::wire::metadata::ProjectMetadata;

/// The body of a save.
#[derive(ApiRequest)]
pub(crate) enum ProjectSaveBody {
    /// Media, notes and metadata, in any order.
    Multipart(ProjectSaveForm),
}

/// The name of the part with the notes.
const NOTES_FILE: &str = "notesFile";

/// A `multipart/form-data` body, not yet read.
pub(crate) struct ProjectSaveForm(Box<MultipartReader>);

impl From<ProjectSaveBody> for Upload {
    fn from(body: ProjectSaveBody) -> Self {
        let ProjectSaveBody::Multipart(ProjectSaveForm(form)) = body;
        Self::Form(form, NotesPart { name: NOTES_FILE, is_file: true })
    }
}

impl Payload for ProjectSaveForm {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        content_type::is_of(content_type, Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        let file = |description| text_schema(Some("binary"), description);
        schema(
            vec![
                (MEDIA_FILE, file("The media file. An empty text, `null` or `undefined` means no media.")),
                (
                    NOTES_FILE,
                    file(
                        "The notes: a JSON text, stored byte for byte. If this part is missing, the metadata's \
                         field `notes` has them.",
                    ),
                ),
                ("metadata", ProjectMetadata::schema_ref()),
                ("mediaDigest", digest_schema()),
            ],
            vec!["metadata"],
        )
    }

    fn register(registry: &mut Registry) {
        ProjectMetadata::register(registry);
    }
}

impl ParsePayload for ProjectSaveForm {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self(Box::new(form_reader(request, body)?)))
    }
}
