use std::fmt;

use super::InvalidValue;

/// An email address, which names an account.
///
/// - Trimmed and lower-cased, so that letter case does not tell accounts apart.
/// - At most 254 bytes, as SMTP can carry (RFC 5321, 4.5.3.1.3).
/// - One `@` between a local part of 1 to 64 bytes and a domain; no white space, no control
///   characters. Whether anybody reads it, only a mail can tell.
///
/// ```
/// use notestamp_store::Email;
/// assert_eq!(Email::parse(" Ada@Example.ORG ")?.as_str(), "ada@example.org");
/// assert!(Email::parse("ada").is_err());
/// # Ok::<(), notestamp_store::InvalidValue>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Email(String);

impl Email {
    /// The longest address, in bytes.
    pub const BYTES_MAX: usize = 254;

    /// Reads an address as somebody typed it.
    ///
    /// # Errors
    /// Where it cannot be an address.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let refused = |why: &str| Err(InvalidValue::new("email address", why));
        let address = text.trim().to_lowercase();
        if address.len() > Self::BYTES_MAX {
            return refused("is longer than 254 bytes");
        }
        if address.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return refused("has white space or control characters");
        }
        let Some((local, domain)) = address.split_once('@') else {
            return refused("has no @");
        };
        if local.is_empty() || local.len() > 64 {
            return refused("needs 1 to 64 bytes before the @");
        }
        let labels = || domain.split('.');
        if domain.contains('@') || labels().any(|label| label.is_empty() || label.len() > 63) {
            return refused("needs one domain after the @");
        }
        Ok(Self(address))
    }

    /// The address, trimmed and lower-cased.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Prints nothing of the address: it is personal, and `Debug` ends up in logs.
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Email(…)")
    }
}
