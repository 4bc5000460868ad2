//! Parses the headers of a form's part (RFC 7578, 4), as leniently as clients need it: a file whose name is unreadable
//! is still a file.

use std::borrow::Cow;

/// What the headers of a part say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PartHead {
    /// The name of the form's field.
    pub(crate) name: String,
    /// Whether the part has a file name.
    pub(crate) file_name: FileName,
    /// Whether it has a content type other than the `text/plain` that every part without one has (RFC 7578, 4.4).
    pub(crate) has_media_type: bool,
}

/// Whether a part has a file name. The name itself is not needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FileName {
    /// The part has no file name.
    Absent,
    /// The file name is empty: a file input without a chosen file sends this.
    Empty,
    /// The file name is not empty, readable or not.
    Present,
}

/// Why the headers of a part are refused: a text for the client.
pub(crate) type MalformedHead = &'static str;

impl PartHead {
    /// Parses the headers; each line begins with CRLF.
    ///
    /// # Errors
    /// If a line is not a header, if `Content-Disposition` or `Content-Type` comes twice, if the part's name is absent
    /// or ambiguous, or if a `Content-Transfer-Encoding` (deprecated, RFC 7578, 4.7) changes the bytes: they would be
    /// stored undecoded.
    pub(crate) fn parse(lines: &[u8]) -> Result<Self, MalformedHead> {
        let (mut disposition, mut content_type) = (None, None);
        for line in unfolded(lines) {
            let colon =
                line.iter().position(|&byte| byte == b':').ok_or("a line in the headers of a part")?;
            let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
            let seen = match name {
                name if name.eq_ignore_ascii_case(b"content-disposition") => &mut disposition,
                name if name.eq_ignore_ascii_case(b"content-type") => &mut content_type,
                name if name.eq_ignore_ascii_case(b"content-transfer-encoding") && !is_identity(value) => {
                    return Err("a part with a Content-Transfer-Encoding other than 7bit, 8bit or binary");
                }
                _ => continue,
            };
            if seen.replace(value.to_vec()).is_some() {
                return Err("a part with two Content-Disposition or Content-Type headers");
            }
        }
        let disposition = disposition.ok_or("a part without a name")?;
        // First with the escapes of RFC 9110. Clients that do not escape send paths with backslashes, and names with
        // quotes.
        let parameters = parameters(&disposition, Quoting::Escaped)
            .or_else(|| parameters(&disposition, Quoting::Literal))
            .ok_or("the Content-Disposition of a part")?;
        Ok(Self {
            name: field_name(&parameters)?,
            file_name: file_name(&parameters),
            has_media_type: content_type.is_some_and(|value| is_media_type(&value)),
        })
    }
}

/// Whether a transfer encoding leaves the bytes as they are (RFC 2045, 6.1).
fn is_identity(encoding: &[u8]) -> bool {
    [b"7bit".as_slice(), b"8bit", b"binary"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

/// The lines of a head; a line that begins with white space continues the previous one (RFC 5322, 2.2.3).
fn unfolded(lines: &[u8]) -> Vec<Cow<'_, [u8]>> {
    let mut unfolded: Vec<Cow<'_, [u8]>> = Vec::new();
    let mut rest = lines;
    while let Some(line) = rest.strip_prefix(b"\r\n") {
        let end = memchr::memmem::find(line, b"\r\n").unwrap_or(line.len());
        let (line, after) = line.split_at(end);
        rest = after;
        match (line.first(), unfolded.last_mut()) {
            (None, _) => {}
            (Some(b' ' | b'\t'), Some(last)) => last.to_mut().extend_from_slice(line),
            _ => unfolded.push(line.into()),
        }
    }
    unfolded
}

/// How a quoted value is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quoting {
    /// A backslash escapes what follows it.
    Escaped,
    /// A backslash is an ordinary character. The value ends at a quote that a semicolon or the end of the line follows;
    /// if there is no such quote, it is the whole rest.
    Literal,
}

struct Parameter<'a> {
    name: &'a [u8],
    value: Vec<u8>,
    /// Whether the standard does not allow this spelling (by [`Quoting::Literal`], or without quotes although it is no
    /// token), so that the end of the value is a guess.
    is_guessed: bool,
}

/// Parses the parameters after the first semicolon; `None` if they are malformed under this quoting.
fn parameters(disposition: &[u8], quoting: Quoting) -> Option<Vec<Parameter<'_>>> {
    let mut parameters = Vec::new();
    let mut rest = &disposition[disposition.iter().position(|&byte| byte == b';')?..];
    while let Some(after) = rest.strip_prefix(b";") {
        let after = after.trim_ascii_start();
        let (name, after) =
            after.split_at(after.iter().position(|byte| b"=;\"".contains(byte)).unwrap_or(after.len()));
        let name = name.trim_ascii_end();
        let (value, is_guessed, after) = match after.strip_prefix(b"=").map(<[u8]>::trim_ascii_start) {
            None => (Vec::new(), false, after),
            Some(value) => match value.strip_prefix(b"\"") {
                Some(quoted) => {
                    let (value, after) = match quoting {
                        Quoting::Escaped => escaped(quoted)?,
                        Quoting::Literal => literal(quoted),
                    };
                    (value, quoting == Quoting::Literal, after)
                }
                None => {
                    let (value, after) =
                        value.split_at(value.iter().position(|&byte| byte == b';').unwrap_or(value.len()));
                    let value = value.trim_ascii_end();
                    (value.to_vec(), value.iter().any(|byte| !is_token(*byte)), after)
                }
            },
        };
        if !name.is_empty() {
            parameters.push(Parameter { name, value, is_guessed });
        }
        rest = after.trim_ascii_start();
    }
    rest.is_empty().then_some(parameters)
}

/// Whether a byte may stand in a token (RFC 9110, 5.6.2), or is part of a character that is not ASCII.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte) || !byte.is_ascii()
}

fn escaped(quoted: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [b'"', after @ ..] => return Some((value, after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                value.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}

fn literal(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let ends = |at: &usize| matches!(quoted[at + 1..].trim_ascii_start(), [] | [b';', ..]);
    let mut quotes = quoted.iter().enumerate().filter(|(_, byte)| **byte == b'"').map(|(at, _)| at);
    match quotes.find(ends) {
        Some(end) => (quoted[..end].to_vec(), &quoted[end + 1..]),
        None => (quoted.to_vec(), &[]),
    }
}

fn field_name(parameters: &[Parameter<'_>]) -> Result<String, MalformedHead> {
    let mut names = parameters.iter().filter(|it| it.name.eq_ignore_ascii_case(b"name"));
    let (Some(given), None) = (names.next(), names.next()) else { return Err("a part without one name") };
    // If a quote or a semicolon is missing, the name may include the file name: the part would look like an unknown
    // text, and its file would be lost.
    if given.is_guessed && given.value.iter().any(|byte| b"\";=".contains(byte) || byte.is_ascii_control()) {
        return Err("a part whose name has no clear end");
    }
    String::from_utf8(given.value.clone()).map_err(|_| "a part with a name that is not UTF-8")
}

/// Finds the file name in any spelling: `filename`, `filename*` (RFC 8187), `filename*0` and `filename*0*` (RFC 2231).
fn file_name(parameters: &[Parameter<'_>]) -> FileName {
    let mut found = FileName::Absent;
    for parameter in parameters {
        let (base, extended) = match parameter.name.iter().position(|&byte| byte == b'*') {
            Some(star) => (&parameter.name[..star], true),
            None => (parameter.name, false),
        };
        if !base.eq_ignore_ascii_case(b"filename") {
            continue;
        }
        // `charset'language'` comes before an extended value.
        let text = match parameter.value.iter().rposition(|&byte| byte == b'\'') {
            Some(quote) if extended => &parameter.value[quote + 1..],
            _ => &parameter.value[..],
        };
        match text {
            [] if found == FileName::Absent => found = FileName::Empty,
            [] => {}
            _ => found = FileName::Present,
        }
    }
    found
}

fn is_media_type(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    !essence.is_empty() && !essence.eq_ignore_ascii_case(b"text/plain")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn head(disposition: &str) -> PartHead {
        PartHead::parse(format!("\r\nContent-Disposition: {disposition}").as_bytes()).unwrap()
    }

    #[test]
    fn a_file_name_is_recognized_in_any_spelling() {
        for (spelling, expected) in [
            ("", FileName::Absent),
            ("; filename=\"\"", FileName::Empty),
            ("; filename=", FileName::Empty),
            ("; filename", FileName::Empty),
            ("; filename*=UTF-8''", FileName::Empty),
            ("; filename=\"\"; filename*=UTF-8''x.mp3", FileName::Present),
            ("; filename*=UTF-8''x.mp3; filename=\"\"", FileName::Present),
            ("; filename=x.mp3", FileName::Present),
            ("; filename=\"x.mp3\"", FileName::Present),
            ("; FileName = \"x.mp3\"", FileName::Present),
            ("; filename*=utf-8''x.mp3", FileName::Present),
            ("; filename*=utf-8'de'%e2%82%ac", FileName::Present),
            ("; filename*=x'", FileName::Empty),
            ("; filename*0=\"a\"; filename*1=\"b\"", FileName::Present),
            ("; filename*0*=utf-8''%e2; filename*1*=%82%ac", FileName::Present),
            ("; filename=\"C:\\dir\\\"", FileName::Present),
            ("; filename=\"\\\"", FileName::Present),
            ("; filename=\"a\"b.mp3\"", FileName::Present),
            ("; filename=\"a\\\"b.mp3\"", FileName::Present),
            ("; filename=\"a;b=c.mp3\"", FileName::Present),
            ("; filename=\"without an end", FileName::Present),
            ("; file=x; filenames=x; xfilename=x", FileName::Absent),
        ] {
            let first = head(&format!("form-data; name=\"mediaFile\"{spelling}"));
            assert_eq!((first.name.as_str(), first.file_name), ("mediaFile", expected), "{spelling}");
            if spelling.contains("without an end") {
                continue;
            }
            let last = head(&format!("form-data{spelling}; name=\"mediaFile\""));
            assert_eq!((last.name.as_str(), last.file_name), ("mediaFile", expected), "{spelling}");
        }
    }

    #[test]
    fn a_file_name_may_consist_of_any_bytes() {
        for byte in (0..=u8::MAX).filter(|byte| *byte != b'"') {
            let mut lines = b"\r\ncontent-disposition: form-data; name=a; filename=\"x".to_vec();
            lines.extend([byte, b'"']);
            let head = PartHead::parse(&lines).unwrap();
            assert_eq!((head.name.as_str(), head.file_name), ("a", FileName::Present), "{byte}");
        }
    }

    #[test]
    fn names_are_read_with_and_without_quotes() {
        for (disposition, name) in [
            ("form-data; name=a", "a"),
            ("form-data;name=\"a b\"", "a b"),
            ("FORM-DATA ; NAME = \"a\" ;", "a"),
            ("form-data; name=\"a;b\"", "a;b"),
            ("form-data; name=\"a\\\"b\\\\\"", "a\"b\\"),
            ("form-data; name=\"ä\"", "ä"),
            ("form-data; name=\"a%22\"", "a%22"),
            ("form-data; name=\"\"", ""),
        ] {
            assert_eq!(head(disposition).name, name, "{disposition}");
        }
    }

    #[test]
    fn a_part_with_an_ambiguous_name_or_an_encoded_body_is_refused() {
        for lines in [
            "",
            "\r\nContent-Type: text/plain",
            "\r\nContent-Disposition: form-data",
            "\r\nContent-Disposition: form-data; filename=x",
            "\r\nContent-Disposition: form-data; name*=utf-8''a",
            "\r\nContent-Disposition: form-data; name=a; name=b",
            "\r\nContent-Disposition: form-data; name=\"a; filename=x",
            "\r\nContent-Disposition: form-data; name=\"a; filename=\"x\"",
            "\r\nContent-Disposition: form-data; name=\"a\" filename=\"x\"",
            "\r\nContent-Disposition: form-data; name=\"a\"b\"; filename=\"x\"",
            "\r\nContent-Disposition: form-data; name=a filename=\"x\"",
            "\r\nContent-Disposition: form-data; name=a filename=x",
            "\r\nContent-Disposition: form-data; name=a\"; filename=x",
            "\r\nContent-Disposition: form-data; name=a\nContent-Type: audio/mpeg",
            "\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b",
            "\r\nContent-Disposition: form-data; name=a\r\nContent-Type: a/b\r\ncontent-type: text/plain",
            "\r\nContent-Disposition form-data; name=a",
            "\r\nno header\r\nContent-Disposition: form-data; name=a",
            "\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: quoted-printable",
        ] {
            assert!(PartHead::parse(lines.as_bytes()).is_err(), "{lines:?}");
        }
        assert!(PartHead::parse(b"\r\nContent-Disposition: form-data; name=\"\xff\"").is_err());
    }

    #[test]
    fn only_a_content_type_other_than_plain_text_makes_a_file() {
        for (content_type, expected) in [
            ("", false),
            ("text/plain", false),
            ("Text/PLAIN ; charset=utf-8", false),
            ("audio/mpeg", true),
            ("application/octet-stream", true),
            ("text/html", true),
            ("audio", true),
            ("nonsense", true),
        ] {
            let lines = format!(
                "\r\nCONTENT-TYPE:{content_type}\r\nX-Other: 1\r\ncontent-disposition:\r\n\tform-data;\r\n name=a"
            );
            let head = PartHead::parse(lines.as_bytes()).unwrap();
            assert_eq!((head.name.as_str(), head.has_media_type), ("a", expected), "{content_type}");
        }
    }

    proptest! {
        #[test]
        fn a_part_with_any_file_name_is_a_file(name: Vec<u8>, in_front: bool, escaped: bool) {
            let mut quoted = Vec::new();
            for byte in name.iter().filter(|byte| !b"\r\n".contains(byte)) {
                match byte {
                    b'"' | b'\\' if escaped => quoted.extend([b'\\', *byte]),
                    // Browsers encode it, and so must all that do not escape it.
                    b'"' => quoted.extend(b"%22"),
                    _ => quoted.push(*byte),
                }
            }
            let file = [b"; filename=\"", &quoted[..], b"\""].concat();
            let (before, after) = if in_front { (&file[..], &b""[..]) } else { (&b""[..], &file[..]) };
            let lines = [b"\r\nContent-Disposition: form-data", before, b"; name=\"mediaFile\"", after].concat();
            let head = PartHead::parse(&lines).unwrap();
            prop_assert_eq!(head.name, "mediaFile");
            let expected = if quoted.is_empty() { FileName::Empty } else { FileName::Present };
            prop_assert_eq!(head.file_name, expected);
        }

        #[test]
        fn no_bytes_panic(lines in prop::collection::vec(prop_oneof![Just(b';'), Just(b'"'), Just(b'='), Just(b'\\'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..60)) {
            let _ = PartHead::parse(&lines);
            let _ = PartHead::parse(&[b"\r\nContent-Disposition: form-data; name=a", &lines[..]].concat());
        }
    }
}
