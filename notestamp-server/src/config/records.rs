use std::fmt;
use std::path::PathBuf;

use super::InvalidSetting;
use super::redacted::redacted;

/// The URL of the record store.
///
/// | URL | store |
/// | --- | --- |
/// | `memory:` | this process's memory |
/// | `sqlite:PATH` | one file; `sqlite://PATH` is read the same |
/// | `mongodb://…`, `mongodb+srv://…` | a replica set |
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordsUrl {
    /// This process's memory: lost when the process ends.
    Memory,
    /// The SQLite database in this file.
    Sqlite(PathBuf),
    /// A MongoDB replica set.
    MongoDb(MongoDbUrl),
}

impl RecordsUrl {
    /// Parses such a URL. Whether the store exists is checked only when it is opened.
    ///
    /// # Errors
    ///
    /// If the URL is invalid; the message shows the valid forms.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let refused = |reason: &str| InvalidSetting::new(format!("`{}` {reason}", redacted(text)));
        match text.split_once(':') {
            Some(("memory", "" | "//" | "///")) => Ok(Self::Memory),
            Some(("sqlite", path)) => match path.strip_prefix("//").unwrap_or(path) {
                "" => Err(refused("does not name a file: write it like sqlite:notestamp.sqlite")),
                ":memory:" => Err(refused("is not supported: write memory:")),
                path => Ok(Self::Sqlite(path.into())),
            },
            Some(("mongodb" | "mongodb+srv", rest)) => match rest.strip_prefix("//") {
                None | Some("") => {
                    Err(refused("does not name a host: write it like mongodb://localhost/notestamp"))
                }
                Some(_) => Ok(Self::MongoDb(MongoDbUrl(text.to_owned()))),
            },
            _ => Err(refused("is not the URL of a record store: write sqlite:PATH, mongodb://… or memory:")),
        }
    }
}

impl fmt::Display for RecordsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "{}", path.display()),
            Self::MongoDb(url) => fmt::Display::fmt(url, f),
        }
    }
}

/// `mongodb://…` or `mongodb+srv://…`; neither `Debug` nor `Display` shows a password.
#[derive(Clone, PartialEq, Eq)]
pub struct MongoDbUrl(String);

impl MongoDbUrl {
    /// The whole URL, for the driver: it may contain a password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MongoDbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.0))
    }
}

impl fmt::Debug for MongoDbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MongoDbUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::RecordsUrl;

    #[test]
    fn each_scheme_selects_its_store() {
        for text in ["memory:", "memory://", "memory:///"] {
            assert_eq!(RecordsUrl::parse(text), Ok(RecordsUrl::Memory), "{text}");
        }
        for (text, path) in [
            ("sqlite:notes.db", "notes.db"),
            ("sqlite:/var/notes.db", "/var/notes.db"),
            ("sqlite:///var/notes.db", "/var/notes.db"),
            ("sqlite://notes.db", "notes.db"),
        ] {
            assert_eq!(RecordsUrl::parse(text), Ok(RecordsUrl::Sqlite(path.into())), "{text}");
        }
        let RecordsUrl::MongoDb(url) = RecordsUrl::parse("mongodb://ann:secret@a,b/notes").unwrap() else {
            panic!("a mongodb URL selects MongoDB");
        };
        assert_eq!(url.expose(), "mongodb://ann:secret@a,b/notes");
    }

    #[test]
    fn a_password_is_never_shown() {
        let url = RecordsUrl::parse("mongodb+srv://ann:secret@host/notes").unwrap();
        assert!(!format!("{url:?}").contains("secret"));
        let error = RecordsUrl::parse("postgres://ann:secret@host/notes").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn a_url_of_an_unknown_store_is_refused() {
        for text in
            ["", "sqlite", "sqlite:", "sqlite::memory:", "memory:x", "mongodb:", "mongodb://", "notes.db"]
        {
            assert!(RecordsUrl::parse(text).is_err(), "{text}");
        }
    }
}
