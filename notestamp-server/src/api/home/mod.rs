//! The dialect of the clients of 2023 and 2024: `/home/*`.

mod media;
mod projects;

pub use media::MediaFiles;
pub use projects::Projects;
