use std::fmt;

/// A media type (RFC 9110, 8.3.1): `type/subtype`, without parameters.
///
/// ```
/// use notestamp_store::MediaType;
/// assert_eq!(MediaType::parse("Audio/MPEG").essence(), "audio/mpeg");
/// assert_eq!(MediaType::parse("audio/webm ; codecs=opus").essence(), "audio/webm");
/// for text in ["", "no media type", "audio/wav;,text/html"] {
///     assert_eq!(MediaType::parse(text), MediaType::OCTET_STREAM);
/// }
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MediaType(std::borrow::Cow<'static, str>);

impl MediaType {
    /// `application/octet-stream`: nothing is known about the bytes.
    pub const OCTET_STREAM: Self = Self(std::borrow::Cow::Borrowed("application/octet-stream"));

    /// Parses a media type and ignores its parameters; returns [`MediaType::OCTET_STREAM`] if the text is not a
    /// valid [`ContentType`].
    pub fn parse(text: &str) -> Self {
        ContentType::parse(text).map_or(Self::OCTET_STREAM, |content_type| content_type.media_type)
    }

    /// `type/subtype`, in lower case.
    pub fn essence(&self) -> &str {
        &self.0
    }

    /// The extensions of file names that are usual for this type; the first one is the one that new names get. None if
    /// the type is not common.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        EXTENSIONS.iter().filter(|(of, _)| *of == self.essence()).map(|(_, extension)| *extension)
    }

    fn of_essence(text: &str) -> Option<Self> {
        let (kind, subtype) = text.split_once('/')?;
        let is_part = |part: &str| is_token(part) && part.len() <= 127;
        (is_part(kind) && is_part(subtype)).then(|| Self(text.to_ascii_lowercase().into()))
    }
}

/// The extensions of common media types; the first of a type is the one that file names get.
const EXTENSIONS: [(&str, &str); 35] = [
    ("application/ogg", "ogg"),
    ("application/pdf", "pdf"),
    ("audio/aac", "aac"),
    ("audio/aiff", "aiff"),
    ("audio/flac", "flac"),
    ("audio/m4a", "m4a"),
    ("audio/midi", "mid"),
    ("audio/mp3", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/ogg", "oga"),
    ("audio/ogg", "opus"),
    ("audio/opus", "opus"),
    ("audio/wav", "wav"),
    ("audio/wave", "wav"),
    ("audio/webm", "weba"),
    ("audio/webm", "webm"),
    ("audio/x-flac", "flac"),
    ("audio/x-m4a", "m4a"),
    ("audio/x-wav", "wav"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/jpeg", "jpg"),
    ("image/jpeg", "jpeg"),
    ("image/png", "png"),
    ("image/webp", "webp"),
    ("video/mp4", "mp4"),
    ("video/mp4", "m4v"),
    ("video/mpeg", "mpeg"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "mov"),
    ("video/webm", "webm"),
    ("video/x-matroska", "mkv"),
];

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A media type with its parameters (RFC 9110, 8.3.1): `type/subtype *( OWS ";" OWS [ parameter ] )`.
///
/// One deviation from the grammar is accepted, because Chromium's `MediaRecorder` uses it: an unquoted list of tokens
/// as a value. It is displayed with quotes.
///
/// ```
/// use notestamp_store::ContentType;
/// let parsed = ContentType::parse("Text/Plain ; Charset=\"utf-8\"").unwrap();
/// assert_eq!(parsed.media_type().essence(), "text/plain");
/// assert_eq!(parsed.parameter("charset"), Some("utf-8"));
/// assert_eq!(parsed.to_string(), "text/plain; charset=\"utf-8\"");
/// assert_eq!(ContentType::parse("video/webm;codecs=vp8,opus").unwrap().to_string(), "video/webm;codecs=\"vp8,opus\"");
/// assert_eq!(ContentType::parse("text/plain; charset"), None);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentType {
    media_type: MediaType,
    parameters: Vec<(String, String)>,
    /// The normalized text: no white space before a semicolon, at most one space after it, no empty parameters.
    text: String,
}

/// Optional white space (RFC 9110, 5.6.3).
const OWS: [char; 2] = [' ', '\t'];

impl ContentType {
    /// Parses a media type with its parameters; `None` if `text` is invalid.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(OWS);
        let (essence, mut rest) = text.split_at(text.find([';', ' ', '\t']).unwrap_or(text.len()));
        let media_type = MediaType::of_essence(essence)?;
        let mut parsed = Self { text: media_type.essence().to_owned(), media_type, parameters: Vec::new() };
        loop {
            rest = rest.trim_start_matches(OWS);
            if rest.is_empty() {
                return Some(parsed);
            }
            let separated = rest.strip_prefix(';')?;
            rest = separated.trim_start_matches(OWS);
            if rest.is_empty() || rest.starts_with(';') {
                continue;
            }
            let space = if rest.len() == separated.len() { "" } else { " " };
            rest = parsed.read_parameter(space, rest)?;
        }
    }

    /// The media type without its parameters.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The unquoted value of the first parameter with this name (in any letter case); `None` if it is absent.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut of_name = self.parameters.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of_name.next().map(|(_, value)| value.as_str())
    }

    /// Reads the parameter at the start of `text` and returns what follows it.
    fn read_parameter<'a>(&mut self, space: &str, text: &'a str) -> Option<&'a str> {
        let (name, after) = text.split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let (value, rest) = match after.strip_prefix('"') {
            Some(quoted) => read_quoted(quoted)?,
            None => {
                let (value, rest) = after.split_at(after.find([';', ' ', '\t']).unwrap_or(after.len()));
                (value.split(',').all(is_token).then(|| value.to_owned())?, rest)
            }
        };
        let as_sent = &after[..after.len() - rest.len()];
        let quotes = if !as_sent.starts_with('"') && as_sent.contains(',') { "\"" } else { "" };
        let name = name.to_ascii_lowercase();
        self.text += &format!(";{space}{name}={quotes}{as_sent}{quotes}");
        self.parameters.push((name, value));
        Some(rest)
    }
}

/// Names in lower case and values as they were sent, in the spelling of the grammar.
impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// `token` (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_char)
}

/// Reads a `quoted-string` (RFC 9110, 5.6.4) after its first quote: returns its unquoted value, and the text after it.
fn read_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        let next = match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => chars.next()?,
            other => other,
        };
        if next.is_ascii_control() && next != '\t' {
            return None;
        }
        value.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_white_space_and_empty_parameters_are_allowed() {
        for (text, displayed) in [
            ("application/json", "application/json"),
            ("application/json ; charset=utf-8", "application/json; charset=utf-8"),
            ("application/json\t;\tcharset=utf-8", "application/json; charset=utf-8"),
            (" application/json;", "application/json"),
            ("application/json ; ; charset=utf-8 ;", "application/json; charset=utf-8"),
            ("AUDIO/Webm;Codecs=Opus", "audio/webm;codecs=Opus"),
            ("a/b;c=\"d;e\\\"f\" ; g=h", "a/b;c=\"d;e\\\"f\"; g=h"),
        ] {
            assert_eq!(
                ContentType::parse(text).map(|it| it.to_string()).as_deref(),
                Some(displayed),
                "{text}"
            );
        }
        let quoted = ContentType::parse("a/b;c=\"d;e\\\"f\" ; g=h").unwrap();
        assert_eq!((quoted.parameter("C"), quoted.parameter("g")), (Some("d;e\"f"), Some("h")));
        assert_eq!(quoted.parameter("d"), None);
    }

    #[test]
    fn an_invalid_media_type_is_refused() {
        for text in [
            "",
            ";",
            "audio",
            "audio/",
            "/wav",
            "audio /wav",
            "audio/wav,text/html",
            "audio/wav;,text/html",
            "audio/wav, text/html",
            "audio/wav;a",
            "audio/wav;a=",
            "audio/wav;=b",
            "audio/wav;a =b",
            "audio/wav;a= b",
            "audio/wav;a=b c",
            "audio/wav;a=b,text/html",
            "audio/wav;a=b,",
            "audio/wav;a=\"b",
            "audio/wav;a=\"b\"c",
            "audio/wav;a=\"b\r\nc: d\"",
            "audio/wav;a=\"\\\u{7f}\"",
            "audio/wav\n",
            "audio/wav;a=b\r\nc: d",
            "audio/\u{e9}",
        ] {
            assert_eq!(ContentType::parse(text), None, "{text:?}");
            assert_eq!(MediaType::parse(text), MediaType::OCTET_STREAM, "{text:?}");
        }
    }
}
