//! Passwords: hashed with Argon2id on the blocking pool, a limited number at once.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use notestamp_store::{InvalidValue, PasswordHash};
use unicode_normalization::UnicodeNormalization as _;

use super::argon2id::Argon2id;
use super::common_passwords::is_common;
use super::hash_queue::{HashQueue, QueueFull};
use super::legacy_hash;
use crate::config::{HASHES_WAITING_MAX, PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN, RETRY_AFTER, grouped};
use crate::error::{ApiError, Code};
use crate::metrics::Queue;
use crate::transport::network;

/// A password as it was typed, normalized as an `OpaqueString` (RFC 8265, 4.2): every space becomes U+0020, and the
/// text is in Unicode's canonical composition (NFC), so that every keyboard produces the same password. Never printed.
///
/// Of the characters that RFC 8265 disallows, only control characters are refused, and only in a new password: the set
/// of the others changes with the version of Unicode.
#[derive(Clone)]
pub(crate) struct Password {
    normalized: String,
    /// As it was typed, for the hashes that were made of that.
    typed: String,
}

impl Password {
    /// Normalizes a password as it was typed; it need not be right or valid.
    pub(crate) fn typed(text: &str) -> Self {
        let normalized = text.chars().map(|c| if is_other_space(c) { ' ' } else { c }).nfc().collect();
        Self { normalized, typed: text.to_owned() }
    }

    /// Checks whether it may become the password of an account. The length counts after normalization.
    ///
    /// # Errors
    /// If it is too short, too long, has control characters, or is among the most common ones.
    pub(crate) fn check_new(&self) -> Result<(), InvalidValue> {
        let refused = |why: &str| Err(InvalidValue::new("password", why));
        let bytes = |count| format!("{} bytes", grouped(count));
        match self.normalized.len() {
            0..PASSWORD_BYTES_MIN => refused(&format!("is shorter than {}", bytes(PASSWORD_BYTES_MIN))),
            PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX if self.normalized.chars().any(char::is_control) => {
                refused("has control characters")
            }
            PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX if is_common(&self.normalized) => {
                refused("is one of the most common ones")
            }
            PASSWORD_BYTES_MIN..=PASSWORD_BYTES_MAX => Ok(()),
            _ => refused(&format!("is longer than {}", bytes(PASSWORD_BYTES_MAX))),
        }
    }
}

/// The space separators (General_Category Zs) besides U+0020.
fn is_other_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Hashes and verifies passwords, on no more than half of the cores. Addresses that wait for a hash take turns.
pub(crate) struct Passwords {
    argon2id: Arc<Argon2id>,
    queue: HashQueue,
    /// Verified in place of an absent account's hash, so that both take equally long.
    decoy: PasswordHash,
}

impl Default for Passwords {
    fn default() -> Self {
        let argon2id = Arc::new(Argon2id::default());
        // Half of the cores, so that a storm of sign-ins leaves the other half to all other requests.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = (cores / 2).max(1);
        let decoy = argon2id.hash(b"the password of no account");
        argon2id.free_memory();
        Self { argon2id, queue: HashQueue::new(at_once, HASHES_WAITING_MAX), decoy }
    }
}

impl Queue for Passwords {
    fn waiting(&self) -> usize {
        self.queue.waiting()
    }
}

impl Passwords {
    /// Hashes a new password, to be stored, for a client of this address.
    ///
    /// # Errors
    /// 503 if too many hashes are waiting.
    pub(crate) async fn hash(
        &self,
        password: &Password,
        from: Option<IpAddr>,
    ) -> Result<PasswordHash, ApiError> {
        let password = password.clone();
        self.in_turn(from, move |argon2id| argon2id.hash(password.normalized.as_bytes())).await
    }

    /// Returns whether the hash is of this password, for a client of this address. Without a hash (an absent account)
    /// returns false, after the same time.
    ///
    /// # Errors
    /// 503 if too many hashes are waiting.
    pub(crate) async fn verify(
        &self,
        password: &Password,
        hash: Option<&PasswordHash>,
        from: Option<IpAddr>,
    ) -> Result<bool, ApiError> {
        let password = password.clone();
        let (known, hash) = (hash.is_some(), hash.unwrap_or(&self.decoy).clone());
        let matches = move |argon2id: &Argon2id| match legacy_hash::is_bcrypt(&hash) {
            true => legacy_hash::verify(password.typed.as_bytes(), &hash),
            false => argon2id.verify(password.normalized.as_bytes(), &hash),
        };
        Ok(self.in_turn(from, matches).await? && known)
    }

    /// Returns whether a hash was made with weaker parameters than are used now, or by another algorithm.
    pub(crate) fn is_weak(&self, hash: &PasswordHash) -> bool {
        self.argon2id.is_weak(hash)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        from: Option<IpAddr>,
        work: impl FnOnce(&Argon2id) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = self.queue.turn(from.map(network)).await.map_err(|QueueFull| {
            ApiError::retry_after(Code::Busy, "too many sign-ins at once; try again later", RETRY_AFTER)
        })?;
        let (argon2id, queue) = (self.argon2id.clone(), self.queue.clone());
        // The turn ends with the work, even if the caller is cancelled.
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&argon2id);
            drop(turn);
            if queue.is_idle() {
                argon2id.free_memory();
            }
            result
        });
        done.await.map_err(|e| ApiError::new(Code::Internal, "internal error").caused_by(e))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let passwords = Passwords::default();
        let right = Password::typed("seventeen otters");
        let hash = passwords.hash(&right, None).await.unwrap();
        assert!(passwords.verify(&right, Some(&hash), None).await.unwrap());
        let wrong = Password::typed("seventeen Otters");
        assert!(!passwords.verify(&wrong, Some(&hash), None).await.unwrap());
        assert!(!passwords.verify(&right, None, None).await.unwrap());
        assert!(!passwords.is_weak(&hash));
    }

    #[test]
    fn all_spellings_of_a_password_are_the_same_password() {
        for (one, other) in [
            ("jos\u{e9} und o\u{308}tter", "jose\u{301} und \u{f6}tter"),
            ("\u{212b}ngstr\u{f6}m", "\u{c5}ngstro\u{308}m"),
            ("seventeen\u{a0}otters\u{3000}in a\u{2009}canoe", "seventeen otters in a canoe"),
            ("\u{ac00}\u{b098}\u{b2e4}", "\u{1100}\u{1161}\u{1102}\u{1161}\u{1103}\u{1161}"),
        ] {
            assert_eq!(Password::typed(one).normalized, Password::typed(other).normalized, "{one}");
        }
        for (one, other) in
            [("STRASSE", "straße"), ("\u{ff21}", "A"), ("two  spaces", "two spaces"), (" a", "a"), ("ſ", "s")]
        {
            assert_ne!(Password::typed(one).normalized, Password::typed(other).normalized, "{one}");
        }
    }

    #[test]
    fn a_hash_with_weaker_parameters_is_weak() {
        let hash = Argon2id::default().hash(b"seventeen otters");
        for weaker in [hash.as_phc().replace("m=19456", "m=8192"), hash.as_phc().replace("t=2", "t=1")] {
            assert!(Passwords::default().is_weak(&PasswordHash::new(weaker)));
        }
    }

    #[test]
    fn new_passwords_are_neither_short_nor_long_nor_common() {
        let check = |text: &str| Password::typed(text).check_new();
        assert!(check("1234567").is_err());
        assert!(check("password").is_err());
        assert!(check(&"x".repeat(1025)).is_err());
        assert!(check(&"xyzzy ".repeat(170)).is_ok());
        assert!(check("äöüß").is_ok(), "eight bytes are enough, whatever the script");
        assert!(check("a\u{308}o\u{308}u\u{308}").is_err(), "six bytes, however they are typed");
        assert!(check("seventeen\u{7}otters").is_err());
    }
}
