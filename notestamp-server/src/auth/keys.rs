use std::fmt;

use notestamp_store::Digest;

/// The keys that sign tokens: at least one, no two equal.
///
/// The first key signs, all keys verify. So a key can be replaced without ending sessions: put the new key first, and
/// remove the old one when the refresh tokens that it signed have expired.
#[derive(Clone, Debug)]
pub struct SigningKeys(Vec<SigningKey>);

/// A secret for HMAC-SHA-256, at least as long as its output (RFC 7518, section 3.2).
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    id: String,
    secret: Vec<u8>,
}

impl SigningKeys {
    /// Reads keys of 64 or more hex digits, separated by lines, spaces or commas; `#` starts a comment.
    ///
    /// # Errors
    ///
    /// If the text holds no key, a weak key, or the same key twice. The error names `origin`, which says where the text
    /// comes from, and the line, but never a key.
    pub fn parse(text: &str, origin: &str) -> Result<Self, InvalidSigningKeys> {
        let mut keys: Vec<SigningKey> = Vec::new();
        for (line, content) in (1..).zip(text.lines()) {
            let refused = |reason| InvalidSigningKeys { origin: format!("{origin}, line {line}"), reason };
            let words = content.split('#').next().unwrap_or_default();
            for word in words.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty()) {
                let key = SigningKey::parse(word).map_err(refused)?;
                if keys.contains(&key) {
                    return Err(refused(Reason::Repeated));
                }
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(InvalidSigningKeys { origin: origin.to_owned(), reason: Reason::None });
        }
        Ok(Self(keys))
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.0[0]
    }

    /// All keys; the first one signs.
    pub fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.0.iter()
    }
}

impl SigningKey {
    /// In hex digits: 32 bytes, the output length of HMAC-SHA-256.
    const DIGITS_MIN: usize = 64;

    fn parse(digits: &str) -> Result<Self, Reason> {
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Reason::NotHex);
        }
        if digits.len() < Self::DIGITS_MIN {
            return Err(Reason::Short(digits.len()));
        }
        if digits.len() % 2 == 1 {
            return Err(Reason::Odd(digits.len()));
        }
        let secret = from_hex(digits).expect("all are hex digits, and their number is even");
        if secret.iter().all(|byte| *byte == secret[0]) {
            return Err(Reason::Uniform);
        }
        Ok(Self::new(secret))
    }

    fn new(secret: Vec<u8>) -> Self {
        let id = hex(&Digest::of(&secret).as_bytes()[..8]);
        Self { id, secret }
    }

    /// The key's name in the header of a token (`kid`): the first 8 bytes of the key's SHA-256, in hex.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The secret bytes, at least 32.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

/// `bytes` in lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of these hex digits, upper or lower case; `None` if they are invalid or their number is odd.
pub(super) fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let byte = |pair: &[u8]| match pair {
        [high, low] => {
            let digit = |of: u8| char::from(of).to_digit(16);
            u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()
        }
        _ => None,
    };
    digits.as_bytes().chunks(2).map(byte).collect()
}

/// Why a text holds no valid keys. It never shows the text.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: {reason}")]
pub struct InvalidSigningKeys {
    origin: String,
    reason: Reason,
}

#[derive(PartialEq, Eq, Debug, thiserror::Error)]
enum Reason {
    #[error("there is no key: make one with `openssl rand -hex 32`")]
    None,
    #[error("a key consists of hex digits: make one with `openssl rand -hex 32`")]
    NotHex,
    #[error(
        "a key of {0} hex digits is too short, it needs 64 or more: make one with `openssl rand -hex 32`"
    )]
    Short(usize),
    #[error("a key needs an even number of hex digits, and this one has {0}")]
    Odd(usize),
    #[error("a key whose bytes are all equal is weak: make one with `openssl rand -hex 32`")]
    Uniform,
    #[error("this key is a duplicate")]
    Repeated,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TWO: &str = "f00102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F2021";

    #[test]
    fn the_first_key_signs_and_the_others_follow() {
        for text in [
            format!("# new\n{ONE}\n\n{TWO}  # old\n"),
            format!("{ONE},{TWO}"),
            format!("  {ONE} {TWO}"),
            format!("{ONE}\r\n{TWO}\r\n"),
        ] {
            let keys = SigningKeys::parse(&text, "keys").unwrap();
            assert_eq!(keys.signing().secret(), (0..32).collect::<Vec<u8>>());
            // sha256sum of the 32 bytes: 630dcd2966c43366…
            assert_eq!(keys.signing().id(), "630dcd2966c43366");
            let old = SigningKeys::parse(TWO, "keys").unwrap();
            assert_eq!(keys.iter().collect::<Vec<_>>(), [keys.signing(), old.signing()]);
        }
    }

    #[test]
    fn a_weak_key_is_refused_by_its_line_and_never_shown() {
        for (text, reason) in [
            (String::new(), Reason::None),
            ("# only a comment\n".into(), Reason::None),
            (ONE[2..].into(), Reason::Short(62)),
            (format!("{ONE}0"), Reason::Odd(65)),
            ("ab".repeat(32), Reason::Uniform),
            (format!("{}zz", &ONE[2..]), Reason::NotHex),
            (format!("€{ONE}"), Reason::NotHex),
            (format!("{ONE}\n{}", ONE.to_uppercase()), Reason::Repeated),
        ] {
            let error = SigningKeys::parse(&text, "keys").unwrap_err();
            let line = if reason == Reason::Repeated { 2 } else { 1 };
            let shown = format!("{error} {error:?}");
            assert!(reason == Reason::None || shown.contains(&format!("keys, line {line}")), "{shown}");
            assert!(!shown.contains("0405"), "{shown}");
            assert!(!shown.contains("abab"), "{shown}");
            assert_eq!(error.reason, reason);
        }
    }

    #[test]
    fn debug_shows_the_id_only() {
        let keys = SigningKeys::parse(ONE, "keys").unwrap();
        assert_eq!(format!("{keys:?}"), "SigningKeys([SigningKey(630dcd2966c43366)])");
    }
}
