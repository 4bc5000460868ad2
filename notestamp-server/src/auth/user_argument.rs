//! The user of a request as an argument of an operation, and the cookies of it in the OpenAPI description.

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

use super::authenticator::{Authenticator, CurrentUser};
use super::session_jar::SessionJar;

const ACCESS_SCHEME: &str = "AccessToken";
const REFRESH_SCHEME: &str = "RefreshToken";

impl<'a> ApiExtractor<'a> for CurrentUser {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = |name, description| MetaSecurityScheme {
            ty: "apiKey",
            description: Some(description),
            name: Some(name),
            key_in: Some("cookie"),
            scheme: None,
            bearer_format: None,
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(
            ACCESS_SCHEME,
            scheme(
                "__Host-accessToken",
                "Authenticates the user for some minutes. Set by a sign-in; scripts cannot read it.",
            ),
        );
        registry.create_security_scheme(
            REFRESH_SCHEME,
            scheme(
                "__Host-refreshToken",
                "Renews the session for days: if the access token is missing or has expired, a request is authenticated by this token, and the response sets new tokens in both cookies (except for saves and password changes).",
            ),
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![ACCESS_SCHEME, REFRESH_SCHEME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        Ok(Authenticator::of(request).authenticate(&SessionJar::of(request)).await?)
    }
}
