//! The two JSON files that describe a state of a project.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::domain::{Digest, ExtraFields, InvalidValue, LastModified, Metadata, Project, ProjectId, Title};

/// `.metadata.json`: exactly these fields, because the client hides a project with any other.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MetadataFile<'a> {
    title: &'a str,
    label: &'a str,
    r#type: &'a str,
    mimetype: &'a str,
    src: &'a str,
    last_modified: &'a str,
}

/// `.notestamp.json`: what the client does not know. An absent field is left out.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DetailsFile {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    /// When this state was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<String>,
    /// Of a version: when the next state replaced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<String>,
    /// Of a project in the trash: when it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<String>,
    /// The SHA-256 digest of the media.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// The further fields of the metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Box<RawValue>>,
}

/// The text of `.metadata.json`.
pub(super) fn metadata_file(project: &Project) -> String {
    let metadata = &project.metadata;
    let file = MetadataFile {
        title: metadata.title.as_str(),
        label: &metadata.label,
        r#type: &metadata.kind,
        mimetype: &metadata.mimetype,
        src: if project.media.is_some() { "" } else { &metadata.src },
        last_modified: metadata.last_modified.as_str(),
    };
    serde_json::to_string(&file).expect("texts are JSON")
}

/// The text of `.notestamp.json`.
pub(super) fn details_file(
    project: &Project,
    replaced: Option<Timestamp>,
    deleted: Option<Timestamp>,
) -> String {
    let extra = RawValue::from_string(project.metadata.extra.to_json()).expect("it is JSON");
    let file = DetailsFile {
        id: Some(project.id.to_string()),
        revision: Some(project.revision.get()),
        created: Some(project.created.to_string()),
        saved: Some(project.saved.to_string()),
        replaced: replaced.map(|at| at.to_string()),
        deleted: deleted.map(|at| at.to_string()),
        digest: project.media.map(|media| media.digest.to_string()),
        metadata: Some(extra),
    };
    serde_json::to_string(&file).expect("texts are JSON")
}

/// What `.notestamp.json` tells about a state. Every field may be absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Details {
    /// The id that the project had where it was exported.
    pub id: Option<ProjectId>,
    /// When the state was saved.
    pub saved: Option<Timestamp>,
    /// When the project was deleted, if it is in the trash.
    pub deleted: Option<Timestamp>,
    /// The digest of the media.
    pub media: Option<Digest>,
}

/// The metadata of a state of a project in an archive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ArchivedMetadata {
    /// The metadata; it has further fields only if `details` is present.
    pub metadata: Metadata,
    /// Whether the archive tells when the project was last modified; otherwise that is the time of the import.
    pub has_last_modified: bool,
    /// What this program wrote; `None` if another program wrote the archive.
    pub details: Option<Details>,
}

impl ArchivedMetadata {
    /// Parses the text of `.metadata.json`, and that of `.notestamp.json` if there is one.
    ///
    /// # Errors
    /// If a text is not a JSON object with the known fields, or if a field is invalid.
    pub fn parse(metadata: &[u8], details: Option<&[u8]>, now: Timestamp) -> Result<Self, InvalidValue> {
        let mut fields: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(metadata)
            .map_err(|error| InvalidValue::new(".metadata.json", format!("cannot be read: {error}")))?;
        let mut text = |name: &str| match fields.remove(name) {
            None => Ok(String::new()),
            Some(value) => serde_json::from_str::<Option<String>>(value.get())
                .map(Option::unwrap_or_default)
                .map_err(|_| InvalidValue::new(".metadata.json", format!("has a {name} that is not a text"))),
        };
        let (title, last_modified) = (Title::parse(&text("title")?)?, text("lastModified")?);
        let metadata = Metadata {
            title,
            kind: text("type")?,
            label: text("label")?,
            src: text("src")?,
            mimetype: text("mimetype")?,
            last_modified: LastModified::parse_or(&last_modified, now),
            extra: ExtraFields::default(),
        };
        metadata.check_src()?;
        let has_last_modified = metadata.last_modified.as_str() == last_modified;
        let mut parsed = Self { metadata, has_last_modified, details: None };
        if let Some(details) = details {
            parsed.read_details(details)?;
        }
        Ok(parsed)
    }

    fn read_details(&mut self, text: &[u8]) -> Result<(), InvalidValue> {
        let invalid = |what: String| InvalidValue::new(".notestamp.json", what);
        let file: DetailsFile =
            serde_json::from_slice(text).map_err(|error| invalid(format!("cannot be read: {error}")))?;
        let time = |text: Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse_iso8601(&text)
                .map(Some)
                .ok_or_else(|| invalid(format!("has the time {text:?}, which is invalid"))),
        };
        if let Some(extra) = file.metadata {
            self.metadata.extra = ExtraFields::from_json(extra.get())?;
        }
        self.details = Some(Details {
            id: file.id.and_then(|id| id.parse().ok()),
            saved: time(file.saved)?,
            deleted: time(file.deleted)?,
            media: file.digest.map(|digest| digest.parse()).transpose()?,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_709_294_400_000);

    #[test]
    fn what_another_program_wrote_is_read_too() {
        let text =
            br#"{"title": "A", "type": "audio", "lastModified": "2024-01-02T03:04:05.678Z", "label": null}"#;
        let parsed = ArchivedMetadata::parse(text, None, NOW).unwrap();
        assert_eq!((parsed.metadata.title.as_str(), parsed.metadata.kind.as_str()), ("A", "audio"));
        assert_eq!((parsed.metadata.label.as_str(), parsed.details), ("", None));
        assert!(parsed.has_last_modified);
        let parsed =
            ArchivedMetadata::parse(br#"{"title": "A", "lastModified": "soon"}"#, None, NOW).unwrap();
        assert!(!parsed.has_last_modified && parsed.metadata.last_modified.instant() == NOW);
    }

    #[test]
    fn a_damaged_file_is_refused_by_its_name() {
        for (metadata, details, name) in [
            ("", None, ".metadata.json"),
            ("[]", None, ".metadata.json"),
            (r#"{"title": 1}"#, None, ".metadata.json"),
            (r#"{"title": ""}"#, None, "title"),
            (r#"{"title": "a\nb"}"#, None, "title"),
            (r#"{"title": "A"}"#, Some("{"), ".notestamp.json"),
            (r#"{"title": "A"}"#, Some(r#"{"saved": "soon"}"#), ".notestamp.json"),
            (r#"{"title": "A"}"#, Some(r#"{"digest": "x"}"#), "digest"),
            (r#"{"title": "A"}"#, Some(r#"{"metadata": 1}"#), "extra fields"),
        ] {
            let parsed = ArchivedMetadata::parse(metadata.as_bytes(), details.map(str::as_bytes), NOW);
            let error = parsed.unwrap_err().to_string();
            assert!(error.contains(name), "{metadata} {details:?}: {error}");
        }
    }
}
