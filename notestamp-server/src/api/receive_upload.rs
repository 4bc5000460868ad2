//! Receives the body of a save: its media into the store as it arrives, its other fields into memory.

use bytes::Bytes;
use notestamp_store::Save;
use poem::Body;
use poem::error::ReadBodyError;

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
) -> Result<UploadTexts, ApiError> {
    match upload {
        Upload::Form(form, notes) => receive_form(*form, notes, save, limits).await,
        Upload::Json(body) => json::parse(&read(body, limits).await?),
        Upload::Urlencoded(body) => urlencoded::parse(&read(body, limits).await?),
    }
}

/// Reads a body without media into memory.
async fn read(body: Body, limits: UploadLimits) -> Result<Bytes, ApiError> {
    let bytes_max = limits.text_body_bytes_max();
    body.into_bytes_limit(bytes_max).await.map_err(|error| match error {
        ReadBodyError::PayloadTooLarge => {
            ApiError::new(Code::TooLarge, format!("the body exceeds {bytes_max} bytes"))
        }
        error => ApiError::bad_request("the body cannot be read").caused_by(error),
    })
}

async fn receive_form(
    mut form: MultipartReader,
    notes: NotesPart,
    save: &mut Save,
    limits: UploadLimits,
) -> Result<UploadTexts, ApiError> {
    let mut texts = UploadTexts::new(notes.name);
    while let Some(part) = form.next_part().await? {
        match part.name() {
            MEDIA_FILE => receive_media(part, save).await?,
            name if name == notes.name => {
                let (is_file, has_file_name) = (part.is_file(), part.has_file_name());
                let content = part.text(limits.notes_bytes_max).await?;
                let is_absent = match is_file {
                    true => !has_file_name && content.is_empty(),
                    false => is_placeholder(&content),
                };
                if !(notes.is_file && is_absent) {
                    texts.set_notes(content);
                }
            }
            "metadata" => texts.set_metadata(&part.text(limits.metadata_bytes_max()).await?)?,
            "mediaDigest" => {
                let text = part.text(DIGEST_BYTES_MAX).await?;
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
async fn receive_media(mut part: Part<'_>, save: &mut Save) -> Result<(), ApiError> {
    if !part.is_file() {
        return match part.text(PLACEHOLDER_BYTES_MAX).await {
            Ok(text) if is_placeholder(&text) => Ok(()),
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
