//! How long history and trash keep what was replaced or deleted.

use std::time::Duration;

use super::{InvalidSetting, duration};

/// How long history and trash keep what was replaced or deleted.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Retention {
    /// How long a version of a project is kept after a save has replaced it, or `off` to keep none; after a day, only
    /// the last version of each day
    #[arg(long, value_name = "KEEP", default_value = "30d", value_parser = parse)]
    pub history: Keep,

    /// How long a deleted project can be restored, or `off` to delete it at once
    #[arg(long, value_name = "KEEP", default_value = "30d", value_parser = parse)]
    pub trash: Keep,
}

/// How long something is kept; `None` keeps nothing.
///
/// It is an alias because clap treats a type that is spelled `Option` as a flag that may be absent.
pub type Keep = Option<Duration>;

fn parse(text: &str) -> Result<Keep, InvalidSetting> {
    match text {
        "off" => Ok(None),
        time => duration::parse_nonzero(time).map(Some),
    }
}
