//! The names of folders and files: readable where a title is a file name on every system, and encoded elsewhere.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use crate::domain::{Digest, ProjectId, Title};

/// The longest name of a file or a folder, in bytes.
const BYTES_MAX: usize = 200;

/// How many bytes the longest name of a project is longer than the name of its title: `.TITLE.json`, or `TITLE~ID`.
const AFFIX_BYTES_MAX: usize = 9;

/// `~` and eight hexadecimal digits, at the end of an encoded name.
const MARK_BYTES: usize = 9;

/// The characters that some file system or shell does not allow in a name.
const FORBIDDEN: &str = "/\\:*?\"<>|";

/// The name of a project's folder, and the stem of the files in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct FolderName(String);

impl FolderName {
    /// The name of a title. Different titles have different names; a name that is `ambiguous`, because another title
    /// differs from it only in letter case, is encoded.
    pub(crate) fn of(title: &Title, ambiguous: bool) -> Self {
        let text = title.as_str();
        if !ambiguous && is_plain(text) { Self(text.to_owned()) } else { Self(encoded(text)) }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a title can be the name of a file and of a folder on every common system, and means nothing else here.
fn is_plain(title: &str) -> bool {
    !title.chars().any(is_forbidden)
        && !title.starts_with(['.', ' '])
        && !title.ends_with(['.', ' '])
        && title.len() + AFFIX_BYTES_MAX <= BYTES_MAX
        && !["metadata", "notestamp"].iter().any(|ours| title.eq_ignore_ascii_case(ours))
        && !is_device_name(title)
        && !has_mark(title)
}

fn is_forbidden(c: char) -> bool {
    c.is_ascii_control() || FORBIDDEN.contains(c)
}

/// Whether a name ends like an encoded one.
fn has_mark(name: &str) -> bool {
    name.rsplit_once('~').is_some_and(|(_, digits)| {
        digits.len() == MARK_BYTES - 1 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Percent-encodes a title, shortens it, and adds a part of its digest, which other titles do not have.
fn encoded(title: &str) -> String {
    let mut name = String::new();
    let last = title.chars().count() - 1;
    for (at, c) in title.chars().enumerate() {
        let is_at_end = (at == 0 || at == last) && matches!(c, '.' | ' ');
        // The name of a device ends at its first dot, so only another first letter makes it another name.
        let is_of_device = at == 0 && is_device_name(title);
        let piece = match c == '%' || is_forbidden(c) || is_at_end || is_of_device {
            true => format!("%{:02X}", u32::from(c)),
            false => c.to_string(),
        };
        if name.len() + piece.len() + MARK_BYTES + AFFIX_BYTES_MAX > BYTES_MAX {
            break;
        }
        name += &piece;
    }
    let mut digest = Digest::of(title.as_bytes()).to_string();
    digest.truncate(MARK_BYTES - 1);
    format!("{name}~{digest}")
}

/// What the name of a folder in the trash ends in: a part of the id that two projects of one title do not share.
pub(crate) fn trash_suffix(id: ProjectId) -> String {
    let id = id.to_string();
    format!("~{}", &id[id.len() - 8..])
}

/// Whether Windows treats a name as a device, whatever its extension.
pub fn is_device_name(name: &str) -> bool {
    let base = name.split('.').next().unwrap_or(name).trim_end().to_ascii_uppercase();
    match base.as_str() {
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" => true,
        _ => ["COM", "LPT"].iter().any(|device| {
            base.strip_prefix(device).is_some_and(|number| {
                matches!(number.as_bytes(), [b'0'..=b'9']) || matches!(number, "\u{b9}" | "\u{b2}" | "\u{b3}")
            })
        }),
    }
}

/// Which titles differ from another one only in letter case, or in the encoding of accents: on some systems, their
/// folders would be one.
#[derive(Clone, Debug, Default)]
pub struct AmbiguousNames {
    hasher: RandomState,
    seen: HashSet<u64>,
    twice: HashSet<u64>,
}

impl AmbiguousNames {
    /// Adds a title of the account; call it once for each.
    pub fn add(&mut self, title: &Title) {
        let key = self.hasher.hash_one(title.folded());
        if !self.seen.insert(key) {
            self.twice.insert(key);
        }
    }

    /// Whether another title of those that were added has the same name on some systems.
    pub fn contains(&self, title: &Title) -> bool {
        self.twice.contains(&self.hasher.hash_one(title.folded()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn name(title: &str) -> String {
        FolderName::of(&Title::parse(title).unwrap(), false).0
    }

    #[test]
    fn a_title_that_is_a_file_name_everywhere_stays_as_it_is() {
        for title in ["Lecture 1", "50% off", "Übung 2", "講義", "a.b", "🎧", "~x", "x~1"] {
            assert_eq!(name(title), title);
        }
    }

    #[test]
    fn other_titles_are_encoded_and_end_in_a_part_of_their_digest() {
        for (title, beginning) in [
            ("a/b", "a%2Fb~"),
            ("..", "%2E%2E~"),
            (".history", "%2Ehistory~"),
            ("x ", "x%20~"),
            ("x.", "x%2E~"),
            ("a\tb", "a%09b~"),
            ("a:%b", "a%3A%25b~"),
            ("Metadata", "Metadata~"),
            ("NOTESTAMP", "NOTESTAMP~"),
            ("con", "%63on~"),
            ("Com1.txt", "%43om1.txt~"),
            ("é?", "é%3F~"),
            ("x~0123abcd", "x~0123abcd~"),
        ] {
            let mut digest = Digest::of(title.as_bytes()).to_string();
            digest.truncate(8);
            assert_eq!(name(title), format!("{beginning}{digest}"));
        }
    }

    #[test]
    fn titles_that_differ_only_in_letter_case_are_encoded() {
        let title = |text: &str| Title::parse(text).unwrap();
        let mut names = AmbiguousNames::default();
        for text in ["Ada", "ada", "Bob"] {
            names.add(&title(text));
        }
        let name = |text: &str| FolderName::of(&title(text), names.contains(&title(text))).0;
        assert!(name("Ada").starts_with("Ada~") && name("ada").starts_with("ada~"));
        assert_ne!(name("Ada").to_lowercase(), name("ada"));
        assert_eq!(name("Bob"), "Bob");
    }

    #[test]
    fn the_longest_plain_name_leaves_room_for_what_is_added() {
        assert_eq!(name(&"a".repeat(191)), "a".repeat(191));
        let long = name(&"a".repeat(192));
        assert!(long.starts_with("aaa") && has_mark(&long) && long.len() == 191, "{long}");
    }

    proptest! {
        #[test]
        fn any_title_has_a_short_name_that_every_system_allows(
            text in prop_oneof!["\\PC{1,255}", "[./\\\\\": a%~con]{1,255}", any::<String>()],
        ) {
            let Ok(title) = Title::parse(&text) else { return Ok(()) };
            let name = FolderName::of(&title, false).0;
            prop_assert!(!name.is_empty() && name.len() + AFFIX_BYTES_MAX <= BYTES_MAX);
            prop_assert!(!name.starts_with(['.', ' ']) && !name.ends_with(['.', ' ']));
            prop_assert!(!name.chars().any(is_forbidden));
            prop_assert!(!is_device_name(&name));
            prop_assert!(name == title.as_str() || has_mark(&name));
        }
    }
}
