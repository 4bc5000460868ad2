//! The `Content-Disposition` of responses (RFC 6266).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poem::http::HeaderValue;

/// What a browser should do with a response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Disposition {
    /// Show it in place.
    Inline,
    /// Save it as a file.
    Attachment,
}

/// The bytes that RFC 8187, 3.2.1 wants encoded: all but its `attr-char`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The value of the header. `file_name` has no quotes, backslashes or control characters.
///
/// The file name is given twice: in ASCII for old clients, and encoded by RFC 8187 for all others.
pub(crate) fn content_disposition(disposition: Disposition, file_name: &str) -> HeaderValue {
    let disposition = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let (fallback, encoded) = (ascii_fallback(file_name), utf8_percent_encode(file_name, ENCODED));
    HeaderValue::try_from(format!("{disposition}; filename=\"{fallback}\"; filename*=UTF-8''{encoded}"))
        .expect("both file names are visible ASCII")
}

/// The file name for clients that do not know `filename*`. Some of them decode `%`, so it is replaced too.
fn ascii_fallback(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii() && c != '%' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_that_is_no_attr_char_is_encoded() {
        let all: String = (' '..='~').filter(|c| !"\"\\".contains(*c)).collect();
        let value = content_disposition(Disposition::Attachment, &all);
        let encoded = "%20!#$%25&%27%28%29%2A+%2C-.%2F0123456789%3A%3B%3C%3D%3E%3F%40\
                       ABCDEFGHIJKLMNOPQRSTUVWXYZ%5B%5D^_`abcdefghijklmnopqrstuvwxyz%7B|%7D~";
        assert_eq!(value.to_str().unwrap().split_once("UTF-8''").unwrap().1, encoded);
    }
}
