//! What is logged, and how it looks.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::{ConfigError, GivenAs};

/// The log, on standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// How an event is written; none: text on a terminal, else JSON.
    pub format: Option<LogFormat>,
    /// Which events are written, in the syntax of `RUST_LOG`: it is known to be right.
    pub filter: String,
}

/// How one event is written.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// One JSON object per line.
    Json,
}

#[derive(clap::Args)]
pub(super) struct LogArgs {
    /// Format of the log on standard error, `text` or `json` [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", hide_possible_values = true)]
    log_format: Option<LogFormat>,
}

/// Ours from `info`, the libraries' from `warn`.
const DEFAULT_FILTER: &str = "warn,notestamp_server=info,notestamp_store=info";

impl LogArgs {
    /// With the filter of `RUST_LOG`.
    pub(super) fn into_log(self, rust_log: Option<&str>) -> Result<Log, ConfigError> {
        let filter = rust_log.unwrap_or(DEFAULT_FILTER);
        if let Err(error) = EnvFilter::builder().parse(filter) {
            let given_as = GivenAs::Variable("RUST_LOG".into());
            let reason = format!("`{filter}` is not a filter ({error}): write it like info,poem=debug");
            return Err(ConfigError::Value { given_as, reason });
        }
        Ok(Log { format: self.log_format, filter: filter.to_owned() })
    }
}
