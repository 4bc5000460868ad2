use std::fmt;

/// A media type (RFC 9110, 8.3.1): `type/subtype`, without parameters.
///
/// ```
/// use notestamp_store::MediaType;
/// assert_eq!(MediaType::parse("Audio/MPEG").essence(), "audio/mpeg");
/// assert_eq!(MediaType::parse(""), MediaType::OCTET_STREAM);
/// assert_eq!(MediaType::parse("no media type"), MediaType::OCTET_STREAM);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaType(std::borrow::Cow<'static, str>);

impl MediaType {
    /// `application/octet-stream`: nothing is known about the bytes.
    pub const OCTET_STREAM: Self = Self(std::borrow::Cow::Borrowed("application/octet-stream"));

    /// Reads a media type without its parameters; whatever is none is [`MediaType::OCTET_STREAM`].
    pub fn parse(text: &str) -> Self {
        let is_token = |part: &str| {
            let token_char = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            !part.is_empty() && part.len() <= 127 && part.bytes().all(token_char)
        };
        let essence = text.split(';').next().unwrap_or_default().trim();
        match essence.split_once('/') {
            Some((kind, subtype)) if is_token(kind) && is_token(subtype) => {
                Self(essence.to_ascii_lowercase().into())
            }
            _ => Self::OCTET_STREAM,
        }
    }

    /// `type/subtype`, in lower case.
    pub fn essence(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
