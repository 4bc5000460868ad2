use std::sync::Arc;

use notestamp_store::Email;
use poem::web::Data;
use poem_openapi::{ApiResponse, OpenApi};

use super::sets_cookies::SetsCookies;
use super::tag::Tag;
use crate::auth::{CurrentUser, SessionJar};
use crate::error::{ApiError, Failed, failures};
use crate::middleware::client_address::Client;
use crate::state::State;
use crate::wire::account::{Account, CredentialsBody, Message, Registered};
use crate::wire::json::Json;

/// Creating, showing and removing accounts.
pub(crate) struct Accounts;

failures! {
    /// The error statuses of creating an account.
    RegisterFailures: 400 403 408 409 413 415 429 507;
    /// The error statuses of showing an account.
    ShowFailures: 401;
    /// The error statuses of removing an account.
    RemoveFailures: 401 403 507;
}

#[derive(ApiResponse)]
enum RegisterResponse {
    /// The account was created. This does not sign the user in.
    #[oai(status = 201)]
    Created(Json<Registered>),
}

#[OpenApi(tag = "Tag::Accounts")]
impl Accounts {
    /// Create an account
    #[oai(path = "/auth/register", method = "post", operation_id = "register")]
    async fn register(
        &self,
        state: Data<&Arc<State>>,
        client: Client,
        body: CredentialsBody,
    ) -> Result<RegisterResponse, Failed<RegisterFailures>> {
        let (username, password) = body.into_parts()?;
        let email = Email::parse(&username).map_err(notestamp_store::Error::from)?;
        password.check_new().map_err(notestamp_store::Error::from)?;
        state.throttle.count_registration(client.ip)?;
        let hash = state.passwords.hash(&password, client.ip).await?;
        let user = state.store.create_account(email, hash).await?;
        tracing::info!(user = %user.id, "account created");
        Ok(RegisterResponse::Created(Json(Registered { email: user.email.as_str().to_owned() })))
    }

    /// Show the account that is signed in
    #[oai(path = "/auth/user", method = "get", operation_id = "showAccount")]
    async fn show(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
    ) -> Result<Json<Account>, Failed<ShowFailures>> {
        let account = state.store.find_account(user.id).await?.ok_or_else(ApiError::unauthorized)?;
        Ok(Json(Account::from(&account)))
    }

    /// Remove the account that is signed in
    ///
    /// Its projects, notes, media and sessions are gone for every later request. The server deletes their bytes shortly
    /// afterwards.
    #[oai(path = "/auth/remove", method = "delete", operation_id = "removeAccount")]
    async fn remove(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        jar: SessionJar,
    ) -> Result<SetsCookies<Json<Message>>, Failed<RemoveFailures>> {
        state.store.remove_account(&user).await?;
        tracing::info!(user = %user.id, "account removed");
        state.sweep_soon.notify_one();
        state.auth.delete_cookies(&jar);
        Ok(SetsCookies(Json(Message::new("the account was removed"))))
    }
}
