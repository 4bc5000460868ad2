use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, Project, ProjectId};
use crate::clock::Timestamp;

/// A project in the trash. Its versions remain, under its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trashed {
    /// The project as it was when it was deleted.
    pub project: Project,
    /// When it was deleted.
    pub deleted: Timestamp,
}

/// A position in the list of the trash: after one project. It stays valid if that project leaves the trash.
///
/// Opaque to clients.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TrashCursor {
    /// When the project was deleted.
    pub deleted: Timestamp,
    /// The id of the project.
    pub id: ProjectId,
}

impl TrashCursor {
    /// The position after a project.
    pub fn of(trashed: &Trashed) -> Self {
        Self { deleted: trashed.deleted, id: trashed.project.id }
    }
}

impl fmt::Display for TrashCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d{}.{}", self.deleted.as_millis(), self.id)
    }
}

impl FromStr for TrashCursor {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let parsed = text.strip_prefix('d').and_then(|place| place.split_once('.')).and_then(|(at, id)| {
            Some(Self { deleted: Timestamp::from_millis(at.parse().ok()?), id: id.parse().ok()? })
        });
        parsed.ok_or_else(|| InvalidValue::new("cursor", "is not a cursor of this server"))
    }
}
