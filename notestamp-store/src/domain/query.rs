use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::{InvalidValue, Project, ProjectId, Title};
use crate::clock::Timestamp;

/// Which of an account's projects to list, and in which order.
#[derive(Clone, Debug, Default)]
pub struct ListQuery {
    /// Only titles that contain this text, literally; letter case does not count, in any script.
    pub search: Option<String>,
    /// Only titles that contain this text, literally, letter case included.
    pub contains: Option<String>,
    /// Only projects of this type.
    pub kind: Option<String>,
    /// By what to sort.
    pub sort: Sort,
    /// Which way round; none is what one expects of the sort.
    pub order: Option<Order>,
    /// How many at most; none is all of them.
    pub limit: Option<NonZeroUsize>,
    /// Where the page before ended.
    pub after: Option<Cursor>,
    /// How many of those that follow to pass over: for clients that count instead of following cursors, and so
    /// may skip or repeat a project while others are saved.
    pub skip: usize,
}

impl ListQuery {
    /// The order asked for, or what one expects of the sort: the latest first, titles from A to Z.
    pub fn order(&self) -> Order {
        self.order.unwrap_or(match self.sort {
            Sort::Saved | Sort::LastModified => Order::Descending,
            Sort::Title => Order::Ascending,
        })
    }

    /// Whether a project is one of those asked for, wherever its page ends.
    pub fn admits(&self, project: &Project) -> bool {
        let found = |text: &String| project.metadata.title.folded().contains(&super::title::fold(text));
        let contained = |text: String| project.metadata.title.as_str().contains(&text);
        self.search.as_ref().is_none_or(found)
            && self.normalized_contains().is_none_or(contained)
            && self.kind.as_ref().is_none_or(|kind| *kind == project.metadata.kind)
    }

    /// The searched text as titles are folded.
    pub fn folded_search(&self) -> Option<String> {
        self.search.as_deref().map(super::title::fold)
    }

    /// The text that titles are to contain, normalized as they are.
    pub fn normalized_contains(&self) -> Option<String> {
        self.contains.as_deref().map(super::title::normalize)
    }
}

/// By what a listing is sorted. Each is a total order on an account's projects.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Sort {
    /// By the latest save.
    #[default]
    Saved,
    /// By what the metadata says, then by id.
    LastModified,
    /// By the title without regard to letter case, then by the title itself.
    Title,
}

/// Which way round a listing goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The greatest first.
    Descending,
}

/// A place in a listing: after one project, whether or not it is still there.
///
/// Opaque to clients; of the sort that it was made for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cursor {
    /// Of [`Sort::Saved`]: the number of the save.
    Saved(u64),
    /// Of [`Sort::LastModified`].
    LastModified(Timestamp, ProjectId),
    /// Of [`Sort::Title`]: the folded title, then the title.
    Title(String, Title),
}

impl Cursor {
    /// The place of a project in a listing so sorted.
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
        let refused = || InvalidValue::new("cursor", "was not made by this server");
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

/// A part of a listing.
#[derive(Clone, Debug)]
pub struct Page {
    /// The projects, in the order asked for.
    pub projects: Vec<Project>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}
