use rusqlite::{Connection, Row, named_params};

use crate::clock::Timestamp;
use crate::domain::{Digest, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState};
use crate::records::sqlite::columns::{Columns, namespace_bytes};
use crate::records::sqlite::error::Result;

/// The columns of an object, as [`from_row`] reads them.
macro_rules! object_columns {
    () => {
        "id, kind, namespace, inline, state, digest, size, reference_count, since"
    };
}
pub(in crate::records::sqlite) use object_columns;

pub(in crate::records::sqlite) fn from_row(row: &Row<'_>) -> Result<Object> {
    let columns = &mut Columns::of(row);
    Ok(Object {
        id: ObjectId::from_bytes(columns.next()?),
        kind: columns.parse("objects.kind", ObjectKind::parse)?,
        namespace: columns.namespace("objects.namespace")?,
        place: if columns.next()? { ObjectPlace::Inline } else { ObjectPlace::BlobStore },
        state: columns.parse("objects.state", ObjectState::parse)?,
        content: {
            let digest = columns.next::<Option<_>>()?.map(Digest::from_bytes);
            digest.zip(columns.next()?)
        },
        references: columns.next()?,
        since: Timestamp::from_millis(columns.next()?),
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
        ":inline": row.place == ObjectPlace::Inline,
        ":state": row.state.as_str(),
        ":digest": digest,
        ":size": row.content.map(|(_, size)| size),
        ":reference_count": row.references,
        ":since": row.since.as_millis(),
    })?)
}
