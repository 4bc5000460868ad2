//! The documents of the original's users, as they were found in the world.

use mongodb::bson::{Bson, Document};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::domain::{InvalidValue, Metadata, Title};

/// A user of the original.
#[derive(Debug)]
pub(crate) struct LegacyUser {
    /// The id, as it begins the keys of the bucket.
    pub(crate) id: String,
    /// When the account was created, if the id tells it.
    pub(crate) created: Option<Timestamp>,
    pub(crate) email: String,
    pub(crate) password: String,
    /// The projects, the last saved first.
    pub(crate) projects: Vec<Bson>,
}

/// A project of the original.
#[derive(Debug)]
pub(crate) struct LegacyProject {
    /// The title as it was typed, which is part of the keys in the bucket.
    pub(crate) typed_title: String,
    pub(crate) metadata: Metadata,
}

impl LegacyUser {
    /// Reads the document of a user; an absent field is empty.
    pub(crate) fn of(document: &Document) -> Self {
        let text = |field: &str| document.get_str(field).unwrap_or_default().to_owned();
        let (id, created) = match document.get("_id") {
            Some(Bson::ObjectId(id)) => {
                let created = Timestamp::from_millis(id.timestamp().timestamp_millis());
                (id.to_hex(), Some(created))
            }
            Some(Bson::String(id)) => (id.clone(), None),
            other => (other.map(ToString::to_string).unwrap_or_default(), None),
        };
        let projects = document.get_array("documents").cloned().unwrap_or_default();
        Self { id, created, email: text("email"), password: text("password"), projects }
    }
}

/// The titles of projects as they were typed.
pub(crate) fn document_titles(projects: &[Bson]) -> impl Iterator<Item = &str> {
    projects.iter().filter_map(|project| project.as_document()?.get_str("title").ok())
}

/// The fields that are no further metadata: the original's own, and the notes of some clients.
const NOT_KEPT: [&str; 7] = ["_id", "id", "revision", "mediaDigest", "mediaSize", "notes", "lastModified"];

impl LegacyProject {
    /// Reads the metadata of a project. Its time is set later.
    ///
    /// # Errors
    /// If it is not an object, if its title is invalid, or if a known field is not a text.
    pub(crate) fn of(project: &Bson) -> Result<Self, InvalidValue> {
        let invalid = |why: &str| InvalidValue::new("project", why);
        let document = project.as_document().ok_or_else(|| invalid("is not an object"))?;
        let typed_title = document.get_str("title").map_err(|_| invalid("has no title"))?.to_owned();
        let mut metadata = Metadata::new(Title::parse(&typed_title)?, Timestamp::from_millis(0));
        let mut link = String::new();
        for (name, value) in document {
            let known = match name.as_str() {
                "title" => continue,
                "type" => &mut metadata.kind,
                "label" => &mut metadata.label,
                "src" => &mut metadata.src,
                "link" => &mut link,
                "mimetype" => &mut metadata.mimetype,
                ignored if NOT_KEPT.contains(&ignored) => continue,
                _ => {
                    metadata.extra.set(name.clone(), json(value)?)?;
                    continue;
                }
            };
            *known = match value {
                Bson::String(text) => text.clone(),
                Bson::Null | Bson::Undefined => String::new(),
                _ => return Err(invalid(&format!("has a {name} that is not a text"))),
            };
        }
        if metadata.src.is_empty() {
            metadata.src = link;
        }
        metadata.check_src()?;
        Ok(Self { typed_title, metadata })
    }

    /// Whether the original kept media of this project in its bucket.
    pub(crate) fn expects_media(&self) -> bool {
        let Metadata { src, mimetype, .. } = &self.metadata;
        let is_elsewhere = src.contains("://") && !src.contains("/home/");
        mimetype.contains('/') && !is_elsewhere
    }
}

fn json(value: &Bson) -> Result<Box<RawValue>, InvalidValue> {
    serde_json::value::to_raw_value(value).map_err(|error| InvalidValue::new("metadata", error.to_string()))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{doc, oid::ObjectId};

    use super::*;

    #[test]
    fn a_project_is_read_as_the_clients_wrote_it() {
        let project = doc! {
            "title": "Cafe\u{301}", "type": "audio", "label": Bson::Null, "link": "a link", "mimetype": "audio/webm;codecs=opus",
            "lastModified": "whenever", "notes": [1], "zoom": 1.5, "nested": { "a": [true] },
        };
        let read = LegacyProject::of(&project.into()).unwrap();
        assert_eq!((read.typed_title.as_str(), read.metadata.title.as_str()), ("Cafe\u{301}", "Caf\u{e9}"));
        assert_eq!((read.metadata.src.as_str(), read.metadata.label.as_str()), ("a link", ""));
        assert_eq!(read.metadata.extra.to_json(), r#"{"nested":{"a":[true]},"zoom":1.5}"#);
        assert!(read.expects_media());
        for (src, expected) in [
            ("https://www.youtube.com/watch?v=1", false),
            ("http://localhost:8080/home/stream-audio", true),
            ("", true),
        ] {
            let project = doc! { "title": "a", "src": src, "mimetype": "audio/mpeg" };
            assert_eq!(LegacyProject::of(&project.into()).unwrap().expects_media(), expected, "{src}");
        }
        let plain = LegacyProject::of(&doc! { "title": "a" }.into()).unwrap();
        assert!(!plain.expects_media() && plain.metadata.extra.to_json() == "{}");
    }

    #[test]
    fn what_is_no_project_is_refused() {
        for project in [
            Bson::Null,
            Bson::from("text"),
            doc! {}.into(),
            doc! { "title": 1 }.into(),
            doc! { "title": "" }.into(),
            doc! { "title": "a\nb" }.into(),
            doc! { "title": "a", "type": 1 }.into(),
            doc! { "title": "a", "src": "x".repeat(3_000) }.into(),
        ] {
            assert!(LegacyProject::of(&project).is_err(), "{project}");
        }
    }

    #[test]
    fn a_user_without_fields_has_none() {
        let id = ObjectId::parse_str("65f000000000000000000001").unwrap();
        let user = LegacyUser::of(&doc! { "_id": id, "documents": "none" });
        assert_eq!((user.id.as_str(), user.email.as_str()), ("65f000000000000000000001", ""));
        assert!(user.projects.is_empty() && user.created.unwrap().to_string().starts_with("2024-03-12"));
        assert_eq!(LegacyUser::of(&doc! { "_id": "ada" }).id, "ada");
    }
}
