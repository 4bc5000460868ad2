use std::fmt;
use std::io;
use std::path::Path;

use url::Url;

use super::InvalidSetting;
use super::redacted::redacted;

/// Which blob store to open: `file:///absolute/folder`, `memory:///` or `s3://bucket/prefix`.
///
/// Neither `Debug` nor `Display` shows a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct BlobUrl(Url);

impl BlobUrl {
    /// Reads such a URL. Whether the store is there shows when it is opened.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it, or names the schemes there are.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let refused = |reason: &str| InvalidSetting::new(format!("`{}` {reason}", redacted(text)));
        let none = "is no blob store: write file:///absolute/folder, s3://bucket/prefix or memory:///";
        let url = Url::parse(text).map_err(|_| refused(none))?;
        let has_host = url.host_str().is_some_and(|host| !host.is_empty());
        match url.scheme() {
            "file" if !text.starts_with("file:///") || has_host || url.path() == "/" => {
                Err(refused("names no folder of this machine: write file:///absolute/folder"))
            }
            "memory" if has_host || !matches!(url.path(), "" | "/") => {
                Err(refused("has more than it needs: write memory:///"))
            }
            "s3" if !has_host => Err(refused("names no bucket: write s3://bucket/prefix")),
            "file" | "memory" | "s3" => Ok(Self(url)),
            _ => Err(refused(none)),
        }
    }

    /// The URL of a local folder; a relative path starts at the working directory.
    ///
    /// # Errors
    ///
    /// When the path is empty, or the working directory is gone.
    pub fn folder(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        Ok(Self(Url::from_file_path(path).expect("the path is absolute")))
    }

    /// All of it, for the store that is opened with it: it may hold a secret.
    pub fn expose(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(self.0.as_str()))
    }
}

impl fmt::Debug for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::BlobUrl;

    #[test]
    fn each_scheme_is_read() {
        for (text, url) in [
            ("file:///var/lib/notes", "file:///var/lib/notes"),
            ("memory:///", "memory:///"),
            ("memory:", "memory:"),
            ("s3://bucket/prefix", "s3://bucket/prefix"),
        ] {
            assert_eq!(BlobUrl::parse(text).unwrap().expose(), url);
        }
    }

    #[test]
    fn what_selects_no_store_is_refused_without_showing_a_secret() {
        for text in [
            "",
            "notes",
            "/var/lib/notes",
            "file://notes",
            "file:notes",
            "file:///",
            "memory:///x",
            "s3:///prefix",
            "ftp://ann:secret@host/",
        ] {
            let error = BlobUrl::parse(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
