//! How large the body of a save and its fields may be.

use crate::config::Limits;

/// The longest `mediaDigest`, in bytes: a digest has 64 digits, and may have white space around it.
pub(crate) const DIGEST_BYTES_MAX: usize = 1 << 10;

/// The limits that follow from the largest notes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    /// How many bytes the notes may have.
    pub(crate) notes_bytes_max: usize,
}

impl UploadLimits {
    /// The limits if notes may have `notes_bytes_max` bytes.
    pub(crate) fn new(notes_bytes_max: u64) -> Self {
        // So much that the limits below do not overflow.
        let most = usize::MAX / 8;
        Self { notes_bytes_max: usize::try_from(notes_bytes_max).unwrap_or(most).min(most) }
    }

    /// How many bytes the metadata may have in a request. The stored metadata has a separate, smaller limit, but
    /// clients send back what they received, notes included, and escapes may make those longer.
    pub(crate) fn metadata_bytes_max(self) -> usize {
        2 * self.notes_bytes_max + (64 << 10)
    }

    /// How many bytes a JSON object or a form without files may have: the notes, which escapes may make longer, and the
    /// other fields.
    pub(crate) fn object_bytes_max(self) -> usize {
        2 * self.notes_bytes_max + (64 << 10)
    }
}

/// How many bytes any body may have: media, texts, and the delimiters and headers of a form's parts.
pub(crate) fn body_bytes_max(limits: &Limits) -> u64 {
    let texts = UploadLimits::new(limits.notes_bytes_max);
    let texts = 2 * texts.notes_bytes_max + texts.metadata_bytes_max();
    limits.media_bytes_max.saturating_add(texts as u64)
}
