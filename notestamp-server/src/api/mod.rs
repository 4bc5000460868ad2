//! The operations: thin routes over the store.

mod accounts;
mod background;
mod body_memory;
pub(crate) mod conditional;
mod delete_project;
mod export;
mod file_name;
mod health;
mod home;
mod list_memory;
mod media_headers;
mod media_response;
mod open_project;
mod password;
mod project;
mod receive_upload;
mod requested_project;
mod save_project;
mod session_watch;
mod sessions;
mod sets_cookies;
mod sign_in;
mod tag;
mod whole_list;

use poem_openapi::OpenApiService;

/// All operations.
type Api = (
    accounts::Accounts,
    export::ExportApi,
    sign_in::SignIn,
    password::PasswordApi,
    sessions::SessionsApi,
    home::Projects,
    home::History,
    home::Trash,
    home::MediaFiles,
    project::ProjectDialect,
    project::ProjectMedia,
    health::HealthApi,
);

/// The operations and their OpenAPI description.
pub(crate) fn service() -> OpenApiService<Api, ()> {
    let api = (
        accounts::Accounts,
        export::ExportApi,
        sign_in::SignIn,
        password::PasswordApi,
        sessions::SessionsApi,
        home::Projects,
        home::History,
        home::Trash,
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
