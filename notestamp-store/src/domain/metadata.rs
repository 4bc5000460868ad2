use super::extra_fields::json_len;
use super::{ExtraFields, InvalidValue, LastModified, Title};
use crate::clock::Timestamp;

/// The longest `src`, in bytes.
pub const SRC_BYTES_MAX: usize = 2 * 1024;

/// The properties of a project that its owner sets: six known fields, and any other fields that a media module stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The title, unique in the account.
    pub title: Title,
    /// The project's type, which names the media module that shows it: `audio`, `youtube`, `pdf`, …
    pub kind: String,
    /// The display name of the media module.
    pub label: String,
    /// The source of media that is not kept in this store; stored without validation, never fetched.
    pub src: String,
    /// The media type that the client claims for the media; it may be invalid.
    pub mimetype: String,
    /// When the owner last changed the project, as the client says.
    pub last_modified: LastModified,
    /// All other fields, stored as they came.
    pub extra: ExtraFields,
}

impl Metadata {
    /// Metadata with a title and nothing else, last modified `now`.
    pub fn new(title: Title, now: Timestamp) -> Self {
        let empty = String::new;
        let (kind, label, src, mimetype) = (empty(), empty(), empty(), empty());
        let last_modified = LastModified::at(now);
        Self { title, kind, label, src, mimetype, last_modified, extra: ExtraFields::default() }
    }

    /// Checks that `src` is not longer than [`SRC_BYTES_MAX`].
    ///
    /// # Errors
    /// If it is.
    pub fn check_src(&self) -> Result<(), InvalidValue> {
        match self.src.len() {
            0..=SRC_BYTES_MAX => Ok(()),
            _ => Err(InvalidValue::new("src", format!("is longer than {} KiB", SRC_BYTES_MAX / 1024))),
        }
    }

    /// How many bytes the texts take in a record store.
    pub fn stored_len(&self) -> u64 {
        let extra = self.extra.to_json();
        let texts = [
            self.title.as_str(),
            &self.kind,
            &self.label,
            &self.src,
            &self.mimetype,
            self.last_modified.as_str(),
            &extra,
        ];
        texts.iter().map(|text| text.len() as u64).sum()
    }

    /// The size as JSON, in bytes; [`METADATA_BYTES_MAX`](super::METADATA_BYTES_MAX) limits it.
    pub fn json_len(&self) -> usize {
        let text = |key: &str, value: &str| key.len() + json_len(value) + 4;
        text("title", self.title.as_str())
            + text("type", &self.kind)
            + text("label", &self.label)
            + text("src", &self.src)
            + text("mimetype", &self.mimetype)
            + text("lastModified", self.last_modified.as_str())
            + self.extra.json_len()
    }
}
