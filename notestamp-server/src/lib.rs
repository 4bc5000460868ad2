//! notestamp's REST API over `notestamp-store`.

pub mod http;
