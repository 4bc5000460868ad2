//! N-grams of titles, the terms of an index that makes searches fast.
//!
//! A title that contains a text also contains every three consecutive code points (every trigram) of that text. The
//! index finds the few titles that have these; each of them must still be compared with the text.

use std::collections::BTreeSet;

use super::{ListQuery, Title};

/// How many code points an n-gram has, unless the searched text is shorter.
const LENGTH_MAX: usize = 3;

/// How many n-grams of a text are looked up: few titles have all of these without containing the text.
const LOOKUPS_MAX: usize = 4;

impl Title {
    /// The index terms of the title: all its n-grams of one, two and three code points, of the title itself and of its
    /// folded form.
    ///
    /// At most six for each code point, and in most titles fewer than three.
    pub(crate) fn ngrams(&self) -> BTreeSet<String> {
        let of = |text: &str| {
            let chars: Vec<char> = text.chars().collect();
            (1..=LENGTH_MAX).flat_map(|length| windows(&chars, length)).collect::<Vec<_>>()
        };
        of(self.as_str()).into_iter().chain(of(&self.folded())).collect()
    }
}

impl ListQuery {
    /// N-grams that every matching title has; empty if the query does not search in titles.
    pub(crate) fn lookups(&self) -> Vec<String> {
        let texts = self.folded_search().into_iter().chain(self.normalized_contains());
        let grams: Vec<_> = texts.flat_map(|text| longest(&text)).collect();
        // Spread over the text: neighbouring n-grams often occur in the same titles.
        let step = grams.len().div_ceil(LOOKUPS_MAX).max(1);
        grams.into_iter().step_by(step).collect()
    }
}

/// The longest n-grams of a text, in the order of the text.
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
            saved: now,
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
    fn a_title_has_its_ngrams_as_written_and_as_folded() {
        let grams: Vec<_> = Title::parse("Aßa").unwrap().ngrams().into_iter().collect();
        assert_eq!(grams, ["A", "Aß", "Aßa", "a", "as", "ass", "s", "sa", "ss", "ssa", "ß", "ßa"]);
    }

    #[test]
    fn a_lookup_skips_titles_without_the_ngram() {
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

    // Letters that fold to several letters, combining characters, and the last code point of Unicode.
    const TEXT: &str = "[aAJß\u{130}éE\u{301}\u{30c}\u{316}Σς🎧\u{10ffff} ]{1,6}";

    proptest! {
        #[test]
        fn every_title_that_contains_a_text_is_found(before in TEXT, text in TEXT, after in TEXT) {
            let project = project(&format!("{before}{text}{after}"));
            for query in [searching(&text), containing(&text)] {
                prop_assert!(!query.admits(&project) || leads_to(&query, &project.metadata.title), "{query:?}");
            }
        }
    }
}
