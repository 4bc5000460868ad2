//! The sets of stores that the tests run over.

mod hooked_objects;
#[cfg(all(feature = "mongodb", feature = "s3"))]
mod mongodb_s3;

use std::ffi::OsString;
use std::path::PathBuf;

use notestamp_server::config::{self, Config, Invocation};
use tempfile::TempDir;

pub use hooked_objects::HookedObjects;
#[cfg(all(feature = "mongodb", feature = "s3"))]
pub use mongodb_s3::MongoDbS3;

/// The stores of one test, which are removed when this is dropped.
pub trait Stores {
    /// Whether several servers can open them at once.
    const ARE_SHARED: bool = false;

    /// New stores for this test only.
    fn fresh() -> Self;

    /// The settings of a server over these stores.
    fn config(&self) -> Config;
}

pub struct Memory;

impl Stores for Memory {
    fn fresh() -> Self {
        Self
    }

    fn config(&self) -> Config {
        Config::for_testing()
    }
}

pub struct Embedded {
    folder: TempDir,
}

impl Embedded {
    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }
}

impl Stores for Embedded {
    fn fresh() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn config(&self) -> Config {
        parse(["--data".into(), self.data().into()], [])
    }
}

/// The configuration for this command line and these variables.
fn parse<const N: usize, const M: usize>(
    arguments: [OsString; N],
    variables: [(OsString, OsString); M],
) -> Config {
    let first = ["notestamp-server", "--listen", "127.0.0.1:0"].map(OsString::from);
    match config::parse(first.into_iter().chain(arguments), variables) {
        Ok(Invocation::Serve(config)) => *config,
        other => panic!("these settings are right and serve: {other:?}"),
    }
}
