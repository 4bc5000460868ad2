//! The session's cookies of one request and of its response.

use std::net::IpAddr;

use poem::web::cookie::CookieJar;
use poem::{FromRequest, Request, RequestBody};

use crate::middleware::client_address::Client;
use crate::middleware::late_cookies::CookiesMade;
use crate::middleware::path_policy::Policy;
use crate::transport::network;

/// The cookies that came with a request, and those that its response sets.
#[derive(Clone)]
pub(crate) struct SessionJar {
    pub(super) cookies: CookieJar,
    /// When the cookies of the response were made.
    pub(super) made: CookiesMade,
    /// Whether the response may set new tokens of a session that this request refreshed.
    pub(super) delivers_refreshed_tokens: bool,
    /// The address that sent the cookies, or its IPv6 network; `None` if it is unknown.
    pub(super) address: Option<IpAddr>,
}

impl SessionJar {
    /// The cookies of this request.
    pub(crate) fn of(request: &Request) -> Self {
        Self {
            cookies: request.cookie().clone(),
            made: CookiesMade::of(request),
            delivers_refreshed_tokens: Policy::of(request.uri().path()).delivers_refreshed_tokens,
            address: request.extensions().get().and_then(|client: &Client| client.ip).map(network),
        }
    }
}

impl<'a> FromRequest<'a> for SessionJar {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        Ok(Self::of(request))
    }
}
