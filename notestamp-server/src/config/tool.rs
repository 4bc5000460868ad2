//! The operator's tools: which one runs, and over which stores.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::ArgMatches;

use super::command_line::{
    ALL, ARCHIVE, BUCKET, DEEP, EMAIL, FOLDER, JSON, KEEP, MONGODB, REPAIR, SNAPSHOT, Settings, YES,
};
use super::layers::{self, Environment, Resolved};
use super::{ConfigError, Limits, Log, Retention, Storage, Sweep};

/// What a tool needs to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ToolConfig {
    /// The tool with its arguments.
    pub tool: Tool,
    /// Where the data is stored.
    pub storage: Storage,
    /// The times of the sweep: grace period, longest upload.
    pub sweep: Sweep,
    /// How long history and trash keep what was replaced or deleted.
    pub retention: Retention,
    /// The limits of what is imported.
    pub limits: Limits,
    /// The format and the filter of the log.
    pub log: Log,
    /// Whether the output is JSON lines on a terminal too.
    pub json: bool,
}

/// A tool of the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Tool {
    /// Sweeps once.
    Sweep,
    /// Checks the store.
    Check {
        /// Whether to read all bytes.
        deep: bool,
        /// Whether to repair what can be repaired.
        repair: bool,
    },
    /// Exports an account.
    Export {
        /// The email address, as it was typed.
        email: String,
        /// The folder or the tar file.
        target: PathBuf,
        /// Whether to export history and trash too.
        all: bool,
    },
    /// Imports projects into an account.
    Import {
        /// The email address, as it was typed.
        email: String,
        /// The folder or the tar file.
        source: PathBuf,
    },
    /// Moves in from the original backend.
    ImportLegacy {
        /// The URL of its MongoDB.
        mongodb: String,
        /// The URL of its bucket.
        bucket: String,
    },
    /// Manages the accounts.
    Account(AccountTool),
    /// Makes backups, and restores them.
    Backup(BackupTool),
}

/// A tool for backups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackupTool {
    /// Adds a snapshot of the store.
    Create {
        /// The folder of the backup.
        folder: PathBuf,
    },
    /// Lists the snapshots.
    List {
        /// The folder of the backup.
        folder: PathBuf,
    },
    /// Reads everything again.
    Verify {
        /// The folder of the backup.
        folder: PathBuf,
    },
    /// Deletes old snapshots.
    Prune {
        /// The folder of the backup.
        folder: PathBuf,
        /// How many snapshots are kept.
        keep: NonZeroUsize,
    },
    /// Restores a snapshot into an empty store.
    Restore {
        /// The folder of the backup.
        folder: PathBuf,
        /// The time of the snapshot; the latest one if it is absent.
        snapshot: Option<String>,
    },
}

/// A tool for accounts. An email address is parsed where the tool runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccountTool {
    /// Lists all accounts.
    List,
    /// Shows one account.
    Show {
        /// The email address, as it was typed.
        email: String,
    },
    /// Creates an account.
    Create {
        /// The email address, as it was typed.
        email: String,
    },
    /// Removes an account with all its projects.
    Remove {
        /// The email address, as it was typed.
        email: String,
        /// Whether to remove it without a question.
        is_confirmed: bool,
    },
    /// Replaces the password of an account.
    SetPassword {
        /// The email address, as it was typed.
        email: String,
    },
    /// Ends all sessions of an account.
    SignOut {
        /// The email address, as it was typed.
        email: String,
    },
}

impl ToolConfig {
    pub(super) fn new(
        tool: Tool,
        levels: &[&ArgMatches; 2],
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let Resolved { settings, .. } = layers::resolve(levels, environment)?;
        let storage = settings.storage.into_storage();
        storage.check()?;
        let log = settings.log.into_log(environment.text("RUST_LOG")?)?;
        let Settings { sweep, retention, limits, .. } = settings;
        Ok(Self { tool, storage, sweep, retention, limits, log, json: levels[1].get_flag(JSON) })
    }
}

impl Tool {
    /// The tool of the command at this path, with the arguments that clap has found for it.
    pub(super) fn of(path: &[&str], arguments: &ArgMatches) -> Self {
        let text = |name: &str| arguments.get_one::<String>(name).expect("it is required").clone();
        let email = || text(EMAIL);
        let folder = || arguments.get_one::<PathBuf>(FOLDER).expect("it is required").clone();
        let archive = || arguments.get_one::<PathBuf>(ARCHIVE).expect("it is required").clone();
        match path {
            ["sweep"] => Self::Sweep,
            ["check"] => Self::Check { deep: arguments.get_flag(DEEP), repair: arguments.get_flag(REPAIR) },
            ["export"] => Self::Export { email: email(), target: archive(), all: arguments.get_flag(ALL) },
            ["import"] => Self::Import { email: email(), source: archive() },
            ["import-legacy"] => Self::ImportLegacy { mongodb: text(MONGODB), bucket: text(BUCKET) },
            ["backup"] => Self::Backup(BackupTool::Create { folder: folder() }),
            ["backup", "list"] => Self::Backup(BackupTool::List { folder: folder() }),
            ["backup", "verify"] => Self::Backup(BackupTool::Verify { folder: folder() }),
            ["backup", "prune"] => {
                let keep = *arguments.get_one(KEEP).expect("it is required");
                Self::Backup(BackupTool::Prune { folder: folder(), keep })
            }
            ["restore"] => {
                let snapshot = arguments.get_one(SNAPSHOT).cloned();
                Self::Backup(BackupTool::Restore { folder: folder(), snapshot })
            }
            ["account", "list"] => Self::Account(AccountTool::List),
            ["account", "show"] => Self::Account(AccountTool::Show { email: email() }),
            ["account", "create"] => Self::Account(AccountTool::Create { email: email() }),
            ["account", "remove"] => {
                let is_confirmed = arguments.get_flag(YES);
                Self::Account(AccountTool::Remove { email: email(), is_confirmed })
            }
            ["account", "set-password"] => Self::Account(AccountTool::SetPassword { email: email() }),
            ["account", "sign-out"] => Self::Account(AccountTool::SignOut { email: email() }),
            other => unreachable!("clap finds only commands there are: {other:?}"),
        }
    }
}
