use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{MemoryRecords, State};
use crate::clock::Timestamp;
use crate::domain::{Object, ObjectId, ObjectState, Project, ProjectId, Usage, User, UserId};
use crate::error::Result;
use crate::protocol::recount;
use crate::records::{AuditedObject, DanglingPage, RecordAudit, Referrers};

#[async_trait]
impl RecordAudit for MemoryRecords {
    async fn count_objects(&self) -> Result<u64> {
        Ok(self.lock()?.ledger.after(None).count() as u64)
    }

    async fn audit_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<AuditedObject>> {
        let state = self.lock()?;
        let rows = state.ledger.after(after).take(limit);
        let audited = rows.map(|row| AuditedObject {
            row: row.clone(),
            counted: state.referrers(row.id).count() as u64,
            inline_size: state.ledger.inline_bytes(row.id).map(|bytes| bytes.len() as u64),
        });
        Ok(audited.collect())
    }

    async fn find_referrers(&self, id: ObjectId) -> Result<Referrers> {
        let state = self.lock()?;
        let first = state.referrers(id).next().map(|it| (it.owner, it.metadata.title.clone()));
        Ok(Referrers { count: state.referrers(id).count() as u64, first })
    }

    async fn find_dangling(&self, after: Option<ProjectId>, limit: usize) -> Result<DanglingPage> {
        let state = self.lock()?;
        let mut projects: Vec<&Project> =
            state.projects().filter(|project| Some(project.id) > after).collect();
        projects.sort_unstable_by_key(|project| project.id);
        projects.truncate(limit);
        let next = projects.last().filter(|_| projects.len() == limit).map(|project| project.id);
        let dangling = projects.into_iter().filter(|project| state.dangles(project));
        Ok(DanglingPage { projects: dangling.cloned().collect(), next })
    }

    async fn audit_usage(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(User, Usage)>> {
        let state = self.lock()?;
        let mut users: Vec<_> = state.users.values().filter(|user| Some(user.id) > after).cloned().collect();
        users.sort_unstable_by_key(|user| user.id);
        users.truncate(limit);
        Ok(users
            .into_iter()
            .map(|user| {
                let usage = state.usage_of(user.id);
                (user, usage)
            })
            .collect())
    }

    async fn correct_references(&self, id: ObjectId, now: Timestamp) -> Result<bool> {
        let mut state = self.lock()?;
        let counted = state.referrers(id).count() as u64;
        let corrected = state.ledger.get(id).and_then(|row| recount(row, counted, now));
        Ok(corrected.map(|row| state.ledger.put(row)).is_some())
    }

    async fn correct_usage(&self, id: UserId) -> Result<bool> {
        let mut state = self.lock()?;
        let usage = state.usage_of(id);
        Ok(state.users.get_mut(&id).map(|user| user.usage = usage).is_some())
    }

    async fn restore_row(&self, row: &Object) -> Result<bool> {
        let mut state = self.lock()?;
        let references = state.referrers(row.id).count() as u64;
        if references == 0 || state.ledger.get(row.id).is_some() {
            return Ok(false);
        }
        state.ledger.put(Object { references, ..row.clone() });
        Ok(true)
    }
}

impl State {
    /// All projects, those of removed accounts too, as long as they are not purged.
    pub(super) fn projects(&self) -> impl Iterator<Item = &Project> {
        self.libraries.values().flat_map(|library| library.ids().filter_map(|id| library.get(id)))
    }

    /// The states of projects in the history and in the trash, those of removed accounts too.
    fn kept(&self) -> impl Iterator<Item = &Project> {
        self.libraries.values().flat_map(|library| library.kept.states())
    }

    fn referrers(&self, id: ObjectId) -> impl Iterator<Item = &Project> {
        let refers = move |project: &&Project| {
            project.notes.object == id || project.media.is_some_and(|media| media.object == id)
        };
        self.projects().chain(self.kept()).filter(refers)
    }

    /// Whether the ledger lacks an object of this project.
    fn dangles(&self, project: &Project) -> bool {
        let live = |id| self.ledger.get(id).filter(|row| row.state == ObjectState::Live)?.content;
        let has_notes = live(project.notes.object).is_some_and(|(_, size)| size == project.notes.size);
        let has_media =
            project.media.is_none_or(|media| live(media.object) == Some((media.digest, media.size)));
        !has_notes || !has_media
    }

    fn usage_of(&self, owner: UserId) -> Usage {
        let shown: Vec<_> = self.projects().filter(|project| project.owner == owner).collect();
        let kept: Vec<_> = self.kept().filter(|project| project.owner == owner).collect();
        let notes = |states: &[&Project]| states.iter().map(|it| it.notes.size).sum::<u64>();
        let records = |states: &[&Project]| states.iter().map(|it| it.record_bytes()).sum::<u64>();
        let media = |states: &[&Project]| -> BTreeMap<_, u64> {
            states.iter().filter_map(|it| it.media).map(|media| (media.digest, media.size)).collect()
        };
        let shown_media = media(&shown);
        let mut kept_media = media(&kept);
        kept_media.retain(|digest, _| !shown_media.contains_key(digest));
        Usage {
            projects: shown.len() as u64,
            bytes: notes(&shown) + shown_media.values().sum::<u64>(),
            record_bytes: records(&shown),
            trashed: self.libraries.get(&owner).map_or(0, |library| library.kept.trash.len() as u64),
            kept_bytes: notes(&kept) + kept_media.values().sum::<u64>(),
            kept_record_bytes: records(&kept),
        }
    }
}
