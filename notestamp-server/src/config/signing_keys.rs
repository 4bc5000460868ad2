//! Where the keys come from that sign tokens.

use std::fmt;
use std::path::PathBuf;

use notestamp_store::DataFolder;

/// Where the signing keys come from.
#[derive(Clone, PartialEq, Eq)]
pub enum SigningKeySource {
    /// A file of the operator. Messages never show its name: a key with a mistyped digit, in the variable
    /// `NOTESTAMP_SIGNING_KEY`, would be taken for a file name.
    File(PathBuf),
    /// The text of the variable `NOTESTAMP_SIGNING_KEY`.
    Variable(String),
    /// A file of the data folder; created if it is missing.
    DataFolder(PathBuf),
    /// A new key in memory, which lives as long as the process, like the sessions that it signs.
    Process,
}

impl SigningKeySource {
    /// The file of a data folder. A program that can read it can impersonate any user.
    pub fn of_data_folder(folder: &DataFolder) -> Self {
        Self::DataFolder(folder.path().join("signing-key"))
    }
}

/// Shows no key, and no text that may be one.
impl fmt::Debug for SigningKeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(_) => f.write_str("File(…)"),
            Self::Variable(_) => f.write_str("Variable(…)"),
            Self::DataFolder(path) => f.debug_tuple("DataFolder").field(path).finish(),
            Self::Process => f.write_str("Process"),
        }
    }
}
