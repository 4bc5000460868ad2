//! Which bytes of a representation a request asks for (RFC 9110, 14).

use std::ops::Range;

use poem::http::Method;
use poem::http::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};

use super::entity_tag::EntityTag;
use super::single_header::Single;

/// The part of a representation that a request selects.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Selection {
    /// All of it: 200.
    Whole,
    /// These bytes, at least one: 206.
    Part(Range<u64>),
    /// A range without any byte of the representation: 416.
    Unsatisfiable,
}

impl Selection {
    /// Evaluates `Range` and `If-Range` for a representation of `size` bytes that `tag` names.
    ///
    /// - Only `GET` has ranges (RFC 9110, 14.2), so `HEAD` describes the whole.
    /// - A `Range` that is absent, malformed, repeated or of another unit is ignored.
    /// - Several ranges select the whole, which is allowed and bounds the work.
    /// - An end beyond the last byte is clamped; a start beyond it is unsatisfiable.
    /// - `If-Range` selects the whole unless it is exactly this tag; a date selects the whole too, because
    ///   representations here have no modification date.
    ///
    /// Evaluate the preconditions (304 and 412) first (RFC 9110, 13.2.2).
    pub(crate) fn of(method: &Method, headers: &HeaderMap, size: u64, tag: &EntityTag) -> Self {
        if method != Method::GET || !if_range_holds(headers, tag) {
            return Self::Whole;
        }
        match Single::of(headers, &RANGE).one().and_then(|value| ByteRange::parse(value.as_bytes())) {
            Some(range) => range.select(size),
            None => Self::Whole,
        }
    }

    /// The value of the `Content-Range` header of a 206 or 416; `None` for a 200.
    pub(crate) fn content_range(&self, size: u64) -> Option<HeaderValue> {
        let text = match self {
            Self::Whole => return None,
            Self::Part(part) => format!("bytes {}-{}/{size}", part.start, part.end - 1),
            Self::Unsatisfiable => format!("bytes */{size}"),
        };
        Some(HeaderValue::try_from(text).expect("digits and punctuation make a header value"))
    }
}

/// One range as it was requested, not yet applied to a size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ByteRange {
    /// `first-last`, both inclusive; without `last`, up to the end.
    From { first: u64, last: Option<u64> },
    /// `-length`: the last `length` bytes.
    Suffix { length: u64 },
}

impl ByteRange {
    /// Parses the value of a `Range` header; `None` unless it is exactly one range of bytes.
    fn parse(value: &[u8]) -> Option<Self> {
        let (unit, set) = std::str::from_utf8(value).ok()?.trim().split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        // Empty list elements do not count (RFC 9110, 5.6.1.2).
        let mut specs =
            set.split(',').map(|spec| spec.trim_matches([' ', '\t'])).filter(|spec| !spec.is_empty());
        let (spec, None) = (specs.next()?, specs.next()) else { return None };
        match spec.split_once('-')? {
            ("", length) => Some(Self::Suffix { length: position(length)? }),
            (first, "") => Some(Self::From { first: position(first)?, last: None }),
            (first, last) => {
                let (first, last) = (position(first)?, position(last)?);
                (first <= last).then_some(Self::From { first, last: Some(last) })
            }
        }
    }

    fn select(self, size: u64) -> Selection {
        match self {
            Self::From { first, .. } if first >= size => Selection::Unsatisfiable,
            Self::From { first, last } => {
                Selection::Part(first..last.map_or(size, |last| last.saturating_add(1).min(size)))
            }
            Self::Suffix { length: 0 } => Selection::Unsatisfiable,
            // A suffix of an empty representation is satisfiable, but 206 is impossible: `Content-Range` cannot express
            // an empty range.
            Self::Suffix { .. } if size == 0 => Selection::Whole,
            Self::Suffix { length } => Selection::Part(size.saturating_sub(length)..size),
        }
    }
}

/// Parses digits. A number too large for `u64` becomes `u64::MAX`: both lie beyond every end.
fn position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn if_range_holds(headers: &HeaderMap, tag: &EntityTag) -> bool {
    match Single::of(headers, &IF_RANGE) {
        Single::Absent => true,
        Single::One(value) => {
            EntityTag::parse(value.as_bytes()).is_some_and(|asked| asked.matches_strongly(tag))
        }
        Single::Several => false,
    }
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    fn tag() -> EntityTag {
        EntityTag::strong("5a0b")
    }

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn select(lines: &[(HeaderName, &str)], size: u64) -> Selection {
        Selection::of(&Method::GET, &headers(lines), size, &tag())
    }

    #[track_caller]
    fn assert_selects(range: &str, size: u64, expected: Selection) {
        assert_eq!(select(&[(RANGE, range)], size), expected, "{range:?} of {size}");
    }

    #[test]
    fn one_range_selects_its_bytes() {
        assert_selects("bytes=0-", 10, Selection::Part(0..10));
        assert_selects("bytes=3-", 10, Selection::Part(3..10));
        assert_selects("bytes=3-3", 10, Selection::Part(3..4));
        assert_selects("bytes=9-9", 10, Selection::Part(9..10));
        assert_selects("Bytes=,2-4 ,", 10, Selection::Part(2..5));
    }

    #[test]
    fn an_end_beyond_the_file_is_clamped() {
        assert_selects("bytes=3-10", 10, Selection::Part(3..10));
        assert_selects("bytes=3-18446744073709551615", 10, Selection::Part(3..10));
        assert_selects("bytes=3-99999999999999999999999", 10, Selection::Part(3..10));
    }

    #[test]
    fn a_start_beyond_the_file_is_unsatisfiable() {
        assert_selects("bytes=10-", 10, Selection::Unsatisfiable);
        assert_selects("bytes=10-20", 10, Selection::Unsatisfiable);
        assert_selects("bytes=99999999999999999999999-", 10, Selection::Unsatisfiable);
    }

    #[test]
    fn a_suffix_selects_the_end() {
        assert_selects("bytes=-4", 10, Selection::Part(6..10));
        assert_selects("bytes=-11", 10, Selection::Part(0..10));
        assert_selects("bytes=-99999999999999999999999", 10, Selection::Part(0..10));
        assert_selects("bytes=-0", 10, Selection::Unsatisfiable);
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        assert_selects("bytes=0-", 0, Selection::Unsatisfiable);
        assert_selects("bytes=0-0", 0, Selection::Unsatisfiable);
        assert_selects("bytes=-1", 0, Selection::Whole);
        assert_eq!(select(&[], 0), Selection::Whole);
    }

    #[test]
    fn a_malformed_range_is_ignored() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-3",
            "bytes=+1-2",
            "bytes=0x1-2",
            "bytes=1-2-3",
            "bytes=1 - 2",
            "bytes 0-5",
            "items=0-5",
            "=0-5",
            "bytes=0",
            "bytes=--5",
        ] {
            assert_selects(range, 10, Selection::Whole);
        }
        let not_utf8 = HeaderMap::from_iter([(RANGE, HeaderValue::from_bytes(b"bytes=\xff-").unwrap())]);
        assert_eq!(Selection::of(&Method::GET, &not_utf8, 10, &tag()), Selection::Whole);
    }

    #[test]
    fn several_ranges_select_the_whole() {
        assert_selects("bytes=0-1,4-5", 10, Selection::Whole);
        assert_eq!(select(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=4-5")], 10), Selection::Whole);
    }

    #[test]
    fn head_describes_the_whole() {
        let headers = headers(&[(RANGE, "bytes=0-1")]);
        assert_eq!(Selection::of(&Method::HEAD, &headers, 10, &tag()), Selection::Whole);
    }

    #[test]
    fn if_range_compares_tags_strongly() {
        let current = tag().to_string();
        assert_eq!(select(&[(RANGE, "bytes=0-1"), (IF_RANGE, &current)], 10), Selection::Part(0..2));
        let date = "Tue, 15 Nov 1994 12:45:26 GMT";
        for other in ["\"other\"", &format!("W/{current}"), date, "", "*", &format!("{current}, {current}")] {
            assert_eq!(select(&[(RANGE, "bytes=0-1"), (IF_RANGE, other)], 10), Selection::Whole, "{other}");
            assert_eq!(select(&[(RANGE, "bytes=99-"), (IF_RANGE, other)], 10), Selection::Whole, "{other}");
        }
    }

    #[test]
    fn content_range_names_the_bytes_and_the_size() {
        assert_eq!(Selection::Whole.content_range(10), None);
        assert_eq!(Selection::Part(2..5).content_range(10).unwrap(), "bytes 2-4/10");
        assert_eq!(Selection::Unsatisfiable.content_range(10).unwrap(), "bytes */10");
    }

    proptest! {
        #[test]
        fn a_part_equals_the_slice(size in 0usize..40, first in 0usize..50, last in 0usize..50) {
            let bytes: Vec<_> = (0..size).collect();
            let expected: Vec<_> =
                bytes.iter().copied().filter(|at| (first..=last).contains(at)).collect();
            let seen = match select(&[(RANGE, &format!("bytes={first}-{last}"))], size as u64) {
                Selection::Whole => {
                    prop_assert!(first > last);
                    return Ok(());
                }
                Selection::Part(part) => bytes[part.start as usize..part.end as usize].to_vec(),
                Selection::Unsatisfiable => vec![],
            };
            prop_assert_eq!(seen, if first > last { vec![] } else { expected });
        }

        #[test]
        fn a_suffix_equals_the_slice(size in 1usize..40, length in 1usize..50) {
            let bytes: Vec<_> = (0..size).collect();
            let selected = select(&[(RANGE, &format!("bytes=-{length}"))], size as u64);
            let Selection::Part(part) = selected else { panic!("{selected:?}") };
            prop_assert_eq!(&bytes[part.start as usize..part.end as usize], &bytes[size.saturating_sub(length)..]);
        }

        #[test]
        fn no_value_selects_bytes_beyond_the_end(value in "(bytes=)?[0-9a-z, =-]{0,30}", size: u64) {
            if let Selection::Part(part) = select(&[(RANGE, &value)], size) {
                prop_assert!(part.start < part.end && part.end <= size);
            }
        }
    }
}
