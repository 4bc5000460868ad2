//! Purges states of projects: of an account by the rules of the protocol, and what removed accounts have left.

use std::collections::BTreeSet;

use super::State;
use crate::clock::Timestamp;
use crate::domain::{Object, Project, ProjectId, Revision, UserId};
use crate::protocol::{Holding, PurgeReads, plan_purge, release};

impl State {
    /// Purges these states of an account: removes their records, and takes away their references. Returns the objects
    /// that were doomed.
    pub(super) fn purge(
        &mut self,
        owner: UserId,
        states: Vec<(Holding, Project)>,
        now: Timestamp,
    ) -> Vec<Object> {
        let (Some(user), Some(library)) = (self.users.get(&owner), self.libraries.get_mut(&owner)) else {
            return Vec::new();
        };
        for (holding, project) in &states {
            match holding {
                Holding::Current => drop(library.remove(project.id)),
                Holding::Version => drop(library.kept.versions.remove(&(project.id, project.revision))),
                Holding::Trashed => drop(library.kept.trash.remove(&project.id)),
            }
        }
        let media = || states.iter().filter_map(|(_, project)| project.media);
        let notes = states.iter().map(|(_, project)| project.notes.object);
        let objects: BTreeSet<_> = notes.chain(media().map(|media| media.object)).collect();
        let digests: BTreeSet<_> = media().map(|media| media.digest).collect();
        let reads = PurgeReads {
            user: user.clone(),
            rows: objects.iter().filter_map(|id| self.ledger.get(*id)).cloned().collect(),
            others: digests.into_iter().map(|digest| (digest, library.media_use(digest, None))).collect(),
            states,
        };
        let plan = plan_purge(&reads, now);
        let doomed = plan.doomed().cloned().collect();
        plan.rows.into_iter().for_each(|row| self.ledger.put(row));
        self.users.insert(owner, plan.user);
        doomed
    }

    /// A project's current state and its versions, to be purged together.
    pub(super) fn with_versions(
        &self,
        holding: Holding,
        project: Project,
        owner: UserId,
    ) -> Vec<(Holding, Project)> {
        let kept = self.libraries.get(&owner).map(|library| &library.kept);
        let versions = kept.into_iter().flat_map(|kept| kept.versions_of(project.id));
        let versions: Vec<_> = versions.map(|version| (Holding::Version, version.project.clone())).collect();
        [(holding, project)].into_iter().chain(versions).collect()
    }

    /// Of the versions and the trash of an account, what was replaced or deleted first, with the versions of a project
    /// in the trash.
    pub(super) fn oldest_kept(&self, owner: UserId) -> Option<Vec<(Holding, Project)>> {
        let kept = &self.libraries.get(&owner)?.kept;
        let version =
            kept.versions.values().min_by_key(|it| (it.replaced, it.project.id, it.project.revision));
        let trashed = kept.trash.values().min_by_key(|it| (it.deleted, it.project.id));
        match (version, trashed) {
            (Some(version), trashed) if trashed.is_none_or(|it| version.replaced <= it.deleted) => {
                Some(vec![(Holding::Version, version.project.clone())])
            }
            (_, Some(trashed)) => Some(self.with_versions(Holding::Trashed, trashed.project.clone(), owner)),
            (_, None) => None,
        }
    }

    /// Purges up to `limit` states of projects of a removed account; returns the count.
    pub(super) fn purge_states(&mut self, owner: UserId, limit: usize, now: Timestamp) -> usize {
        let Some(library) = self.libraries.get_mut(&owner) else { return 0 };
        let mut purged: Vec<Project> = Vec::new();
        let ids: Vec<ProjectId> = library.ids().take(limit).collect();
        purged.extend(ids.into_iter().filter_map(|id| library.remove(id)));
        let versions = library.kept.versions.keys().copied().take(limit - purged.len());
        let versions: Vec<(ProjectId, Revision)> = versions.collect();
        let removed = versions.iter().filter_map(|key| library.kept.versions.remove(key));
        purged.extend(removed.map(|version| version.project));
        let trashed: Vec<ProjectId> = library.kept.trash.keys().copied().take(limit - purged.len()).collect();
        let removed = trashed.iter().filter_map(|id| library.kept.trash.remove(id));
        purged.extend(removed.map(|trashed| trashed.project));
        for project in &purged {
            let objects = [Some(project.notes.object), project.media.map(|media| media.object)];
            let objects: Vec<_> = objects.into_iter().flatten().collect();
            let rows: Vec<_> = objects.iter().filter_map(|id| self.ledger.get(*id)).cloned().collect();
            release(objects, &rows, now).into_iter().for_each(|row| self.ledger.put(row));
        }
        purged.len()
    }
}
