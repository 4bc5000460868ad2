//! Pages of projects, and the starts of whole lists. Each is either a walk along one index, from the cursor to the
//! limit, or a lookup of the few projects that contain the searched n-grams.

use rusqlite::{Connection, ToSql};

use super::error::{Failure, Result, unless_damaged};
use super::ngrams;
use super::rows::projects::{from_row, project_columns};
use crate::domain::{Cursor, ListQuery, Order, Page, Project, ProjectId, Sort, UserId};
use crate::records::{ListStart, RecordKind};

/// The most projects that a lookup reads. With the largest metadata they take a megabyte.
const LOOKUP_LEN_MAX: usize = 64;

/// Whether a page can be a lookup: a walk over few rows, each of which belongs to the page.
pub(super) fn is_short(query: &ListQuery) -> bool {
    query.limit.is_some_and(|limit| limit.get() <= LOOKUP_LEN_MAX) && selects_each_row(query)
}

/// Whether each row that a walk along the index visits belongs to the list.
fn selects_each_row(query: &ListQuery) -> bool {
    query.search.is_none() && query.contains.is_none() && query.skip == 0
}

/// A page of an owner's projects.
pub(super) fn list(connection: &Connection, owner: UserId, query: &ListQuery) -> Result<Page> {
    let listing = Listing::of(owner, query, ngrams::rare(connection, owner, query)?);
    let params: Vec<_> = listing.params.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut statement = connection.prepare_cached(&listing.sql)?;
    let found = statement.query_and_then(&*params, from_row)?;
    let found = found.filter_map(|row| unless_damaged(RecordKind::Project, row)).skip(query.skip);

    // The rows are read one by one until there are enough, so that a damaged row makes no page shorter, and no page
    // skips or repeats another project.
    let found = found.take(query.wanted().unwrap_or(usize::MAX)).collect::<Result<Vec<Project>>>()?;
    Ok(Page::of(found, query))
}

/// All projects that a query selects, if a lookup finds out that they are no more than `len`.
pub(super) fn whole_if_short(
    connection: &Connection,
    owner: UserId,
    query: &ListQuery,
    len: usize,
) -> Result<Option<ListStart>> {
    if len > LOOKUP_LEN_MAX || !selects_each_row(query) {
        return Ok(None);
    }
    let listing = Listing::of(owner, query, None);
    let params: Vec<_> = listing.params.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut statement = connection.prepare_cached(&listing.sql)?;
    let found: Vec<_> = statement.query_and_then(&*params, from_row)?.take(len.saturating_add(1)).collect();
    if found.len() > len {
        return Ok(None);
    }
    // Only now: a damaged row that is omitted is counted.
    let found = found.into_iter().filter_map(|row| unless_damaged(RecordKind::Project, row));
    Ok(Some(ListStart { projects: found.collect::<Result<_>>()?, rest: Vec::new() }))
}

/// The first `len` projects that a query selects, and the ids of all others.
pub(super) fn start(
    connection: &Connection,
    owner: UserId,
    query: &ListQuery,
    len: usize,
) -> Result<ListStart> {
    let listing = Listing::of(owner, query, ngrams::rare(connection, owner, query)?);
    let params: Vec<_> = listing.params.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut statement = connection.prepare_cached(&listing.sql)?;
    let mut rows = statement.query(&*params)?;
    let (mut start, mut skip) = (ListStart::default(), query.skip);
    // SQLite reads only the requested columns, so only the ids of the other projects are read.
    while let Some(row) = rows.next()? {
        if skip == 0 && start.projects.len() >= len {
            let id = row.get(0).map(ProjectId::from_bytes).map_err(Failure::from);
            start.rest.extend(unless_damaged(RecordKind::Project, id).transpose()?);
        } else if let Some(project) = unless_damaged(RecordKind::Project, from_row(row)) {
            let project = project?;
            match skip.checked_sub(1) {
                Some(left) => skip = left,
                None => start.projects.push(project),
            }
        }
    }
    Ok(start)
}

/// An SQL statement and its parameters.
struct Listing {
    sql: String,
    params: Vec<(&'static str, Box<dyn ToSql>)>,
}

impl Listing {
    /// The statement that looks up the `rare` words or, without any, walks the index of the sort order.
    fn of(owner: UserId, query: &ListQuery, rare: Option<String>) -> Self {
        let mut params: Vec<(_, Box<dyn ToSql>)> = vec![(":owner", Box::new(*owner.as_bytes()))];
        let mut conditions = String::new();
        if let Some(kind) = &query.kind {
            conditions.push_str(" AND type = :type");
            params.push((":type", Box::new(kind.clone())));
        }
        let (beyond, direction) = match query.order() {
            Order::Ascending => (">", "ASC"),
            Order::Descending => ("<", "DESC"),
        };
        let (index, key) = match query.sort() {
            Sort::Saved => ("save", ["save"].as_slice()),
            Sort::LastModified => ("last_modified", ["last_modified", "id"].as_slice()),
            Sort::Title => ("title", ["title_folded", "title"].as_slice()),
        };
        if let Some(cursor) = query.after() {
            let place = [":place", ":place_tie"];
            let values = place.into_iter().zip(place_of(cursor));
            conditions += &format!(" AND ({}) {beyond} ({})", key.join(", "), place[..key.len()].join(", "));
            params.extend(values);
        }
        if let Some(search) = query.folded_search() {
            conditions.push_str(" AND instr(title_folded, :search) > 0");
            params.push((":search", Box::new(search)));
        }
        if let Some(contains) = query.normalized_contains() {
            conditions.push_str(" AND instr(title, :contains) > 0");
            params.push((":contains", Box::new(contains)));
        }
        let of_type = if query.kind.is_some() { "of_type_" } else { "" };
        let order: Vec<_> = key.iter().map(|column| format!("{column} {direction}")).collect();
        let from = match rare {
            None => format!("projects INDEXED BY projects_{of_type}by_{index}"),
            Some(words) => {
                params.push((":words", Box::new(words)));
                // SQLite keeps the order of cross joins.
                "title_grams(:words) \
                 CROSS JOIN title_documents ON number = title_grams.rowid \
                 CROSS JOIN projects ON id = project"
                    .to_owned()
            }
        };
        let sql = format!(
            "SELECT {} FROM {from} \
             WHERE owner = :owner AND EXISTS (SELECT 1 FROM users WHERE id = :owner){conditions} \
             ORDER BY {}",
            project_columns!(),
            order.join(", "),
        );
        Self { sql, params }
    }
}

/// The values of the sort columns at the cursor.
fn place_of(cursor: &Cursor) -> Vec<Box<dyn ToSql>> {
    match cursor {
        // A cursor comes from a client and may hold any number; no stored number is greater than `i64::MAX`.
        Cursor::Saved(save) => vec![Box::new(i64::try_from(*save).unwrap_or(i64::MAX))],
        Cursor::LastModified(at, id) => vec![Box::new(at.as_millis()), Box::new(*id.as_bytes())],
        Cursor::Title(folded, title) => vec![Box::new(folded.clone()), Box::new(title.as_str().to_owned())],
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{Start, Title};
    use crate::records::sqlite::schema::{empty_database, query_plan};

    fn every_listing() -> Vec<ListQuery> {
        let mut queries = Vec::new();
        let title = Title::parse("Title").unwrap();
        for place in [
            Cursor::Saved(1),
            Cursor::LastModified(Timestamp::from_millis(0), ProjectId::from_bytes([0; 16])),
            Cursor::Title(title.folded(), title.clone()),
        ] {
            for order in [Order::Ascending, Order::Descending] {
                for kind in [None, Some("audio".to_owned())] {
                    for text in [None, Some("it".to_owned())] {
                        for (limit, after, skip) in [
                            (None, None, 0),
                            (None, None, 20),
                            (NonZeroUsize::new(20), None, 0),
                            (NonZeroUsize::new(20), None, 20),
                            (NonZeroUsize::new(20), Some(&place), 0),
                        ] {
                            queries.push(ListQuery {
                                search: text.clone(),
                                contains: text.clone(),
                                kind: kind.clone(),
                                start: Start::new(place.sort(), after.cloned()).unwrap(),
                                order: Some(order),
                                limit,
                                skip,
                            });
                        }
                    }
                }
            }
        }
        queries
    }

    #[test]
    fn every_page_of_every_listing_walks_an_index_from_its_cursor() {
        let database = empty_database();
        for query in every_listing() {
            let sql = Listing::of(UserId::from_bytes([0; 16]), &query, None).sql;
            let plan = query_plan(&database, &sql);
            let kind = if query.kind.is_some() { " AND type=?" } else { "" };
            let beyond = if query.order() == Order::Ascending { ">" } else { "<" };
            let place = match (query.after(), query.sort()) {
                (None, _) => String::new(),
                (_, Sort::Saved) => format!(" AND save{beyond}?"),
                (_, Sort::LastModified) => format!(" AND (last_modified,id){beyond}(?,?)"),
                (_, Sort::Title) => format!(" AND (title_folded,title){beyond}(?,?)"),
            };
            let walk = format!("(owner=?{kind}{place})");
            let walks = |step: &&String| step.starts_with("SEARCH projects USING INDEX projects_");
            let walks: Vec<_> = plan.iter().filter(walks).collect();
            assert!(matches!(&*walks, [step] if step.ends_with(&walk)), "{sql}: {plan:#?}");
            let costs = |step: &String| step.contains("TEMP B-TREE") || step.contains("SCAN projects");
            assert!(!plan.iter().any(costs), "{sql}: {plan:#?}");
        }
    }

    #[test]
    fn a_search_looks_up_ngrams_and_then_projects_by_id() {
        let database = empty_database();
        for query in every_listing().into_iter().filter(|query| query.search.is_some()) {
            let rare = query.lookups().pop().map(|_| "g00".to_owned());
            let sql = Listing::of(UserId::from_bytes([0; 16]), &query, rare).sql;
            let plan = query_plan(&database, &sql);
            for step in [
                "SCAN title_grams VIRTUAL TABLE INDEX 0:M1",
                "SEARCH title_documents USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH projects USING INDEX sqlite_autoindex_projects_1 (id=?)",
            ] {
                assert!(plan.iter().any(|it| it == step), "{sql}: {plan:#?}");
            }
        }
    }
}
