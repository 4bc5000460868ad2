//! The origins whose pages may call the server with a user's cookies.

use super::InvalidSetting;
use super::redacted::redacted;
use crate::http::origin::Origin;

/// The origins of other sites' pages that may use the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origins {
    /// The allowed origins, besides the server's own, which is always allowed.
    pub allowed: Vec<Origin>,
}

#[derive(clap::Args)]
pub(super) struct OriginArgs {
    /// Origin whose pages may use the server, besides the server's own, or `none` (repeatable)
    #[arg(
        long,
        value_name = "ORIGIN",
        default_values = ["http://localhost:3000", "http://localhost:5173"],
        value_parser = parse_origin_or_none
    )]
    allow_origin: Vec<Option<Origin>>,
}

impl From<OriginArgs> for Origins {
    fn from(args: OriginArgs) -> Self {
        Self { allowed: args.allow_origin.into_iter().flatten().collect() }
    }
}

fn parse_origin_or_none(text: &str) -> Result<Option<Origin>, InvalidSetting> {
    match text {
        "none" => Ok(None),
        "*" => {
            Err(InvalidSetting::new("`*` is not supported: every page could act in the name of its visitors"))
        }
        origin => origin.parse().map(Some).map_err(|_| {
            let shown = redacted(origin);
            InvalidSetting::new(format!("`{shown}` is not an origin: write it like https://app.example.org"))
        }),
    }
}
