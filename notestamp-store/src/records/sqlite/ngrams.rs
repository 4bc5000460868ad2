//! The full-text index by which a search finds titles.
//!
//! Its documents (FTS5) hold only the n-grams of a title, each prefixed with the owner's id. FTS5 merges the entries
//! of many saves step by step, where an ordinary index would write one page for each n-gram.

use std::fmt::Write as _;

use rusqlite::{Connection, OptionalExtension};

use super::error::Result;
use crate::domain::{ListQuery, ProjectId, Title, UserId};

/// Up to this many projects a search examines one by one; beyond that it walks the index of the sort order.
const CANDIDATES_MAX: i64 = 200;

const NUMBER: &str = "INSERT INTO title_documents (project) VALUES (?1) RETURNING number";

const ADD: &str = "INSERT INTO title_grams (rowid, grams) VALUES (?1, ?2)";

const FORGET: &str = "DELETE FROM title_documents WHERE project = ?1 RETURNING number";

const REMOVE: &str = "DELETE FROM title_grams WHERE rowid = ?1";

const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM title_grams(?1) LIMIT ?2)";

/// Adds a new project to the index.
pub(super) fn add(connection: &Connection, owner: UserId, project: ProjectId, title: &Title) -> Result<()> {
    let number: i64 = connection.prepare_cached(NUMBER)?.query_one([project.as_bytes()], |row| row.get(0))?;
    let grams: Vec<String> = title.ngrams().iter().map(|gram| word(owner, gram)).collect();
    connection.prepare_cached(ADD)?.execute((number, grams.join(" ")))?;
    Ok(())
}

/// Removes a deleted project from the index.
pub(super) fn remove(connection: &Connection, project: ProjectId) -> Result<()> {
    let mut forget = connection.prepare_cached(FORGET)?;
    let number: Option<i64> = forget.query_one([project.as_bytes()], |row| row.get(0)).optional()?;
    if let Some(number) = number {
        connection.prepare_cached(REMOVE)?.execute([number])?;
    }
    Ok(())
}

/// The words to look up, if at most [`CANDIDATES_MAX`] projects contain all of them. Absent if more do: then a walk in
/// the sort order soon finds enough projects for a page.
pub(super) fn rare(connection: &Connection, owner: UserId, query: &ListQuery) -> Result<Option<String>> {
    let words: Vec<String> = query.lookups().iter().map(|gram| word(owner, gram)).collect();
    if words.is_empty() {
        return Ok(None);
    }
    let words = words.join(" AND ");
    let mut count = connection.prepare_cached(COUNT)?;
    let found: i64 = count.query_one((&words, CANDIDATES_MAX + 1), |row| row.get(0))?;
    Ok((found <= CANDIDATES_MAX).then_some(words))
}

/// The indexed word for an n-gram of one owner's titles: only letters and digits, which the tokenizer keeps unchanged.
fn word(owner: UserId, gram: &str) -> String {
    let bytes = owner.as_bytes().iter().chain(gram.as_bytes());
    bytes.fold(String::from("g"), |mut word, byte| {
        write!(word, "{byte:02x}").expect("a string takes all");
        word
    })
}
