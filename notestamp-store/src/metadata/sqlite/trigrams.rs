//! The index by which a search finds titles.

use rusqlite::{Connection, named_params};

use super::error::Result;
use crate::domain::{ListQuery, ProjectId, Title, TrigramRange, UserId};

/// As many projects are looked at one by one rather than walked past in their order.
const CANDIDATES_MAX: i64 = 200;

const ADD: &str = "INSERT INTO title_trigrams (owner, trigram, project) VALUES (?1, ?2, ?3)";

const REMOVE: &str = "DELETE FROM title_trigrams WHERE owner = ?1 AND trigram = ?2 AND project = ?3";

const COUNT: &str = "
    SELECT count(*) FROM (
        SELECT 1 FROM title_trigrams
        WHERE owner = :owner AND trigram BETWEEN :first AND :last LIMIT :limit)";

/// Adds a project that is new.
pub(super) fn add(connection: &Connection, owner: UserId, project: ProjectId, title: &Title) -> Result<()> {
    for_each(connection, ADD, owner, project, title)
}

/// Removes a project that is deleted.
pub(super) fn remove(
    connection: &Connection,
    owner: UserId,
    project: ProjectId,
    title: &Title,
) -> Result<()> {
    for_each(connection, REMOVE, owner, project, title)
}

fn for_each(
    connection: &Connection,
    sql: &str,
    owner: UserId,
    project: ProjectId,
    title: &Title,
) -> Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    for trigram in title.trigrams() {
        statement.execute((owner.as_bytes(), trigram, project.as_bytes()))?;
    }
    Ok(())
}

/// Something to look up that few projects have. Where each is of many, a walk in their order soon meets enough.
pub(super) fn rare(
    connection: &Connection,
    owner: UserId,
    query: &ListQuery,
) -> Result<Option<TrigramRange>> {
    let mut count = connection.prepare_cached(COUNT)?;
    for range in query.lookups() {
        let found: i64 = count.query_one(
            named_params! {
                ":owner": owner.as_bytes(),
                ":first": range.first,
                ":last": range.last,
                ":limit": CANDIDATES_MAX + 1,
            },
            |row| row.get(0),
        )?;
        if found <= CANDIDATES_MAX {
            return Ok(Some(range));
        }
    }
    Ok(None)
}
