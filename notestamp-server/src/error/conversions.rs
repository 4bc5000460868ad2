//! Where an outcome of the store, of a parser or of the framework becomes an error with a code.

use notestamp_store::Error as StoreError;
use poem::http::StatusCode;

use super::api_error::ApiError;
use super::code::Code;
use crate::config::RETRY_AFTER;
use crate::entity_tags;
use crate::http::entity_tag::MalformedPrecondition;
use crate::http::multipart::MultipartError;

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NoSuchAccount | StoreError::SessionEnded => Self::unauthorized(),
            StoreError::NoSuchProject | StoreError::NoSuchVersion => Self::new(Code::NotFound, message),
            StoreError::TitleTaken => Self::new(Code::TitleTaken, message),
            StoreError::EmailTaken => Self::new(Code::EmailTaken, message),
            StoreError::Invalid(_) => Self::bad_request(message),
            StoreError::PreconditionFailed { current } => {
                Self::precondition_failed(current.map(entity_tags::of_revision).as_ref())
            }
            StoreError::MediaNeeded => Self::new(Code::MediaNeeded, message),
            StoreError::MediaDiffers => Self::new(Code::MediaDiffers, message),
            StoreError::DigestMismatch => Self::new(Code::DigestMismatch, message),
            StoreError::TooLarge { .. } => Self::new(Code::TooLarge, message),
            StoreError::FileTooLarge { .. } => {
                Self::new(Code::TooLarge, "the server's storage cannot hold a file of this size")
                    .caused_by(error)
            }
            StoreError::UploadExpired => Self::new(Code::UploadExpired, message),
            StoreError::QuotaExceeded { .. } => Self::new(Code::QuotaExceeded, message),
            StoreError::TooManyProjects { .. } => Self::new(Code::TooManyProjects, message),
            StoreError::TooManyUploads { .. } | StoreError::TooManyExports { .. } => {
                Self::retry_after(Code::TooManyRequests, message, RETRY_AFTER)
            }
            StoreError::Full { .. } => {
                Self::new(Code::StorageFull, "the server's storage is full").caused_by(error)
            }
            StoreError::ForeignStore { .. } => Self::store_mismatch().caused_by(error),
            StoreError::Restoring => Self::restoring(),
            StoreError::OutOfMemory => Self::out_of_memory(),
            StoreError::Unavailable { .. } => Self::storage_unavailable().caused_by(error),
            StoreError::Body(source) => {
                // If our own body parser has failed, its error is more exact than the one below.
                match source.downcast::<ApiError>() {
                    Ok(error) => *error,
                    Err(source) => Self::bad_request("the connection was closed before the end of the body")
                        .caused_by(source),
                }
            }
            StoreError::Corrupt(_) => Self::new(Code::Damaged, "the stored data is damaged").caused_by(error),
            _ => Self::new(Code::Internal, "internal error").caused_by(error),
        }
    }
}

/// Errors of the framework, which come before or instead of one of our operations.
impl From<poem::Error> for ApiError {
    fn from(error: poem::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(other) => other,
        };
        let message = error.to_string();
        match error.status() {
            StatusCode::UNAUTHORIZED => Self::unauthorized(),
            StatusCode::NOT_FOUND => Self::new(Code::NotFound, "this path does not exist"),
            StatusCode::METHOD_NOT_ALLOWED => {
                Self::new(Code::MethodNotAllowed, "this path does not support this method")
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(Code::UnsupportedMediaType, message),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::TooLarge, message),
            status if status.is_client_error() => Self::bad_request(message),
            _ => Self::new(Code::Internal, "internal error").caused_by(message),
        }
    }
}

impl From<MalformedPrecondition> for ApiError {
    fn from(error: MalformedPrecondition) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<MultipartError> for ApiError {
    fn from(error: MultipartError) -> Self {
        let message = error.to_string();
        match error {
            MultipartError::NotMultipart => Self::new(Code::UnsupportedMediaType, message),
            MultipartError::TooLarge { .. } => Self::new(Code::TooLarge, message),
            MultipartError::Malformed(_)
            | MultipartError::TooManyParts { .. }
            | MultipartError::DuplicatePart { .. } => Self::bad_request(message),
            // `BodyGuard` replaces this response if the body was too large, too slow, or broke off.
            MultipartError::Body(_) => Self::bad_request(message).caused_by(error),
        }
    }
}
