//! The entity tags of this server, and the preconditions that requests make of them.
//!
//! A project's tag is its revision, that of media or of a list is the digest of the bytes.

use notestamp_store::{Digest, Precondition, Revision};
use poem::http::header::{HeaderMap, IF_MATCH, IF_NONE_MATCH};

use crate::http::entity_tag::{EntityTag, MalformedPrecondition, TagList};

/// The strong tag of a project's revision.
pub(crate) fn of_revision(revision: Revision) -> EntityTag {
    EntityTag::strong(revision)
}

/// The strong tag of media, or of a response, whose bytes have this digest.
pub(crate) fn of_digest(digest: &Digest) -> EntityTag {
    EntityTag::strong(digest)
}

/// The revision whose tag this is; `None` if no revision has it.
fn revision_of(tag: &EntityTag) -> Option<Revision> {
    let number = std::str::from_utf8(tag.opaque()).ok()?.parse().ok().map(Revision::new)?;
    // Only in our own spelling: `+3` and `03` parse as numbers too, but the server never sends such tags.
    (number.to_string().as_bytes() == tag.opaque()).then_some(number)
}

/// The precondition of a save or a deletion: what its headers demand of the stored project.
///
/// If `If-Match` and `If-None-Match` are both present, both must hold (RFC 9110, 13.2.2: the second is evaluated if the
/// first is true).
///
/// # Errors
/// [`MalformedPrecondition`]: a malformed header must not be ignored, or the request could overwrite or delete what its
/// client meant to protect.
pub(crate) fn precondition(headers: &HeaderMap) -> Result<Precondition, MalformedPrecondition> {
    let if_match = TagList::read(headers, &IF_MATCH)?.map(|list| match list {
        TagList::Any => Precondition::Exists,
        TagList::Tags(tags) => {
            Precondition::OneOf(tags.iter().filter(|tag| tag.is_strong()).filter_map(revision_of).collect())
        }
    });
    let if_none_match = TagList::read(headers, &IF_NONE_MATCH)?.map(|list| match list {
        TagList::Any => Precondition::Absent,
        TagList::Tags(tags) => Precondition::NoneOf(tags.iter().filter_map(revision_of).collect()),
    });
    Ok(match (if_match, if_none_match) {
        (Some(first), Some(second)) => Precondition::All(vec![first, second]),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => Precondition::None,
    })
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;
    use poem::http::header::HeaderName;
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

    proptest! {
        #[test]
        fn a_revision_matches_its_own_tag_only(number: u64, other: u64) {
            let tag = of_revision(Revision::new(number)).to_string();
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
