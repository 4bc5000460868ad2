use std::fmt;

use url::Url;

use super::InvalidSetting;
use super::redacted::redacted;
use crate::http::origin::Origin;

/// The URL under which browsers reach the server; other URLs are made by adding a path.
///
/// - `http` or `https`, with a host; the origin is normalized
/// - it may have a path, for a reverse proxy that mounts the server somewhere; no slash at its end
/// - no user name, password, query or fragment
#[derive(Clone, PartialEq, Eq)]
pub struct PublicUrl(Url);

impl PublicUrl {
    /// Parses such a URL; slashes at its end are removed.
    ///
    /// # Errors
    ///
    /// If one of the rules above does not hold; the message says which.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let refused = |reason: &str| {
            let shown = redacted(text);
            InvalidSetting::new(format!("`{shown}` {reason}: write it like https://notes.example.org"))
        };
        let mut url = Url::parse(text).map_err(|_| refused("is not an absolute URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("is neither http nor https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("has a user name or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("has a query or a fragment"));
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }

    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// The origin that browsers send for pages of this server.
    pub fn origin(&self) -> Origin {
        let origin = self.0.origin().ascii_serialization();
        origin.parse().expect("an http URL has an origin")
    }

    /// Returns whether browsers keep `Secure` cookies from this URL: over https, or at a loopback host.
    pub fn is_secure_context(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        self.0.scheme() == "https"
            || host == "localhost"
            || host.ends_with(".localhost")
            || matches!(host, "127.0.0.1" | "[::1]")
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::PublicUrl;

    #[test]
    fn it_is_normalised_and_has_no_slash_at_its_end() {
        for (text, url, origin) in [
            ("https://Notes.Example.org:443/", "https://notes.example.org", "https://notes.example.org"),
            ("http://localhost:8080", "http://localhost:8080", "http://localhost:8080"),
            ("https://example.org/notes/", "https://example.org/notes", "https://example.org"),
        ] {
            let parsed = PublicUrl::parse(text).unwrap();
            assert_eq!((parsed.as_str(), &*parsed.origin().to_string()), (url, origin), "{text}");
        }
    }

    #[test]
    fn an_unsuitable_url_is_refused_without_showing_a_password() {
        for text in [
            "notes.example.org",
            "ftp://example.org",
            "https://",
            "/notes",
            "https://example.org?x=y",
            "https://example.org#x",
            "https://ann:secret@example.org",
        ] {
            let error = PublicUrl::parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
