//! `Accept-Encoding` (RFC 9110, 12.5.3): which codings of a response a client accepts.

use poem::http::header::{ACCEPT_ENCODING, HeaderMap};

/// Returns whether a client accepts a coding that it names.
///
/// A coding that only `*` allows counts as refused: the unencoded bytes are always acceptable, except to a client that
/// says so, and such a client names the codings that it wants.
pub(crate) fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        is_named && !parts.any(is_zero)
    })
}

/// Whether a parameter is the weight 0: "not acceptable".
fn is_zero(parameter: &str) -> bool {
    let weight = parameter.split_once('=').filter(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    weight.is_some_and(|(_, value)| value.trim().parse().is_ok_and(|weight: f32| weight == 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_accepted_if_it_is_named_and_not_refused() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("BR", true),
            ("gzip;q=1.0, br;q=0.5", true),
            ("br ; q = 0.001", true),
            ("br;q=0", false),
            ("gzip, br;q=0.000", false),
            ("gzip", false),
            ("brotli", false),
            ("*", false),
            ("identity", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value.parse().unwrap())]);
            assert_eq!(accepts(&headers, "br"), expected, "{value}");
        }
        assert!(!accepts(&HeaderMap::new(), "br"));
    }
}
