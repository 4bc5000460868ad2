/// A kind of record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// The user record of an account.
    User,
    /// A session.
    Session,
    /// A project.
    Project,
    /// A version of a project. Its id is that of the project, followed by the revision in 8 bytes.
    Version,
    /// A project in the trash.
    Trashed,
    /// A row of the ledger.
    Object,
}

impl RecordKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::User, Self::Session, Self::Project, Self::Version, Self::Trashed, Self::Object];

    /// Its name, for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Project => "project",
            Self::Version => "version",
            Self::Trashed => "trashed project",
            Self::Object => "object",
        }
    }
}

/// The id of a record of any kind, as it is kept.
pub type RecordKey = Vec<u8>;

/// A record that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedRecord {
    /// The kind of record.
    pub kind: RecordKind,
    /// The id, in hexadecimal digits.
    pub id: String,
    /// The reason.
    pub detail: String,
}

impl DamagedRecord {
    #[cfg(any(feature = "sqlite", feature = "mongodb"))]
    pub(super) fn new(kind: RecordKind, key: &[u8], detail: String) -> Self {
        let id = key.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { kind, id, detail }
    }
}

/// A page of the records that are damaged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DamagedPage {
    /// The damaged records, in the order of their ids.
    pub damaged: Vec<DamagedRecord>,
    /// The id after which the next page begins; `None` after the last page.
    pub next: Option<RecordKey>,
}
