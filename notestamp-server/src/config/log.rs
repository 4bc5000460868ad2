//! Which events are logged, and in which format.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::{ConfigError, GivenAs};

/// The log, on standard error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// The format of an event; if absent, text on a terminal and JSON otherwise.
    pub format: Option<LogFormat>,
    /// Which events are logged, in the syntax of `RUST_LOG`; already validated.
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

/// Our own events from level `info` on, those of libraries from `warn` on.
const DEFAULT_FILTER: &str = "warn,notestamp_server=info,notestamp_store=info";

impl LogArgs {
    /// Adds the filter of `RUST_LOG`, or the default filter; an error if it is invalid.
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
