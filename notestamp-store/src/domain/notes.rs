use std::fmt;

use bytes::Bytes;

use super::{InvalidValue, json};

/// A project's notes: the editor's document, kept byte for byte.
///
/// - A JSON text (RFC 8259) in UTF-8, without a byte order mark; its content is not interpreted. Lone surrogates in
///   escapes, and numbers that no float can hold, are valid JSON and are kept.
/// - Nested at most 1,000 levels deep, because many parsers limit the depth.
///
/// ```
/// use notestamp_store::Notes;
/// assert!(Notes::parse(r#"[{"text": "\ud800", "at": 1e400}]"#).is_ok());
/// assert!(Notes::parse("{").is_err());
/// assert!(Notes::parse("[".repeat(1_001) + &"]".repeat(1_001)).is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Notes(Bytes);

impl Notes {
    /// The deepest nesting of arrays and objects.
    pub const DEPTH_MAX: usize = 1_000;

    /// Validates notes as the editor sent them.
    ///
    /// # Errors
    /// If they are not JSON, or nest deeper than [`DEPTH_MAX`](Self::DEPTH_MAX).
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, InvalidValue> {
        let bytes = bytes.into();
        json::check(&bytes, Self::DEPTH_MAX)
            .map_err(|error| InvalidValue::new("notes", error.to_string()))?;
        Ok(Self(bytes))
    }

    /// The notes as they were sent.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Notes({} bytes)", self.0.len())
    }
}
