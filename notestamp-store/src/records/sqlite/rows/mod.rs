//! One module for each table: how its rows are read and written.

pub(super) mod objects;
pub(super) mod projects;
pub(super) mod sessions;
pub(super) mod users;
