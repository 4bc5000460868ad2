//! The groups of operations in the OpenAPI description.

use poem_openapi::Tags;

#[derive(Tags)]
pub(crate) enum Tag {
    /// Creating, showing and removing accounts.
    Accounts,
    /// Signing in and out, sessions, and the password. Scripts cannot read the session's two cookies.
    #[oai(rename = "Sign-in")]
    SignIn,
    /// Saving, listing, opening and deleting projects.
    Projects,
    /// Former versions of projects, and deleted projects: looking at them, and bringing them back.
    #[oai(rename = "History and trash")]
    History,
    /// Reading the bytes of a project's media, as a whole or in ranges.
    Media,
    /// The same projects and media for the clients since October 2024. In this dialect, the path names the project,
    /// and media has signed URLs that need no cookies.
    #[oai(rename = "Project dialect")]
    ProjectDialect,
    /// The health of the server.
    Service,
}
