use super::Revision;

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
