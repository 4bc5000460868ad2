//! The precedence of settings: a flag wins over a variable, a variable over the file, the file over the default.
//!
//! A setting that is not on the command line is appended to it as `--flag=value`, and parsed by the same parser: so a
//! value means the same in every source, and a list replaces the list of a weaker source.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use super::command_line::{self, CONFIG_FILE, PROGRAM, Settings};
use super::file::ConfigFile;
use super::redacted::redacted;
use super::tokens::is_keys;
use super::{ConfigError, GivenAs};

const PREFIX: &str = "NOTESTAMP_";
const CONFIG_VARIABLE: &str = "NOTESTAMP_CONFIG";
pub(super) const KEYS_VARIABLE: &str = "NOTESTAMP_SIGNING_KEY";

/// The environment variables for this program, without the empty ones.
pub(super) struct Environment(BTreeMap<String, OsString>);

impl Environment {
    pub(super) fn new(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let named = variables.into_iter().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        Self(
            named
                .filter(|(name, value)| (name.starts_with(PREFIX) || name == "RUST_LOG") && !value.is_empty())
                .collect(),
        )
    }

    /// The value of a variable; an error if it is not UTF-8.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let text = self.0.get(name).map(|value| {
            value.to_str().ok_or_else(|| ConfigError::Value {
                given_as: GivenAs::Variable(name.to_owned()),
                reason: "is not UTF-8".into(),
            })
        });
        text.transpose()
    }

    /// The variables that have the prefix of settings but name none, for example because of a typing error.
    ///
    /// They are not an error: Kubernetes sets such variables for a service that is called `notestamp`.
    pub(super) fn unknown(&self) -> impl Iterator<Item = &str> {
        let settings = command_line::settings();
        let known: Vec<String> = settings.get_arguments().filter_map(Arg::get_long).map(variable).collect();
        self.0
            .keys()
            .map(String::as_str)
            .filter(move |name| name.starts_with(PREFIX) && *name != CONFIG_VARIABLE)
            .filter(move |name| !known.iter().any(|known| known == name))
    }
}

/// The variable of a flag: `NOTESTAMP_MEDIA_MAX` for `media-max`.
pub(super) fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_ascii_uppercase().replace('-', "_"))
}

/// Every setting with its winning value.
pub(super) struct Resolved {
    pub(super) settings: Settings,
    /// The signing keys, if no flag is given and the variable contains keys rather than the name of a file.
    pub(super) signing_keys: Option<String>,
    /// The settings that are not at their default, by their flags: the source, and the values as they were written.
    pub(super) given: Given,
}

pub(super) type Given = BTreeMap<String, (GivenAs, Vec<OsString>)>;

/// Finds the winning value of every setting.
///
/// `levels` are the parts of the command line before and after the command's name; the values of a flag in both parts
/// are combined.
pub(super) fn resolve(levels: &[&ArgMatches], environment: &Environment) -> Result<Resolved, ConfigError> {
    let parser = command_line::settings();
    let flags = || parser.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
    let file = match config_file(levels, environment)? {
        Some(path) => Some(ConfigFile::read(Path::new(&path), flags().map(|(flag, _)| flag))?),
        None => None,
    };

    let mut words = vec![OsString::from(PROGRAM)];
    let mut signing_keys = None;
    let mut all_given = Given::new();
    for (flag, arg) in flags() {
        let given = on_command_line(levels, arg.get_id().as_str());
        let (given_as, values) = if !given.is_empty() {
            (GivenAs::Flag(flag.to_owned()), given)
        } else if let Some(text) = environment.text(&variable(flag))? {
            if variable(flag) == KEYS_VARIABLE && is_keys(text) {
                // Secrets are not parsed like other values, whose errors repeat the value.
                signing_keys = Some(text.to_owned());
                all_given.insert(flag.to_owned(), (GivenAs::Variable(KEYS_VARIABLE.to_owned()), Vec::new()));
                continue;
            }
            let values = match arg.get_action() {
                ArgAction::Append => text.split(',').map(|item| item.trim().into()).collect(),
                _ => vec![text.into()],
            };
            (GivenAs::Variable(variable(flag)), values)
        } else if let Some(values) = file.as_ref().and_then(|file| file.values(flag, arg)) {
            let (given_as, values) = values?;
            (given_as, values.into_iter().map(OsString::from).collect())
        } else {
            continue;
        };
        all_given.insert(flag.to_owned(), (given_as.clone(), values.clone()));
        let given = values.into_iter().map(|value| {
            let mut word = OsString::from(format!("--{flag}="));
            word.push(value);
            word
        });
        let start = words.len();
        words.extend(given);
        // Parses one setting at a time, to know the source of an invalid one.
        let alone = [OsString::from(PROGRAM)].into_iter().chain(words[start..].iter().cloned());
        parser.clone().try_get_matches_from(alone).map_err(|error| refused(given_as, &error))?;
    }
    let settings = parser
        .clone()
        .try_get_matches_from(words)
        .and_then(|matches| Settings::from_arg_matches(&matches))
        .map_err(|error| on_the_command_line(&error))?;
    Ok(Resolved { settings, signing_keys, given: all_given })
}

fn config_file(levels: &[&ArgMatches], environment: &Environment) -> Result<Option<OsString>, ConfigError> {
    match on_command_line(levels, CONFIG_FILE).as_slice() {
        [] => Ok(environment.text(CONFIG_VARIABLE)?.map(OsString::from)),
        [path] => Ok(Some(path.clone())),
        _ => Err(ConfigError::CommandLine("--config is given twice".into())),
    }
}

/// The values of one flag on the command line; empty if the command has no such flag.
fn on_command_line(levels: &[&ArgMatches], id: &str) -> Vec<OsString> {
    let given = |matches: &&&ArgMatches| {
        matches.try_contains_id(id).unwrap_or(false)
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let values = levels.iter().filter(given).filter_map(|matches| matches.get_raw(id));
    values.flatten().map(OsString::from).collect()
}

/// Refuses flags before the name of a command that does not take them.
pub(super) fn check_flags(
    command_line: &Command,
    before: &ArgMatches,
    command: &Command,
) -> Result<(), ConfigError> {
    let takes = |arg: &Arg| command.get_arguments().any(|taken| taken.get_id() == arg.get_id());
    let given = |arg: &&Arg| !on_command_line(&[before], arg.get_id().as_str()).is_empty();
    match command_line.get_arguments().filter(given).find(|arg| !takes(arg)).and_then(Arg::get_long) {
        None => Ok(()),
        Some(flag) => {
            Err(ConfigError::CommandLine(format!("`{}` does not take --{flag}", command.get_name())))
        }
    }
}

/// Converts an error of parsing the command line.
///
/// Clap's own text repeats the value, which may contain a password: so of an error about a value only our own message
/// is used.
pub(super) fn on_the_command_line(error: &clap::Error) -> ConfigError {
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(ContextValue::String(arg))) => {
            // `--media-max <SIZE>`, as clap names it.
            let flag = arg.trim_start_matches("--").split([' ', '=', '[']).next().unwrap_or_default();
            refused(GivenAs::Flag(flag.to_owned()), error)
        }
        _ => {
            let text = rendered(error);
            ConfigError::CommandLine(match error.get(ContextKind::InvalidSubcommand) {
                // A URL whose flag was forgotten is read as the name of a command.
                Some(ContextValue::String(word)) => text.replace(word.as_str(), &redacted(word)),
                _ => text,
            })
        }
    }
}

fn refused(given_as: GivenAs, error: &clap::Error) -> ConfigError {
    let reason = match (error.kind(), std::error::Error::source(error), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, Some(ours), _) => ours.to_string(),
        (ErrorKind::InvalidValue, _, Some(ContextValue::Strings(valid))) => {
            let given = match error.get(ContextKind::InvalidValue) {
                Some(ContextValue::String(given)) if !given.is_empty() => {
                    format!("`{given}` is not one of its values")
                }
                _ => "the value is missing".to_owned(),
            };
            match valid.as_slice() {
                [] => given,
                valid => format!("{given}: write {}", valid.join(" or ")),
            }
        }
        // For example a repeated flag: the first line is the message, the rest says how to get help.
        _ => rendered(error).lines().next().unwrap_or_default().to_owned(),
    };
    ConfigError::Value { given_as, reason }
}

/// Clap's own text, without the prefix `error: `, which `main` adds itself.
fn rendered(error: &clap::Error) -> String {
    let text = error.render().to_string();
    text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
}
