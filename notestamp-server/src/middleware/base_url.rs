//! The server's base URL, as the client of a request sees it.

use poem::{FromRequest, Request, RequestBody};

/// `scheme://host[:port]`, and the path of a configured public URL; without a slash at the end.
#[derive(Clone, Debug)]
pub(crate) struct BaseUrl(String);

impl BaseUrl {
    /// The base URL `url`, without slashes at its end.
    pub(crate) fn new(url: impl Into<String>) -> Self {
        let url: String = url.into();
        Self(url.trim_end_matches('/').to_owned())
    }

    /// The URL as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'a> FromRequest<'a> for BaseUrl {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> poem::Result<Self> {
        let given = request.extensions().get::<Self>();
        Ok(given.cloned().expect("the middleware gives every request its base URL"))
    }
}
