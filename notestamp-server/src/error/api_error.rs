//! An error as a client gets it: one JSON shape for all.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use poem::error::ResponseError;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{IntoResponse, Response};
use poem_openapi::Object;

use super::code::Code;
use super::log::log;
use crate::config::RETRY_AFTER;
use crate::http::entity_tag::EntityTag;

/// The body of every error response.
#[derive(Debug, Object, serde::Serialize)]
#[oai(read_only_all, rename = "Error")]
pub(crate) struct ErrorBody {
    /// The kind of error, for programs: one of a fixed set of words.
    pub(crate) code: String,
    /// The error in words, for people.
    pub(crate) message: String,
    /// The id of this request in the server's log.
    #[oai(rename = "requestId")]
    #[serde(rename = "requestId")]
    pub(crate) request_id: String,
}

/// An error on its way to a client: `code`, `message` and `headers` are sent, `cause` is only logged.
#[derive(Debug)]
pub(crate) struct ApiError {
    code: Code,
    message: String,
    headers: Vec<(header::HeaderName, HeaderValue)>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

/// The challenge that every 401 carries (RFC 9110, 11.6.1): the cookies that a sign-in sets are needed. Browsers show
/// no password dialog for it, as they would for `Basic`.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Cookie realm=\"notestamp\"");

impl ApiError {
    /// An error with this code; clients see `message`.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), headers: Vec::new(), cause: None }
    }

    /// 400: a request that cannot be understood.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// 401: the request has no valid session.
    pub(crate) fn unauthorized() -> Self {
        Self::new(Code::Unauthorized, "not signed in, or the session has ended")
    }

    /// A temporary failure: a retry may succeed after `after`, which `Retry-After` tells in whole seconds.
    pub(crate) fn retry_after(code: Code, message: impl Into<String>, after: Duration) -> Self {
        let seconds = after.as_secs_f64().ceil().max(1.0);
        Self::new(code, message).with_header(header::RETRY_AFTER, &format!("{seconds:.0}"))
    }

    /// 500: a response cannot be serialized as JSON.
    pub(crate) fn unserializable(error: serde_json::Error) -> Self {
        Self::new(Code::Internal, "the response cannot be written").caused_by(error)
    }

    /// 503: other requests hold all the memory that this one may use.
    pub(crate) fn out_of_memory() -> Self {
        Self::retry_after(Code::Busy, "too many large requests at once; try again later", RETRY_AFTER)
    }

    /// 503: a store is unavailable; a retry may succeed.
    pub(crate) fn storage_unavailable() -> Self {
        Self::retry_after(Code::Unavailable, "the storage is temporarily unavailable", RETRY_AFTER)
    }

    /// 412: the preconditions of the request do not hold. `current` is the present entity tag; absent if nothing
    /// exists.
    pub(crate) fn precondition_failed(current: Option<&EntityTag>) -> Self {
        let error =
            Self::new(Code::PreconditionFailed, "the precondition does not hold: the resource has changed");
        match current {
            Some(tag) => error.with_header(header::ETAG, &tag.to_string()),
            None => error,
        }
    }

    /// A blob store belongs to another store than the records do.
    pub(crate) fn store_mismatch() -> Self {
        let message = "a blob store does not belong to the record store";
        Self::retry_after(Code::StoreMismatch, message, RETRY_AFTER)
    }

    /// A backup is being restored.
    pub(crate) fn restoring() -> Self {
        Self::retry_after(Code::Restoring, "a backup is being restored", RETRY_AFTER)
    }

    /// 503 of the readiness check: the storage is full.
    pub(crate) fn not_ready_storage_full() -> Self {
        Self::retry_after(Code::NotReadyStorageFull, "the server's storage is full", RETRY_AFTER)
    }

    /// Adds the cause, which is logged and never sent.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds a header to the response.
    #[must_use]
    pub(crate) fn with_header(mut self, name: header::HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("headers of errors are made of safe characters");
        self.headers.push((name, value));
        self
    }

    /// A header of the response.
    #[cfg(test)]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.and_then(|(_, value)| value.to_str().ok())
    }

    /// The code of the error.
    #[cfg(test)]
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// The response to a client. Only here is the error logged, with its cause.
    pub(crate) fn to_response(&self, request_id: &str) -> Response {
        log(request_id, self.code, &self.message, self.cause.as_deref().map(|cause| cause as _));
        let status = self.code.status();
        let (code, message) = (self.code.as_str(), &self.message);
        let body =
            ErrorBody { code: code.to_owned(), message: message.clone(), request_id: request_id.to_owned() };
        let mut response = poem::web::Json(body).with_status(status).into_response();
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        // For the metrics.
        response.extensions_mut().insert(self.code);
        for (name, value) in &self.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}

/// The body of the error response to a connection that is refused before its request has been read. It has its own
/// request id.
pub(crate) fn body_below_http(status: StatusCode, request_id: &str) -> String {
    let (code, message) = match status {
        StatusCode::TOO_MANY_REQUESTS => (Code::TooManyRequests, "too many connections from this address"),
        StatusCode::SERVICE_UNAVAILABLE => (Code::Busy, "too many connections"),
        StatusCode::REQUEST_TIMEOUT => (Code::RequestTimeout, "the head of the request arrives too slowly"),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            (Code::HeadTooLarge, "the head of the request is too large")
        }
        _ => (Code::BadRequest, "the head of the request is malformed"),
    };
    let (code, request_id) = (code.as_str().to_owned(), request_id.to_owned());
    let body = ErrorBody { code, message: message.to_owned(), request_id };
    serde_json::to_string(&body).expect("three texts are valid JSON")
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
