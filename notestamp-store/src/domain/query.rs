use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::{InvalidValue, Project, ProjectId, Title};
use crate::clock::Timestamp;

/// Selects which projects of an account to list, and in which order.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only titles that contain this text literally; letter case is ignored, in any script.
    pub search: Option<String>,
    /// Only titles that contain this text literally, in the same letter case.
    pub contains: Option<String>,
    /// Only projects of this type.
    pub kind: Option<String>,
    /// The sort key.
    pub sort: Sort,
    /// The direction; `None` means the default of the sort, see [`order`](Self::order).
    pub order: Option<Order>,
    /// The most projects in the page; `None` means unlimited.
    pub limit: Option<NonZeroUsize>,
    /// The cursor from the page before; `None` means from the beginning.
    pub after: Option<Cursor>,
    /// The offset: how many projects to skip after the cursor, for clients that do not use cursors. Such a client may
    /// miss a project, or see one twice, if projects are saved between two pages.
    pub skip: usize,
}

impl ListQuery {
    /// The requested direction, or the default of the sort: the latest first, titles from A to Z.
    pub fn order(&self) -> Order {
        self.order.unwrap_or(match self.sort {
            Sort::Saved | Sort::LastModified => Order::Descending,
            Sort::Title => Order::Ascending,
        })
    }

    /// Whether a project matches the filters; cursor, offset and limit are ignored.
    pub fn admits(&self, project: &Project) -> bool {
        let found = |text: &String| project.metadata.title.folded().contains(&super::title::fold(text));
        let contained = |text: String| project.metadata.title.as_str().contains(&text);
        self.search.as_ref().is_none_or(found)
            && self.normalized_contains().is_none_or(contained)
            && self.kind.as_ref().is_none_or(|kind| *kind == project.metadata.kind)
    }

    /// The text of `search`, folded like [`Title::folded`].
    pub fn folded_search(&self) -> Option<String> {
        self.search.as_deref().map(super::title::fold)
    }

    /// The text of `contains`, normalized like a title.
    pub fn normalized_contains(&self) -> Option<String> {
        self.contains.as_deref().map(super::title::normalize)
    }
}

/// The sort key of a listing. Each is a total order on the projects of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    /// By the latest save.
    #[default]
    Saved,
    /// By the metadata's time of last modification, then by id.
    LastModified,
    /// By the folded title (letter case ignored), then by the title itself.
    Title,
}

/// The direction of a listing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// A position in a listing: after one project. It stays valid if that project is deleted.
///
/// Opaque to clients; valid only for the sort that it was made for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cursor {
    /// For [`Sort::Saved`]: the number of the save.
    Saved(u64),
    /// For [`Sort::LastModified`]: the time of last modification, then the id.
    LastModified(Timestamp, ProjectId),
    /// For [`Sort::Title`]: the folded title, then the title.
    Title(String, Title),
}

impl Cursor {
    /// The position after a project, in a listing with this sort.
    pub fn of(project: &Project, sort: Sort) -> Self {
        let metadata = &project.metadata;
        match sort {
            Sort::Saved => Self::Saved(project.save),
            Sort::LastModified => Self::LastModified(metadata.last_modified.instant(), project.id),
            Sort::Title => Self::Title(metadata.title.folded(), metadata.title.clone()),
        }
    }

    /// The sort that it was made for.
    pub fn sort(&self) -> Sort {
        match self {
            Self::Saved(_) => Sort::Saved,
            Self::LastModified(..) => Sort::LastModified,
            Self::Title(..) => Sort::Title,
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saved(save) => write!(f, "s{save}"),
            Self::LastModified(at, id) => write!(f, "m{}.{id}", at.as_millis()),
            Self::Title(_, title) => write!(f, "t{}", title.as_str()),
        }
    }
}

impl FromStr for Cursor {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let refused = || InvalidValue::new("cursor", "is not a cursor of this server");
        let mut chars = text.chars();
        let (sort, place) = (chars.next(), chars.as_str());
        match sort {
            Some('s') => place.parse().map(Self::Saved).map_err(|_| refused()),
            Some('m') => {
                let (at, id) = place.split_once('.').ok_or_else(refused)?;
                let at = at.parse().map(Timestamp::from_millis).map_err(|_| refused())?;
                Ok(Self::LastModified(at, id.parse().map_err(|_| refused())?))
            }
            Some('t') => {
                let title = Title::parse(place).map_err(|_| refused())?;
                Ok(Self::Title(title.folded(), title))
            }
            _ => Err(refused()),
        }
    }
}

/// One page of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// The projects, in the requested order.
    pub projects: Vec<Project>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<Cursor>,
}
