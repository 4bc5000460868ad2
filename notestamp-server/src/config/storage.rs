//! Where the data is stored, and how durably.

use std::path::Path;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use notestamp_store::{BlobUrl, DataFolder, Dedup, Durability, NOTES_INLINE_BYTES_MAX};

use super::{ConfigError, InvalidSetting, RecordsUrl, size};

/// The three stores.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Storage {
    /// The folder to create before anything is opened; absent if neither a store nor the signing key is in it.
    pub data_folder: Option<DataFolder>,
    /// The record store.
    pub records: RecordsUrl,
    /// The blob store of notes.
    pub notes: BlobUrl,
    /// The blob store of media.
    pub media: BlobUrl,
    /// What a completed change survives: a power loss, or only the end of the process.
    pub durability: Durability,
    /// Which accounts share the blobs of equal media.
    pub dedup: Dedup,
    /// Notes of up to so many bytes are kept in the record store; absent for the default.
    pub notes_inline_bytes_max: Option<u64>,
}

#[derive(clap::Args)]
pub(super) struct StorageArgs {
    /// Folder for the stores and the signing key, unless another place is set; created when needed
    #[arg(long, value_name = "DIR", default_value = "./notestamp-data", value_parser = parse_data_folder)]
    data: DataFolder,

    /// Record store: sqlite:PATH, mongodb://HOST,…/DATABASE?replicaSet=NAME or memory:
    /// [default: SQLite in the data folder]
    #[arg(long, value_name = "URL", value_parser = RecordsUrl::parse)]
    metadata: Option<RecordsUrl>,

    /// Blob store of notes: file:///PATH, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX and az://CONTAINER/PREFIX (in a build
    /// with the features gcs and azure), or memory:///
    /// [default: in the data folder]
    #[arg(long, value_name = "URL", value_parser = BlobUrl::parse)]
    notes: Option<BlobUrl>,

    /// Blob store of media, with a URL as for --notes [default: in the data folder]
    #[arg(long, value_name = "URL", value_parser = BlobUrl::parse)]
    media: Option<BlobUrl>,

    /// What a completed save survives: `full` a power loss, `relaxed` only the end of the process
    #[arg(
        long,
        value_name = "MODE",
        default_value = "full",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(["full", "relaxed"]).map(|mode| match mode.as_str() {
            "relaxed" => Durability::Relaxed,
            _ => Durability::Full,
        })
    )]
    durability: Durability,

    /// Where equal media is stored once: `user` in each account, `global` across all accounts, which
    /// saves space, but a user can find out by timing whether another account has a file
    #[arg(
        long,
        value_name = "MODE",
        default_value = "user",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(["user", "global"]).map(|mode| match mode.as_str() {
            "global" => Dedup::Global,
            _ => Dedup::User,
        })
    )]
    dedup: Dedup,

    /// Notes of up to this size, at most 1MiB, are kept in the record store instead of in the blob store of notes
    /// [default: 64KiB with notes in local files, else 0]
    #[arg(long, value_name = "SIZE", value_parser = parse_notes_inline)]
    notes_inline: Option<u64>,
}

impl Storage {
    /// Checks that this build supports the stores.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match self.records {
            RecordsUrl::Memory | RecordsUrl::Sqlite(_) => Ok(()),
            RecordsUrl::MongoDb(_) if cfg!(feature = "mongodb") => Ok(()),
            RecordsUrl::MongoDb(_) => {
                Err(ConfigError::Contradiction("--metadata: this build has no MongoDB support".into()))
            }
        }
    }
}

impl StorageArgs {
    /// The data folder, whether or not it will be needed.
    pub(super) fn data_folder(&self) -> &DataFolder {
        &self.data
    }

    /// Sets each store that was not given to its place in the data folder.
    pub(super) fn into_storage(self) -> Storage {
        let folder = self.data;
        let in_folder = |path| BlobUrl::folder(path).expect("the data folder's path is absolute");
        let is_needed = self.metadata.is_none() || self.notes.is_none() || self.media.is_none();
        Storage {
            records: self.metadata.unwrap_or_else(|| RecordsUrl::Sqlite(folder.sqlite_file())),
            notes: self.notes.unwrap_or_else(|| in_folder(folder.notes_folder())),
            media: self.media.unwrap_or_else(|| in_folder(folder.media_folder())),
            durability: self.durability,
            dedup: self.dedup,
            notes_inline_bytes_max: self.notes_inline,
            data_folder: is_needed.then_some(folder),
        }
    }
}

fn parse_notes_inline(text: &str) -> Result<u64, InvalidSetting> {
    match size::parse_or_zero(text)? {
        bytes if bytes > NOTES_INLINE_BYTES_MAX => Err(InvalidSetting::new("must be at most 1MiB")),
        bytes => Ok(bytes),
    }
}

const _: () = assert!(NOTES_INLINE_BYTES_MAX == 1 << 20, "the help and the error say 1MiB");

fn parse_data_folder(path: &str) -> Result<DataFolder, InvalidSetting> {
    DataFolder::new(Path::new(path)).map_err(|error| InvalidSetting::new(format!("`{path}`: {error}")))
}
