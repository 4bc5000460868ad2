//! Where an outcome becomes a status code, a line of the log and a JSON object.

mod api_error;
mod code;
mod conversions;
mod failures;
mod log;

pub(crate) use api_error::{ApiError, body_below_http};
pub(crate) use code::Code;
pub(crate) use failures::failures;
pub(crate) use failures::{Failed, Failures};
