use std::cmp::Reverse;

use async_trait::async_trait;

use super::MemoryRecords;
use crate::clock::Timestamp;
use crate::domain::{Caller, Precondition, Project, ProjectId, ProjectKey, TrashCursor, Trashed, UserId};
use crate::error::{Error, Result};
use crate::protocol::{
    Holding, MediaUse, TrashReads, TrashRestore, TrashRestoreReads, check_precondition, plan_trash,
    plan_trash_restore,
};
use crate::records::{Deleted, TrashStore};

#[async_trait]
impl TrashStore for MemoryRecords {
    async fn trash_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        trashed_max: u64,
        now: Timestamp,
    ) -> Result<Deleted> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        state.admit(caller, now)?;
        let owner = caller.user;
        let found = state.library(owner).and_then(|library| library.find(key)).cloned();
        let project = found.ok_or(Error::NoSuchProject)?;
        check_precondition(precondition, Some(project.revision))?;
        let user = state.users.get(&owner).cloned().ok_or(Error::NoSuchProject)?;
        let library = state.libraries.entry(owner).or_default();
        library.remove(project.id);
        let reads = TrashReads {
            user,
            others: project.media.map(|media| library.media_use(media.digest, None)).unwrap_or_default(),
            project,
        };
        let plan = plan_trash(reads, now);
        library.kept.trash.insert(plan.trashed.project.id, plan.trashed);
        let mut trashed = plan.user.usage.trashed;
        state.users.insert(owner, plan.user);

        let mut doomed = Vec::new();
        while trashed > trashed_max {
            let library = state.libraries.get(&owner);
            let trash = library.into_iter().flat_map(|library| library.kept.trash.values());
            let Some(first) = trash.min_by_key(|it| TrashCursor::of(it)) else { break };
            let states = state.with_versions(Holding::Trashed, first.project.clone(), owner);
            doomed.extend(state.purge(owner, states, now));
            trashed -= 1;
        }
        Ok(Deleted { doomed })
    }

    async fn list_trash(
        &self,
        owner: UserId,
        after: Option<TrashCursor>,
        limit: usize,
    ) -> Result<Vec<Trashed>> {
        let state = self.lock()?;
        let trash = state.library(owner).into_iter().flat_map(|library| library.kept.trash.values());
        let mut trash: Vec<_> =
            trash.filter(|it| after.is_none_or(|after| TrashCursor::of(it) < after)).cloned().collect();
        trash.sort_by_key(|it| Reverse(TrashCursor::of(it)));
        trash.truncate(limit);
        Ok(trash)
    }

    async fn restore_trashed(&self, restore: &TrashRestore) -> Result<Project> {
        let mut guard = self.lock()?;
        let state = &mut *guard;
        state.admit(restore.caller, restore.now)?;
        let owner = restore.caller.user;
        let library = state.library(owner);
        let trashed = library.and_then(|library| library.kept.trash.get(&restore.id)).cloned();
        let title_taken = trashed.as_ref().is_some_and(|trashed| {
            library.is_some_and(|library| library.titled(restore.title(trashed)).is_some())
        });
        let user = state.users.get(&owner).cloned();
        let media = trashed.as_ref().and_then(|trashed| trashed.project.media);
        let (others, trashed) = match state.libraries.get_mut(&owner) {
            Some(library) if trashed.is_some() => {
                let removed = library.kept.trash.remove(&restore.id);
                let others = media.map(|media| library.media_use(media.digest, None)).unwrap_or_default();
                library.kept.trash.extend(removed.map(|removed| (restore.id, removed)));
                (others, trashed)
            }
            _ => (MediaUse::default(), None),
        };
        let reads = TrashRestoreReads { user, trashed, title_taken, others };
        let plan = plan_trash_restore(reads, restore)?;
        let library = state.libraries.entry(owner).or_default();
        library.kept.trash.remove(&restore.id);
        library.put(plan.project.clone());
        state.users.insert(owner, plan.user);
        Ok(plan.project)
    }

    async fn purge_trashed(
        &self,
        caller: Caller,
        ids: &[ProjectId],
        now: Timestamp,
    ) -> Result<(usize, Deleted)> {
        let mut state = self.lock()?;
        state.admit(caller, now)?;
        let owner = caller.user;
        let (mut count, mut doomed) = (0, Vec::new());
        for id in ids {
            let trashed = state.library(owner).and_then(|library| library.kept.trash.get(id));
            let Some(project) = trashed.map(|trashed| trashed.project.clone()) else { continue };
            let states = state.with_versions(Holding::Trashed, project, owner);
            doomed.extend(state.purge(owner, states, now));
            count += 1;
        }
        Ok((count, Deleted { doomed }))
    }

    async fn list_expired_trash(&self, before: Timestamp, limit: usize) -> Result<Vec<(UserId, ProjectId)>> {
        let state = self.lock()?;
        let owned = state.users.keys().filter_map(|owner| Some((owner, state.libraries.get(owner)?)));
        let trash = owned.flat_map(|(owner, library)| library.kept.trash.values().map(move |it| (owner, it)));
        let mut expired: Vec<_> = trash
            .filter(|(_, trashed)| trashed.deleted < before)
            .map(|(owner, trashed)| (TrashCursor::of(trashed), *owner))
            .collect();
        expired.sort_unstable_by_key(|(place, _)| *place);
        expired.truncate(limit);
        Ok(expired.into_iter().map(|(place, owner)| (owner, place.id)).collect())
    }
}
