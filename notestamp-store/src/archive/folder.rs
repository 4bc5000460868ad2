//! The folder of a state of a project, and the files in it.

use super::documents::{details_file, metadata_file};
use super::names::{FolderName, trash_suffix};
use crate::clock::Timestamp;
use crate::domain::{Project, ProjectId, Revision};

/// The folder of the versions.
pub const HISTORY: &str = ".history";

/// The folder of the trash.
pub const TRASH: &str = ".trash";

const METADATA_FILE: &str = ".metadata.json";
const DETAILS_FILE: &str = ".notestamp.json";

/// Where a state of a project is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// It is what the project shows now.
    Current,
    /// In the history of a project.
    Version(Revision),
    /// In the trash.
    Trashed(ProjectId),
    /// In the history of a project in the trash.
    TrashedVersion(ProjectId, Revision),
}

/// The folder of a state of a project.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Folder {
    path: String,
    /// The stem of the files.
    name: String,
}

impl Folder {
    /// The folder of a state at this place. `name` is that of the project's present title.
    pub(crate) fn of(place: Place, name: &FolderName) -> Self {
        let name = name.as_str().to_owned();
        let path = match place {
            Place::Current => name.clone(),
            Place::Version(revision) => format!("{HISTORY}/{name}/{revision}"),
            Place::Trashed(id) => format!("{TRASH}/{name}{}", trash_suffix(id)),
            Place::TrashedVersion(id, revision) => format!("{HISTORY}/{name}{}/{revision}", trash_suffix(id)),
        };
        Self { path, name }
    }

    /// The path of the metadata, and its text.
    pub(crate) fn metadata_file(&self, project: &Project) -> (String, String) {
        (format!("{}/{METADATA_FILE}", self.path), metadata_file(project))
    }

    /// The path of what only this program knows, and its text.
    pub(crate) fn details_file(
        &self,
        project: &Project,
        replaced: Option<Timestamp>,
        deleted: Option<Timestamp>,
    ) -> (String, String) {
        (format!("{}/{DETAILS_FILE}", self.path), details_file(project, replaced, deleted))
    }

    /// The path of the notes.
    pub(crate) fn notes_path(&self) -> String {
        format!("{}/.{}.json", self.path, self.name)
    }

    /// The path of the media.
    pub(crate) fn media_path(&self, project: &Project) -> String {
        let extension = project.media_type().extensions().next().unwrap_or("bin");
        format!("{}/{}.{extension}", self.path, self.name)
    }
}

/// What a file in the folder of a state is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateFile {
    /// The metadata.
    Metadata,
    /// What only this program knows.
    Details,
    /// The notes.
    Notes,
    /// The media, or a file beside it that another program wrote.
    Media,
    /// A file that is no part of a project: the client's `TITLE.md`, and the files of operating systems.
    Ignored,
}

impl StateFile {
    /// What the file of this name is.
    pub fn of(name: &str) -> Self {
        let is_of_a_system = |name: &str| matches!(name, "Thumbs.db" | "desktop.ini");
        match name {
            METADATA_FILE => Self::Metadata,
            DETAILS_FILE => Self::Details,
            _ if name.starts_with('.') && name.ends_with(".json") => Self::Notes,
            _ if name.starts_with('.') || is_of_a_system(name) => Self::Ignored,
            _ if name.to_ascii_lowercase().ends_with(".md") => Self::Ignored,
            _ => Self::Media,
        }
    }
}
