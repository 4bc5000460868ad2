use rusqlite::{Connection, Row, ToSql, named_params};

use crate::clock::Timestamp;
use crate::domain::{
    Digest, ExtraFields, LastModified, MediaRef, Metadata, NotesRef, ObjectId, Project, ProjectId, Revision,
    Title, UserId,
};
use crate::records::sqlite::columns::{Columns, namespace_bytes};
use crate::records::sqlite::error::Result;

/// The columns of a project, as [`from_row`] reads them. The id is the first one.
macro_rules! project_columns {
    () => {
        "projects.id, projects.owner, title, type, label, src, mimetype, last_modified, last_modified_text, \
         extra, media, media_namespace, media_digest, media_size, notes, notes_size, revision, save, \
         projects.created, saved"
    };
}
pub(in crate::records::sqlite) use project_columns;

/// The same columns in a table of other states of projects.
macro_rules! state_columns {
    () => {
        "id, owner, title, type, label, src, mimetype, last_modified, last_modified_text, extra, media, \
         media_namespace, media_digest, media_size, notes, notes_size, revision, save, created, saved"
    };
}
pub(in crate::records::sqlite) use state_columns;

/// The values of [`state_columns`], in the same order, as [`write_state`] names them.
macro_rules! state_values {
    () => {
        ":id, :owner, :title, :type, :label, :src, :mimetype, :last_modified, :last_modified_text, :extra, :media, \
         :media_namespace, :media_digest, :media_size, :notes, :notes_size, :revision, :save, :created, :saved"
    };
}
pub(in crate::records::sqlite) use state_values;

/// Executes a statement that writes a state of a project: with the parameters of [`state_values`], and with one for a
/// further column.
pub(in crate::records::sqlite) fn write_state(
    connection: &Connection,
    sql: &str,
    project: &Project,
    further: (&str, &dyn ToSql),
) -> Result<()> {
    let Project { metadata, media, notes, .. } = project;
    let media = media.as_ref();
    let state = named_params! {
        ":id": project.id.as_bytes(),
        ":owner": project.owner.as_bytes(),
        ":title": metadata.title.as_str(),
        ":type": metadata.kind,
        ":label": metadata.label,
        ":src": metadata.src,
        ":mimetype": metadata.mimetype,
        ":last_modified": metadata.last_modified.instant().as_millis(),
        ":last_modified_text": metadata.last_modified.as_str(),
        ":extra": metadata.extra.to_json(),
        ":media": media.map(|media| media.object.as_bytes()),
        ":media_namespace": media.map(|media| namespace_bytes(&media.namespace)),
        ":media_digest": media.map(|media| media.digest.as_bytes()),
        ":media_size": media.map(|media| media.size),
        ":notes": notes.object.as_bytes(),
        ":notes_size": notes.size,
        ":revision": project.revision.get(),
        ":save": project.save,
        ":created": project.created.as_millis(),
        ":saved": project.saved.as_millis(),
    };
    let params: Vec<_> = state.iter().copied().chain([further]).collect();
    connection.prepare_cached(sql)?.execute(&*params)?;
    Ok(())
}

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Project> {
    read_state(&mut Columns::of(row))
}

/// Reads a state of a project from its columns.
pub(in crate::records::sqlite) fn read_state(columns: &mut Columns<'_>) -> Result<Project> {
    Ok(Project {
        id: ProjectId::from_bytes(columns.next()?),
        owner: UserId::from_bytes(columns.next()?),
        metadata: Metadata {
            title: columns.parse("projects.title", |title| Title::parse(title).ok())?,
            kind: columns.next()?,
            label: columns.next()?,
            src: columns.next()?,
            mimetype: columns.next()?,
            last_modified: last_modified(columns)?,
            extra: columns.parse("projects.extra", |extra| ExtraFields::from_json(extra).ok())?,
        },
        media: media_of(columns)?,
        notes: NotesRef { object: ObjectId::from_bytes(columns.next()?), size: columns.next()? },
        revision: Revision::new(columns.next()?),
        save: columns.next()?,
        created: Timestamp::from_millis(columns.next()?),
        saved: Timestamp::from_millis(columns.next()?),
    })
}

fn last_modified(columns: &mut Columns<'_>) -> Result<LastModified> {
    let instant = Timestamp::from_millis(columns.next()?);
    columns.parse("projects.last_modified_text", |text| Some(LastModified::parse_or(text, instant)))
}

/// The media of a project; absent if it has none. The columns are `media`, `media_namespace`, `media_digest` and
/// `media_size`.
pub(in crate::records::sqlite) fn media_of(columns: &mut Columns<'_>) -> Result<Option<MediaRef>> {
    let Some(object) = columns.next::<Option<_>>()?.map(ObjectId::from_bytes) else {
        columns.skip(3);
        return Ok(None);
    };
    Ok(Some(MediaRef {
        object,
        namespace: columns.namespace("projects.media_namespace")?,
        digest: Digest::from_bytes(columns.next()?),
        size: columns.next()?,
    }))
}

/// An update leaves out owner, title and time of creation: these never change, and so their indexes need no write.
const PUT: &str = concat!(
    "INSERT INTO projects (",
    state_columns!(),
    ", title_folded) VALUES (",
    state_values!(),
    ", :title_folded)
    ON CONFLICT (id) DO UPDATE SET
        type = excluded.type, label = excluded.label, src = excluded.src, mimetype = excluded.mimetype,
        last_modified = excluded.last_modified, last_modified_text = excluded.last_modified_text,
        extra = excluded.extra, media = excluded.media, media_namespace = excluded.media_namespace,
        media_digest = excluded.media_digest, media_size = excluded.media_size, notes = excluded.notes,
        notes_size = excluded.notes_size, revision = excluded.revision, save = excluded.save,
        saved = excluded.saved"
);

/// Adds a project, or replaces the one of its id.
pub(in crate::records::sqlite) fn put(connection: &Connection, project: &Project) -> Result<()> {
    write_state(connection, PUT, project, (":title_folded", &project.metadata.title.folded()))
}
