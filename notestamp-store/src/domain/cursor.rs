use std::fmt;
use std::str::FromStr;

use super::{InvalidValue, Project, ProjectId, Title};
use crate::clock::Timestamp;

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
