//! Tokens made by a test, not by the server.

use jsonwebtoken::{Algorithm, EncodingKey};
use notestamp_server::SigningKeys;
use notestamp_server::config::{Config, SigningKeySource};
use serde_json::Value;

/// A signing key.
pub const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
/// Another.
pub const OTHER_KEY: &str = "f0e0d0c0b0a09080706050403020100ff1e1d1c1b1a191817161514131211101";

/// Makes a server sign with these keys.
pub fn sign_with(keys: &[&str]) -> impl FnOnce(&mut Config) {
    let keys = keys.join("\n");
    move |config| config.tokens.signing_keys = SigningKeySource::Variable(keys)
}

/// The id of a key in the header of a token.
pub fn key_id(key: &str) -> String {
    SigningKeys::parse(key, "the test").unwrap().signing().id().to_owned()
}

/// A token, split into its parts.
#[derive(Clone)]
pub struct Pieces {
    pub header: Value,
    pub claims: Value,
}

impl Pieces {
    pub fn of(token: &str) -> Self {
        let decoded = jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap();
        Self { header: serde_json::to_value(decoded.header).unwrap(), claims: decoded.claims }
    }

    pub fn with_header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header[name] = value.into();
        self
    }

    pub fn with_claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// The complete token, signed like the server does.
    pub fn signed(&self) -> String {
        self.signed_by(Algorithm::HS256, KEY)
    }

    /// The complete token, signed with another algorithm or key than the header says.
    pub fn signed_by(&self, algorithm: Algorithm, key: &str) -> String {
        let message = self.message();
        let keys = SigningKeys::parse(key, "the test").unwrap();
        let secret = EncodingKey::from_secret(keys.signing().secret());
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    pub fn unsigned(&self) -> String {
        format!("{}.", self.message())
    }

    fn message(&self) -> String {
        [&self.header, &self.claims].map(|piece| base64url(piece.to_string().as_bytes())).join(".")
    }
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}
