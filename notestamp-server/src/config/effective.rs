//! The settings as they are in effect, each with its source, for the operator.

use clap::Arg;

use super::command_line;
use super::layers::Given;
use super::redacted::redacted;
use super::{GivenAs, SigningKeySource, Storage};

/// All settings, in the order of the help.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EffectiveSettings {
    /// The settings.
    pub settings: Vec<EffectiveSetting>,
    /// Messages about valid but doubtful settings.
    pub warnings: Vec<String>,
    /// Whether the output is JSON lines on a terminal too.
    pub json: bool,
}

/// One setting. Its value contains no secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EffectiveSetting {
    /// The name of its flag, without the dashes.
    pub name: String,
    /// The value; the values of a list are separated by commas.
    pub value: String,
    /// Where the value comes from; `None` if it is the default.
    pub given_as: Option<GivenAs>,
}

impl EffectiveSettings {
    /// The settings, of which those in `given` are not at their default.
    pub(super) fn new(given: &Given, storage: &Storage, keys: &SigningKeySource) -> Self {
        let parser = command_line::settings();
        let flags = parser.get_arguments().filter_map(|arg| Some((arg.get_long()?, arg)));
        let settings = flags.map(|(flag, arg)| match given.get(flag) {
            Some((given_as, values)) => {
                let values: Vec<_> =
                    values.iter().map(|value| shown(flag, &value.to_string_lossy())).collect();
                let value = if flag == SIGNING_KEY { HIDDEN.to_owned() } else { values.join(",") };
                EffectiveSetting { name: flag.to_owned(), value, given_as: Some(given_as.clone()) }
            }
            None => EffectiveSetting {
                name: flag.to_owned(),
                value: default(flag, arg, storage, keys),
                given_as: None,
            },
        });
        Self { settings: settings.collect(), warnings: Vec::new(), json: false }
    }
}

impl EffectiveSetting {
    /// Its source, as the operator spelled it.
    pub fn source(&self) -> String {
        self.given_as.as_ref().map_or("default".to_owned(), GivenAs::to_string)
    }
}

const SIGNING_KEY: &str = "signing-key";

/// In place of the signing key, and of the name of its file: a mistyped key would count as a file name.
const HIDDEN: &str = "…";

fn shown(flag: &str, value: &str) -> String {
    match flag {
        "metadata" | "notes" | "media" | "public-url" | "allow-origin" => redacted(value),
        _ => value.to_owned(),
    }
}

/// The default of a setting. A few settings have a default that is no value of theirs, or that depends on others.
fn default(flag: &str, arg: &Arg, storage: &Storage, keys: &SigningKeySource) -> String {
    match flag {
        "data" => match &storage.data_folder {
            Some(folder) => folder.path().display().to_string(),
            None => "not used".to_owned(),
        },
        "metadata" => storage.records.to_string(),
        "notes" => storage.notes.to_string(),
        "media" => storage.media.to_string(),
        "public-url" => "from the Host header".to_owned(),
        "log-format" => "text on a terminal, else json".to_owned(),
        SIGNING_KEY => match keys {
            SigningKeySource::DataFolder(path) => path.display().to_string(),
            SigningKeySource::Process => "a new one in each process".to_owned(),
            SigningKeySource::File(_) | SigningKeySource::Variable(_) => HIDDEN.to_owned(),
        },
        _ => match arg.get_default_values() {
            [] => "none".to_owned(),
            values => values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","),
        },
    }
}
