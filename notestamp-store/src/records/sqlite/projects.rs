use std::num::NonZeroUsize;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, named_params};

use super::columns::{Columns, namespace_bytes};
use super::error::{Result as StepResult, unless_damaged};
use super::media_use::media_use;
use super::rows::projects::{from_row, media_of, project_columns, put};
use super::rows::versions;
use super::{SqliteRecords, account, history, listing, ngrams, objects, purge, sessions};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ListQuery, MediaRef, Object, ObjectId, Page, Precondition, Project, ProjectId,
    ProjectKey, Title, User, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::thinning::EXAMINED_MAX;
use crate::protocol::{
    Holding, MediaUse, NewNotes, PURGED_FOR_QUOTA_MAX, SaveCommit, SaveDecision, SavePlan, SaveReads,
    check_precondition, exceeds_quota, plan_save,
};
use crate::records::{Deleted, ListStart, ProjectStore, RecordKind, SaveOutcome};

#[async_trait]
impl ProjectStore for SqliteRecords {
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>> {
        let title = title.clone();
        self.look_up(move |connection| find(connection, owner, &title)).await
    }

    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>> {
        self.look_up(move |connection| find_by_id(connection, owner, id)).await
    }

    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>> {
        self.look_up(move |connection| owned_media(connection, owner, digest)).await
    }

    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        let is_short = listing::is_short(query);
        let query = query.clone();
        let list = move |connection: &Connection| listing::list(connection, owner, &query);
        if is_short { self.look_up(list).await } else { self.read_list(owner, list).await }
    }

    async fn start_list(&self, owner: UserId, query: &ListQuery, len: NonZeroUsize) -> Result<ListStart> {
        // Most lists are short.
        let (query, len) = (Arc::new(query.clone()), len.get());
        let short = Arc::clone(&query);
        let short = move |connection: &Connection| listing::whole_if_short(connection, owner, &short, len);
        if let Some(whole) = self.look_up(short).await? {
            return Ok(whole);
        }
        self.read_list(owner, move |connection| listing::start(connection, owner, &query, len)).await
    }

    async fn find_projects_by_ids(&self, owner: UserId, ids: &[ProjectId]) -> Result<Vec<Project>> {
        let ids = ids.to_vec();
        self.read_list(owner, move |connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut projects = Vec::with_capacity(ids.len());
            for id in ids {
                let found = find_by_id(&snapshot, owner, id).transpose();
                projects
                    .extend(found.and_then(|found| unless_damaged(RecordKind::Project, found)).transpose()?);
            }
            Ok(projects)
        })
        .await
    }

    async fn commit_save(&self, commit: &SaveCommit) -> Result<SaveOutcome> {
        let commit = commit.clone();
        self.write(move |connection| {
            let reads = save_reads(connection, &commit)?;
            // An existing project keeps its title, and so its n-grams.
            let is_new = reads.project.is_none();
            let plan = match plan_save(&reads, &commit)? {
                SaveDecision::Save(plan) => *plan,
                SaveDecision::BytesNeeded => return Ok(SaveOutcome::BytesNeeded),
                SaveDecision::CheckNeeded(media) => return Ok(SaveOutcome::CheckNeeded(media)),
            };
            if let (Some(row), Some(bytes)) = (&plan.inline, commit.notes.inline_bytes()) {
                objects::insert_inline(connection, row, bytes)?;
            }
            // No record may refer to a row when it is removed.
            let (gone, kept): (Vec<_>, Vec<_>) = plan.rows.iter().partition(|row| row.is_gone());
            kept.into_iter().try_for_each(|row| objects::write(connection, row))?;
            put(connection, &plan.project)?;
            if let Some(version) = &plan.version {
                versions::insert(connection, version)?;
            }
            if let Some(media) = &plan.project.media {
                plan.lost.iter().try_for_each(|lost| repoint(connection, *lost, media))?;
            }
            gone.into_iter().try_for_each(|row| objects::write(connection, row))?;
            if is_new {
                ngrams::add(connection, plan.project.owner, plan.project.id, &plan.project.metadata.title)?;
            }
            let mut doomed: Vec<_> = plan.doomed().cloned().collect();
            let user = purge_surplus(connection, &commit, &plan, &mut doomed)?;
            account::update_usage(connection, &user)?;
            Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
        })
        .await
    }

    async fn delete_project_if(
        &self,
        caller: Caller,
        key: &ProjectKey,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted> {
        let (key, precondition) = (key.clone(), precondition.clone());
        self.write_essential(move |connection| {
            sessions::admit(connection, caller, now)?;
            let project = find_by_key(connection, caller.user, &key)?.ok_or(Error::NoSuchProject)?;
            check_precondition(&precondition, Some(project.revision))?;
            let user = account::find(connection, caller.user)?.ok_or(Error::NoSuchProject)?;
            let states = purge::with_versions(connection, Holding::Current, project)?;
            let mut doomed = Vec::new();
            let user = purge::purge(connection, user, states, now, &mut doomed)?;
            account::update_usage(connection, &user)?;
            Ok(Deleted { doomed })
        })
        .await
    }
}

const FIND: &str = concat!(
    "SELECT ",
    project_columns!(),
    " FROM projects
    WHERE owner = :owner AND title = :title AND EXISTS (SELECT 1 FROM users WHERE id = :owner)",
);

const FIND_BY_ID: &str = concat!(
    "SELECT ",
    project_columns!(),
    " FROM projects
    WHERE id = :id AND owner = :owner AND EXISTS (SELECT 1 FROM users WHERE id = :owner)",
);

/// Media of a project first, then of a version, then of the trash.
const OWNED_MEDIA: [&str; 3] = [
    "
    SELECT media, media_namespace, media_digest, media_size FROM projects INDEXED BY projects_by_media_digest
    WHERE owner = :owner AND media_digest = :digest AND EXISTS (SELECT 1 FROM users WHERE id = :owner)
    ORDER BY id LIMIT 1",
    "
    SELECT media, media_namespace, media_digest, media_size FROM versions INDEXED BY versions_by_media_digest
    WHERE owner = :owner AND media_digest = :digest AND EXISTS (SELECT 1 FROM users WHERE id = :owner)
    ORDER BY id, revision LIMIT 1",
    "
    SELECT media, media_namespace, media_digest, media_size FROM trash INDEXED BY trash_by_media_digest
    WHERE owner = :owner AND media_digest = :digest AND EXISTS (SELECT 1 FROM users WHERE id = :owner)
    ORDER BY id LIMIT 1",
];

const REPOINT: [&str; 3] = [
    "
    UPDATE projects INDEXED BY projects_by_media SET
        media = :media, media_namespace = :media_namespace, media_digest = :media_digest, media_size = :media_size
    WHERE media = :lost",
    "
    UPDATE versions INDEXED BY versions_by_media SET
        media = :media, media_namespace = :media_namespace, media_digest = :media_digest, media_size = :media_size
    WHERE media = :lost",
    "
    UPDATE trash INDEXED BY trash_by_media SET
        media = :media, media_namespace = :media_namespace, media_digest = :media_digest, media_size = :media_size
    WHERE media = :lost",
];

fn save_reads(connection: &Connection, commit: &SaveCommit) -> StepResult<SaveReads> {
    let owner = commit.caller.user;
    let object = |id: Option<ObjectId>| match id {
        Some(id) => objects::find_readable(connection, id),
        None => Ok(None),
    };
    let digest = commit.media.as_ref().map(|offer| offer.digest());
    let owned = match digest {
        Some(digest) => owned_media(connection, owner, digest)?,
        None => None,
    };
    let project = find(connection, owner, &commit.metadata.title)?;
    let live = match digest {
        Some(digest) => objects::live_media(connection, commit.namespace, digest)?,
        None => None,
    };
    let kept = object(commit.kept_media(project.as_ref()).map(|media| media.object))?;
    let owned_row = object(owned.map(|media| media.object))?;
    let rows = SaveReads::distinct([kept, owned_row, live].into_iter().flatten());
    let old_media = project.as_ref().and_then(|project| project.media);
    let others = |digest: Option<Digest>| match digest {
        Some(digest) if commit.changes_media(project.as_ref()) => {
            media_use(connection, owner, digest, project.as_ref().map(|project| project.id))
        }
        _ => Ok(MediaUse::default()),
    };
    let versions = match &project {
        Some(project) => history::times(connection, project.id, EXAMINED_MAX)?,
        None => Vec::new(),
    };
    Ok(SaveReads {
        session: sessions::find_of(connection, commit.caller)?,
        user: account::find(connection, owner)?,
        notes: match &commit.notes {
            NewNotes::Written(written) => objects::find(connection, written.object)?,
            // Adding the row fails if there is one.
            NewNotes::Inline { .. } => None,
        },
        old_notes: object(project.as_ref().map(|project| project.notes.object))?,
        media: object(commit.media.as_ref().and_then(|offer| offer.object()))?,
        old_media: object(old_media.map(|media| media.object))?,
        old_media_others: others(old_media.map(|media| media.digest))?,
        owned,
        new_media_others: others(digest)?,
        versions,
        rows,
        project,
    })
}

/// Purges the versions that a save has thinned out and, while the account exceeds its quota, the oldest of what it
/// keeps. Returns the user record.
fn purge_surplus(
    connection: &Connection,
    commit: &SaveCommit,
    plan: &SavePlan,
    doomed: &mut Vec<Object>,
) -> StepResult<User> {
    let thinned = history::find_readable(connection, plan.project.id, &plan.thinned)?;
    let mut user = purge::purge(connection, plan.user.clone(), thinned, commit.now, doomed)?;
    for _ in 0..PURGED_FOR_QUOTA_MAX {
        if !exceeds_quota(&user, commit) {
            break;
        }
        let oldest = purge::oldest_kept(connection, user.id)?;
        if oldest.is_empty() {
            break;
        }
        user = purge::purge(connection, user, oldest, commit.now, doomed)?;
    }
    Ok(user)
}

/// Repoints all records that refer to lost media to other media of the same bytes.
fn repoint(connection: &Connection, lost: ObjectId, media: &MediaRef) -> StepResult<()> {
    for repoint in REPOINT {
        connection.prepare_cached(repoint)?.execute(named_params! {
            ":lost": lost.as_bytes(),
            ":media": media.object.as_bytes(),
            ":media_namespace": namespace_bytes(&media.namespace),
            ":media_digest": media.digest.as_bytes(),
            ":media_size": media.size,
        })?;
    }
    Ok(())
}

pub(super) fn find_by_key(
    connection: &Connection,
    owner: UserId,
    key: &ProjectKey,
) -> StepResult<Option<Project>> {
    match key {
        ProjectKey::Title(title) => find(connection, owner, title),
        ProjectKey::Id(id) => find_by_id(connection, owner, *id),
    }
}

pub(super) fn find(connection: &Connection, owner: UserId, title: &Title) -> StepResult<Option<Project>> {
    query_one(connection, FIND, named_params! { ":owner": owner.as_bytes(), ":title": title.as_str() })
}

fn find_by_id(connection: &Connection, owner: UserId, id: ProjectId) -> StepResult<Option<Project>> {
    let params = named_params! { ":owner": owner.as_bytes(), ":id": id.as_bytes() };
    query_one(connection, FIND_BY_ID, params)
}

fn query_one(connection: &Connection, sql: &str, params: impl Params) -> StepResult<Option<Project>> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(params, |row| Ok(from_row(row))).optional()?.transpose()
}

fn owned_media(connection: &Connection, owner: UserId, digest: Digest) -> StepResult<Option<MediaRef>> {
    for sql in OWNED_MEDIA {
        let mut statement = connection.prepare_cached(sql)?;
        let params = named_params! { ":owner": owner.as_bytes(), ":digest": digest.as_bytes() };
        let media =
            statement.query_row(params, |row| Ok(media_of(&mut Columns::of(row)))).optional()?.transpose();
        // A damaged record counts as absent: a save with the bytes does not need it.
        let media = unless_damaged(RecordKind::Project, media).unwrap_or(Ok(None))?.flatten();
        if media.is_some() {
            return Ok(media);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Metadata, NotesRef, Revision};
    use crate::records::sqlite::error::Failure;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_statement_over_projects_walks_an_index() {
        let database = empty_database();
        for (sql, index) in [
            (FIND, "projects_by_exact_title (owner=? AND title=?)"),
            (OWNED_MEDIA[0], "projects_by_media_digest (owner=? AND media_digest=?)"),
            (REPOINT[0], "projects_by_media (media=?)"),
        ] {
            let plan = query_plan(&database, sql);
            assert!(
                plan.iter().any(|step| step.starts_with("SEARCH projects") && step.ends_with(index)),
                "{plan:#?}"
            );
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:#?}");
        }
        for (sql, step) in [
            (
                OWNED_MEDIA[1],
                "SEARCH versions USING INDEX versions_by_media_digest (owner=? AND media_digest=?)",
            ),
            (OWNED_MEDIA[2], "SEARCH trash USING INDEX trash_by_media_digest (owner=? AND media_digest=?)"),
            (REPOINT[1], "SEARCH versions USING COVERING INDEX versions_by_media (media=?)"),
            (REPOINT[2], "SEARCH trash USING COVERING INDEX trash_by_media (media=?)"),
        ] {
            let plan = query_plan(&database, sql);
            assert!(plan.iter().any(|found| found == step), "{sql}: {plan:#?}");
        }
    }

    #[test]
    fn an_object_that_a_project_refers_to_cannot_be_forgotten() {
        let database = empty_database();
        database.pragma_update(None, "foreign_keys", true).unwrap();
        let project = Project {
            id: ProjectId::from_bytes([1; 16]),
            owner: UserId::from_bytes([2; 16]),
            metadata: Metadata::new(Title::parse("Title").unwrap(), Timestamp::from_millis(0)),
            media: None,
            notes: NotesRef { object: ObjectId::from_bytes([3; 16]), size: 2 },
            revision: Revision::FIRST,
            save: 1,
            created: Timestamp::from_millis(0),
            saved: Timestamp::from_millis(0),
        };
        let dangling = put(&database, &project).map_err(Error::from);
        assert!(matches!(dangling, Err(Error::Corrupt(_))), "{dangling:?}");

        let object = "
            INSERT INTO objects (id, kind, namespace, state, reference_count, since)
            VALUES (?1, 'notes', ?1, 'doomed', 0, 0)";
        database.execute(object, [project.notes.object.as_bytes()]).unwrap();
        put(&database, &project).unwrap();
        let forgotten =
            database.execute("DELETE FROM objects", ()).map_err(|e| Error::from(Failure::from(e)));
        assert!(matches!(forgotten, Err(Error::Corrupt(_))), "{forgotten:?}");
    }
}
