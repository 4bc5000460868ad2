//! Errors become responses here: one JSON shape, one table of codes.

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use notestamp_store::{Error as StoreError, error_chain};
use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiResponse, Object};

use crate::entity_tags;
use crate::http::entity_tag::{EntityTag, MalformedPrecondition};
use crate::http::multipart::MultipartError;
use crate::log_limit::LogLimit;

/// The body of every error response.
#[derive(Debug, Object, serde::Serialize)]
#[oai(read_only_all, rename = "Error")]
pub struct ErrorBody {
    /// The kind of error, for programs: one of a fixed set of words.
    pub code: String,
    /// The error in words, for people.
    pub message: String,
    /// The id of this request in the server's log.
    #[oai(rename = "requestId")]
    #[serde(rename = "requestId")]
    pub request_id: String,
}

/// The kinds of errors that clients can tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
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
    MediaNeeded,
    MediaDiffers,
    PreconditionFailed,
    TooLarge,
    UnsupportedMediaType,
    RangeNotSatisfiable,
    TooManyRequests,
    Internal,
    Damaged,
    Unavailable,
    Busy,
    StoreMismatch,
    StorageFull,
    /// For the readiness check only: the storage is full, though reads still work. Hence 503, not 507.
    NotReadyStorageFull,
    QuotaExceeded,
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
            Self::MediaNeeded => (StatusCode::CONFLICT, "media_needed"),
            Self::MediaDiffers => (StatusCode::CONFLICT, "media_differs"),
            Self::PreconditionFailed => (StatusCode::PRECONDITION_FAILED, "precondition_failed"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::RangeNotSatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, "range_not_satisfiable"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            Self::Damaged => (StatusCode::INTERNAL_SERVER_ERROR, "damaged"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::StoreMismatch => (StatusCode::SERVICE_UNAVAILABLE, "store_mismatch"),
            Self::StorageFull => (StatusCode::INSUFFICIENT_STORAGE, "storage_full"),
            Self::NotReadyStorageFull => (StatusCode::SERVICE_UNAVAILABLE, "storage_full"),
            Self::QuotaExceeded => (StatusCode::INSUFFICIENT_STORAGE, "quota_exceeded"),
        }
    }

    /// The status of the response.
    pub const fn status(self) -> StatusCode {
        self.of().0
    }

    /// The `code` in the body of the response, for programs.
    pub const fn as_str(self) -> &'static str {
        self.of().1
    }
}

/// An error on its way to a client: `code`, `message` and `headers` are sent, `cause` is only logged.
#[derive(Debug)]
pub struct ApiError {
    code: Code,
    message: String,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The challenge that every 401 carries (RFC 9110, 11.6.1): the cookies that a sign-in sets are needed. Browsers show
/// no password dialog for it, as they would for `Basic`.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Cookie realm=\"notestamp\"");

/// How long a client should wait before it retries while a backend is unavailable.
const RETRY_AFTER: Duration = Duration::from_secs(2);

impl ApiError {
    /// An error with this code; clients see `message`.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), headers: Vec::new(), cause: None }
    }

    /// 400: a request that cannot be understood.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// 401: the request has no valid session.
    pub fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "not signed in, or the session has ended")
    }

    /// A temporary failure: a retry may succeed after `after`, which `Retry-After` tells in whole seconds.
    pub fn retry_after(code: Code, message: impl Into<String>, after: Duration) -> Self {
        let seconds = after.as_secs_f64().ceil().max(1.0);
        Self::new(code, message).with_header(header::RETRY_AFTER, &format!("{seconds:.0}"))
    }

    /// 503: a store is unavailable; a retry may succeed.
    pub fn storage_is_away() -> Self {
        Self::retry_after(Code::Unavailable, "the storage is temporarily unavailable", RETRY_AFTER)
    }

    /// 412: the preconditions of the request do not hold. `current` is the present entity tag; absent where nothing
    /// exists.
    pub fn precondition_failed(current: Option<&EntityTag>) -> Self {
        let error =
            Self::new(Code::PreconditionFailed, "the precondition does not hold: the resource has changed");
        match current {
            Some(tag) => error.with_header(header::ETAG, &tag.to_string()),
            None => error,
        }
    }

    /// A blob store belongs to another store than the records do.
    pub fn store_mismatch() -> Self {
        let message = "a blob store does not belong to the record store";
        Self::retry_after(Code::StoreMismatch, message, RETRY_AFTER)
    }

    /// 503 of the readiness check: the storage is full.
    pub fn not_ready_storage_full() -> Self {
        Self::retry_after(Code::NotReadyStorageFull, "the server's storage is full", RETRY_AFTER)
    }

    /// Adds the cause, which is logged and never sent.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("headers of errors are made of safe characters");
        self.headers.push((name, value));
        self
    }

    /// A header of the response.
    #[cfg(test)]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str().ok())
    }

    /// The kind of error.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The response to a client. Only here is the error logged, with its cause.
    pub fn to_response(&self, request_id: &str) -> Response {
        self.log(request_id, &STORMS);
        let status = self.code.status();
        let (code, message) = (self.code.as_str(), &self.message);
        let body =
            ErrorBody { code: code.to_owned(), message: message.clone(), request_id: request_id.to_owned() };
        let mut response = poem::web::Json(body).with_status(status).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

/// Limits the log to one line per second for each of the codes that come in storms: one cause, such as an unavailable
/// backend, makes many requests fail alike.
struct StormLimits {
    unavailable: LogLimit,
    busy: LogLimit,
    too_many_requests: LogLimit,
    storage_full: LogLimit,
    not_ready: LogLimit,
}

static STORMS: StormLimits = StormLimits::new();

impl StormLimits {
    const fn new() -> Self {
        Self {
            unavailable: LogLimit::per_second(),
            busy: LogLimit::per_second(),
            too_many_requests: LogLimit::per_second(),
            storage_full: LogLimit::per_second(),
            not_ready: LogLimit::per_second(),
        }
    }

    /// The limit of a code; absent for a code whose every error is logged.
    fn of(&self, code: Code) -> Option<&LogLimit> {
        match code {
            Code::Unavailable => Some(&self.unavailable),
            Code::Busy => Some(&self.busy),
            Code::TooManyRequests => Some(&self.too_many_requests),
            Code::StorageFull => Some(&self.storage_full),
            Code::StoreMismatch | Code::NotReadyStorageFull => Some(&self.not_ready),
            _ => None,
        }
    }
}

impl ApiError {
    fn log(&self, request_id: &str, storms: &StormLimits) {
        let left_out = match storms.of(self.code).map(LogLimit::admit) {
            Some(None) => return,
            Some(Some(left_out)) => left_out,
            None => 0,
        };
        let (code, message) = (self.code.as_str(), &self.message);
        let cause = self.cause.as_deref().map(|cause| error_chain(cause));
        let status = self.code.status();
        match self.code {
            // A retry may succeed, so the operator has nothing to repair.
            _ if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) => {
                tracing::warn!(request_id, code, message, cause, left_out, "request refused temporarily");
            }
            // A full account concerns its owner, not the operator.
            Code::QuotaExceeded => tracing::debug!(request_id, code, message, cause, "request refused"),
            _ if status.is_server_error() => {
                tracing::error!(request_id, code, message, cause, left_out, "request failed");
            }
            _ => tracing::debug!(request_id, code, message, cause, "request refused"),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.code.status()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NoSuchAccount | StoreError::SessionEnded => Self::unauthorized(),
            StoreError::NoSuchProject => Self::new(Code::NotFound, message),
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
            StoreError::Full { .. } => {
                Self::new(Code::StorageFull, "the server's storage is full").caused_by(error)
            }
            StoreError::ForeignStore { .. } => Self::store_mismatch().caused_by(error),
            StoreError::Unavailable { .. } => Self::storage_is_away().caused_by(error),
            StoreError::Body(source) => {
                // An error of our own body parser says more than that the body is incomplete.
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

/// An error that an operation may return: its status is one of those that the operation documents.
pub struct Failed<O> {
    error: ApiError,
    operation: PhantomData<fn() -> O>,
}

/// The error statuses that an operation documents.
pub trait Failures {
    /// In ascending order, without those of `ANY_OPERATION`.
    const STATUSES: &'static [u16];
}

/// Declares the errors of operations: a name, and the statuses besides those of `ANY_OPERATION`.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident: $($status:literal)*;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl $crate::error::Failures for $name {
            const STATUSES: &'static [u16] = &[$($status),*];
        }
    )*};
}
pub(crate) use failures;

impl<O> From<ApiError> for Failed<O> {
    fn from(error: ApiError) -> Self {
        Self { error, operation: PhantomData }
    }
}

impl<O> From<StoreError> for Failed<O> {
    fn from(error: StoreError) -> Self {
        ApiError::from(error).into()
    }
}

impl<O: Failures> From<Failed<O>> for poem::Error {
    fn from(failed: Failed<O>) -> Self {
        let status = failed.error.status().as_u16();
        debug_assert!(
            O::STATUSES.contains(&status) || ANY_OPERATION.contains(&status),
            "{} returns {status}, which it does not document: {}",
            std::any::type_name::<O>(),
            failed.error,
        );
        failed.error.into()
    }
}

/// The error statuses that every operation may return.
const ANY_OPERATION: &[u16] = &[500, 503];

impl<O: Failures> ApiResponse for Failed<O> {
    fn meta() -> MetaResponses {
        let mut statuses = [O::STATUSES, ANY_OPERATION].concat();
        statuses.sort_unstable();
        statuses.dedup();
        MetaResponses { responses: statuses.into_iter().map(describe).collect() }
    }

    fn register(registry: &mut Registry) {
        ErrorBody::register(registry);
    }
}

fn describe(status: u16) -> MetaResponse {
    let description = match status {
        400 => "The request is malformed, or a value in it is invalid.",
        401 => "The request has no valid session, or the password is wrong.",
        403 => "The request came from a page whose origin is not allowed.",
        404 => "The resource does not exist.",
        408 => "The body arrived too slowly, or the upload took too long.",
        409 => "The request conflicts with the present state; `code` names the conflict.",
        412 => "A precondition of the request does not hold.",
        413 => "The body, or a part of it, exceeds its limit.",
        415 => "The body has a media type that this operation does not support.",
        416 => "The range is beyond the end of the media.",
        429 => "Too many failed attempts; try again later.",
        500 => "An internal error of the server.",
        503 => "A store is unavailable, or the server is overloaded; try again later.",
        507 => "The storage is full, or the account's quota is used up.",
        _ => "An error.",
    };
    let content_type = "application/json; charset=utf-8";
    let content = vec![MetaMediaType { content_type, schema: ErrorBody::schema_ref() }];
    let header = |name: &str, description: &str| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        schema: String::schema_ref(),
    };
    let headers = match status {
        401 => vec![header(
            "WWW-Authenticate",
            "The authentication scheme, which is the session's cookies: `Cookie realm=\"notestamp\"`.",
        )],
        412 => vec![header("ETag", "The current entity tag; absent if the resource does not exist.")],
        416 => vec![header("Content-Range", "The size of the media, in bytes: `bytes */N`.")],
        429 | 503 => vec![header("Retry-After", "The number of seconds to wait before the next attempt.")],
        _ => Vec::new(),
    };
    MetaResponse { description, status: Some(status), status_range: None, content, headers }
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::{Event, Level, Subscriber};
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};

    use super::*;

    /// The level of each logged event.
    #[derive(Clone, Default)]
    struct Levels(Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            self.0.lock().unwrap().push(*event.metadata().level());
        }
    }

    /// The levels that are logged when errors of these codes become responses, one after the other.
    fn logged(codes: impl IntoIterator<Item = Code>) -> Vec<Level> {
        let levels = Levels::default();
        let subscriber = tracing_subscriber::registry().with(levels.clone());
        let storms = StormLimits::new();
        tracing::subscriber::with_default(subscriber, || {
            for code in codes {
                ApiError::new(code, "a message").log("0123456789abcdef", &storms);
            }
        });
        let levels = levels.0.lock().unwrap();
        levels.clone()
    }

    #[test]
    fn only_errors_that_need_the_operator_are_logged_as_errors() {
        for (code, level) in [
            (Code::Internal, Level::ERROR),
            (Code::StorageFull, Level::ERROR),
            (Code::Unavailable, Level::WARN),
            (Code::Busy, Level::WARN),
            (Code::TooManyRequests, Level::WARN),
            (Code::QuotaExceeded, Level::DEBUG),
            (Code::TooLarge, Level::DEBUG),
            (Code::Unauthorized, Level::DEBUG),
        ] {
            assert_eq!(logged([code]), [level], "{code:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_one_code_is_one_line_and_hides_no_other_code() {
        let storm = [Code::Unavailable; 100].into_iter().chain([Code::Busy; 100]).chain([Code::Internal; 2]);
        assert_eq!(logged(storm), [Level::WARN, Level::WARN, Level::ERROR, Level::ERROR]);
    }
}
