use rusqlite::{Connection, Row, named_params};

use crate::clock::Timestamp;
use crate::domain::{
    Digest, ExtraFields, LastModified, MediaRef, Metadata, NotesRef, ObjectId, Project, ProjectId, Revision,
    Title, UserId,
};
use crate::records::sqlite::columns::{namespace_bytes, namespace_from};
use crate::records::sqlite::error::{Failure, Result};

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Project> {
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

/// The media of a project; absent if it has none.
pub(in crate::records::sqlite) fn media_from_row(row: &Row<'_>) -> Result<Option<MediaRef>> {
    let Some(object) = row.get::<_, Option<_>>("media")? else { return Ok(None) };
    let namespace: Vec<u8> = row.get("media_namespace")?;
    Ok(Some(MediaRef {
        object: ObjectId::from_bytes(object),
        namespace: namespace_from(&namespace, "projects.media_namespace")?,
        digest: Digest::from_bytes(row.get("media_digest")?),
        size: row.get("media_size")?,
    }))
}

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

/// Adds a project, or replaces the one of its id.
pub(in crate::records::sqlite) fn put(connection: &Connection, project: &Project) -> Result<()> {
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
        ":media_namespace": media.map(|media| namespace_bytes(&media.namespace)),
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
