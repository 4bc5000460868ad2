//! What a text in a title is looked up by, so that a search need not look at every title.
//!
//! A title that contains a text has every three code points of it in a row. An index over those leads to the few
//! titles that have them; which of these contain the text is still to be seen.

use std::collections::BTreeSet;
use std::iter;

use super::{ListQuery, Title};

const LENGTH: usize = 3;

/// How many trigrams of a text are worth a look: with one that few titles have, the others need none.
const LOOKUPS_MAX: usize = 4;

/// Stands behind a title, so that its last code points begin a trigram too. No title has it.
const END: char = '\n';

impl Title {
    /// What an index has of the title: each three code points in a row, as it is written and as it is folded.
    ///
    /// That is twice a title's code points and two at most; most titles have about as many as code points.
    pub(crate) fn trigrams(&self) -> BTreeSet<String> {
        let of = |text: &str| windows(&text.chars().chain([END; LENGTH - 1]).collect::<Vec<_>>());
        of(self.as_str()).into_iter().chain(of(&self.folded())).collect()
    }
}

/// Trigrams, one of which is among those of each title that is looked for: from the first to the last, by their UTF-8.
#[derive(Clone, Debug)]
pub(crate) struct TrigramRange {
    pub(crate) first: String,
    pub(crate) last: String,
}

impl ListQuery {
    /// What can be looked up of the texts that titles are to contain; nothing where any title will do.
    pub(crate) fn lookups(&self) -> Vec<TrigramRange> {
        let texts = self.folded_search().into_iter().chain(self.normalized_contains());
        let ranges: Vec<_> = texts.flat_map(|text| ranges(&text)).collect();
        // From all over the text: what stands beside each other is often as common.
        let step = ranges.len().div_ceil(LOOKUPS_MAX).max(1);
        ranges.into_iter().step_by(step).collect()
    }
}

fn ranges(text: &str) -> Vec<TrigramRange> {
    let chars: Vec<char> = text.chars().collect();
    match chars.len() {
        0 => Vec::new(),
        // It begins some trigram, with whatever follows.
        short @ ..LENGTH => {
            let last = chars.into_iter().chain(iter::repeat_n(char::MAX, LENGTH - short)).collect();
            vec![TrigramRange { first: text.to_owned(), last }]
        }
        _ => {
            let exactly = |trigram: String| TrigramRange { first: trigram.clone(), last: trigram };
            windows(&chars).into_iter().map(exactly).collect()
        }
    }
}

fn windows(chars: &[char]) -> Vec<String> {
    chars.windows(LENGTH).map(|window| window.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{Metadata, NotesRef, ObjectId, Project, ProjectId, Revision, UserId};

    fn project(title: &str) -> Project {
        let now = Timestamp::from_millis(0);
        Project {
            id: ProjectId::from_bytes([0; 16]),
            owner: UserId::from_bytes([0; 16]),
            metadata: Metadata::new(Title::parse(title).unwrap(), now),
            media: None,
            notes: NotesRef { object: ObjectId::from_bytes([0; 16]), size: 0 },
            revision: Revision::FIRST,
            save: 1,
            created: now,
        }
    }

    fn searching(text: &str) -> ListQuery {
        ListQuery { search: Some(text.to_owned()), ..ListQuery::default() }
    }

    fn containing(text: &str) -> ListQuery {
        ListQuery { contains: Some(text.to_owned()), ..ListQuery::default() }
    }

    fn leads_to(query: &ListQuery, title: &Title) -> bool {
        let trigrams = title.trigrams();
        query.lookups().into_iter().all(|range| trigrams.range(range.first..=range.last).next().is_some())
    }

    #[test]
    fn a_title_has_its_trigrams_as_written_and_as_folded_to_the_very_end() {
        let trigrams: Vec<_> = Title::parse("Aß").unwrap().trigrams().into_iter().collect();
        assert_eq!(trigrams, ["Aß\n", "ass", "s\n\n", "ss\n", "ß\n\n"]);
    }

    #[test]
    fn a_lookup_leads_past_titles_that_have_not_what_is_looked_for() {
        let title = Title::parse("A lecture").unwrap();
        for query in [searching("x"), searching("lx"), searching("urex"), containing("E")] {
            assert!(!leads_to(&query, &title), "{query:?}");
        }
        assert!(ListQuery::default().lookups().is_empty() && searching("").lookups().is_empty());
    }

    #[test]
    fn a_long_text_takes_few_lookups() {
        let text: String = ('a'..='z').collect();
        assert_eq!(searching(&text).lookups().len(), LOOKUPS_MAX);
    }

    // Letters that fold to several, compose with what follows, or are the last there are.
    const TEXT: &str = "[aAJß\u{130}éE\u{301}\u{30c}\u{316}Σς🎧\u{10ffff} ]{1,6}";

    proptest! {
        #[test]
        fn whatever_contains_a_text_is_led_to(before in TEXT, text in TEXT, after in TEXT) {
            let project = project(&format!("{before}{text}{after}"));
            for query in [searching(&text), containing(&text)] {
                prop_assert!(!query.admits(&project) || leads_to(&query, &project.metadata.title), "{query:?}");
            }
        }
    }
}
