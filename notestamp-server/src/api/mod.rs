//! The operations: thin routes over the store.

mod accounts;
pub mod conditional;
mod delete_project;
mod health;
mod home;
mod media_response;
mod open_project;
mod project;
mod requested_title;
mod save_project;
mod sign_in;

use poem_openapi::{OpenApiService, Tags};

/// All operations.
type Api = (
    accounts::Accounts,
    sign_in::SignIn,
    home::Projects,
    home::MediaFiles,
    project::ProjectDialect,
    project::ProjectMedia,
    health::HealthApi,
);

#[derive(Tags)]
enum Tag {
    /// Creating, showing and removing accounts.
    Accounts,
    /// Signing in and out, sessions, and the password. Scripts cannot read the session's two cookies.
    #[oai(rename = "Sign-in")]
    SignIn,
    /// Saving, listing, opening and deleting projects.
    Projects,
    /// Reading the bytes of a project's media, as a whole or in ranges.
    Media,
    /// The same projects and media for the clients since October 2024. In this dialect, the path names the project,
    /// and media has signed URLs that need no cookies.
    #[oai(rename = "Project dialect")]
    ProjectDialect,
    /// The health of the server.
    Service,
}

/// The operations and their OpenAPI description.
pub fn service() -> OpenApiService<Api, ()> {
    let api = (
        accounts::Accounts,
        sign_in::SignIn,
        home::Projects,
        home::MediaFiles,
        project::ProjectDialect,
        project::ProjectMedia,
        health::HealthApi,
    );
    OpenApiService::new(api, "notestamp", env!("CARGO_PKG_VERSION"))
        .description(include_str!("../../description.md"))
        // Relative to the URL of the description, so that it is right behind a reverse proxy's path too.
        .server(".")
}
