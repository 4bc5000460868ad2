use std::num::NonZeroUsize;

use super::{Cursor, InvalidValue, Project, Sort};

/// Selects which projects of an account to list, and in which order.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only titles that contain this text literally; letter case is ignored, in any script.
    pub search: Option<String>,
    /// Only titles that contain this text literally, in the same letter case.
    pub contains: Option<String>,
    /// Only projects of this type.
    pub kind: Option<String>,
    /// Where the page begins, and in which sort.
    pub start: Start,
    /// The direction; `None` means the default of the sort, see [`order`](Self::order).
    pub order: Option<Order>,
    /// The most projects in the page; `None` means unlimited.
    pub limit: Option<NonZeroUsize>,
    /// The offset: how many projects to skip after the start, for clients that do not use cursors. Such a client may
    /// miss a project, or see one twice, if projects are saved between two pages.
    pub skip: usize,
}

impl ListQuery {
    /// The sort key.
    pub fn sort(&self) -> Sort {
        self.start.sort()
    }

    /// The cursor after which the page begins; `None` for the first page.
    pub fn after(&self) -> Option<&Cursor> {
        match &self.start {
            Start::First(_) => None,
            Start::After(cursor) => Some(cursor),
        }
    }

    /// How many projects a backend looks for: one more than the limit, which tells whether there is a next page
    /// ([`Page::of`]). `None` means all.
    pub fn wanted(&self) -> Option<usize> {
        self.limit.map(|limit| limit.get().saturating_add(1))
    }

    /// The requested direction, or the default of the sort: the latest first, titles from A to Z.
    pub fn order(&self) -> Order {
        self.order.unwrap_or(match self.sort() {
            Sort::Saved | Sort::LastModified => Order::Descending,
            Sort::Title => Order::Ascending,
        })
    }

    /// Whether a project matches the filters; start, offset and limit are ignored.
    pub fn admits(&self, project: &Project) -> bool {
        let found = |text: &String| project.metadata.title.folded().contains(&super::title::fold(text));
        let contained = |text: String| project.metadata.title.as_str().contains(&text);
        self.search.as_ref().is_none_or(found)
            && self.normalized_contains().is_none_or(contained)
            && self.kind.as_ref().is_none_or(|kind| *kind == project.metadata.kind)
    }

    /// The text of `search`, folded like [`Title::folded`](super::Title::folded).
    pub fn folded_search(&self) -> Option<String> {
        self.search.as_deref().map(super::title::fold)
    }

    /// The text of `contains`, normalized like a title.
    pub fn normalized_contains(&self) -> Option<String> {
        self.contains.as_deref().map(super::title::normalize)
    }
}

/// Where a page of a listing begins. A cursor belongs to one sort, so a page cannot begin at a cursor of another sort.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// At the first project in this sort.
    First(Sort),
    /// After this cursor, in its sort.
    After(Cursor),
}

impl Start {
    /// The start of a page in this sort: after the cursor or, without one, at the first project.
    ///
    /// # Errors
    /// If the cursor was made for another sort.
    pub fn new(sort: Sort, cursor: Option<Cursor>) -> Result<Self, InvalidValue> {
        match cursor {
            None => Ok(Self::First(sort)),
            Some(cursor) if cursor.sort() == sort => Ok(Self::After(cursor)),
            Some(_) => Err(InvalidValue::new("cursor", "was made for another sort")),
        }
    }

    /// The sort of the listing.
    pub fn sort(&self) -> Sort {
        match self {
            Self::First(sort) => *sort,
            Self::After(cursor) => cursor.sort(),
        }
    }
}

impl Default for Start {
    fn default() -> Self {
        Self::First(Sort::default())
    }
}

/// The direction of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Ascending: the earliest time or the first title comes first.
    Ascending,
    /// Descending: the latest time or the last title comes first.
    Descending,
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// The projects, in the requested order.
    pub projects: Vec<Project>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<Cursor>,
}

impl Page {
    /// The page that consists of the found projects, of which there are up to [`ListQuery::wanted`], in order.
    pub fn of(mut found: Vec<Project>, query: &ListQuery) -> Self {
        let limit = query.limit.map_or(usize::MAX, |limit| limit.get());
        let has_more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| has_more).map(|last| Cursor::of(last, query.sort()));
        Self { projects: found, next }
    }

    /// The page of an account that has no projects.
    pub fn empty() -> Self {
        Self { projects: Vec::new(), next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::domain::{ProjectId, Title};

    #[test]
    fn a_cursor_of_another_sort_is_refused() {
        let title = Title::parse("Song").expect("it is a title");
        let cursors = [
            Cursor::Saved(1),
            Cursor::LastModified(Timestamp::from_millis(0), ProjectId::from_bytes([0; 16])),
            Cursor::Title(title.folded(), title),
        ];
        for cursor in &cursors {
            for sort in [Sort::Saved, Sort::LastModified, Sort::Title] {
                match Start::new(sort, Some(cursor.clone())) {
                    Ok(start) => assert_eq!((start.sort(), cursor.sort()), (sort, sort)),
                    Err(refused) => {
                        assert_ne!(cursor.sort(), sort);
                        assert_eq!(refused.what(), "cursor");
                    }
                }
            }
        }
    }
}
