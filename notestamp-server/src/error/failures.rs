//! The errors that an operation may return, as its OpenAPI description lists them.

use std::marker::PhantomData;

use notestamp_store::Error as StoreError;
use poem::error::ResponseError as _;
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;

use super::api_error::{ApiError, ErrorBody};

/// An error that an operation may return: its status is one of those that the operation documents.
pub(crate) struct Failed<O> {
    error: ApiError,
    operation: PhantomData<fn() -> O>,
}

/// The error statuses that an operation documents.
pub(crate) trait Failures {
    /// In ascending order, without those of `ANY_OPERATION`.
    const STATUSES: &'static [u16];
}

/// Declares the errors of operations: a name, and the statuses besides those of `ANY_OPERATION`.
macro_rules! failures {
    ($($(#[$doc:meta])* $name:ident: $($status:literal)*;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name;

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
        429 => "Too many failed attempts, or too many uploads of the account in progress; try again later.",
        500 => "An internal error of the server.",
        503 => "A store is unavailable, or the server is overloaded; try again later.",
        507 => "The storage is full, the account's quota is used up, or the account has too many projects.",
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
