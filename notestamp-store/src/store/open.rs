//! Opening a project: its metadata and its notes.

use bytes::Bytes;

use crate::domain::{Namespace, Project, Title, UserId};
use crate::error::{Error, Result};

use super::Store;

/// A project with its notes, both of one revision.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The project.
    pub project: Project,
    /// Its notes, byte for byte as they were saved.
    pub notes: Bytes,
}

/// How often opening starts anew because a save has replaced the notes meanwhile.
const RACES_MAX: usize = 16;

impl Store {
    /// Opens the project of that title.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the account has none of that title.
    pub async fn open_project(&self, owner: UserId, title: &Title) -> Result<Opened> {
        let mut project = self.find_project(owner, title).await?;
        for _ in 0..RACES_MAX {
            let notes = project.notes;
            let read =
                self.shared.notes.read_to_bytes(Namespace::Owner(owner), notes.object, notes.size).await;
            match read {
                Ok(notes) => return Ok(Opened { project, notes }),
                Err(missing @ Error::Corrupt(_)) => {
                    let now = self.find_project(owner, title).await?;
                    if now.notes == project.notes {
                        return Err(missing);
                    }
                    project = now;
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable {
            backend: self.shared.records.name(),
            source: "the project is saved faster than it can be read".into(),
        })
    }

    /// The project of that title, without its notes.
    ///
    /// # Errors
    /// [`Error::NotFound`] where the account has none of that title.
    pub async fn find_project(&self, owner: UserId, title: &Title) -> Result<Project> {
        let found = self.shared.records.find_project(owner, title).await?;
        found.ok_or(Error::NotFound { what: "project" })
    }
}
