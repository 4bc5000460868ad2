//! Forms as browsers send them by default.

use poem::{FromRequest as _, Request, RequestBody};
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{MetaSchemaRef, Registry};
use poem_openapi::types::Type;
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::http::{content_type, urlencoded};

/// An `application/x-www-form-urlencoded` body.
#[derive(Debug)]
pub(crate) struct Form<T>(pub(crate) T);

impl<T: DeserializeOwned> Form<T> {
    /// Parses the body of a form.
    ///
    /// # Errors
    /// 400 if it is not UTF-8, or if its fields do not match `T`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ApiError> {
        if !urlencoded::is_text(body) {
            return Err(ApiError::bad_request("the body is not UTF-8"));
        }
        let fields = serde_urlencoded::from_bytes(body);
        fields.map(Self).map_err(|e| ApiError::bad_request(format!("the body cannot be read: {e}")))
    }
}

impl<T: Type> Payload for Form<T> {
    const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

    fn check_content_type(content_type: &str) -> bool {
        content_type::is_of(content_type, Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: DeserializeOwned> ParsePayload for Form<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::parse(&Vec::<u8>::from_request(request, body).await?)?)
    }
}
