//! `application/x-www-form-urlencoded`: how queries and forms are written.

/// Whether it is UTF-8 once its percent-encoding is undone; a `%` that encodes nothing stands for itself.
///
/// Decoders put U+FFFD in place of what is not UTF-8. A title may have that, so `%ff` would name a project
/// that nobody meant; and passwords that differ would be one.
pub fn is_text(encoded: &[u8]) -> bool {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, digit(after.first()), digit(after.get(1))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            _ => decoded.push(*first),
        }
    }
    std::str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_text;

    #[test]
    fn text_is_told_from_other_bytes() {
        for text in ["", "a=b&c", "%", "%f", "%zz", "%C3%a9", "%00", "%25ff", "%%41", "\u{e9}"] {
            assert!(is_text(text.as_bytes()), "{text}");
        }
        for other in [&b"%ff"[..], b"a=%C3", b"%c3%28", b"%ed%a0%80", b"%%ff", b"\xff", b"%c3\xff"] {
            assert!(!is_text(other), "{other:?}");
        }
    }
}
