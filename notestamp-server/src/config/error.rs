use std::fmt;
use std::path::PathBuf;

/// Why a start stops: what was wrong, by the name under which it was given, and what would be right.
///
/// No message holds a key or a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command line is not one that this program knows.
    #[error("{0}")]
    CommandLine(String),
    /// A setting has a value that it cannot have.
    #[error("{given_as}: {reason}")]
    Value {
        /// The flag, variable or key.
        given_as: GivenAs,
        /// What is wrong with the value.
        reason: String,
    },
    /// The configuration file cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two settings contradict each other, or one lacks another.
    #[error("{0}")]
    Contradiction(String),
}

/// Where a value came from, in the spelling that its author used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GivenAs {
    /// A flag of the command line, without its dashes.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A key of the configuration file.
    Key {
        /// The file.
        file: PathBuf,
        /// The key, as it is written there.
        key: String,
    },
}

impl fmt::Display for GivenAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::Key { file, key } => write!(f, "{}: {key}", file.display()),
        }
    }
}

/// A text that is no value of the kind that a setting needs.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(String);

impl InvalidSetting {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
