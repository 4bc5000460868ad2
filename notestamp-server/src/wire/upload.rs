//! The request bodies of a save, in all the forms that clients of several years send; each is received into one
//! [`Save`].

use bytes::Bytes;
use notestamp_store::{
    Digest, Error as StoreError, ExtraFields, Notes, Precondition, Save, SaveRequest, Timestamp,
};
use poem::error::ReadBodyError;
use poem::{Request, RequestBody};
use poem_openapi::ApiRequest;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::form::Form;
use super::metadata::{MetadataInput, ProjectMetadata};
use crate::config::Limits;
use crate::error::{ApiError, Code};
use crate::http::content_type;
use crate::http::multipart::{MultipartError, MultipartReader, Part};
use crate::state::State;

/// A save's body.
#[derive(ApiRequest)]
pub enum UploadBody {
    /// Media, notes and metadata, in any order.
    Multipart(UploadForm),
    /// Notes and metadata as JSON, from older clients.
    Json(UploadJson),
    /// Notes and metadata as a form, from older clients.
    Form(UploadUrlencoded),
}

/// A request body that a save can be received from.
pub trait SaveBody {
    /// Receives the body; media is written into `save` as it arrives.
    ///
    /// # Errors
    /// 400, 408, 413, and those of the store.
    async fn receive(self, save: &mut Save, state: &State) -> Result<SaveRequest, ApiError>;
}

impl SaveBody for UploadBody {
    async fn receive(self, save: &mut Save, state: &State) -> Result<SaveRequest, ApiError> {
        let now = state.clock.now();
        match self {
            Self::Multipart(UploadForm(reader)) => {
                let notes = NotesPart { name: CONTENT, is_file: false };
                receive_form(*reader, notes, save, state).await?.into_request(CONTENT, now)
            }
            Self::Json(UploadJson(body)) => from_json(&body, now),
            Self::Form(UploadUrlencoded(body)) => from_form(&body, now),
        }
    }
}

/// The name of the field with the notes.
const CONTENT: &str = "content";

/// The name of the field with the media.
const MEDIA_FILE: &str = "mediaFile";

/// The fields of a save besides the media, as far as they have arrived.
#[derive(Default)]
pub(super) struct Texts {
    /// The notes, not yet validated.
    pub content: Option<Bytes>,
    pub metadata: Option<MetadataInput>,
    pub media_digest: Option<Digest>,
}

impl Texts {
    /// Validates the fields; `notes` is the client's name for the notes, for messages.
    pub(super) fn into_request(self, notes: &str, now: Timestamp) -> Result<SaveRequest, ApiError> {
        let missing = |what| ApiError::bad_request(format!("{what} is missing"));
        let metadata = self.metadata.ok_or_else(|| missing("metadata"))?;
        let content = self.content.ok_or_else(|| missing(notes))?;
        Ok(SaveRequest {
            metadata: metadata.into_metadata(now).map_err(StoreError::from)?,
            notes: Notes::parse(content).map_err(StoreError::from)?,
            media_digest: self.media_digest,
            precondition: Precondition::None,
        })
    }
}

fn digest(text: &str) -> Result<Option<Digest>, ApiError> {
    match text.trim() {
        "" => Ok(None),
        digits => Ok(Some(digits.parse().map_err(StoreError::from)?)),
    }
}

/// How many bytes the metadata may have in a request. The stored metadata has a separate, smaller limit, but clients
/// send back what they received, notes included, and escapes may make those longer.
fn metadata_part_bytes_max(notes_bytes_max: usize) -> usize {
    2 * notes_bytes_max + (64 << 10)
}

/// How many bytes a body without media may have.
fn text_body_bytes_max(notes_bytes_max: usize) -> usize {
    2 * notes_bytes_max + metadata_part_bytes_max(notes_bytes_max)
}

/// How many bytes any body may have: media, texts, and the delimiters and headers of a form's parts.
pub fn body_bytes_max(limits: &Limits) -> u64 {
    let texts = text_body_bytes_max(as_usize(limits.notes_bytes_max));
    limits.media_bytes_max.saturating_add(texts as u64)
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX / 8).min(usize::MAX / 8)
}

/// A `multipart/form-data` body, not yet read.
pub struct UploadForm(Box<MultipartReader>);

/// Which part of a form holds the notes.
pub(super) struct NotesPart {
    /// The name of the part.
    pub name: &'static str,
    /// Whether it is a file part, so that a placeholder for a missing file counts as absent.
    pub is_file: bool,
}

/// Receives a form: writes its media into `save`, and collects its texts.
pub(super) async fn receive_form(
    mut form: MultipartReader,
    notes: NotesPart,
    save: &mut Save,
    state: &State,
) -> Result<Texts, ApiError> {
    let notes_bytes_max = as_usize(state.store.settings().notes_bytes_max);
    let mut texts = Texts::default();
    while let Some(part) = form.next_part().await? {
        match part.name() {
            MEDIA_FILE => receive_media(part, save).await?,
            name if name == notes.name => {
                let (is_file, has_file_name) = (part.is_file(), part.has_file_name());
                let content = part.text(notes_bytes_max).await?;
                let is_absent = match is_file {
                    true => !has_file_name && content.is_empty(),
                    false => says_nothing(&content),
                };
                texts.content = Some(content).filter(|_| !(notes.is_file && is_absent));
            }
            "metadata" => {
                let max = metadata_part_bytes_max(notes_bytes_max);
                let json = part.text(max).await?;
                texts.metadata = Some(MetadataInput::parse(&json).map_err(StoreError::from)?);
            }
            "mediaDigest" => {
                let text = part.text(1 << 10).await?;
                texts.media_digest = digest(&String::from_utf8_lossy(&text))?;
            }
            // Unknown parts are ignored: a newer client may send more than this server knows.
            _ => {}
        }
    }
    Ok(texts)
}

/// The longest text that is read in place of a file, to see whether it is a placeholder.
const PLACEHOLDER_BYTES_MAX: usize = 64;

/// Returns whether a text is a placeholder, which clients send in place of a file that they do not have.
fn says_nothing(text: &[u8]) -> bool {
    matches!(text.trim_ascii(), b"" | b"null" | b"undefined")
}

/// 400: the request has media in a form that the server cannot read; a save without it would lose the media.
fn media_is_no_file() -> ApiError {
    let message = "mediaFile is not a file: send it as a part of multipart/form-data, with a file name";
    ApiError::new(Code::MediaUnreadable, message)
}

/// Receives the media part. A file part is the media, whatever its content type, unless it has neither a file name nor
/// bytes, which an empty file input sends. A placeholder text means no media; any other text is refused, because it may
/// be media that was sent wrongly, and would be lost.
async fn receive_media(mut part: Part<'_>, save: &mut Save) -> Result<(), ApiError> {
    if !part.is_file() {
        return match part.text(PLACEHOLDER_BYTES_MAX).await {
            Ok(text) if says_nothing(&text) => Ok(()),
            Ok(_) | Err(MultipartError::TooLarge { .. }) => Err(media_is_no_file()),
            Err(error) => Err(error.into()),
        };
    }
    let first = part.chunk().await?;
    if first.is_none() && !part.has_file_name() {
        return Ok(());
    }
    let rest = futures_util::stream::try_unfold((first, part), |(first, mut part)| async move {
        let chunk = match first {
            Some(chunk) => Some(chunk),
            None => part.chunk().await?,
        };
        Ok::<_, ApiError>(chunk.map(|chunk| (chunk, (None, part))))
    });
    Ok(save.write_media(rest).await?)
}

/// A JSON body: `{metadata, content}`, or `{title, stmp}` where `stmp` are the notes.
pub struct UploadJson(Bytes);

fn from_json(body: &[u8], now: Timestamp) -> Result<SaveRequest, ApiError> {
    let Fields(mut fields) = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("the body cannot be read: {e}")))?;
    let mut texts = Texts::default();
    if let Some(value) = fields.remove("mediaDigest") {
        let given: Option<String> = serde_json::from_str(value.get())
            .map_err(|_| ApiError::bad_request("mediaDigest is not a text"))?;
        texts.media_digest = digest(&given.unwrap_or_default())?;
    }
    // Media in JSON is refused unless it is a placeholder: `JSON.stringify` makes `{}` of a file.
    if let Some(media) = fields.remove(MEDIA_FILE)
        && !says_nothing(&text(media)?)
    {
        return Err(media_is_no_file());
    }
    let content = fields.remove(CONTENT);
    let stmp = fields.remove("stmp");
    texts.content = content.or(stmp).map(text).transpose()?;
    texts.metadata = Some(match fields.remove("metadata") {
        Some(metadata) => MetadataInput::parse(&text(metadata)?).map_err(StoreError::from)?,
        None => {
            let mut input = MetadataInput::default();
            for (name, value) in fields {
                input.set(name, value).map_err(StoreError::from)?;
            }
            input
        }
    });
    texts.into_request(CONTENT, now)
}

/// Returns the content of a JSON string, or the JSON text of any other value.
pub(super) fn text(value: Box<RawValue>) -> Result<Bytes, ApiError> {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Ok(text.into()),
        Err(_) if value.get().starts_with('"') => {
            Err(ApiError::bad_request("a text contains an invalid character"))
        }
        Err(_) => Ok(String::from(Box::<str>::from(value)).into()),
    }
}

/// An `application/x-www-form-urlencoded` body with the same fields, each a text.
pub struct UploadUrlencoded(Bytes);

fn from_form(body: &[u8], now: Timestamp) -> Result<SaveRequest, ApiError> {
    let Form(fields) = Form::<Vec<(String, String)>>::parse(body)?;
    if fields.len() > ExtraFields::COUNT_MAX {
        return Err(ApiError::bad_request("the body has too many fields"));
    }
    let mut texts = Texts::default();
    let mut flat = MetadataInput::default();
    for (name, value) in fields {
        match name.as_str() {
            CONTENT | "stmp" => texts.content = Some(value.into()),
            "metadata" => {
                texts.metadata = Some(MetadataInput::parse(value.as_bytes()).map_err(StoreError::from)?);
            }
            "mediaDigest" => texts.media_digest = digest(&value)?,
            MEDIA_FILE if says_nothing(value.as_bytes()) => {}
            MEDIA_FILE => return Err(media_is_no_file()),
            _ => {
                let json = serde_json::value::to_raw_value(&value).expect("a text is JSON");
                flat.set(name, json).map_err(StoreError::from)?;
            }
        }
    }
    texts.metadata.get_or_insert(flat);
    texts.into_request(CONTENT, now)
}

pub(super) fn schema(
    properties: Vec<(&'static str, MetaSchemaRef)>,
    required: Vec<&'static str>,
) -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema { required, properties, ..MetaSchema::new("object") }))
}

pub(super) fn text_schema(format: Option<&'static str>, description: &'static str) -> MetaSchemaRef {
    let description = Some(description);
    MetaSchemaRef::Inline(Box::new(MetaSchema { format, description, ..MetaSchema::new("string") }))
}

fn content_schema() -> MetaSchemaRef {
    let description = Some("The notes: a JSON text, stored byte for byte.");
    let example = Some(serde_json::json!("[{\"text\": \"Hello\", \"at\": 1.5}]"));
    MetaSchemaRef::Inline(Box::new(MetaSchema { description, example, ..MetaSchema::new("string") }))
}

pub(super) fn digest_schema() -> MetaSchemaRef {
    let description = Some(
        "The SHA-256 of the media, in hexadecimal digits. With a media file, it is verified. Without one, it selects \
         media that this account already has. An empty text counts as absent.",
    );
    // Swagger UI fills forms in with examples.
    let example = Some(serde_json::json!(""));
    MetaSchemaRef::Inline(Box::new(MetaSchema { description, example, ..MetaSchema::new("string") }))
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
                ("mediaFile", media),
                ("content", content_schema()),
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
pub(super) fn form_reader(request: &Request, body: &mut RequestBody) -> poem::Result<MultipartReader> {
    let content_type = request.content_type().unwrap_or_default();
    Ok(MultipartReader::new(content_type, body.take()?).map_err(ApiError::from)?)
}

/// Implements the payload of a body without media, which is read into memory as a whole.
macro_rules! text_payload {
    ($name:ident, $content_type:literal, $schema:expr) => {
        impl Payload for $name {
            const CONTENT_TYPE: &'static str = $content_type;

            fn check_content_type(content_type: &str) -> bool {
                content_type::is_of(content_type, Self::CONTENT_TYPE)
            }

            fn schema_ref() -> MetaSchemaRef {
                $schema
            }

            fn register(registry: &mut Registry) {
                ProjectMetadata::register(registry);
            }
        }

        impl ParsePayload for $name {
            const IS_REQUIRED: bool = true;

            async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
                let state = State::of(request);
                let max = text_body_bytes_max(as_usize(state.store.settings().notes_bytes_max));
                match body.take()?.into_bytes_limit(max).await {
                    Ok(bytes) => Ok(Self(bytes)),
                    Err(ReadBodyError::PayloadTooLarge) => {
                        let message = format!("the body exceeds {max} bytes");
                        Err(ApiError::new(Code::TooLarge, message).into())
                    }
                    Err(error) => {
                        Err(ApiError::bad_request("the body cannot be read").caused_by(error).into())
                    }
                }
            }
        }
    };
}

text_payload!(
    UploadJson,
    "application/json",
    schema(
        vec![
            ("metadata", ProjectMetadata::schema_ref()),
            ("content", content_schema()),
            ("mediaDigest", digest_schema()),
        ],
        vec!["content", "metadata"],
    )
);

text_payload!(
    UploadUrlencoded,
    "application/x-www-form-urlencoded",
    schema(
        vec![
            ("metadata", text_schema(None, "The metadata: a JSON object.")),
            ("content", content_schema()),
            ("mediaDigest", digest_schema()),
        ],
        vec!["content", "metadata"],
    )
);
