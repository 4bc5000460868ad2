//! Entity tags and the preconditions made of them (RFC 9110, 8.8.3 and 13.1).

use std::fmt;

use notestamp_store::{Digest, Precondition, Revision};
use poem::http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

/// An entity tag: names one state of a representation, by a revision or a digest.
///
/// The opaque part is kept as bytes: RFC 9110 allows all of 0x80 to 0xFF, in no particular encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityTag {
    weak: bool,
    opaque: Vec<u8>,
}

impl EntityTag {
    /// The strong tag of a project's revision.
    pub fn of_revision(revision: Revision) -> Self {
        Self { weak: false, opaque: revision.to_string().into_bytes() }
    }

    /// The strong tag of media, or of a response, whose bytes have this digest.
    pub fn of_digest(digest: &Digest) -> Self {
        Self { weak: false, opaque: digest.to_string().into_bytes() }
    }

    /// Parses a header value that is exactly one tag.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (tag, rest) = Self::parse_prefix(text.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// Strong comparison (RFC 9110, 8.8.3.2), for ranges and `If-Match`: both are strong and equal.
    pub fn matches_strongly(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison, for `If-None-Match`: both are equal, weak or strong.
    pub fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The value of an `ETag` header.
    pub fn to_header(&self) -> HeaderValue {
        let weakness: &[u8] = if self.weak { b"W/" } else { b"" };
        let text = [weakness, b"\"", &self.opaque, b"\""].concat();
        HeaderValue::from_bytes(&text).expect("an entity tag has no control characters")
    }

    /// Parses the tag at the beginning of `text`; returns it and the rest.
    fn parse_prefix(text: &[u8]) -> Option<(Self, &[u8])> {
        let (weak, text) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let text = text.strip_prefix(b"\"")?;
        let end = text.iter().position(|&byte| byte == b'"')?;
        let opaque = &text[..end];
        let is_tag_char = |byte: &u8| *byte == 0x21 || (0x23..=0x7e).contains(byte) || *byte >= 0x80;
        opaque.iter().all(is_tag_char).then(|| (Self { weak, opaque: opaque.to_vec() }, &text[end + 1..]))
    }

    /// The revision whose tag has this opaque part; `None` if no revision has it.
    fn as_revision(&self) -> Option<Revision> {
        let number = std::str::from_utf8(&self.opaque).ok()?.parse().ok().map(Revision::new)?;
        // Only in our own spelling: `+3` and `03` parse as numbers too, but the server never sends such tags.
        (number.to_string().as_bytes() == self.opaque).then_some(number)
    }
}

impl fmt::Display for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weakness = if self.weak { "W/" } else { "" };
        write!(f, "{weakness}\"{}\"", String::from_utf8_lossy(&self.opaque))
    }
}

/// A precondition header that is neither `*` nor a list of entity tags. Status: 400.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{header} is neither * nor a list of entity tags")]
pub struct MalformedPrecondition {
    header: HeaderName,
}

/// The precondition of a save or a deletion: what its headers demand of the stored project.
///
/// If `If-Match` and `If-None-Match` are both present, both must hold (RFC 9110, 13.2.2: the second is evaluated if the
/// first is true).
///
/// # Errors
/// [`MalformedPrecondition`]: a malformed header must not be ignored, or the request could overwrite or delete what its
/// client meant to protect.
pub fn precondition(headers: &HeaderMap) -> Result<Precondition, MalformedPrecondition> {
    let if_match = TagList::read(headers, &IF_MATCH)?.map(|list| match list {
        TagList::Any => Precondition::Exists,
        TagList::Tags(tags) => Precondition::OneOf(
            tags.iter().filter(|tag| !tag.weak).filter_map(EntityTag::as_revision).collect(),
        ),
    });
    let if_none_match = TagList::read(headers, &IF_NONE_MATCH)?.map(|list| match list {
        TagList::Any => Precondition::Absent,
        TagList::Tags(tags) => Precondition::NoneOf(tags.iter().filter_map(EntityTag::as_revision).collect()),
    });
    Ok(match (if_match, if_none_match) {
        (Some(first), Some(second)) => Precondition::All(vec![first, second]),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => Precondition::None,
    })
}

/// The outcome of the preconditions of a `GET` or `HEAD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadCondition {
    /// The response is sent as if there were no preconditions.
    Met,
    /// 304: the client has this representation already.
    NotModified,
    /// 412: `If-Match` does not match the current representation.
    Failed,
}

/// Evaluates the preconditions of a `GET` or `HEAD` of the representation that `current` names, in the order of
/// RFC 9110, 13.2.2: `If-Match`, then `If-None-Match`. Ranges come after both. The two preconditions by date are
/// ignored, because representations here have no modification date (13.1.3 and 13.1.4).
///
/// A malformed `If-None-Match` is ignored: the full response is always right.
///
/// # Errors
/// [`MalformedPrecondition`] if `If-Match` is malformed.
pub fn read_condition(
    headers: &HeaderMap,
    current: &EntityTag,
) -> Result<ReadCondition, MalformedPrecondition> {
    let is_any = |list: &TagList, matches: fn(&EntityTag, &EntityTag) -> bool| match list {
        TagList::Any => true,
        TagList::Tags(tags) => tags.iter().any(|tag| matches(tag, current)),
    };
    if let Some(list) = TagList::read(headers, &IF_MATCH)?
        && !is_any(&list, EntityTag::matches_strongly)
    {
        return Ok(ReadCondition::Failed);
    }
    match TagList::read(headers, &IF_NONE_MATCH) {
        Ok(Some(list)) if is_any(&list, EntityTag::matches_weakly) => Ok(ReadCondition::NotModified),
        _ => Ok(ReadCondition::Met),
    }
}

/// `"*" / #entity-tag`.
#[derive(PartialEq, Eq, Debug)]
enum TagList {
    Any,
    Tags(Vec<EntityTag>),
}

impl TagList {
    /// Parses all lines of a header as one list; `None` if the header is absent.
    fn read(headers: &HeaderMap, header: &HeaderName) -> Result<Option<Self>, MalformedPrecondition> {
        let malformed = || MalformedPrecondition { header: header.clone() };
        let lines: Vec<_> = headers.get_all(header).iter().map(|line| line.as_bytes().trim_ascii()).collect();
        match lines[..] {
            [] => return Ok(None),
            [b"*"] => return Ok(Some(Self::Any)),
            _ => {}
        }
        let mut tags = Vec::new();
        for line in lines {
            read_tags(line, &mut tags).ok_or_else(malformed)?;
        }
        if tags.is_empty() {
            return Err(malformed());
        }
        Ok(Some(Self::Tags(tags)))
    }
}

/// Appends the tags of one line; `None` if it is malformed. Empty list elements are skipped (RFC 9110, 5.6.1.2).
fn read_tags(line: &[u8], tags: &mut Vec<EntityTag>) -> Option<()> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(after_comma) = rest.strip_prefix(b",") {
            rest = after_comma;
            continue;
        }
        if rest.is_empty() {
            return Some(());
        }
        let (tag, after) = EntityTag::parse_prefix(rest)?;
        tags.push(tag);
        rest = after.trim_ascii_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(b",")?;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[track_caller]
    fn read(lines: &[(HeaderName, &str)]) -> Precondition {
        precondition(&headers(lines)).unwrap()
    }

    fn revisions(numbers: &[u64]) -> Vec<Revision> {
        numbers.iter().copied().map(Revision::new).collect()
    }

    #[test]
    fn without_a_header_there_is_no_precondition() {
        assert_eq!(read(&[]), Precondition::None);
    }

    #[test]
    fn a_star_asks_for_presence_or_absence() {
        assert_eq!(read(&[(IF_MATCH, " * ")]), Precondition::Exists);
        assert_eq!(read(&[(IF_NONE_MATCH, "*")]), Precondition::Absent);
    }

    #[test]
    fn lists_over_several_lines_are_one_list() {
        let lines = [(IF_MATCH, "\"1\" ,, \"2\","), (IF_MATCH, "\"3\"")];
        assert_eq!(read(&lines), Precondition::OneOf(revisions(&[1, 2, 3])));
        assert_eq!(read(&[(IF_NONE_MATCH, "\"7\",\"8\"")]), Precondition::NoneOf(revisions(&[7, 8])));
    }

    #[test]
    fn a_weak_tag_never_matches_in_if_match_and_does_in_if_none_match() {
        assert_eq!(read(&[(IF_MATCH, "W/\"3\"")]), Precondition::OneOf(vec![]));
        assert_eq!(read(&[(IF_NONE_MATCH, "W/\"3\"")]), Precondition::NoneOf(revisions(&[3])));
    }

    #[test]
    fn a_tag_that_is_not_a_revision_matches_nothing() {
        for tag in ["\"\"", "\"03\"", "\"+3\"", "\"-3\"", "\"3,4\"", "\"abc\"", "\"99999999999999999999\""] {
            assert_eq!(read(&[(IF_MATCH, tag)]), Precondition::OneOf(vec![]), "{tag}");
            assert_eq!(read(&[(IF_NONE_MATCH, tag)]), Precondition::NoneOf(vec![]), "{tag}");
        }
    }

    #[test]
    fn both_headers_must_hold() {
        let both = read(&[(IF_MATCH, "*"), (IF_NONE_MATCH, "\"3\"")]);
        assert!(both.is_met_by(Some(Revision::new(4))));
        assert!(!both.is_met_by(Some(Revision::new(3))));
        assert!(!both.is_met_by(None));
        let stale = read(&[(IF_MATCH, "\"1\""), (IF_NONE_MATCH, "\"9\"")]);
        assert!(!stale.is_met_by(Some(Revision::new(2))));
    }

    #[test]
    fn a_malformed_list_of_tags_is_refused() {
        for value in ["", ",", "3", "\"3", "3\"", "\"3\" \"4\"", "*, \"3\"", "\"3\", *", "w/\"3\"", "\"a b\""]
        {
            assert!(precondition(&headers(&[(IF_MATCH, value)])).is_err(), "{value:?}");
            assert!(precondition(&headers(&[(IF_NONE_MATCH, value)])).is_err(), "{value:?}");
        }
        assert!(precondition(&headers(&[(IF_MATCH, "*"), (IF_MATCH, "*")])).is_err());
    }

    #[test]
    fn bytes_outside_ascii_are_allowed_in_a_tag() {
        let value = HeaderValue::from_bytes(b"\"\xff\xfe\"").unwrap();
        assert_eq!(EntityTag::parse(value.as_bytes()).unwrap().to_header(), value);
    }

    #[test]
    fn a_matching_tag_means_not_modified() {
        let current = EntityTag::of_digest(&Digest::of(b"song"));
        let text = current.to_string();
        let evaluate = |value: &str| read_condition(&headers(&[(IF_NONE_MATCH, value)]), &current).unwrap();
        for value in [text.as_str(), &format!("W/{text}"), &format!("\"other\", {text}"), "*"] {
            assert_eq!(evaluate(value), ReadCondition::NotModified, "{value}");
        }
        for value in ["\"other\"", "", "garbage", text.trim_matches('"')] {
            assert_eq!(evaluate(value), ReadCondition::Met, "{value}");
        }
        assert_eq!(read_condition(&HeaderMap::new(), &current), Ok(ReadCondition::Met));
    }

    #[test]
    fn if_match_compares_strongly_and_comes_first() {
        let current = EntityTag::of_digest(&Digest::of(b"song"));
        let text = current.to_string();
        let evaluate = |value: &str, known: &str| {
            read_condition(&headers(&[(IF_MATCH, value), (IF_NONE_MATCH, known)]), &current)
        };
        for value in [text.as_str(), &format!("\"other\" , {text}"), "*"] {
            assert_eq!(evaluate(value, "\"other\""), Ok(ReadCondition::Met), "{value}");
            assert_eq!(evaluate(value, &text), Ok(ReadCondition::NotModified), "{value}");
        }
        for value in ["\"other\"", &format!("W/{text}")] {
            for known in [text.as_str(), "\"other\"", "*"] {
                assert_eq!(evaluate(value, known), Ok(ReadCondition::Failed), "{value} {known}");
            }
        }
        for value in ["", "garbage", &format!("*, {text}")] {
            assert!(evaluate(value, "*").is_err(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn a_printed_tag_can_be_parsed(weak: bool, opaque in "[!#-~]{0,40}") {
            let tag = EntityTag { weak, opaque: opaque.into_bytes() };
            prop_assert_eq!(EntityTag::parse(tag.to_header().as_bytes()), Some(tag.clone()));
            prop_assert_eq!(EntityTag::parse(tag.to_string().as_bytes()), Some(tag));
        }

        #[test]
        fn a_revision_matches_its_own_tag_only(number: u64, other: u64) {
            let tag = EntityTag::of_revision(Revision::new(number)).to_string();
            let demand = read(&[(IF_MATCH, tag.as_str())]);
            prop_assert!(demand.is_met_by(Some(Revision::new(number))));
            prop_assert_eq!(demand.is_met_by(Some(Revision::new(other))), number == other);
        }

        #[test]
        fn no_header_value_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = precondition(&HeaderMap::from_iter([(IF_MATCH, value)]));
            }
        }
    }
}
