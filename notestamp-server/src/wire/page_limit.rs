use std::num::NonZeroUsize;

use notestamp_store::InvalidValue;

use crate::config::{LIST_LIMIT_MAX, grouped};

/// The largest page of a list.
pub(super) const PAGE_LIMIT_MAX: NonZeroUsize = NonZeroUsize::new(LIST_LIMIT_MAX).expect("it is not 0");

/// Parses the parameter `limit` of a list.
///
/// # Errors
/// If it is zero or too large.
pub(super) fn page_limit(limit: Option<usize>) -> Result<Option<NonZeroUsize>, InvalidValue> {
    match limit {
        None => Ok(None),
        Some(limit @ 1..=LIST_LIMIT_MAX) => Ok(NonZeroUsize::new(limit)),
        Some(_) => {
            let why = format!("is not between 1 and {}", grouped(LIST_LIMIT_MAX));
            Err(InvalidValue::new("limit", why))
        }
    }
}
