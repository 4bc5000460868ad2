//! An id for each request: in its log lines, its errors, and a header of its response.

use poem::Request;
use poem::http::HeaderValue;

/// The response header with the id.
pub(crate) const HEADER: &str = "x-request-id";

/// The id of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// A new random id of 16 hexadecimal digits.
    pub(crate) fn generate(random: &dyn notestamp_store::Random) -> Self {
        let mut bytes = [0; 8];
        random.fill(&mut bytes);
        Self(format!("{:016x}", u64::from_be_bytes(bytes)))
    }

    /// The id that the request was given.
    pub(crate) fn of(request: &Request) -> Self {
        let given = request.extensions().get::<Self>();
        given.cloned().expect("the middleware gives every request an id")
    }

    /// The value of the response header.
    pub(crate) fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("hexadecimal digits make a header value")
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
