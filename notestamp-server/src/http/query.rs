//! Query strings.

/// Whether a query is UTF-8 once its percent-encoding is undone; a `%` that encodes nothing stands for itself.
///
/// Decoders put U+FFFD in place of what is not UTF-8, and a title may have that: `%ff` would name a project
/// that nobody meant.
pub fn is_text(query: &str) -> bool {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let mut decoded = Vec::with_capacity(query.len());
    let mut rest = query.as_bytes();
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
            assert!(is_text(text), "{text}");
        }
        for other in ["%ff", "a=%C3", "%c3%28", "%ed%a0%80", "%%ff"] {
            assert!(!is_text(other), "{other}");
        }
    }
}
