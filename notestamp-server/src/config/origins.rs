//! Whose pages may call the server with a user's cookies.

use std::fmt;

use url::Url;

use super::InvalidSetting;
use super::redacted::redacted;

/// The origins of other sites' pages that may use the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origins {
    /// They, besides the server's own, which is always allowed.
    pub allowed: Vec<Origin>,
}

#[derive(clap::Args)]
pub(super) struct OriginArgs {
    /// Origin of pages that may use the server, besides its own, or `none` [repeatable]
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
        origin => Origin::parse(origin).map(Some),
    }
}

/// A web origin (RFC 6454) as a browser writes it into the `Origin` header, so that comparing is
/// comparing bytes.
///
/// - `scheme://host` or `scheme://host:port`, in lower case, an international host in Punycode
/// - the default port of `http` and `https` is left out
/// - any scheme with a host: `https`, but `capacitor` or `chrome-extension` too
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Reads an origin; one slash at its end is forgiven.
    ///
    /// # Errors
    ///
    /// Refuses what is more or less than an origin, `*` and `null` included.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let refused = |reason: &str| {
            let shown = redacted(text);
            InvalidSetting::new(format!("`{shown}` {reason}: write it like https://app.example.org"))
        };
        match text {
            "*" => return Err(refused("would let every page act as its visitors")),
            "null" => return Err(refused("is the origin of any page in a sandbox")),
            _ => {}
        }
        let url = Url::parse(text).map_err(|_| refused("is not an origin"))?;
        let is_bare = matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        match Self::of(&url) {
            Some(origin) if origin.0.contains('*') => Err(refused("is a pattern, and each origin is named")),
            Some(origin) if is_bare => Ok(origin),
            Some(_) => Err(refused("has more than a scheme, a host and a port")),
            None => Err(refused("has no host")),
        }
    }

    /// The origin of `url`, where it has a host.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = url.host_str().filter(|host| !host.is_empty())?.to_lowercase();
        Some(Self(match url.port() {
            Some(port) => format!("{}://{host}:{port}", url.scheme()),
            None => format!("{}://{host}", url.scheme()),
        }))
    }

    /// As the `Origin` header spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;

    #[test]
    fn an_origin_is_spelled_as_browsers_spell_it() {
        for (text, spelled) in [
            ("http://localhost:3000", "http://localhost:3000"),
            ("HTTPS://App.Example.ORG:443/", "https://app.example.org"),
            ("http://example.org:80", "http://example.org"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("capacitor://LocalHost", "capacitor://localhost"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().as_str(), spelled, "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "localhost:3000",
            "example.org",
            "https://",
            "file:///",
            "https://example.org/app",
            "https://example.org?x",
            "https://example.org#x",
            "https://ann:secret@example.org",
            "https://*.example.org",
        ] {
            let error = Origin::parse(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
