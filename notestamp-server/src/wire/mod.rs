//! The shapes of requests and responses, and their conversions from and to the store's values.

pub(crate) mod account;
mod fields;
mod form;
pub(crate) mod history;
pub(crate) mod json;
pub(crate) mod json_with_text;
pub(crate) mod metadata;
mod page_limit;
pub(crate) mod project;
pub(crate) mod project_list;
pub(crate) mod trash;
pub(crate) mod upload;
