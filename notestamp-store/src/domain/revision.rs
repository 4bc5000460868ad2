use std::fmt;

/// Counts the saves of a project. An account's first project begins with 1; one that is made after others have been deleted
/// begins after all of theirs, so that no revision ever stands for two states of one title.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Revision(u64);

impl Revision {
    /// Before any save.
    pub const NONE: Self = Self(0);

    /// The revision that the first save makes.
    pub const FIRST: Self = Self(1);

    /// The revision with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The revision that the next save makes.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a save or a deletion demands of the project that it finds (RFC 9110, 13.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Precondition {
    /// Nothing: the last write wins.
    #[default]
    None,
    /// There is a project (`If-Match: *`).
    Exists,
    /// There is none yet (`If-None-Match: *`).
    Absent,
    /// There is one, of one of these revisions (`If-Match: "3", "4"`).
    OneOf(Vec<Revision>),
    /// There is none of any of these revisions (`If-None-Match: "3"`).
    NoneOf(Vec<Revision>),
    /// Each of these (`If-Match` and `If-None-Match` in one request).
    All(Vec<Precondition>),
}

impl Precondition {
    /// Refuses to go on unless a project of revision `current` (or its absence) meets it.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) where it does not.
    pub fn check(&self, current: Option<Revision>) -> crate::Result<()> {
        match self.is_met_by(current) {
            true => Ok(()),
            false => Err(crate::Error::PreconditionFailed { current }),
        }
    }

    /// Whether a project of revision `current` (or none) meets it.
    pub fn is_met_by(&self, current: Option<Revision>) -> bool {
        match self {
            Self::None => true,
            Self::Exists => current.is_some(),
            Self::Absent => current.is_none(),
            Self::OneOf(revisions) => current.is_some_and(|it| revisions.contains(&it)),
            Self::NoneOf(revisions) => current.is_none_or(|it| !revisions.contains(&it)),
            Self::All(preconditions) => preconditions.iter().all(|it| it.is_met_by(current)),
        }
    }
}
