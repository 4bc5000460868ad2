//! The configuration file: TOML, one key for each setting.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction};
use toml::{Table, Value};

use super::{ConfigError, GivenAs};

/// The settings of a configuration file.
pub(super) struct ConfigFile {
    path: PathBuf,
    /// By the name of the flag: the key as it is spelled in the file, and its value.
    settings: BTreeMap<String, (String, Value)>,
}

impl ConfigFile {
    /// Reads the file at `path`; `flags` are the names of all settings.
    ///
    /// Words of a key are separated by `_`, or by `-` as in the flag.
    pub(super) fn read<'a>(path: &Path, flags: impl Iterator<Item = &'a str>) -> Result<Self, ConfigError> {
        let refused = |reason| ConfigError::File { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let table = text.parse::<Table>().map_err(|error| {
            // Not the error's own display: it shows the line, which may contain a password.
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            refused(format!("line {line}: {}", error.message()))
        })?;
        let flags: Vec<&str> = flags.collect();
        let mut settings = BTreeMap::new();
        for (key, value) in table {
            let flag = key.replace('_', "-");
            if !flags.contains(&flag.as_str()) {
                return Err(refused(format!("`{key}` is not a setting; --help lists the settings")));
            }
            if let Some((other, _)) = settings.insert(flag, (key.clone(), value)) {
                return Err(refused(format!("`{key}` and `{other}` are the same setting")));
            }
        }
        Ok(Self { path: path.to_owned(), settings })
    }

    /// The values of the setting of `arg`, as words of a command line; `None` if the file does not set it.
    pub(super) fn values(
        &self,
        flag: &str,
        arg: &Arg,
    ) -> Option<Result<(GivenAs, Vec<String>), ConfigError>> {
        let (key, value) = self.settings.get(flag)?;
        let given_as = GivenAs::Key { file: self.path.clone(), key: key.clone() };
        Some(match words(value, arg) {
            Ok(values) => Ok((given_as, values)),
            Err(reason) => Err(ConfigError::Value { given_as, reason }),
        })
    }
}

fn words(value: &Value, arg: &Arg) -> Result<Vec<String>, String> {
    let value_type = arg.get_value_parser().type_id();
    let is_flag = value_type == TypeId::of::<bool>();
    let is_size = value_type == TypeId::of::<u64>() || value_type == TypeId::of::<Option<u64>>();
    let is_list = matches!(arg.get_action(), ArgAction::Append);
    match value {
        Value::Boolean(value) if is_flag => Ok(vec![value.to_string()]),
        Value::Integer(value) if is_size => Ok(vec![value.to_string()]),
        Value::String(value) if !is_flag => Ok(vec![value.clone()]),
        Value::Array(values) if is_list => match values.as_slice() {
            [] => Ok(vec!["none".to_owned()]),
            values => values
                .iter()
                .map(|value| match value {
                    Value::String(value) => Ok(value.clone()),
                    other => Err(format!("{} in an array of strings", named(other))),
                })
                .collect(),
        },
        other => {
            let needed = match (is_flag, is_size, is_list) {
                (true, _, _) => "true or false",
                (_, true, _) => "a string or a whole number",
                (_, _, true) => "a string or an array of strings",
                _ => "a string",
            };
            Err(format!("{} where {needed} is needed", named(other)))
        }
    }
}

fn named(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a fraction",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "an array",
        Value::Table(_) => "a table",
    }
}
