use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{InvalidValue, Notes, json};

/// The largest metadata of one project, in bytes as JSON.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;

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
    /// If the value nests deeper than [`Notes::DEPTH_MAX`], or there are more than
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
    /// If it is invalid.
    pub fn from_json(json: &str) -> Result<Self, InvalidValue> {
        serde_json::from_str(json).map_err(|e| InvalidValue::new("extra fields", format!("are invalid: {e}")))
    }

    /// The size as a part of a JSON object, in bytes.
    pub(super) fn json_len(&self) -> usize {
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

/// How many bytes a text takes in JSON, without its quotes.
pub(super) fn json_len(text: &str) -> usize {
    let escaped = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}
