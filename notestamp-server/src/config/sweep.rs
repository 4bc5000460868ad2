//! The times of the sweep, which deletes unreferenced objects.

use std::time::Duration;

use super::duration;

/// The times of the sweep.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// Grace period: how long the sweep keeps media without a project, so that the same media can be
    /// uploaded again cheaply
    #[arg(long = "sweep-grace", value_name = "DURATION", default_value = "1h", value_parser = duration::parse)]
    pub grace: Duration,

    /// How long one upload may take; after that it fails, and the sweep deletes its bytes
    #[arg(long, value_name = "DURATION", default_value = "6h", value_parser = duration::parse_nonzero)]
    pub upload_max_time: Duration,
}

/// The schedule of the server's sweep.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct SweepSchedule {
    /// How often the server deletes unreferenced objects
    #[arg(
        long = "sweep-every",
        value_name = "DURATION",
        default_value = "10m",
        value_parser = duration::parse_nonzero
    )]
    pub every: Duration,
}
