use std::fmt;

/// The number of a project's state; each save increments it. It is 1 for the first save of a project. After deletions,
/// a new project begins above all revisions of the account's deleted projects, so that one revision never names two
/// states of the same title.
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

/// The precondition of a save or a deletion (RFC 9110, 13.1).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Precondition {
    /// Always holds: the last write wins.
    #[default]
    None,
    /// The project exists (`If-Match: *`).
    Exists,
    /// The project is absent (`If-None-Match: *`).
    Absent,
    /// The project exists, and its revision is one of these (`If-Match: "3", "4"`).
    OneOf(Vec<Revision>),
    /// The project is absent, or its revision is not one of these (`If-None-Match: "3"`).
    NoneOf(Vec<Revision>),
    /// All of these hold (`If-Match` and `If-None-Match` in one request).
    All(Vec<Precondition>),
}

impl Precondition {
    /// Checks the precondition against the project's current revision; `None` means that the project is absent.
    ///
    /// # Errors
    /// [`Error::PreconditionFailed`](crate::Error::PreconditionFailed) where it does not hold.
    pub fn check(&self, current: Option<Revision>) -> crate::Result<()> {
        match self.is_met_by(current) {
            true => Ok(()),
            false => Err(crate::Error::PreconditionFailed { current }),
        }
    }

    /// Whether the precondition holds for the project's current revision; `None` means that the project is absent.
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
