//! The OpenAPI document, as it is served, printed, and kept in `openapi/`, and the page that shows it.

use crate::api;

/// The OpenAPI document as JSON.
pub fn json() -> String {
    let mut text = api::service().spec();
    text.push('\n');
    text
}

/// The OpenAPI document as YAML, for parsers of YAML 1.1 and of 1.2.
pub fn yaml() -> String {
    let text = api::service().spec_yaml();
    text.split_inclusive('\n').map(with_quoted_date).collect()
}

/// Quotes a plain scalar that looks like a date: unquoted, it is a string in YAML 1.2 and a date in YAML 1.1.
fn with_quoted_date(line: &str) -> String {
    let value = line.trim_end();
    let start = value.rfind(": ").map_or(0, |at| at + 2);
    let value = &value[start..];
    let is_date = value.len() >= 10
        && value.bytes().zip(*b"0000-00-00").all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            _ => byte == form,
        });
    if is_date { line.replace(value, &format!("'{value}'")) } else { line.to_owned() }
}

/// The page of Swagger UI, with the OpenAPI document inside.
pub fn swagger_ui() -> String {
    const OPTIONS: &str = "    SwaggerUIBundle({\n";
    // - The server's URL is relative to the OpenAPI document: here the page, whatever path it is under.
    // - Without `validatorUrl: null`, a page that is not on localhost loads the badge of a validator from another host.
    const OURS: &str = "    spec.servers = [{ url: new URL('.', window.location.href).pathname.replace(/\\/$/, '') || '/' }];

    SwaggerUIBundle({
        validatorUrl: null,
";
    let page = api::service().swagger_ui_html();
    let (before, after) = page.rsplit_once(OPTIONS).expect("the page starts Swagger UI with options");
    format!("{before}{OURS}{after}")
}
