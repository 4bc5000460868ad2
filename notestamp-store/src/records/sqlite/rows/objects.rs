use rusqlite::{Connection, Row, named_params};

use crate::clock::Timestamp;
use crate::domain::{Digest, Object, ObjectId, ObjectKind, ObjectState};
use crate::records::sqlite::columns::{namespace_bytes, namespace_from, parse_word};
use crate::records::sqlite::error::Result;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Object> {
    let digest = row.get::<_, Option<_>>("digest")?.map(Digest::from_bytes);
    Ok(Object {
        id: ObjectId::from_bytes(row.get("id")?),
        kind: parse_word(row, "kind", ObjectKind::parse)?,
        namespace: namespace_from(&row.get::<_, Vec<u8>>("namespace")?, "objects.namespace")?,
        state: parse_word(row, "state", ObjectState::parse)?,
        content: digest.zip(row.get("size")?),
        references: row.get("reference_count")?,
        since: Timestamp::from_millis(row.get("since")?),
    })
}

/// Executes a statement that has all columns of a row as parameters.
pub(in crate::records::sqlite) fn execute_with(
    connection: &Connection,
    sql: &str,
    row: &Object,
) -> Result<usize> {
    let digest = row.content.as_ref().map(|(digest, _)| digest.as_bytes());
    Ok(connection.prepare_cached(sql)?.execute(named_params! {
        ":id": row.id.as_bytes(),
        ":kind": row.kind.as_str(),
        ":namespace": namespace_bytes(&row.namespace),
        ":state": row.state.as_str(),
        ":digest": digest,
        ":size": row.content.map(|(_, size)| size),
        ":reference_count": row.references,
        ":since": row.since.as_millis(),
    })?)
}
