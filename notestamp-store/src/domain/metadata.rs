use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{InvalidValue, Notes, Title, json};
use crate::clock::Timestamp;

/// The largest metadata of one project, in bytes as JSON.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;

/// The longest `src`, in bytes.
pub const SRC_BYTES_MAX: usize = 2 * 1024;

/// What an owner says of a project: six known fields, and any other fields that a media module stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The title, unique in the account.
    pub title: Title,
    /// The project's type, which names the media module that shows it: `audio`, `youtube`, `pdf`, …
    pub kind: String,
    /// The display name of the media module.
    pub label: String,
    /// The source of media that is not kept in this store; stored without validation, never fetched.
    pub src: String,
    /// The media type that the client claims for the media; it may be invalid.
    pub mimetype: String,
    /// When the owner last changed the project, as the client says.
    pub last_modified: LastModified,
    /// All other fields, stored as they came.
    pub extra: ExtraFields,
}

impl Metadata {
    /// Metadata with a title and nothing else, last modified `now`.
    pub fn new(title: Title, now: Timestamp) -> Self {
        let empty = String::new;
        let (kind, label, src, mimetype) = (empty(), empty(), empty(), empty());
        let last_modified = LastModified::at(now);
        Self { title, kind, label, src, mimetype, last_modified, extra: ExtraFields::default() }
    }

    /// Checks the size limits.
    ///
    /// # Errors
    /// Where `src` is longer than [`SRC_BYTES_MAX`], or all metadata together is larger than [`METADATA_BYTES_MAX`].
    pub fn check_size(&self) -> crate::Result<()> {
        if self.src.len() > SRC_BYTES_MAX {
            return Err(InvalidValue::new("src", "is longer than 2 KiB").into());
        }
        let text = |key: &str, value: &str| key.len() + json_len(value) + 4;
        let known = text("title", self.title.as_str())
            + text("type", &self.kind)
            + text("label", &self.label)
            + text("src", &self.src)
            + text("mimetype", &self.mimetype)
            + text("lastModified", &self.last_modified.text);
        if known + self.extra.json_len() > METADATA_BYTES_MAX {
            let max = METADATA_BYTES_MAX as u64;
            return Err(crate::Error::TooLarge { what: "metadata", max });
        }
        Ok(())
    }
}

/// How many bytes a text takes in JSON, without its quotes.
fn json_len(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

/// When a project was last modified, as its client wrote it and as an instant to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastModified {
    text: String,
    at: Timestamp,
}

impl LastModified {
    /// Keeps an ISO 8601 text as it is; uses `now` where the text is invalid.
    pub fn parse_or(text: &str, now: Timestamp) -> Self {
        match Timestamp::parse_iso8601(text) {
            Some(at) => Self { text: text.to_owned(), at },
            None => Self::at(now),
        }
    }

    /// An instant.
    pub fn at(at: Timestamp) -> Self {
        Self { text: at.to_string(), at }
    }

    /// The text as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The instant that the text names.
    pub fn instant(&self) -> Timestamp {
        self.at
    }
}

/// Metadata fields that this crate does not interpret: their JSON values are kept as they came.
#[derive(Clone, Debug, Default)]
pub struct ExtraFields(BTreeMap<String, Box<RawValue>>);

impl ExtraFields {
    /// The largest number of fields. More fields would exceed [`METADATA_BYTES_MAX`] anyway, and this limit keeps a
    /// hostile body from filling the memory before its size is checked.
    pub const COUNT_MAX: usize = METADATA_BYTES_MAX / 4;

    /// Sets a field; replaces an earlier value of the same name.
    ///
    /// # Errors
    /// Where the value nests deeper than [`Notes::DEPTH_MAX`], or there are more than
    /// [`COUNT_MAX`](Self::COUNT_MAX) fields.
    pub fn set(&mut self, name: String, value: Box<RawValue>) -> Result<(), InvalidValue> {
        let checked = json::check(value.get().as_bytes(), Notes::DEPTH_MAX);
        checked.map_err(|error| InvalidValue::new("metadata", error.to_string()))?;
        self.0.insert(name, value);
        if self.0.len() > Self::COUNT_MAX {
            return Err(InvalidValue::new("metadata", "has too many fields"));
        }
        Ok(())
    }

    /// The fields, each with the JSON text of its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), &**value))
    }

    /// As one JSON object, the form in which backends keep them.
    pub fn to_json(&self) -> String {
        let name = |name| serde_json::to_string(name).expect("a string is JSON");
        let fields: Vec<_> = self.iter().map(|(key, value)| format!("{}:{value}", name(key))).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// Parses the JSON object that [`to_json`](Self::to_json) made.
    ///
    /// # Errors
    /// [`Error::Corrupt`](crate::Error::Corrupt) where it is invalid.
    pub fn from_json(json: &str) -> crate::Result<Self> {
        serde_json::from_str(json).map_err(|e| crate::Error::Corrupt(format!("extra fields: {e}")))
    }

    fn json_len(&self) -> usize {
        self.iter().map(|(name, value)| json_len(name) + value.get().len() + 4).sum()
    }
}

impl PartialEq for ExtraFields {
    fn eq(&self, other: &Self) -> bool {
        let fields =
            |it: &Self| it.iter().map(|(k, v)| (k.to_owned(), v.get().to_owned())).collect::<Vec<_>>();
        fields(self) == fields(other)
    }
}

impl Eq for ExtraFields {}

impl<'de> serde::Deserialize<'de> for ExtraFields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = ExtraFields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<ExtraFields, A::Error> {
                let mut fields = ExtraFields::default();
                while let Some((name, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    fields.set(name, value).map_err(serde::de::Error::custom)?;
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}
