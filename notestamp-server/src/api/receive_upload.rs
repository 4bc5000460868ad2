//! Receives the body of a save: its media into the store as it arrives, its other fields into memory.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use notestamp_store::Save;
use poem::Body;

use super::background::in_background;
use super::body_memory::BodyMemory;
use crate::error::{ApiError, Code};
use crate::http::multipart::{MultipartError, MultipartReader, Part};
use crate::wire::upload::limits::DIGEST_BYTES_MAX;
use crate::wire::upload::placeholder::{PLACEHOLDER_BYTES_MAX, is_placeholder, media_is_no_file};
use crate::wire::upload::{MEDIA_FILE, NotesPart, Upload, UploadLimits, UploadTexts, json, urlencoded};

/// Receives a body; media is written into `save` as it arrives.
///
/// # Errors
/// 400, 408, 413, and those of the store.
pub(crate) async fn receive(
    upload: Upload,
    save: &mut Save,
    limits: UploadLimits,
    memory: &mut BodyMemory,
) -> Result<UploadTexts, ApiError> {
    match upload {
        Upload::Form(form, notes) => receive_form(*form, notes, save, limits, memory).await,
        Upload::Json(body) => {
            let body = read(body, limits, memory).await?;
            in_background(body.len(), move || json::parse(&body)).await
        }
        Upload::Urlencoded(body) => {
            let body = read(body, limits, memory).await?;
            in_background(body.len(), move || urlencoded::parse(&body)).await
        }
    }
}

/// How many copies of a JSON text or a form its parser holds at once: the text, and the content of its fields.
const COPIES: usize = 2;

/// Reads a body without media into memory.
async fn read(body: Body, limits: UploadLimits, memory: &mut BodyMemory) -> Result<Bytes, ApiError> {
    let bytes_max = limits.object_bytes_max();
    let mut read = BytesMut::new();
    let mut chunks = body.into_bytes_stream();
    let broken = |error| ApiError::bad_request("the body cannot be read").caused_by(error);
    while let Some(chunk) = memory.wait_for(chunks.try_next()).await?.map_err(broken)? {
        if chunk.len() > bytes_max - read.len() {
            return Err(ApiError::new(Code::TooLarge, format!("the body exceeds {bytes_max} bytes")));
        }
        memory.add(COPIES * chunk.len()).await?;
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

/// Reads the text of a part into memory, where it will be held in this many copies.
async fn read_text(
    mut part: Part<'_>,
    bytes_max: usize,
    copies: usize,
    memory: &mut BodyMemory,
) -> Result<Bytes, ApiError> {
    let mut read = BytesMut::new();
    while let Some(chunk) = memory.wait_for(part.chunk()).await?? {
        if chunk.len() > bytes_max - read.len() {
            return Err(part.too_large(bytes_max).into());
        }
        memory.add(copies * chunk.len()).await?;
        read.extend_from_slice(&chunk);
    }
    Ok(read.freeze())
}

async fn receive_form(
    mut form: MultipartReader,
    notes: NotesPart,
    save: &mut Save,
    limits: UploadLimits,
    memory: &mut BodyMemory,
) -> Result<UploadTexts, ApiError> {
    let mut texts = UploadTexts::new(notes.name);
    while let Some(part) = memory.wait_for(form.next_part()).await?? {
        match part.name() {
            MEDIA_FILE => receive_media(part, save, memory).await?,
            name if name == notes.name => {
                let (is_file, has_file_name) = (part.is_file(), part.has_file_name());
                let content = read_text(part, limits.notes_bytes_max, 1, memory).await?;
                let is_absent = match is_file {
                    true => !has_file_name && content.is_empty(),
                    false => is_placeholder(&content),
                };
                if !(notes.is_file && is_absent) {
                    texts.set_notes(content);
                }
            }
            "metadata" => {
                let json = read_text(part, limits.metadata_bytes_max(), COPIES, memory).await?;
                texts = in_background(json.len(), move || {
                    texts.set_metadata(&json)?;
                    Ok(texts)
                })
                .await?;
            }
            "mediaDigest" => {
                let text = memory.wait_for(part.text(DIGEST_BYTES_MAX)).await??;
                texts.set_media_digest(&String::from_utf8_lossy(&text))?;
            }
            // Unknown parts are ignored: a newer client may send more than this server knows.
            _ => {}
        }
    }
    if notes.is_file {
        texts.use_notes_in_metadata()?;
    }
    Ok(texts)
}

/// Receives the media part. A file part is the media, whatever its content type, unless it has neither a file name nor
/// bytes, which an empty file input sends. A placeholder text means no media; any other text is refused, because it may
/// be media that was sent wrongly, and would be lost.
async fn receive_media(mut part: Part<'_>, save: &mut Save, memory: &BodyMemory) -> Result<(), ApiError> {
    if !part.is_file() {
        return match memory.wait_for(part.text(PLACEHOLDER_BYTES_MAX)).await? {
            Ok(text) if is_placeholder(&text) => Ok(()),
            Ok(_) | Err(MultipartError::TooLarge { .. }) => Err(media_is_no_file()),
            Err(error) => Err(error.into()),
        };
    }
    let first = memory.wait_for(part.chunk()).await??;
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
