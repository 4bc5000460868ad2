//! The operations: thin routes over the store.

mod accounts;
mod home;
mod service;
mod sign_in;

use poem_openapi::{OpenApiService, Tags};

/// All operations.
type Api = (accounts::Accounts, sign_in::SignIn, home::Projects, home::MediaFiles, service::Service);

#[derive(Tags)]
enum Tag {
    /// Accounts: created, looked at, removed.
    Accounts,
    /// Signing in and out. The session's two cookies cannot be read by scripts.
    #[oai(rename = "Sign-in")]
    SignIn,
    /// Projects: saved, listed, opened, deleted.
    Projects,
    /// The bytes of a project's media, whole or by ranges.
    Media,
    /// The server itself.
    Service,
}

/// The operations and their description.
pub fn service() -> OpenApiService<Api, ()> {
    let api = (accounts::Accounts, sign_in::SignIn, home::Projects, home::MediaFiles, service::Service);
    OpenApiService::new(api, "notestamp", env!("CARGO_PKG_VERSION"))
        .summary("Notes that stay in step with media.")
        .description(include_str!("../../description.md"))
        .server("/")
}
