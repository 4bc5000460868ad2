//! The codes of errors.

use poem::http::StatusCode;

/// The kinds of errors that clients can tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Code {
    BadRequest,
    DigestMismatch,
    MediaUnreadable,
    Unauthorized,
    BadCredentials,
    ForbiddenOrigin,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    UploadExpired,
    EmailTaken,
    TitleTaken,
    MediaNeeded,
    MediaDiffers,
    PreconditionFailed,
    TooLarge,
    HeadTooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    TooManyRequests,
    Internal,
    Damaged,
    Unavailable,
    Busy,
    StoreMismatch,
    Restoring,
    StorageFull,
    /// For the readiness check only: the storage is full, though reads still work. Hence 503, not 507.
    NotReadyStorageFull,
    QuotaExceeded,
    TooManyProjects,
}

impl Code {
    const fn of(self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::DigestMismatch => (StatusCode::BAD_REQUEST, "digest_mismatch"),
            Self::MediaUnreadable => (StatusCode::BAD_REQUEST, "media_unreadable"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::BadCredentials => (StatusCode::UNAUTHORIZED, "bad_credentials"),
            Self::ForbiddenOrigin => (StatusCode::FORBIDDEN, "forbidden_origin"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::RequestTimeout => (StatusCode::REQUEST_TIMEOUT, "request_timeout"),
            Self::UploadExpired => (StatusCode::REQUEST_TIMEOUT, "upload_expired"),
            Self::EmailTaken => (StatusCode::CONFLICT, "email_taken"),
            Self::TitleTaken => (StatusCode::CONFLICT, "title_taken"),
            Self::MediaNeeded => (StatusCode::CONFLICT, "media_needed"),
            Self::MediaDiffers => (StatusCode::CONFLICT, "media_differs"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::RangeNotSatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::StoreMismatch => (StatusCode::SERVICE_UNAVAILABLE, "store_mismatch"),
            Self::Restoring => (StatusCode::SERVICE_UNAVAILABLE, "restoring"),
            Self::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            Self::NotReadyStorageFull => (StatusCode::SERVICE_UNAVAILABLE, "storage_full"),
            Self::QuotaExceeded => (StatusCode::INSUFFICIENT_STORAGE, "quota_exceeded"),
            Self::TooManyProjects => (StatusCode::INSUFFICIENT_STORAGE, "too_many_projects"),
        }
    }

    /// The status of the response.
    pub(crate) const fn status(self) -> StatusCode {
        self.of().0
    }

    /// The `code` in the body of the response, for programs.
    pub(crate) const fn as_str(self) -> &'static str {
        self.of().1
    }
}
