//! Prints the settings that are in effect.

use serde_json::json;

use super::exit::Exit;
use super::output::Output;
use crate::config::EffectiveSettings;

/// Prints each setting with its value and its source, then the warnings.
pub fn show_settings(settings: &EffectiveSettings, output: &mut Output) -> Exit {
    for setting in &settings.settings {
        let (name, value, source) = (&setting.name, &setting.value, setting.source());
        let line = json!({ "setting": name, "value": value, "source": source });
        if !output.print_line(&format!("{name} = {value}  ({source})"), &line) {
            return Exit::Incomplete;
        }
    }
    for warning in &settings.warnings {
        if !output.print_line(&format!("warning: {warning}"), &json!({ "warning": warning })) {
            return Exit::Incomplete;
        }
    }
    let (count, warnings) = (settings.settings.len(), settings.warnings.len());
    let summary = json!({ "summary": { "settings": count, "warnings": warnings } });
    match output.print_line(&format!("{count} settings, {warnings} warnings"), &summary) {
        true => Exit::Done,
        false => Exit::Incomplete,
    }
}
