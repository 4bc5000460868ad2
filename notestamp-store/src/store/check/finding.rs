/// The kinds of damage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FindingName {
    /// A record refers to an object that is absent, or whose row is.
    Missing,
    /// An object has another size than the records say.
    WrongLength,
    /// An object has another digest than the records say, or cannot be read.
    WrongDigest,
    /// An entry of a blob store has no row in the ledger.
    Unaccounted,
    /// A row has another number of references than there are.
    ReferenceCount,
    /// An account has another usage than it says.
    Usage,
    /// No sweep has deleted a row that it should have deleted.
    StaleRow,
    /// A record cannot be read.
    DamagedRecord,
}

impl FindingName {
    /// The name, for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongLength => "wrong length",
            Self::WrongDigest => "wrong digest",
            Self::Unaccounted => "unaccounted",
            Self::ReferenceCount => "reference count",
            Self::Usage => "usage",
            Self::StaleRow => "stale row",
            Self::DamagedRecord => "damaged record",
        }
    }
}

/// Damage that a check has found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What is wrong.
    pub name: FindingName,
    /// What is damaged: `notes`, `media`, or the kind of a record.
    pub kind: &'static str,
    /// The id of the object or record, or the path in the blob store.
    pub object: Option<String>,
    /// The email address of the account that is affected, or its id.
    pub owner: Option<String>,
    /// The title of a project that is affected.
    pub title: Option<String>,
    /// What was expected, and what was found.
    pub detail: String,
    /// Whether the check has repaired it.
    pub is_repaired: bool,
}

impl Finding {
    pub(super) fn new(name: FindingName, kind: &'static str, detail: String) -> Self {
        Self { name, kind, object: None, owner: None, title: None, detail, is_repaired: false }
    }
}
