//! Entity tags and the preconditions made of them (RFC 9110, 8.8.3 and 13.1).

use std::fmt;

use poem::http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

/// An entity tag: names one state of a representation, by a revision or a digest.
///
/// The opaque part is kept as bytes: RFC 9110 allows all of 0x80 to 0xFF, in no particular encoding.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct EntityTag {
    weak: bool,
    opaque: Vec<u8>,
}

impl EntityTag {
    /// The strong tag with this opaque part: visible ASCII without quotes.
    pub(crate) fn strong(opaque: impl fmt::Display) -> Self {
        Self { weak: false, opaque: opaque.to_string().into_bytes() }
    }

    /// Whether it is a strong tag.
    pub(crate) fn is_strong(&self) -> bool {
        !self.weak
    }

    /// The part between the quotes.
    pub(crate) fn opaque(&self) -> &[u8] {
        &self.opaque
    }

    /// Parses a header value that is exactly one tag.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (tag, rest) = Self::parse_prefix(text.trim_ascii())?;
        rest.is_empty().then_some(tag)
    }

    /// Strong comparison (RFC 9110, 8.8.3.2), for ranges and `If-Match`: both are strong and equal.
    pub(crate) fn matches_strongly(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison, for `If-None-Match`: both are equal, weak or strong.
    pub(crate) fn matches_weakly(&self, other: &Self) -> bool {
        self.opaque == other.opaque
    }

    /// The value of an `ETag` header.
    pub(crate) fn to_header(&self) -> HeaderValue {
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
pub(crate) struct MalformedPrecondition {
    header: HeaderName,
}

/// The outcome of the preconditions of a `GET` or `HEAD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadCondition {
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
pub(crate) fn read_condition(
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
pub(crate) enum TagList {
    /// `*`: any state.
    Any,
    /// One of these states; at least one tag.
    Tags(Vec<EntityTag>),
}

impl TagList {
    /// Parses all lines of a header as one list; `None` if the header is absent.
    ///
    /// # Errors
    /// [`MalformedPrecondition`] if it is neither `*` nor a list of entity tags.
    pub(crate) fn read(
        headers: &HeaderMap,
        header: &HeaderName,
    ) -> Result<Option<Self>, MalformedPrecondition> {
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

    #[test]
    fn bytes_outside_ascii_are_allowed_in_a_tag() {
        let value = HeaderValue::from_bytes(b"\"\xff\xfe\"").unwrap();
        assert_eq!(EntityTag::parse(value.as_bytes()).unwrap().to_header(), value);
    }

    #[test]
    fn a_matching_tag_means_not_modified() {
        let current = EntityTag::strong("5a0b");
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
        let current = EntityTag::strong("5a0b");
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
    }
}
