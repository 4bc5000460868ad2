//! `application/x-www-form-urlencoded`: the encoding of queries and forms.

use percent_encoding::percent_decode;

/// Returns whether it is UTF-8 after percent-decoding; a `%` without two hex digits stands for itself.
///
/// Decoders replace invalid UTF-8 by U+FFFD. A title may contain U+FFFD, so `%ff` could name a project by mistake; and
/// different passwords would become equal.
pub(crate) fn is_text(encoded: &[u8]) -> bool {
    percent_decode(encoded).decode_utf8().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn text_is_distinguished_from_other_bytes() {
        for text in ["", "a=b&c", "%", "%f", "%zz", "%C3%a9", "%00", "%25ff", "%%41", "\u{e9}"] {
            assert!(is_text(text.as_bytes()), "{text}");
        }
        for other in [&b"%ff"[..], b"a=%C3", b"%c3%28", b"%ed%a0%80", b"%%ff", b"\xff", b"%c3\xff"] {
            assert!(!is_text(other), "{other:?}");
        }
    }
}
