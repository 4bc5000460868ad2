use async_trait::async_trait;
use bytes::Bytes;

use super::{MemoryRecords, State};
use crate::domain::{Object, ObjectState, RestoreMark, Trashed, User, Version};
use crate::error::{Error, Result};
use crate::records::{RestoreStore, StateKind, StateRecord};

#[async_trait]
impl RestoreStore for MemoryRecords {
    async fn begin_restore(&self, proposed: RestoreMark) -> Result<RestoreMark> {
        let mut state = self.lock()?;
        match state.restore {
            Some(mark) if mark.snapshot == proposed.snapshot => return Ok(mark),
            Some(_) => return Err(Error::Restoring),
            None if !state.is_empty() => return Err(Error::NotEmpty),
            None => {}
        }
        state.restore = Some(proposed);
        Ok(proposed)
    }

    async fn find_restore(&self) -> Result<Option<RestoreMark>> {
        Ok(self.lock()?.restore)
    }

    async fn restore_object(&self, row: &Object, inline: Option<&Bytes>) -> Result<()> {
        let mut state = self.lock()?;
        if state.ledger.get(row.id).is_none_or(|found| found.state == ObjectState::Reserved) {
            match inline {
                Some(bytes) => state.ledger.put_inline(row.clone(), bytes.clone()),
                None => state.ledger.put(row.clone()),
            }
        }
        Ok(())
    }

    async fn restore_states(&self, states: &[StateRecord]) -> Result<()> {
        let mut state = self.lock()?;
        for StateRecord { kind, project, .. } in states {
            let library = state.libraries.entry(project.owner).or_default();
            let project = project.clone();
            match *kind {
                StateKind::Current => library.put(project),
                StateKind::Replaced(replaced) => {
                    let key = (project.id, project.revision);
                    library.kept.versions.insert(key, Version { project, replaced });
                }
                StateKind::Trashed(deleted) => {
                    library.kept.trash.insert(project.id, Trashed { project, deleted });
                }
            }
        }
        Ok(())
    }

    async fn restore_users(&self, users: &[User]) -> Result<()> {
        let mut state = self.lock()?;
        for user in users {
            state.emails.insert(user.email.clone(), user.id);
            state.users.insert(user.id, user.clone());
        }
        Ok(())
    }

    async fn end_restore(&self, mark: RestoreMark) -> Result<()> {
        let mut state = self.lock()?;
        state.restore = state.restore.filter(|found| *found != mark);
        Ok(())
    }
}

impl State {
    fn is_empty(&self) -> bool {
        self.users.is_empty()
            && self.removed.is_empty()
            && self.libraries.is_empty()
            && self.ledger.after(None).next().is_none()
    }
}
