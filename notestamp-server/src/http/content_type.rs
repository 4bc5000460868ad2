//! The `Content-Type` of requests (RFC 9110, 8.3).

use notestamp_store::ContentType;
use poem::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::single_header::Single;

/// Whether a content type is of this media type, whatever its parameters say.
pub fn is_of(content_type: &str, essence: &str) -> bool {
    let given = content_type.split(';').next().unwrap_or_default();
    given.trim_matches([' ', '\t']).eq_ignore_ascii_case(essence)
}

/// Writes the header as every parser of the framework reads it: those do not know white space before a semicolon
/// (RFC 9110, 5.6.6).
pub fn respell(headers: &mut HeaderMap) {
    let given = Single::of(headers, &CONTENT_TYPE).one().and_then(|value| value.to_str().ok());
    let respelt = given.and_then(ContentType::parse).map(|parsed| HeaderValue::try_from(parsed.to_string()));
    if let Some(Ok(value)) = respelt {
        headers.insert(CONTENT_TYPE, value);
    }
}
