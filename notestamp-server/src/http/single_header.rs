//! Headers that may come at most once: if there are several, it is ambiguous which one counts.

use poem::http::header::{HeaderMap, HeaderName, HeaderValue};

/// The values of a header that may have only one.
#[derive(Clone, Copy)]
pub(crate) enum Single<'a> {
    Absent,
    One(&'a HeaderValue),
    Several,
}

impl<'a> Single<'a> {
    pub(crate) fn of(headers: &'a HeaderMap, header: &HeaderName) -> Self {
        let mut values = headers.get_all(header).iter();
        match (values.next(), values.next()) {
            (None, _) => Self::Absent,
            (Some(value), None) => Self::One(value),
            (Some(_), Some(_)) => Self::Several,
        }
    }

    /// The value, if there is exactly one.
    pub(crate) fn one(self) -> Option<&'a HeaderValue> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Several => None,
        }
    }
}
