//! Describes the cookies that a response sets.

use poem::http::header::SET_COOKIE;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponses, Registry};
use poem_openapi::types::Type as _;

/// A response that sets or removes the two cookies of a session. The [cookie jar](crate::auth::SessionJar) writes them;
/// this only tells the description.
pub(crate) struct SetsCookies<R>(pub(crate) R);

impl<R: IntoResponse> IntoResponse for SetsCookies<R> {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl<R: ApiResponse> ApiResponse for SetsCookies<R> {
    fn meta() -> MetaResponses {
        let mut meta = R::meta();
        for response in &mut meta.responses {
            response.headers.push(MetaHeader {
                name: SET_COOKIE.as_str().to_uppercase(),
                description: Some(
                    "The cookies `__Host-accessToken` and `__Host-refreshToken`, in a header each: those of the new \
                     session, or empty and expired where it has ended. A sign-in and a password change also set \
                     `__Host-deviceToken`."
                        .to_owned(),
                ),
                required: true,
                deprecated: false,
                schema: String::schema_ref(),
            });
        }
        meta
    }

    fn register(registry: &mut Registry) {
        R::register(registry);
    }
}
