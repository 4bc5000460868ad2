use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};
use serde::{Deserialize, Serialize};

use super::projects::{MediaDocument, NotesDocument};
use crate::domain::{
    ExtraFields, LastModified, MediaRef, Metadata, Project, ProjectId, Revision, Title, Trashed, UserId,
    Version,
};
use crate::records::mongodb::bson::{date, timestamp, uuid};
use crate::records::mongodb::error::{Failure, Result};

/// A version, or a project in the trash. Its fields are those of a project that are not only for its listings.
#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct StateDocument {
    #[serde(rename = "_id")]
    id: Binary,
    /// Only a version has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<DateTime>,
    /// Only a project in the trash has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<DateTime>,
    project: Uuid,
    owner: Uuid,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    label: String,
    src: String,
    mimetype: String,
    last_modified: String,
    last_modified_at: DateTime,
    /// As JSON text, like that of a project.
    extra: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    media: Option<MediaDocument>,
    notes: NotesDocument,
    revision: u64,
    save: u64,
    created: DateTime,
    saved: DateTime,
}

/// The id of a version: that of its project, and its revision in 8 bytes.
pub(in crate::records::mongodb) fn version_id(project: ProjectId, revision: Revision) -> Binary {
    let bytes = [project.as_bytes().as_slice(), &revision.get().to_be_bytes()].concat();
    Binary { subtype: BinarySubtype::Generic, bytes }
}

impl StateDocument {
    pub(in crate::records::mongodb) fn of_version(version: &Version) -> Self {
        let project = &version.project;
        let replaced = Some(date(version.replaced));
        Self { replaced, ..Self::of(version_id(project.id, project.revision), project) }
    }

    pub(in crate::records::mongodb) fn of_trashed(trashed: &Trashed) -> Self {
        let id = Binary { subtype: BinarySubtype::Uuid, bytes: trashed.project.id.as_bytes().to_vec() };
        Self { deleted: Some(date(trashed.deleted)), ..Self::of(id, &trashed.project) }
    }

    fn of(id: Binary, project: &Project) -> Self {
        let metadata = &project.metadata;
        Self {
            id,
            replaced: None,
            deleted: None,
            project: uuid(project.id.as_bytes()),
            owner: uuid(project.owner.as_bytes()),
            title: metadata.title.as_str().to_owned(),
            kind: metadata.kind.clone(),
            label: metadata.label.clone(),
            src: metadata.src.clone(),
            mimetype: metadata.mimetype.clone(),
            last_modified: metadata.last_modified.as_str().to_owned(),
            last_modified_at: date(metadata.last_modified.instant()),
            extra: metadata.extra.to_json(),
            media: project.media.as_ref().map(MediaDocument::of),
            notes: NotesDocument::of(&project.notes),
            revision: project.revision.get(),
            save: project.save,
            created: date(project.created),
            saved: date(project.saved),
        }
    }
}

impl TryFrom<StateDocument> for Version {
    type Error = Failure;

    fn try_from(document: StateDocument) -> Result<Self> {
        let replaced = document.replaced.ok_or(Failure::Field { field: "versions.replaced" })?;
        Ok(Self { project: document.try_into()?, replaced: timestamp(replaced) })
    }
}

impl TryFrom<StateDocument> for Trashed {
    type Error = Failure;

    fn try_from(document: StateDocument) -> Result<Self> {
        let deleted = document.deleted.ok_or(Failure::Field { field: "trash.deleted" })?;
        Ok(Self { project: document.try_into()?, deleted: timestamp(deleted) })
    }
}

impl TryFrom<StateDocument> for Project {
    type Error = Failure;

    fn try_from(document: StateDocument) -> Result<Self> {
        let last_modified = timestamp(document.last_modified_at);
        let metadata = Metadata {
            title: Title::parse(&document.title).map_err(|_| Failure::Field { field: "title" })?,
            kind: document.kind,
            label: document.label,
            src: document.src,
            mimetype: document.mimetype,
            last_modified: LastModified::parse_or(&document.last_modified, last_modified),
            extra: ExtraFields::from_json(&document.extra).map_err(|_| Failure::Field { field: "extra" })?,
        };
        Ok(Self {
            id: ProjectId::from_bytes(document.project.bytes()),
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
