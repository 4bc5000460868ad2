use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row, named_params};

use super::error::{Failure, Result as StepResult, unless_damaged};
use super::{SqliteRecords, listing, ngrams, objects, sessions, users};
use crate::clock::Timestamp;
use crate::domain::{
    Caller, Digest, ExtraFields, LastModified, ListQuery, MediaRef, Metadata, NotesRef, Object, ObjectId,
    Page, Precondition, Project, ProjectId, Revision, Title, UserId,
};
use crate::error::{Error, Result};
use crate::protocol::{DeleteReads, SaveCommit, SaveDecision, SaveReads, plan_delete, plan_purge, plan_save};
use crate::records::{Deleted, ProjectStore, RecordKind, SaveOutcome};

#[async_trait]
impl ProjectStore for SqliteRecords {
    async fn find_project(&self, owner: UserId, title: &Title) -> Result<Option<Project>> {
        let title = title.clone();
        self.read(move |connection| find(connection, owner, &title)).await
    }

    async fn find_project_by_id(&self, owner: UserId, id: ProjectId) -> Result<Option<Project>> {
        self.read(move |connection| {
            query_one(
                connection,
                FIND_BY_ID,
                named_params! { ":owner": owner.as_bytes(), ":id": id.as_bytes() },
            )
        })
        .await
    }

    async fn find_owned_media(&self, owner: UserId, digest: Digest) -> Result<Option<MediaRef>> {
        self.read(move |connection| owned_media(connection, owner, digest)).await
    }

    async fn list_projects(&self, owner: UserId, query: &ListQuery) -> Result<Page> {
        let query = query.clone();
        self.read(move |connection| listing::list(connection, owner, &query)).await
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
                SaveDecision::LookNeeded(media) => return Ok(SaveOutcome::LookNeeded(media)),
            };
            for row in &plan.rows {
                objects::update(connection, row)?;
            }
            if let Some(media) = &plan.project.media {
                plan.lost.iter().try_for_each(|lost| repoint(connection, *lost, media))?;
            }
            put(connection, &plan.project)?;
            if is_new {
                ngrams::add(connection, plan.project.owner, plan.project.id, &plan.project.metadata.title)?;
            }
            users::update_usage(connection, &plan.user)?;
            let doomed = plan.doomed().cloned().collect();
            Ok(SaveOutcome::Saved { project: Box::new(plan.project), doomed })
        })
        .await
    }

    async fn delete_project_if(
        &self,
        caller: Caller,
        title: &Title,
        precondition: &Precondition,
        now: Timestamp,
    ) -> Result<Deleted> {
        let (title, precondition) = (title.clone(), precondition.clone());
        self.write_essential(move |connection| {
            sessions::admit(connection, caller, now)?;
            let found = find(connection, caller.user, &title)?;
            let project = found.ok_or(Error::NotFound { what: "project" })?;
            precondition.check(Some(project.revision))?;
            delete(connection, project, now)
        })
        .await
    }
}

const FIND: &str = "
    SELECT * FROM projects
    WHERE owner = :owner AND title = :title AND EXISTS (SELECT 1 FROM users WHERE id = :owner)";

const FIND_BY_ID: &str = "
    SELECT * FROM projects
    WHERE id = :id AND owner = :owner AND EXISTS (SELECT 1 FROM users WHERE id = :owner)";

const OWNED_MEDIA: &str = "
    SELECT media, media_namespace, media_digest, media_size FROM projects INDEXED BY projects_by_media_digest
    WHERE owner = :owner AND media_digest = :digest AND EXISTS (SELECT 1 FROM users WHERE id = :owner)
    ORDER BY id LIMIT 1";

const MEDIA_SHARED: &str = "
    SELECT EXISTS (
        SELECT 1 FROM projects INDEXED BY projects_by_media_digest
        WHERE owner = :owner AND media_digest = :digest AND id <> :id)";

const REPOINT: &str = "
    UPDATE projects INDEXED BY projects_by_media SET
        media = :media, media_namespace = :media_namespace, media_digest = :media_digest, media_size = :media_size
    WHERE media = :lost";

const OF_REMOVED: &str = "
    SELECT id, notes, media FROM projects WHERE owner IN (SELECT id FROM removed_users)";

/// An update leaves out owner, title and time of creation: these never change, and so their indexes need no write.
const PUT: &str = "
    INSERT INTO projects
        (id, owner, title, title_folded, type, label, src, mimetype, last_modified, last_modified_text,
         extra, media, media_namespace, media_digest, media_size, notes, notes_size, revision, save, created)
    VALUES
        (:id, :owner, :title, :title_folded, :type, :label, :src, :mimetype, :last_modified, :last_modified_text,
         :extra, :media, :media_namespace, :media_digest, :media_size, :notes, :notes_size, :revision, :save,
         :created)
    ON CONFLICT (id) DO UPDATE SET
        type = excluded.type, label = excluded.label, src = excluded.src, mimetype = excluded.mimetype,
        last_modified = excluded.last_modified, last_modified_text = excluded.last_modified_text,
        extra = excluded.extra, media = excluded.media, media_namespace = excluded.media_namespace,
        media_digest = excluded.media_digest, media_size = excluded.media_size, notes = excluded.notes,
        notes_size = excluded.notes_size, revision = excluded.revision, save = excluded.save";

/// Purges up to `limit` projects of removed accounts; returns the count. Only their references need be readable.
pub(super) fn purge_removed(connection: &Connection, limit: usize, now: Timestamp) -> StepResult<usize> {
    let mut statement = connection.prepare_cached(OF_REMOVED)?;
    let left = statement.query_and_then((), |row| {
        let (id, media): (Vec<u8>, Option<[u8; 16]>) = (row.get("id")?, row.get("media")?);
        Ok((id, ObjectId::from_bytes(row.get("notes")?), media.map(ObjectId::from_bytes)))
    })?;
    let left = left.filter_map(|row| unless_damaged(RecordKind::Project, row)).take(limit);
    let left: Vec<_> = left.collect::<StepResult<_>>()?;
    let count = left.len();
    for (id, notes, media) in left {
        let notes = objects::find_readable(connection, notes)?;
        let media = match media {
            Some(media) => objects::find_readable(connection, media)?,
            None => None,
        };
        connection.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([&id])?;
        if let Ok(id) = <[u8; 16]>::try_from(&*id) {
            ngrams::remove(connection, ProjectId::from_bytes(id))?;
        }
        for row in plan_purge(notes.as_ref(), media.as_ref(), now) {
            objects::update(connection, &row)?;
        }
    }
    Ok(count)
}

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
    let kept = project.as_ref().and_then(|project| project.media);
    let kept = kept.filter(|kept| Some(kept.digest) == digest);
    let live = match digest {
        Some(digest) => objects::live_media(connection, commit.namespace, digest)?,
        None => None,
    };
    let named = [kept, owned].map(|media| object(media.map(|media| media.object)));
    let mut rows: Vec<Object> = Vec::new();
    for row in named.into_iter().chain([Ok(live)]) {
        rows.extend(row?.filter(|row| rows.iter().all(|known| known.id != row.id)));
    }
    Ok(SaveReads {
        session: sessions::find_of(connection, commit.caller)?,
        user: users::find(connection, owner)?,
        notes: objects::find(connection, commit.notes.object)?,
        old_notes: object(project.as_ref().map(|project| project.notes.object))?,
        media: object(commit.media.as_ref().and_then(|offer| offer.object()))?,
        project,
        owned,
        rows,
    })
}

/// Repoints all projects that refer to lost media to other media of the same bytes.
fn repoint(connection: &Connection, lost: ObjectId, media: &MediaRef) -> StepResult<()> {
    connection.prepare_cached(REPOINT)?.execute(named_params! {
        ":lost": lost.as_bytes(),
        ":media": media.object.as_bytes(),
        ":media_namespace": objects::namespace_bytes(&media.namespace),
        ":media_digest": media.digest.as_bytes(),
        ":media_size": media.size,
    })?;
    Ok(())
}

/// Deletes a project, even if its owner's account has been removed.
fn delete(connection: &Connection, project: Project, now: Timestamp) -> StepResult<Deleted> {
    let (id, media) = (project.id, project.media);
    let media_shared = match media {
        None => false,
        Some(media) => connection.prepare_cached(MEDIA_SHARED)?.query_one(
            named_params! {
                ":owner": project.owner.as_bytes(),
                ":digest": media.digest.as_bytes(),
                ":id": id.as_bytes(),
            },
            |row| row.get(0),
        )?,
    };
    let media = match media {
        None => None,
        Some(media) => objects::find_readable(connection, media.object)?,
    };
    let reads = DeleteReads {
        user: users::find(connection, project.owner)?,
        notes: objects::find_readable(connection, project.notes.object)?,
        media,
        media_shared,
        project,
    };
    let plan = plan_delete(&reads, now);
    connection.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([id.as_bytes()])?;
    ngrams::remove(connection, id)?;
    for row in &plan.rows {
        objects::update(connection, row)?;
    }
    if let Some(user) = &plan.user {
        users::update_usage(connection, user)?;
    }
    Ok(Deleted { doomed: plan.doomed().cloned().collect() })
}

fn find(connection: &Connection, owner: UserId, title: &Title) -> StepResult<Option<Project>> {
    query_one(connection, FIND, named_params! { ":owner": owner.as_bytes(), ":title": title.as_str() })
}

fn query_one(connection: &Connection, sql: &str, params: impl Params) -> StepResult<Option<Project>> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_row(params, |row| Ok(from_row(row))).optional()?.transpose()
}

fn owned_media(connection: &Connection, owner: UserId, digest: Digest) -> StepResult<Option<MediaRef>> {
    let mut statement = connection.prepare_cached(OWNED_MEDIA)?;
    let params = named_params! { ":owner": owner.as_bytes(), ":digest": digest.as_bytes() };
    let media = statement.query_row(params, |row| Ok(media_from_row(row))).optional()?.transpose();
    // What cannot be read is not had: a save that brings the bytes needs none of it.
    unless_damaged(RecordKind::Project, media).unwrap_or(Ok(None)).map(Option::flatten)
}

/// Adds a project, or replaces the one of its id.
fn put(connection: &Connection, project: &Project) -> StepResult<()> {
    let Project { metadata, media, notes, .. } = project;
    let media = media.as_ref();
    connection.prepare_cached(PUT)?.execute(named_params! {
        ":id": project.id.as_bytes(),
        ":owner": project.owner.as_bytes(),
        ":title": metadata.title.as_str(),
        ":title_folded": metadata.title.folded(),
        ":type": metadata.kind,
        ":label": metadata.label,
        ":src": metadata.src,
        ":mimetype": metadata.mimetype,
        ":last_modified": metadata.last_modified.instant().as_millis(),
        ":last_modified_text": metadata.last_modified.as_str(),
        ":extra": metadata.extra.to_json(),
        ":media": media.map(|media| media.object.as_bytes()),
        ":media_namespace": media.map(|media| objects::namespace_bytes(&media.namespace)),
        ":media_digest": media.map(|media| media.digest.as_bytes()),
        ":media_size": media.map(|media| media.size),
        ":notes": notes.object.as_bytes(),
        ":notes_size": notes.size,
        ":revision": project.revision.get(),
        ":save": project.save,
        ":created": project.created.as_millis(),
    })?;
    Ok(())
}

pub(super) fn from_row(row: &Row<'_>) -> StepResult<Project> {
    let title: String = row.get("title")?;
    let last_modified = Timestamp::from_millis(row.get("last_modified")?);
    let last_modified_text: String = row.get("last_modified_text")?;
    let metadata = Metadata {
        title: Title::parse(&title).map_err(|_| Failure::Column { column: "projects.title" })?,
        kind: row.get("type")?,
        label: row.get("label")?,
        src: row.get("src")?,
        mimetype: row.get("mimetype")?,
        last_modified: LastModified::parse_or(&last_modified_text, last_modified),
        extra: ExtraFields::from_json(&row.get::<_, String>("extra")?)
            .map_err(|_| Failure::Column { column: "projects.extra" })?,
    };
    Ok(Project {
        id: ProjectId::from_bytes(row.get("id")?),
        owner: UserId::from_bytes(row.get("owner")?),
        metadata,
        media: media_from_row(row)?,
        notes: NotesRef { object: ObjectId::from_bytes(row.get("notes")?), size: row.get("notes_size")? },
        revision: Revision::new(row.get("revision")?),
        save: row.get("save")?,
        created: Timestamp::from_millis(row.get("created")?),
    })
}

fn media_from_row(row: &Row<'_>) -> StepResult<Option<MediaRef>> {
    let Some(object) = row.get::<_, Option<_>>("media")? else { return Ok(None) };
    let namespace: Vec<u8> = row.get("media_namespace")?;
    Ok(Some(MediaRef {
        object: ObjectId::from_bytes(object),
        namespace: objects::namespace_from(&namespace, "projects.media_namespace")?,
        digest: Digest::from_bytes(row.get("media_digest")?),
        size: row.get("media_size")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::sqlite::schema::{empty_database, query_plan};

    #[test]
    fn each_statement_over_projects_walks_an_index() {
        let database = empty_database();
        for (sql, index) in [
            (FIND, "projects_by_exact_title (owner=? AND title=?)"),
            (OWNED_MEDIA, "projects_by_media_digest (owner=? AND media_digest=?)"),
            (MEDIA_SHARED, "projects_by_media_digest (owner=? AND media_digest=?)"),
            (OF_REMOVED, "(owner=?)"),
            (REPOINT, "projects_by_media (media=?)"),
        ] {
            let plan = query_plan(&database, sql);
            assert!(
                plan.iter().any(|step| step.starts_with("SEARCH projects") && step.ends_with(index)),
                "{plan:#?}"
            );
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {plan:#?}");
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
        };
        let dangling = put(&database, &project).map_err(Error::from);
        assert!(matches!(dangling, Err(Error::Corrupt(_))), "{dangling:?}");

        let object = "INSERT INTO objects VALUES (?1, 'notes', ?1, 'doomed', NULL, NULL, 0, 0)";
        database.execute(object, [project.notes.object.as_bytes()]).unwrap();
        put(&database, &project).unwrap();
        let forgotten =
            database.execute("DELETE FROM objects", ()).map_err(|e| Error::from(Failure::from(e)));
        assert!(matches!(forgotten, Err(Error::Corrupt(_))), "{forgotten:?}");
    }
}
