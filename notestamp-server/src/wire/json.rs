//! JSON bodies, serialized and parsed by serde, so that stored JSON texts are sent exactly as they were received.

use std::marker::PhantomData;

use bytes::Bytes;
use poem::http::StatusCode;
use poem::{Body, FromRequest as _, IntoResponse, Request, RequestBody, Response};
use poem_openapi::ApiResponse;
use poem_openapi::payload::{ParsePayload, Payload};
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::Type;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::ApiError;
use crate::http::content_type;

/// A JSON body. poem-openapi's own goes through `serde_json::Value`, which cannot hold every JSON
/// text (numbers beyond any float, lone surrogates) that a metadata field may be.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T> Json<T> {
    /// The content type of JSON that this server writes.
    pub(crate) const TYPE: &'static str = "application/json; charset=utf-8";
}

impl<T: Type + Serialize> Payload for Json<T> {
    const CONTENT_TYPE: &'static str = Self::TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match self.write() {
            Ok(written) => written.into_response(),
            Err(error) => {
                tracing::error!(%error, "a response cannot be serialized as JSON");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

impl<T: Type + Serialize> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "Done.",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }
}

impl<T: Type + Serialize> Json<T> {
    /// Serializes it, for responses whose headers depend on the bytes of the body.
    ///
    /// # Errors
    /// If it cannot be serialized.
    pub(crate) fn write(&self) -> serde_json::Result<WrittenJson<T>> {
        Ok(WrittenJson { body: serde_json::to_vec(&self.0)?, of: PhantomData })
    }
}

/// A serialized JSON body.
#[derive(Debug)]
pub(crate) struct WrittenJson<T> {
    body: Vec<u8>,
    of: PhantomData<fn() -> T>,
}

impl<T> WrittenJson<T> {
    /// The bytes of the body.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.body
    }
}

impl<T: Type + Serialize> Payload for WrittenJson<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Serialize> IntoResponse for WrittenJson<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.body)
    }
}

/// A JSON body that is written while it is sent. If that fails in the middle, the connection breaks off.
#[derive(Debug)]
pub(crate) struct StreamedJson<T> {
    body: Body,
    of: PhantomData<fn() -> T>,
}

impl<T> StreamedJson<T> {
    /// The body with the serialization of a `T`.
    pub(crate) fn new(body: Body) -> Self {
        Self { body, of: PhantomData }
    }
}

impl<T> From<WrittenJson<T>> for StreamedJson<T> {
    fn from(written: WrittenJson<T>) -> Self {
        Self::new(written.body.into())
    }
}

impl<T: Type + Serialize> Payload for StreamedJson<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Serialize> IntoResponse for StreamedJson<T> {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.body)
    }
}

impl<T: Type + Serialize> ApiResponse for StreamedJson<T> {
    fn meta() -> MetaResponses {
        Json::<T>::meta()
    }

    fn register(registry: &mut Registry) {
        <Self as Payload>::register(registry);
    }
}

/// A JSON request body, parsed by serde: a number is not accepted as a string, as poem-openapi's own payload does.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: Type> Payload for JsonBody<T> {
    const CONTENT_TYPE: &'static str = "application/json; charset=utf-8";

    fn check_content_type(content_type: &str) -> bool {
        content_type::is_of(content_type, "application/json")
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: DeserializeOwned> ParsePayload for JsonBody<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let body = Vec::<u8>::from_request(request, body).await?;
        // If a key occurs twice, its last value counts. Error messages contain no values, because a value may be a
        // password.
        let fields = serde_json::from_slice::<serde_json::Map<String, Value>>(&body)
            .map_err(|_| ApiError::bad_request("the body is not a JSON object"))?;
        let fields = serde_json::from_value(Value::Object(fields));
        Ok(Self(fields.map_err(|_| ApiError::bad_request("a field of the body is of a wrong type"))?))
    }
}

/// A JSON body that is stored as text and sent byte for byte.
#[derive(Debug)]
pub(crate) struct RawJson(pub(crate) Bytes);

impl Payload for RawJson {
    const CONTENT_TYPE: &'static str = "application/json";

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::ANY))
    }
}

impl IntoResponse for RawJson {
    fn into_response(self) -> Response {
        Response::builder().content_type(Self::CONTENT_TYPE).body(self.0)
    }
}

/// Gives a type that serde serializes a named schema in the OpenAPI description.
macro_rules! described {
    ($type:ty, $name:literal, $schema:expr) => {
        impl ::poem_openapi::types::Type for $type {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> ::std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn schema_ref() -> ::poem_openapi::registry::MetaSchemaRef {
                ::poem_openapi::registry::MetaSchemaRef::Reference($name.to_owned())
            }

            fn register(registry: &mut ::poem_openapi::registry::Registry) {
                registry.create_schema::<Self, _>($name.to_owned(), |_| $schema);
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(::std::iter::once(self))
            }
        }
    };
}
pub(crate) use described;
