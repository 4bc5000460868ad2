use std::fmt;

use caseless::Caseless;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::InvalidValue;

/// A project's title, unique in its account.
///
/// - In Unicode normalization form C (UAX #15): the two encodings of an accented letter give the same title.
/// - 1 to 255 code points.
/// - No control characters (C0, DEL, C1), except that tab is allowed.
///
/// Every other character is allowed: a title is never part of a path.
///
/// ```
/// use notestamp_store::Title;
/// assert_eq!(Title::parse("Cafe\u{301}")?, Title::parse("Caf\u{e9}")?);
/// for title in ["..", "a/b\\c", "%2F", "null", "🎧", "\"quoted\"", "a\tb"] {
///     assert_eq!(Title::parse(title)?.as_str(), title);
/// }
/// for title in ["", "a\nb", "\u{7f}", "\u{85}"] {
///     assert!(Title::parse(title).is_err(), "{title:?}");
/// }
/// # Ok::<(), notestamp_store::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Title(String);

impl Title {
    /// The longest title, in code points.
    pub const CHARS_MAX: usize = 255;

    /// Parses a title as a user typed it.
    ///
    /// # Errors
    /// If the text is empty, too long, or has a control character.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let refused = |why: &str| Err(InvalidValue::new("title", why));
        // Composition leaves at least a third of the code points (UAX #15, 9.2): a longer text cannot become valid.
        if text.len() > Self::CHARS_MAX * 4 * 4 {
            return refused("is longer than 255 code points");
        }
        let title = normalize(text);
        if title.is_empty() {
            return refused("is missing");
        }
        if title.chars().count() > Self::CHARS_MAX {
            return refused("is longer than 255 code points");
        }
        if title.chars().any(|c| c.is_control() && c != '\t') {
            return refused("has control characters");
        }
        Ok(Self(title))
    }

    /// This title followed by a number in parentheses, shortened if it would be too long.
    ///
    /// ```
    /// use notestamp_store::Title;
    /// assert_eq!(Title::parse("Lecture")?.numbered(2), Title::parse("Lecture (2)")?);
    /// # Ok::<(), notestamp_store::InvalidValue>(())
    /// ```
    #[must_use]
    pub fn numbered(&self, number: u64) -> Self {
        let suffix = format!(" ({number})");
        let kept: String = self.0.chars().take(Self::CHARS_MAX - suffix.len()).collect();
        // A part of a text in normalization form C, and the ASCII after it, are in that form too.
        Self(kept + &suffix)
    }

    /// The title, in normalization form C.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The title without differences of letter case, in any script: the key for search and sort.
    pub fn folded(&self) -> String {
        fold(&self.0)
    }
}

impl fmt::Debug for Title {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Title({:?})", self.0)
    }
}

/// Normalization form C, the form in which titles are stored.
pub(crate) fn normalize(text: &str) -> String {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => text.to_owned(),
        IsNormalized::No | IsNormalized::Maybe => text.nfc().collect(),
    }
}

/// Canonical caseless matching (the Unicode Standard, 3.13, D145): texts that differ only in
/// letter case, or in how their accents are encoded, have the same folded text.
pub(crate) fn fold(text: &str) -> String {
    text.chars().nfd().default_case_fold().nfc().collect()
}
