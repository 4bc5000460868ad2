//! The request bodies of a save, in all the forms that clients of several years send.
//!
//! A body is an [`Upload`], not yet read; what is read of it becomes [`UploadTexts`], and these a
//! [`SaveRequest`](notestamp_store::SaveRequest). The media goes to the store as it arrives, see
//! `api::receive_upload`.

mod form;
pub(crate) mod json;
pub(crate) mod limits;
pub(crate) mod placeholder;
pub(crate) mod project_form;
mod schema;
mod texts;
pub(crate) mod urlencoded;

use poem::Body;
use poem_openapi::ApiRequest;

pub(crate) use form::{NotesPart, UploadForm};
pub(crate) use json::UploadJson;
pub(crate) use limits::UploadLimits;
pub(crate) use texts::UploadTexts;
pub(crate) use urlencoded::UploadUrlencoded;

use crate::http::multipart::MultipartReader;

/// The field with the media.
pub(crate) const MEDIA_FILE: &str = "mediaFile";

/// The field with the notes, in the dialect of `/home`.
const CONTENT: &str = "content";

/// A save's body, in any form of any dialect.
pub(crate) enum Upload {
    /// A form with files: its parts, and which of them holds the notes.
    Form(Box<MultipartReader>, NotesPart),
    /// JSON.
    Json(Body),
    /// A form without files.
    Urlencoded(Body),
}

/// The body of a save.
#[derive(ApiRequest)]
pub(crate) enum UploadBody {
    /// Media, notes and metadata, in any order.
    Multipart(UploadForm),
    /// Notes and metadata as JSON, from older clients.
    Json(UploadJson),
    /// Notes and metadata as a form, from older clients.
    Form(UploadUrlencoded),
}

impl From<UploadBody> for Upload {
    fn from(body: UploadBody) -> Self {
        match body {
            UploadBody::Multipart(UploadForm(form)) => {
                Self::Form(form, NotesPart { name: CONTENT, is_file: false })
            }
            UploadBody::Json(UploadJson(body)) => Self::Json(body),
            UploadBody::Form(UploadUrlencoded(body)) => Self::Urlencoded(body),
        }
    }
}
