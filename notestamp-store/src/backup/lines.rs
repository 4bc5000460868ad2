//! The lines of a snapshot: records as JSON objects. Their form is that of the files, and must not change.

use serde::{Deserialize, Serialize};

use super::{BackupError, BlobRef, text};
use crate::clock::Timestamp;
use crate::domain::{
    Digest, Email, ExtraFields, LastModified, MediaRef, Metadata, Namespace, NotesRef, ObjectId, ObjectKind,
    PasswordHash, Project, ProjectId, Revision, SessionEpoch, Title, Usage, User, UserId,
};
use crate::records::{DamagedRecord, StateKind, StateRecord};

/// A line of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SnapshotLine {
    /// An account.
    User(UserLine),
    /// A project in its current state.
    Project(StateLine),
    /// A version of a project.
    Version(StateLine),
    /// A project in the trash.
    Trashed(StateLine),
    /// A record that could not be read, and is not part of the backup.
    Damaged(DamagedLine),
    /// A blob that could not be read, and is not part of the backup.
    Lost(LostLine),
    /// The end of the snapshot.
    End(EndLine),
}

/// An account. Its sessions are not part of a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserLine {
    /// Its id.
    #[serde(with = "text")]
    pub id: UserId,
    email: String,
    password_hash: PasswordHashText,
    created: i64,
    usage: UsageLine,
    saves: u64,
    revision_floor: u64,
}

/// Hides the hash in `Debug` output.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct PasswordHashText(String);

impl std::fmt::Debug for PasswordHashText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageLine {
    projects: u64,
    bytes: u64,
    record_bytes: u64,
    trashed: u64,
    kept_bytes: u64,
    kept_record_bytes: u64,
}

/// A state of a project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StateLine {
    /// The id of the project.
    #[serde(with = "text")]
    pub id: ProjectId,
    /// The account that owns it.
    #[serde(with = "text")]
    pub owner: UserId,
    title: String,
    #[serde(rename = "type")]
    kind: String,
    label: String,
    src: String,
    mimetype: String,
    last_modified: String,
    last_modified_at: i64,
    /// As JSON text, so that numbers and names are kept as they came.
    extra: String,
    /// The notes.
    pub notes: NotesLine,
    /// The media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<MediaLine>,
    /// The number of the state.
    pub revision: u64,
    save: u64,
    created: i64,
    saved: i64,
    /// Only of a version: when it was replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced: Option<i64>,
    /// Only in the trash: when it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<i64>,
}

/// The notes of a state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NotesLine {
    /// The digest; absent if the ledger of the store has lost it.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The number of bytes.
    pub size: u64,
    /// The object in the store. It is not a part of the file.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
}

/// The media of a state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MediaLine {
    /// The namespace in which the bytes are shared.
    #[serde(with = "text")]
    pub namespace: Namespace,
    /// The digest.
    #[serde(with = "text")]
    pub digest: Digest,
    /// The number of bytes.
    pub size: u64,
    /// The object in the store. It is not a part of the file.
    #[serde(with = "text::option", default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
}

/// A record that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DamagedLine {
    /// The kind of record.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// The reason.
    pub detail: String,
}

/// A blob that could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LostLine {
    /// Its digest.
    #[serde(with = "text")]
    pub digest: Digest,
    /// The reason.
    pub detail: String,
}

/// The end of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndLine {
    /// The number of accounts.
    pub users: u64,
    /// The number of projects, without those in the trash.
    pub projects: u64,
    /// The number of versions.
    pub versions: u64,
    /// The number of projects in the trash.
    pub trashed: u64,
    /// The number of distinct blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The digest of all earlier lines.
    #[serde(with = "text")]
    pub digest: Digest,
}

impl SnapshotLine {
    pub(crate) fn of_user(user: &User) -> Self {
        let Usage { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes } = user.usage;
        Self::User(UserLine {
            id: user.id,
            email: user.email.as_str().to_owned(),
            password_hash: PasswordHashText(user.password_hash.as_phc().to_owned()),
            created: user.created.as_millis(),
            usage: UsageLine { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes },
            saves: user.saves,
            revision_floor: user.revision_floor.get(),
        })
    }

    pub(crate) fn of_state(state: &StateRecord) -> Self {
        let mut line = StateLine::of(&state.project, state.notes_digest);
        match state.kind {
            StateKind::Current => Self::Project(line),
            StateKind::Replaced(at) => {
                line.replaced = Some(at.as_millis());
                Self::Version(line)
            }
            StateKind::Trashed(at) => {
                line.deleted = Some(at.as_millis());
                Self::Trashed(line)
            }
        }
    }

    pub(crate) fn of_damage(damaged: &DamagedRecord) -> Self {
        let (kind, id) = (damaged.kind.as_str().to_owned(), damaged.id.clone());
        Self::Damaged(DamagedLine { kind, id, detail: damaged.detail.clone() })
    }

    /// The state of a project on this line.
    pub(super) fn state(&self) -> Option<&StateLine> {
        match self {
            Self::Project(state) | Self::Version(state) | Self::Trashed(state) => Some(state),
            _ => None,
        }
    }

    /// The line as it is written to a file: without the ids of objects.
    pub(super) fn for_file(mut self) -> Self {
        if let Self::Project(state) | Self::Version(state) | Self::Trashed(state) = &mut self {
            state.notes.object = None;
            if let Some(media) = &mut state.media {
                media.object = None;
            }
        }
        self
    }

    /// Checks that the line can be restored.
    ///
    /// # Errors
    /// [`BackupError::Damaged`].
    pub(super) fn check(&self) -> Result<(), BackupError> {
        let Some(state) = self.state() else { return Ok(()) };
        state.to_record().map(drop)?;
        match (self, state.replaced, state.deleted) {
            (Self::Project(_), None, None) | (Self::Version(_), Some(_), None) => Ok(()),
            (Self::Trashed(_), None, Some(_)) => Ok(()),
            _ => Err(state.damaged("has the times of another kind of state")),
        }
    }
}

impl UserLine {
    /// The account.
    pub(crate) fn to_user(&self) -> User {
        let UsageLine { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes } = self.usage;
        User {
            id: self.id,
            email: Email::stored(self.email.clone()),
            password_hash: PasswordHash::new(self.password_hash.0.clone()),
            created: Timestamp::from_millis(self.created),
            usage: Usage { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes },
            saves: self.saves,
            revision_floor: Revision::new(self.revision_floor),
            // There are no sessions of an earlier epoch.
            session_epoch: SessionEpoch::default(),
        }
    }
}

impl StateLine {
    fn of(project: &Project, notes_digest: Option<Digest>) -> Self {
        let Project { metadata, notes, media, .. } = project;
        Self {
            id: project.id,
            owner: project.owner,
            title: metadata.title.as_str().to_owned(),
            kind: metadata.kind.clone(),
            label: metadata.label.clone(),
            src: metadata.src.clone(),
            mimetype: metadata.mimetype.clone(),
            last_modified: metadata.last_modified.as_str().to_owned(),
            last_modified_at: metadata.last_modified.instant().as_millis(),
            extra: metadata.extra.to_json(),
            notes: NotesLine { digest: notes_digest, size: notes.size, object: Some(notes.object) },
            media: media.map(|media| {
                let MediaRef { object, namespace, digest, size } = media;
                MediaLine { namespace, digest, size, object: Some(object) }
            }),
            revision: project.revision.get(),
            save: project.save,
            created: project.created.as_millis(),
            saved: project.saved.as_millis(),
            replaced: None,
            deleted: None,
        }
    }

    /// The state. Its objects have invalid ids unless the line has some.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] if a value is invalid.
    pub(crate) fn to_record(&self) -> Result<StateRecord, BackupError> {
        let kind = match (self.replaced, self.deleted) {
            (None, None) => StateKind::Current,
            (Some(at), None) => StateKind::Replaced(Timestamp::from_millis(at)),
            (None, Some(at)) => StateKind::Trashed(Timestamp::from_millis(at)),
            (Some(_), Some(_)) => return Err(self.damaged("is replaced and deleted")),
        };
        let numbers = [self.revision, self.save];
        if numbers.iter().any(|number| *number == 0 || i64::try_from(*number).is_err()) {
            return Err(self.damaged("has an invalid revision"));
        }
        let title = Title::parse(&self.title).map_err(|error| self.damaged(&error.to_string()))?;
        let extra = ExtraFields::from_json(&self.extra).map_err(|error| self.damaged(&error.to_string()))?;
        let nowhere = ObjectId::from_bytes([0; 16]);
        let last_modified_at = Timestamp::from_millis(self.last_modified_at);
        let project = Project {
            id: self.id,
            owner: self.owner,
            metadata: Metadata {
                title,
                kind: self.kind.clone(),
                label: self.label.clone(),
                src: self.src.clone(),
                mimetype: self.mimetype.clone(),
                last_modified: LastModified::parse_or(&self.last_modified, last_modified_at),
                extra,
            },
            media: self.media.as_ref().map(|media| MediaRef {
                object: media.object.unwrap_or(nowhere),
                namespace: media.namespace,
                digest: media.digest,
                size: media.size,
            }),
            notes: NotesRef { object: self.notes.object.unwrap_or(nowhere), size: self.notes.size },
            revision: Revision::new(self.revision),
            save: self.save,
            created: Timestamp::from_millis(self.created),
            saved: Timestamp::from_millis(self.saved),
        };
        Ok(StateRecord { kind, project, notes_digest: self.notes.digest })
    }

    /// The digests and sizes of its blobs.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (Digest, u64)> {
        let notes = self.notes.digest.map(|digest| (digest, self.notes.size));
        notes.into_iter().chain(self.media.as_ref().map(|media| (media.digest, media.size)))
    }

    /// Its blobs in the store.
    pub(super) fn objects(&self) -> impl Iterator<Item = BlobRef> {
        let NotesLine { digest, size, object } = self.notes;
        let (kind, namespace) = (ObjectKind::Notes, Namespace::Owner(self.owner));
        let notes = digest.zip(object);
        let notes = notes.map(|(digest, object)| BlobRef { kind, namespace, object, digest, size });
        let media = self.media.as_ref().and_then(|media| {
            let MediaLine { namespace, digest, size, .. } = *media;
            Some(BlobRef { kind: ObjectKind::Media, namespace, object: media.object?, digest, size })
        });
        notes.into_iter().chain(media)
    }

    /// What it is, for people.
    pub(super) fn describe(&self) -> String {
        format!("the state {} of the project {:?} ({})", self.revision, self.title, self.id)
    }

    fn damaged(&self, why: &str) -> BackupError {
        BackupError::damaged(format!("{}: {why}", self.describe()))
    }
}
