//! The request body of a save in the `/project` dialect.

use notestamp_store::{Save, SaveRequest};
use poem::{Request, RequestBody};
use poem_openapi::ApiRequest;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type as _;

use super::metadata::{MetadataInput, ProjectMetadata};
use super::upload::{
    NotesPart, SaveBody, digest_schema, form_reader, receive_form, schema, text, text_schema,
};
use crate::error::ApiError;
use crate::http::content_type;
use crate::http::multipart::MultipartReader;
use crate::state::State;

/// A save's body.
#[derive(ApiRequest)]
pub enum ProjectSaveBody {
    /// Media, notes and metadata, in any order.
    Multipart(ProjectSaveForm),
}

/// The name of the part with the notes.
const NOTES_FILE: &str = "notesFile";

/// A `multipart/form-data` body, not yet read.
pub struct ProjectSaveForm(MultipartReader);

impl SaveBody for ProjectSaveBody {
    async fn receive(self, save: &mut Save, state: &State) -> Result<SaveRequest, ApiError> {
        let Self::Multipart(ProjectSaveForm(form)) = self;
        let notes = NotesPart { name: NOTES_FILE, is_file: true };
        let mut texts = receive_form(form, notes, save, state).await?;
        // Clients send back the notes that they received in the metadata, so these count only if no other notes came.
        let echoed = texts.metadata.as_mut().and_then(MetadataInput::take_notes);
        if texts.content.is_none() {
            texts.content = echoed.filter(|notes| notes.get() != "null").map(text).transpose()?;
        }
        texts.into_request(NOTES_FILE, state.clock.now())
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
                ("mediaFile", file("The media file. An empty text, `null` or `undefined` means no media.")),
                (
                    NOTES_FILE,
                    file(
                        "The notes: a JSON text, kept byte for byte. Where it is missing, the metadata's \
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
        Ok(Self(form_reader(request, body)?))
    }
}
