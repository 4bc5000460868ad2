//! The texts that clients send in place of a media file that they do not have.

use crate::error::{ApiError, Code};

/// The longest text that is read in place of a file, to see whether it is a placeholder.
pub(crate) const PLACEHOLDER_BYTES_MAX: usize = 64;

/// Returns whether a text stands for an absent file.
pub(crate) fn is_placeholder(text: &[u8]) -> bool {
    matches!(text.trim_ascii(), b"" | b"null" | b"undefined")
}

/// 400: the request has media in a form that the server cannot read; a save without it would lose the media.
pub(crate) fn media_is_no_file() -> ApiError {
    let message = "mediaFile is not a file: send it as a part of multipart/form-data, with a file name";
    ApiError::new(Code::MediaUnreadable, message)
}
