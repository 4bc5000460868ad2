//! What a text in a title is looked up by, so that a search need not look at every title.
//!
//! A title that contains a text has every three code points of it in a row. An index over those leads to the few
//! titles that have them; which of these contain the text is still to be seen.

use std::collections::BTreeSet;

use super::{ListQuery, Title};

/// How many code points a gram has, unless the text that is looked for is shorter.
const LENGTH_MAX: usize = 3;

/// How many grams of a text are worth a look: few titles have so many and not the text.
const LOOKUPS_MAX: usize = 4;

impl Title {
    /// What an index has of the title: each one, two and three code points in a row, as it is written and as it
    /// is folded.
    ///
    /// That is at most six for each code point, and in most titles fewer than three.
    pub(crate) fn ngrams(&self) -> BTreeSet<String> {
        let of = |text: &str| {
            let chars: Vec<char> = text.chars().collect();
            (1..=LENGTH_MAX).flat_map(|length| windows(&chars, length)).collect::<Vec<_>>()
        };
        of(self.as_str()).into_iter().chain(of(&self.folded())).collect()
    }
}

impl ListQuery {
    /// Grams that each title has which is looked for; none where any title will do.
    pub(crate) fn lookups(&self) -> Vec<String> {
        let texts = self.folded_search().into_iter().chain(self.normalized_contains());
        let grams: Vec<_> = texts.flat_map(|text| longest(&text)).collect();
        // From all over the text: what stands beside each other is often as common.
        let step = grams.len().div_ceil(LOOKUPS_MAX).max(1);
        grams.into_iter().step_by(step).collect()
    }
}

/// The longest grams of a text, in the order in which they stand in it.
fn longest(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    match chars.len().min(LENGTH_MAX) {
        0 => Vec::new(),
        length => windows(&chars, length),
    }
}

fn windows(chars: &[char], length: usize) -> Vec<String> {
    chars.windows(length).map(|window| window.iter().collect()).collect()
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
        let grams = title.ngrams();
        query.lookups().iter().all(|gram| grams.contains(gram))
    }

    #[test]
    fn a_title_has_its_grams_as_written_and_as_folded() {
        let grams: Vec<_> = Title::parse("Aßa").unwrap().ngrams().into_iter().collect();
        assert_eq!(grams, ["A", "Aß", "Aßa", "a", "as", "ass", "s", "sa", "ss", "ssa", "ß", "ßa"]);
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
