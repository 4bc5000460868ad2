//! Keys that are derived from the signing keys for one purpose.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::keys::{SigningKeys, from_hex, hex};

/// Keys for HMAC-SHA-256 (RFC 2104), one from each signing key. The first key signs, all keys verify.
pub(super) struct PurposeKeys(Vec<Hmac<Sha256>>);

impl PurposeKeys {
    /// Derives the keys. Domain separation: those of another purpose differ, and so do those of the tokens, which use the
    /// same algorithm.
    pub(super) fn derive(keys: &SigningKeys, purpose: &[u8]) -> Self {
        let derived =
            keys.iter().map(|key| keyed(&keyed(key.secret()).chain_update(purpose).finalize().into_bytes()));
        Self(derived.collect())
    }

    /// The signature of a message, in hex digits.
    pub(super) fn sign(&self, message: &[u8]) -> String {
        hex(&self.0[0].clone().chain_update(message).finalize().into_bytes())
    }

    /// Returns whether one of the keys has signed the message.
    pub(super) fn verify(&self, message: &[u8], signature: &str) -> bool {
        let Some(signature) = from_hex(signature) else { return false };
        // `verify_slice` compares in constant time.
        self.0.iter().any(|key| key.clone().chain_update(message).verify_slice(&signature).is_ok())
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).expect("HMAC takes keys of any length")
}

/// Shows no keys.
impl fmt::Debug for PurposeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PurposeKeys").field(&self.0.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const TWO: &str = "f00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn derive(keys: &str, purpose: &[u8]) -> PurposeKeys {
        PurposeKeys::derive(&SigningKeys::parse(keys, "keys").unwrap(), purpose)
    }

    #[test]
    fn all_keys_verify_and_the_first_signs() {
        let (one, two, both) = (derive(ONE, b"a"), derive(TWO, b"a"), derive(&format!("{TWO} {ONE}"), b"a"));
        assert!(both.verify(b"message", &one.sign(b"message")));
        assert_eq!(both.sign(b"message"), two.sign(b"message"));
        assert!(!one.verify(b"message", &both.sign(b"message")));
    }

    #[test]
    fn each_purpose_has_its_own_keys() {
        let signed = derive(ONE, b"a").sign(b"message");
        assert!(!derive(ONE, b"b").verify(b"message", &signed));
        let underived = PurposeKeys(vec![keyed(&from_hex(ONE).unwrap())]);
        assert!(!underived.verify(b"message", &signed));
    }

    #[test]
    fn another_message_or_signature_is_refused() {
        let keys = derive(ONE, b"a");
        let signed = keys.sign(b"message");
        assert!(!keys.verify(b"Message", &signed));
        for bad in ["", &signed[1..], &signed[2..], &format!("{signed}00"), &"é".repeat(32)] {
            assert!(!keys.verify(b"message", bad), "{bad}");
        }
    }
}
