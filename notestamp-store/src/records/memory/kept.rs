use std::collections::BTreeMap;

use crate::domain::{Digest, MediaRef, Project, ProjectId, Revision, Trashed, Version};

/// The versions and the trash of one account.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) versions: BTreeMap<(ProjectId, Revision), Version>,
    pub(super) trash: BTreeMap<ProjectId, Trashed>,
}

impl Kept {
    /// The media with this digest of a version, or of a project in the trash.
    pub(super) fn media_of(&self, digest: Digest) -> Option<MediaRef> {
        self.states().filter_map(|project| project.media).find(|media| media.digest == digest)
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &Project> {
        let versions = self.versions.values().map(|it| &it.project);
        versions.chain(self.trash.values().map(|it| &it.project))
    }

    pub(super) fn states_mut(&mut self) -> impl Iterator<Item = &mut Project> {
        let versions = self.versions.values_mut().map(|it| &mut it.project);
        versions.chain(self.trash.values_mut().map(|it| &mut it.project))
    }

    /// The versions of a project, in the order of their revisions.
    pub(super) fn versions_of(&self, project: ProjectId) -> impl DoubleEndedIterator<Item = &Version> {
        let all = (project, Revision::NONE)..=(project, Revision::new(u64::MAX));
        self.versions.range(all).map(|(_, version)| version)
    }
}
