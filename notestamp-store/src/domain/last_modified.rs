use crate::clock::Timestamp;

/// When a project was last modified, as its client wrote it and as an instant to sort by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastModified {
    text: String,
    at: Timestamp,
}

impl LastModified {
    /// Keeps an ISO 8601 text as it is; uses `now` if the text is invalid.
    pub fn parse_or(text: &str, now: Timestamp) -> Self {
        match Timestamp::parse_iso8601(text) {
            Some(at) => Self { text: text.to_owned(), at },
            None => Self::at(now),
        }
    }

    /// An instant.
    pub fn at(at: Timestamp) -> Self {
        Self { text: at.to_string(), at }
    }

    /// The text as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The instant that the text names.
    pub fn instant(&self) -> Timestamp {
        self.at
    }
}
