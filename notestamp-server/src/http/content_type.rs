//! The `Content-Type` of requests (RFC 9110, 8.3).

use notestamp_store::ContentType;
use poem::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::single_header::Single;

/// Returns whether a content type has this media type, whatever its parameters.
pub(crate) fn is_of(content_type: &str, essence: &str) -> bool {
    let given = content_type.split(';').next().unwrap_or_default();
    given.trim_matches([' ', '\t']).eq_ignore_ascii_case(essence)
}

/// Rewrites the header so that every parser of the framework can read it: they do not allow white space before a
/// semicolon, which RFC 9110, 5.6.6 does.
pub(crate) fn respell(headers: &mut HeaderMap) {
    let given = Single::of(headers, &CONTENT_TYPE).one().and_then(|value| value.to_str().ok());
    let respelt = given.and_then(ContentType::parse).map(|parsed| HeaderValue::try_from(parsed.to_string()));
    if let Some(Ok(value)) = respelt {
        headers.insert(CONTENT_TYPE, value);
    }
}
