use super::{Project, Revision};
use crate::clock::Timestamp;

/// A former state of a project, kept when a save replaced it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The project as it was in this state.
    pub project: Project,
    /// When the next state replaced it.
    pub replaced: Timestamp,
}

impl Version {
    /// The times by which the history is thinned out.
    pub fn times(&self) -> VersionTimes {
        VersionTimes { revision: self.project.revision, saved: self.project.saved, replaced: self.replaced }
    }
}

/// The times of a version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VersionTimes {
    /// The revision of the version.
    pub revision: Revision,
    /// When the version was saved.
    pub saved: Timestamp,
    /// When the next state replaced it.
    pub replaced: Timestamp,
}
