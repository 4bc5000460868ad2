//! The fields of a save besides the media file.

use bytes::Bytes;
use notestamp_store::{Digest, Error as StoreError, Notes, Precondition, SaveRequest, Timestamp};
use serde_json::value::RawValue;

use crate::error::ApiError;
use crate::wire::metadata::MetadataInput;

/// The fields that have arrived; of two fields with one name the last wins.
pub(crate) struct UploadTexts {
    /// The client's name for the notes, for messages.
    notes_name: &'static str,
    /// Not yet validated.
    notes: Option<Bytes>,
    metadata: Option<MetadataInput>,
    media_digest: Option<Digest>,
}

impl UploadTexts {
    /// No field has arrived yet. Messages call the notes `notes_name`.
    pub(crate) fn new(notes_name: &'static str) -> Self {
        Self { notes_name, notes: None, metadata: None, media_digest: None }
    }

    /// How many bytes of notes there are to validate.
    pub(crate) fn notes_len(&self) -> usize {
        self.notes.as_ref().map_or(0, Bytes::len)
    }

    /// Sets the notes, which [`into_request`](Self::into_request) validates.
    pub(crate) fn set_notes(&mut self, notes: Bytes) {
        self.notes = Some(notes);
    }

    /// Parses the metadata, a JSON object.
    ///
    /// # Errors
    /// 400 if it cannot be read.
    pub(crate) fn set_metadata(&mut self, json: &[u8]) -> Result<(), ApiError> {
        self.metadata = Some(MetadataInput::parse(json).map_err(StoreError::from)?);
        Ok(())
    }

    /// Sets the metadata to fields that came one by one, unless it has come as a whole.
    pub(super) fn set_flat_metadata(&mut self, fields: MetadataInput) {
        self.metadata.get_or_insert(fields);
    }

    /// Parses the digest of the media; empty means absent.
    ///
    /// # Errors
    /// 400 if it is not a digest.
    pub(crate) fn set_media_digest(&mut self, text: &str) -> Result<(), ApiError> {
        self.media_digest = match text.trim() {
            "" => None,
            digits => Some(digits.parse().map_err(StoreError::from)?),
        };
        Ok(())
    }

    /// Uses the notes in the metadata if no others have come: clients send back what they received.
    ///
    /// # Errors
    /// 400 if they are a JSON string that is not Unicode.
    pub(crate) fn use_notes_in_metadata(&mut self) -> Result<(), ApiError> {
        let in_metadata = self.metadata.as_mut().and_then(MetadataInput::take_notes);
        if self.notes.is_none() {
            let in_metadata = in_metadata.filter(|notes| notes.get() != "null");
            self.notes = in_metadata.map(|notes| json_text(&notes)).transpose()?;
        }
        Ok(())
    }

    /// Validates the fields. `now` replaces an absent or invalid time in the metadata.
    ///
    /// # Errors
    /// 400 if the notes or the metadata are missing or invalid.
    pub(crate) fn into_request(
        self,
        precondition: Precondition,
        now: Timestamp,
    ) -> Result<SaveRequest, ApiError> {
        let missing = |what| ApiError::bad_request(format!("{what} is missing"));
        let metadata = self.metadata.ok_or_else(|| missing("metadata"))?;
        let notes = self.notes.ok_or_else(|| missing(self.notes_name))?;
        Ok(SaveRequest {
            metadata: metadata.into_metadata(now).map_err(StoreError::from)?,
            notes: Notes::parse(notes).map_err(StoreError::from)?,
            media_digest: self.media_digest,
            precondition,
        })
    }
}

/// Returns the content of a JSON string, or the JSON text of any other value.
pub(super) fn json_text(value: &RawValue) -> Result<Bytes, ApiError> {
    match serde_json::from_str::<String>(value.get()) {
        Ok(text) => Ok(text.into()),
        Err(_) if value.get().starts_with('"') => {
            Err(ApiError::bad_request("a text contains an invalid character"))
        }
        Err(_) => Ok(value.get().to_owned().into()),
    }
}
