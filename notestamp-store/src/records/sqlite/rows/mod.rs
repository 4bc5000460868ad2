//! One module for each table: which columns its rows have, and how they are read and written.

pub(super) mod objects;
pub(super) mod projects;
mod revocation;
pub(super) mod sessions;
pub(super) mod trash;
pub(super) mod users;
pub(super) mod versions;
