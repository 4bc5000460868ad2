use std::collections::BTreeSet;

use mongodb::bson::{Binary, Bson, DateTime, Document, Uuid, doc};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::{
    ExtraFields, LastModified, MediaRef, Metadata, NotesRef, ObjectId, Project, ProjectId, Revision, Title,
    UserId,
};
use crate::records::mongodb::bson::{
    binary, date, digest as digest_of, namespace as namespace_of, namespace_owner, timestamp, uuid,
};
use crate::records::mongodb::error::{Failure, Result};

#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct ProjectDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    owner: Uuid,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    label: String,
    src: String,
    mimetype: String,
    last_modified: String,
    by_last_modified: LastModifiedPlace,
    by_title: TitlePlace,
    /// The n-grams of the title, for an index only.
    #[serde(skip_deserializing)]
    grams: BTreeSet<String>,
    /// As JSON text, so that numbers beyond the range of floats, and any names, are kept unchanged.
    extra: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaDocument>,
    notes: NotesDocument,
    revision: u64,
    save: u64,
    created: DateTime,
    saved: DateTime,
}

/// The sort key of the listings by last modification. MongoDB compares subdocuments field by field.
#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct LastModifiedPlace {
    at: DateTime,
    id: Uuid,
}

/// Of a project only its id.
#[derive(Deserialize)]
pub(in crate::records::mongodb) struct IdDocument {
    #[serde(rename = "_id")]
    id: Uuid,
}

impl TryFrom<IdDocument> for ProjectId {
    type Error = Failure;

    fn try_from(document: IdDocument) -> Result<Self, Failure> {
        Ok(Self::from_bytes(document.id.bytes()))
    }
}

/// The sort key of the listings by title.
#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct TitlePlace {
    folded: String,
    title: String,
}

#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct MediaDocument {
    object: Uuid,
    /// The owner's id, or null if the namespace is shared.
    namespace: Option<Uuid>,
    digest: Binary,
    size: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct NotesDocument {
    object: Uuid,
    size: u64,
}

impl NotesDocument {
    pub(super) fn of(notes: &NotesRef) -> Self {
        Self { object: uuid(notes.object.as_bytes()), size: notes.size }
    }
}

impl From<NotesDocument> for NotesRef {
    fn from(document: NotesDocument) -> Self {
        Self { object: ObjectId::from_bytes(document.object.bytes()), size: document.size }
    }
}

impl LastModifiedPlace {
    pub(in crate::records::mongodb) fn of(at: Timestamp, id: ProjectId) -> Self {
        Self { at: date(at), id: uuid(id.as_bytes()) }
    }
}

impl TitlePlace {
    pub(in crate::records::mongodb) fn of(folded: String, title: &Title) -> Self {
        Self { folded, title: title.as_str().to_owned() }
    }
}

impl MediaDocument {
    pub(in crate::records::mongodb) fn of(media: &MediaRef) -> Self {
        Self {
            object: uuid(media.object.as_bytes()),
            namespace: namespace_owner(media.namespace),
            digest: binary(&media.digest),
            size: media.size,
        }
    }
}

impl ProjectDocument {
    pub(in crate::records::mongodb) fn of(project: &Project) -> Self {
        let Project { metadata, notes, .. } = project;
        Self {
            id: uuid(project.id.as_bytes()),
            owner: uuid(project.owner.as_bytes()),
            title: metadata.title.as_str().to_owned(),
            kind: metadata.kind.clone(),
            label: metadata.label.clone(),
            src: metadata.src.clone(),
            mimetype: metadata.mimetype.clone(),
            last_modified: metadata.last_modified.as_str().to_owned(),
            by_last_modified: LastModifiedPlace::of(metadata.last_modified.instant(), project.id),
            by_title: TitlePlace::of(metadata.title.folded(), &metadata.title),
            grams: metadata.title.ngrams(),
            extra: metadata.extra.to_json(),
            media: project.media.as_ref().map(MediaDocument::of),
            notes: NotesDocument::of(notes),
            revision: project.revision.get(),
            save: project.save,
            created: date(project.created),
            saved: date(project.saved),
        }
    }
}

impl TryFrom<MediaDocument> for MediaRef {
    type Error = Failure;

    fn try_from(document: MediaDocument) -> Result<Self> {
        Ok(Self {
            object: ObjectId::from_bytes(document.object.bytes()),
            namespace: namespace_of(document.namespace),
            digest: digest_of(&document.digest, "projects.media.digest")?,
            size: document.size,
        })
    }
}

impl TryFrom<ProjectDocument> for Project {
    type Error = Failure;

    fn try_from(document: ProjectDocument) -> Result<Self> {
        let last_modified = timestamp(document.by_last_modified.at);
        let title = Title::parse(&document.title).map_err(|_| Failure::Field { field: "projects.title" })?;
        let metadata = Metadata {
            title,
            kind: document.kind,
            label: document.label,
            src: document.src,
            mimetype: document.mimetype,
            last_modified: LastModified::parse_or(&document.last_modified, last_modified),
            extra: ExtraFields::from_json(&document.extra)
                .map_err(|_| Failure::Field { field: "projects.extra" })?,
        };
        Ok(Self {
            id: ProjectId::from_bytes(document.id.bytes()),
            owner: UserId::from_bytes(document.owner.bytes()),
            metadata,
            media: document.media.map(MediaRef::try_from).transpose()?,
            notes: document.notes.into(),
            revision: Revision::new(document.revision),
            save: document.save,
            created: timestamp(document.created),
            saved: timestamp(document.saved),
        })
    }
}

/// The expression that computes [`Project::record_bytes`] from a document.
pub(in crate::records::mongodb) fn record_bytes() -> Document {
    let texts = ["$title", "$type", "$label", "$src", "$mimetype", "$last_modified", "$extra"];
    let lengths = texts.iter().map(|text| doc! { "$strLenBytes": { "$toString": text } });
    let mut cost: Vec<Bson> = lengths.map(Bson::from).collect();
    cost.push(i64::try_from(Project::RECORD_BYTES).expect("it is small").into());
    doc! { "$add": cost }
}
