/// Why a value is invalid. Its text is meant for the client that sent the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {why}")]
pub struct InvalidValue {
    what: &'static str,
    why: String,
}

impl InvalidValue {
    /// Makes the message "`what` `why`": `what` is a noun, `why` a predicate, as in "title is missing".
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }

    /// The name of the invalid value.
    pub fn what(&self) -> &'static str {
        self.what
    }
}
