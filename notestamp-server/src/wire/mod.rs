//! The shapes of requests and responses, and their conversions from and to the store's values.

pub mod account;
mod fields;
mod form;
pub mod json;
pub mod metadata;
pub mod project;
pub mod project_list;
pub mod upload;
