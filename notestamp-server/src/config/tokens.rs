//! The lifetimes and keys of tokens, and the cookies that carry them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgAction;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use poem::web::cookie::SameSite;

use super::{ConfigError, InvalidSetting, SigningKeySource, duration};

/// The lifetimes of tokens and sessions, and the keys that sign tokens.
///
/// `access_ttl <= refresh_ttl <= session_max`, each a whole number of seconds, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenSettings {
    /// Where the signing keys come from.
    pub signing_keys: SigningKeySource,
    /// The lifetime of an access token.
    pub access_ttl: Duration,
    /// The lifetime of a refresh token.
    pub refresh_ttl: Duration,
    /// The longest lifetime of a session, however often it is refreshed.
    pub session_max: Duration,
}

#[derive(clap::Args)]
pub(super) struct TokenArgs {
    /// File with the keys for tokens, one per line, each 64 or more hex digits: the first key signs, all
    /// keys verify. NOTESTAMP_SIGNING_KEY may contain the keys themselves [default: made in the data
    /// folder]
    #[arg(long, value_name = "FILE", value_parser = parse_key_file)]
    pub(super) signing_key: Option<PathBuf>,

    /// Lifetime of an access token
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = duration::parse_seconds)]
    access_ttl: Duration,

    /// Lifetime of a refresh token: a user who is away for longer must sign in again
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = duration::parse_seconds)]
    refresh_ttl: Duration,

    /// Longest lifetime of a session, however often it is refreshed
    #[arg(long, value_name = "DURATION", default_value = "180d", value_parser = duration::parse_seconds)]
    session_max: Duration,
}

impl TokenArgs {
    pub(super) fn into_tokens(self, signing_keys: SigningKeySource) -> Result<TokenSettings, ConfigError> {
        let Self { access_ttl, refresh_ttl, session_max, .. } = self;
        let order = |shorter_name, shorter, longer_name, longer| {
            if shorter <= longer {
                return Ok(());
            }
            let (shorter, longer) = (humantime::format_duration(shorter), humantime::format_duration(longer));
            Err(ConfigError::Contradiction(format!(
                "--{shorter_name} ({shorter}) must not be longer than --{longer_name} ({longer})"
            )))
        };
        order("access-ttl", access_ttl, "refresh-ttl", refresh_ttl)?;
        order("refresh-ttl", refresh_ttl, "session-max", session_max)?;
        Ok(TokenSettings { signing_keys, access_ttl, refresh_ttl, session_max })
    }
}

/// Returns whether `text` consists only of keys: hex digits, separators, comments.
///
/// So the text of `NOTESTAMP_SIGNING_KEY` itself shows whether it is keys or the name of a file.
pub(super) fn is_keys(text: &str) -> bool {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default())
        .all(|line| line.chars().all(|c| c.is_ascii_hexdigit() || c.is_whitespace() || c == ','))
}

/// Parses the name of a key file. Messages do not repeat the value: it could be a key.
fn parse_key_file(text: &str) -> Result<PathBuf, InvalidSetting> {
    const SHORTER_THAN_ANY_KEY: usize = 32;
    if text.is_empty() {
        return Err(InvalidSetting::new("does not name a file"));
    }
    if text.len() >= SHORTER_THAN_ANY_KEY && is_keys(text) {
        return Err(InvalidSetting::new(
            "needs the name of a file: write the keys into a file, or into the variable NOTESTAMP_SIGNING_KEY",
        ));
    }
    Ok(Path::new(text).to_owned())
}

/// How the cookies are set.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Cookies {
    /// Set cookies without Secure and without the __Host- prefix: only for development without https
    #[arg(
        long = "insecure-cookies",
        value_name = "BOOL",
        action = ArgAction::Set,
        num_args = 0..=1,
        require_equals = true,
        default_value = "false",
        default_missing_value = "true",
        hide_possible_values = true
    )]
    pub insecure: bool,

    /// SameSite attribute of cookies: `lax`, `strict`, or `none` for a client on another site
    #[arg(
        long,
        value_name = "MODE",
        default_value = "lax",
        hide_possible_values = true,
        value_parser = PossibleValuesParser::new(["lax", "strict", "none"]).map(|mode| match mode.as_str() {
            "strict" => SameSite::Strict,
            "none" => SameSite::None,
            _ => SameSite::Lax,
        })
    )]
    pub same_site: SameSite,
}

impl Cookies {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.insecure && self.same_site == SameSite::None {
            return Err(ConfigError::Contradiction(
                "--same-site none needs Secure cookies, because browsers reject others: remove --insecure-cookies"
                    .into(),
            ));
        }
        Ok(())
    }
}
