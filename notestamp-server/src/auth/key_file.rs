use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use notestamp_store::{Durability, Random, disk};

use super::keys::{InvalidSigningKeys, SigningKeys, hex};
use crate::config::SigningKeySource;

impl SigningKeys {
    /// Reads the keys, or creates one if the source says so: from `random`, written with this `durability`.
    ///
    /// The data folder must exist. Any number of processes may do this at once: all get the same key.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or created, or [`parse`](Self::parse) refuses its content.
    pub fn load(
        source: &SigningKeySource,
        random: &dyn Random,
        durability: Durability,
    ) -> Result<Self, SigningKeyError> {
        match source {
            SigningKeySource::File(path) => {
                let text = read(path, OPERATORS_FILE).map_err(SigningKeyError::OperatorsFile)?;
                Ok(Self::parse(&text, OPERATORS_FILE)?)
            }
            SigningKeySource::Variable(text) => Ok(Self::parse(text, "NOTESTAMP_SIGNING_KEY")?),
            SigningKeySource::DataFolder(path) => {
                let refused = |source| SigningKeyError::Read { path: path.clone(), source };
                if !path.try_exists().map_err(refused)? {
                    create(path, random, durability)
                        .map_err(|source| SigningKeyError::Create { path: path.clone(), source })?;
                    tracing::info!(path = %path.display(), "created a signing key");
                }
                let name = path.display().to_string();
                Ok(Self::parse(&read(path, &name).map_err(refused)?, &name)?)
            }
            SigningKeySource::Process => Ok(Self::parse(&random_key(random), "the process")?),
        }
    }
}

/// Why the signing keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// The file that the operator named cannot be read.
    #[error(
        "the setting signing-key does not name a readable file; a key itself would consist of hex digits only"
    )]
    OperatorsFile(#[source] io::Error),
    /// The file of the data folder cannot be read.
    #[error("the signing key {} cannot be read", path.display())]
    Read {
        /// The path of the file.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The file of the data folder cannot be created.
    #[error("the signing key {} cannot be created", path.display())]
    Create {
        /// The path of the file.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// The content holds no valid keys.
    #[error(transparent)]
    Invalid(#[from] InvalidSigningKeys),
}

/// The name of the operator's file in messages, which never show its path.
const OPERATORS_FILE: &str = "the file of the setting signing-key";

/// How many bytes of a key file are read at most, since the setting may name a large file by mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Returns the content of the file at `path`; messages call it `name`. Warns if other users can read it.
fn read(path: &Path, name: &str) -> io::Result<String> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    // Only a warning: the secrets of a container are often readable by a group, or by all its users.
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = name,
            mode = %format_args!("{:03o}", mode & 0o777),
            "other users of this machine can read the signing key: run `chmod 600` on it"
        );
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other("the file is too large to contain keys"));
    }
    Ok(text)
}

/// Writes a new key to `path`, unless another process does so first.
///
/// A crash may leave a temporary file beside it, whose key is never used.
fn create(path: &Path, random: &dyn Random, durability: Durability) -> io::Result<()> {
    let mut suffix = [0; 8];
    random.fill(&mut suffix);
    let content = random_key(random) + "\n";
    // Durable, even if another process came first: tokens must not be signed with a key that a power loss removes.
    let staged = path.with_extension(hex(&suffix));
    match disk::create_private_file(path, &staged, content.as_bytes(), durability) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created,
    }
}

/// A new key: 32 random bytes in hex.
fn random_key(random: &dyn Random) -> String {
    let mut secret = [0; 32];
    random.fill(&mut secret);
    hex(&secret)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::error::Error as _;
    use std::fs;
    use std::sync::Barrier;

    use notestamp_store::OsRandom;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn load(source: &SigningKeySource) -> Result<SigningKeys, SigningKeyError> {
        SigningKeys::load(source, &OsRandom, Durability::Full)
    }

    #[test]
    fn processes_that_race_to_make_the_key_end_with_the_same_one() {
        let folder = tempfile::tempdir().unwrap();
        let source = SigningKeySource::DataFolder(folder.path().join("signing-key"));
        let start = Barrier::new(8);
        let load_at_once = || {
            start.wait();
            load(&source).unwrap().signing().id().to_owned()
        };
        let ids: BTreeSet<String> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(load_at_once)).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(ids.len(), 1);
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["signing-key"], "nothing else is left");
    }

    #[test]
    fn a_made_key_is_for_its_owner_only_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing-key");
        let source = SigningKeySource::DataFolder(path.clone());
        let made = load(&source).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load(&source).unwrap().signing(), made.signing());
    }

    #[test]
    fn a_truncated_key_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing-key");
        fs::write(&path, &KEY[..40]).unwrap();
        let error = load(&SigningKeySource::DataFolder(path.clone())).unwrap_err().to_string();
        assert!(error.contains("signing-key, line 1"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), KEY[..40]);
    }

    #[test]
    fn the_file_of_an_operator_is_read_and_never_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let source = SigningKeySource::File(path.clone());
        let error = load(&source).unwrap_err().to_string();
        assert!(error.contains("signing-key does not name a readable file"), "{error}");
        assert!(!path.exists());

        fs::write(&path, KEY).unwrap();
        assert_eq!(load(&source).unwrap().signing().id(), "630dcd2966c43366");
        fs::write(&path, " ".repeat(100_000)).unwrap();
        let error = load(&source).unwrap_err();
        assert!(error.source().unwrap().to_string().contains("too large"), "{error}");
    }

    #[test]
    fn a_mistyped_key_that_looks_like_a_file_name_is_not_shown() {
        let mistyped = KEY.replacen("00", "0X", 1);
        let source = SigningKeySource::File(mistyped.into());
        let error = load(&source).unwrap_err();
        let shown = format!("{source:?} {error} {error:?} {}", error.source().unwrap());
        assert!(!shown.contains("0405"), "{shown}");
    }

    #[test]
    fn a_cause_appears_once_in_the_message() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere");
        for source in [
            SigningKeySource::File(nowhere.clone()),
            SigningKeySource::DataFolder(folder.path().to_owned()),
            SigningKeySource::DataFolder(nowhere.join("signing-key")),
        ] {
            let error = load(&source).unwrap_err();
            assert!(!error.to_string().contains("os error"), "{error}");
            assert!(error.source().unwrap().to_string().contains("os error"), "{error:?}");
        }
    }

    #[test]
    fn keys_in_the_variable_are_not_shown() {
        let source = SigningKeySource::Variable(KEY.into());
        assert!(!format!("{source:?}").contains("0001"));
        assert_eq!(load(&source).unwrap().signing().id(), "630dcd2966c43366");
    }

    #[test]
    fn each_process_makes_its_own_key_for_sessions_in_memory() {
        let keys = || load(&SigningKeySource::Process).unwrap();
        assert_ne!(keys().signing().id(), keys().signing().id());
    }
}
