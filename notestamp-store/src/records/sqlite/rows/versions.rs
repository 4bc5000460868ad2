use rusqlite::{Connection, Row, named_params};

use super::projects::read_state;
use crate::clock::Timestamp;
use crate::domain::{Project, Version};
use crate::records::sqlite::columns::{Columns, namespace_bytes};
use crate::records::sqlite::error::Result;

/// The columns of a version, as [`from_row`] reads them.
macro_rules! version_columns {
    () => {
        concat!($crate::records::sqlite::rows::projects::state_columns!(), ", replaced")
    };
}
pub(in crate::records::sqlite) use version_columns;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Version> {
    let columns = &mut Columns::of(row);
    let project = read_state(columns)?;
    Ok(Version { project, replaced: Timestamp::from_millis(columns.next()?) })
}

const INSERT: &str = "
    INSERT INTO versions
        (id, owner, title, type, label, src, mimetype, last_modified, last_modified_text, extra, media, media_namespace,
         media_digest, media_size, notes, notes_size, revision, save, created, saved,
         replaced)
    VALUES
        (:id, :owner, :title, :type, :label, :src, :mimetype, :last_modified, :last_modified_text, :extra, :media,
         :media_namespace, :media_digest, :media_size, :notes, :notes_size, :revision, :save, :created, :saved,
         :replaced)";

/// Adds a version.
pub(in crate::records::sqlite) fn insert(connection: &Connection, version: &Version) -> Result<()> {
    let Version { project, replaced } = version;
    let Project { metadata, media, notes, .. } = project;
    let media = media.as_ref();
    connection.prepare_cached(INSERT)?.execute(named_params! {
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
        ":replaced": replaced.as_millis(),
    })?;
    Ok(())
}
