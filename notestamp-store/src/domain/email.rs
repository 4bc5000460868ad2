use std::fmt;

use caseless::Caseless;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use unicode_normalization::UnicodeNormalization;

use super::InvalidValue;

/// An email address, which names an account, in canonical form.
///
/// - Trimmed. The local part is in Unicode normalization form C and fully case-folded: two accounts cannot differ only
///   in letter case, or only in how an accent is encoded.
/// - The domain as UTS 46 maps it, in Unicode: `xn--bcher-kva.example` is `bücher.example`.
/// - At most 254 bytes, the limit of SMTP (RFC 5321, 4.5.3.1.3).
/// - One `@` between a local part of 1 to 64 bytes and a domain whose labels DNS can have; no spaces, no control
///   characters, no invisible characters, no `<` and no `>`. Whether mail arrives there is not checked.
///
/// ```
/// use notestamp_store::Email;
/// assert_eq!(Email::parse(" Ada@Example.ORG ")?.as_str(), "ada@example.org");
/// assert_eq!(Email::parse("STRASSE@xn--bcher-kva.example")?, Email::parse("straße@BÜCHER.example")?);
/// for refused in ["ada", "<ada@example.org>", "a\u{200b}da@example.org"] {
///     assert!(Email::parse(refused).is_err());
/// }
/// # Ok::<(), notestamp_store::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    /// The longest address, in bytes.
    pub const BYTES_MAX: usize = 254;

    /// Parses an address as a user typed it.
    ///
    /// # Errors
    /// If the text is not a valid address.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let refused = |why: &str| Err(InvalidValue::new("email address", why));
        let text = text.trim();
        if text.chars().any(is_unseen) {
            return refused("contains spaces, control characters or invisible characters");
        }
        let Some((local, domain)) = text.split_once('@') else {
            return refused("has no @");
        };
        let local = folded(local);
        if local.is_empty() || local.len() > 64 {
            return refused("needs 1 to 64 bytes before the @");
        }
        let Some(domain) = canonical_domain(domain) else {
            return refused("needs one domain after the @");
        };
        let address = format!("{local}@{domain}");
        if address.contains(['<', '>']) {
            return refused("contains < or >");
        }
        if address.len() > Self::BYTES_MAX {
            return refused("is longer than 254 bytes");
        }
        Ok(Self(address))
    }

    /// An address that a record store holds, without validation. [`parse`](Self::parse) of an earlier version may have
    /// made it: by today's rules, it may be equal to the address of another account.
    pub fn stored(address: impl Into<String>) -> Self {
        Self(address.into())
    }

    /// The address in canonical form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Canonical caseless matching (the Unicode Standard, 3.13, D145), repeated until the text does not change any more.
fn folded(text: &str) -> String {
    const TIMES_MAX: usize = 4;
    let mut text = text.to_owned();
    for _ in 0..TIMES_MAX {
        let folded: String = text.chars().nfd().default_case_fold().nfc().collect();
        if folded == text {
            break;
        }
        text = folded;
    }
    text
}

/// The domain in Unicode; `None` if it is not valid in DNS.
fn canonical_domain(domain: &str) -> Option<String> {
    let (uts46, deny) = (Uts46::new(), AsciiDenyList::URL);
    let ascii = uts46.to_ascii(domain.as_bytes(), deny, Hyphens::Allow, DnsLength::Verify).ok()?;
    let (unicode, valid) = uts46.to_unicode(ascii.as_bytes(), deny, Hyphens::Allow);
    valid.is_ok().then(|| unicode.into_owned())
}

/// Whether a character is invisible or blank, or not assigned in Unicode: a later version may define a case folding for
/// unassigned ones.
fn is_unseen(c: char) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    let has_no_glyph = matches!(
        category,
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Unassigned
    );
    has_no_glyph || c == BRAILLE_BLANK || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// Hides the address: it is personal data, and `Debug` output goes to logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parse(text: &str) -> String {
        Email::parse(text).unwrap_or_else(|why| panic!("{text:?} {why}")).as_str().to_owned()
    }

    #[test]
    fn all_spellings_of_an_address_are_one_address() {
        for (spellings, canonical) in [
            (
                ["jos\u{e9}@a.example", "jose\u{301}@a.example", " JOSE\u{301}@A.EXAMPLE\t"],
                "jos\u{e9}@a.example",
            ),
            (
                ["ada@bücher.example", "ada@xn--bcher-kva.example", "ada@BU\u{308}CHER.example"],
                "ada@bücher.example",
            ),
            (["ΟΣ@a.example", "οσ@a.example", "ος@a.example"], "οσ@a.example"),
            (["STRASSE@a.example", "straße@a.example", "STRAẞE@a.example"], "strasse@a.example"),
            (["a@b", "A@B", "a@b"], "a@b"),
            (
                ["a+b.c'd@x-y.example", "A+B.C'D@X-Y.EXAMPLE", "a+b.c'd@x-y\u{ff0e}example"],
                "a+b.c'd@x-y.example",
            ),
            // The domains of IDNA 2008 are two.
            (["a@straße.example"; 3], "a@straße.example"),
        ] {
            for spelling in spellings {
                assert_eq!(parse(spelling), canonical, "{spelling:?}");
            }
        }
    }

    #[test]
    fn an_invalid_address_is_refused() {
        let long = format!("{}@{}.example", "a".repeat(64), vec!["b".repeat(60); 4].join("."));
        for refused in [
            "",
            "@",
            "ada",
            "ada@",
            "@example.org",
            "ada@@example.org",
            "ada@bob@example.org",
            "ada@example..org",
            "ada@.example.org",
            "ada@example.org.",
            "<ada@b.example>",
            "Ada <ada@b.example>",
            "ada lovelace@example.org",
            "ada@exam ple.org",
            "ada\u{a0}lovelace@example.org",
            "ada\n@example.org",
            "ada\0@example.org",
            "ada\u{85}@example.org",
            // Zero width space, soft hyphen, joiner, direction, variation, Hangul and braille blanks, tag.
            "a\u{200b}da@example.org",
            "a\u{ad}da@example.org",
            "a\u{200d}da@example.org",
            "\u{202e}ada@example.org",
            "a\u{fe0f}da@example.org",
            "a\u{3164}da@example.org",
            "a\u{2800}da@example.org",
            "a\u{e0041}da@example.org",
            "\u{feff}ada@example.org",
            "ada@exam\u{ad}ple.org",
            "ada@exam\u{200b}ple.org",
            "ada@xn--a.example",
            "ada@exa<mple.org",
            "ada@[192.0.2.1]",
            &format!("{}@example.org", "a".repeat(65)),
            &format!("ada@{}.example", "b".repeat(64)),
            &long,
        ] {
            assert!(Email::parse(refused).is_err(), "{refused:?}");
        }
    }
}
