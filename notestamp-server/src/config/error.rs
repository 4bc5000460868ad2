use std::fmt;
use std::path::PathBuf;

/// Why the program cannot start: which setting is wrong, under the name by which it was given, and what is valid.
///
/// No message contains a key or a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The command line is invalid.
    #[error("{0}")]
    CommandLine(String),
    /// A setting has an invalid value.
    #[error("{given_as}: {reason}")]
    Value {
        /// The flag, variable or key.
        given_as: GivenAs,
        /// What is wrong with the value.
        reason: String,
    },
    /// The configuration file cannot be read, or is invalid.
    #[error("{}: {reason}", path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Two settings contradict each other, or one requires another.
    #[error("{0}")]
    Contradiction(String),
}

/// The source of a value, in the spelling that the operator used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GivenAs {
    /// A flag of the command line, without its dashes.
    Flag(String),
    /// An environment variable.
    Variable(String),
    /// A key of the configuration file.
    Key {
        /// The path of the file.
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

/// A text that is not a valid value of its setting.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSetting(String);

impl InvalidSetting {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}
