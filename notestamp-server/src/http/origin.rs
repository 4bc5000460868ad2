//! Web origins.

use std::fmt;
use std::str::FromStr;

use url::Url;

/// An origin (RFC 6454): scheme, host and port, in normal form.
///
/// - Letter case does not count, nor does the scheme's default port.
/// - An international host is in Punycode, as browsers send it.
/// - The opaque origin `null` is invalid here: any page can have it.
///
/// ```
/// use notestamp_server::config::Origin;
/// let origin: Origin = "HTTPS://Notes.Example:443".parse()?;
/// assert_eq!(origin.to_string(), "https://notes.example");
/// assert!("null".parse::<Origin>().is_err());
/// assert!("https://notes.example/app".parse::<Origin>().is_err());
/// # Ok::<(), notestamp_server::config::InvalidOrigin>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Origin(String);

/// A text that is not a valid origin. In the configuration it prevents the start; in a request it has no status of its
/// own, because such an origin is simply not allowed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is not an origin such as https://notes.example or http://localhost:3000")]
pub struct InvalidOrigin {
    text: String,
}

impl Origin {
    /// The origin as text, in normal form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    /// Parses an origin; a slash at the end is allowed.
    fn from_str(text: &str) -> Result<Self, InvalidOrigin> {
        normal_form(text.strip_suffix('/').unwrap_or(text))
            .map(Self)
            .ok_or_else(|| InvalidOrigin { text: text.to_owned() })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn normal_form(text: &str) -> Option<String> {
    let (scheme, host) = text.split_once("://")?;
    // Characters that a URL parser would ignore, or would take for more than an origin.
    let is_strange = |c: char| c.is_control() || c.is_whitespace() || "/\\?#@%,\"'<>".contains(c);
    if host.is_empty() || host.contains(is_strange) {
        return None;
    }
    if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") {
        return Some(Url::parse(text).ok()?.origin().ascii_serialization());
    }
    // Applications in a web view have schemes of their own: `tauri://localhost`, `capacitor://localhost`.
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    (is_scheme && text.is_ascii()).then(|| text.to_ascii_lowercase())
}
