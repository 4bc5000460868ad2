//! The description of the operations, as it is served, printed, and kept in `openapi/`.

use crate::api;

/// The description as JSON.
pub fn json() -> String {
    let mut text = api::service().spec();
    text.push('\n');
    text
}

/// The description as YAML.
pub fn yaml() -> String {
    api::service().spec_yaml()
}
