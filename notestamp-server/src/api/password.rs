//! Changing the password of the account that is signed in.

use std::sync::Arc;

use notestamp_store::User;
use poem::web::Data;
use poem_openapi::OpenApi;

use super::sets_cookies::SetsCookies;
use super::tag::Tag;
use crate::auth::{CurrentUser, FailureReason, SessionJar};
use crate::error::{ApiError, Code, Failed, failures};
use crate::middleware::client_address::Client;
use crate::state::State;
use crate::wire::account::{Message, PasswordChangeBody};
use crate::wire::json::Json;

/// The operation on passwords.
pub(crate) struct PasswordApi;

failures! {
    /// The error statuses of changing a password.
    ChangePasswordFailures: 400 401 403 408 413 415 429 507;
}

#[OpenApi(tag = "Tag::SignIn")]
impl PasswordApi {
    /// Change the password
    ///
    /// Ends every session of the account, this one included, and sets the cookies of a new one.
    #[oai(path = "/auth/password", method = "post", operation_id = "changePassword")]
    async fn change_password(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        client: Client,
        jar: SessionJar,
        body: PasswordChangeBody,
    ) -> Result<SetsCookies<Json<Message>>, Failed<ChangePasswordFailures>> {
        let (current, new) = body.into_parts()?;
        new.check_new().map_err(notestamp_store::Error::from)?;
        // The body may arrive long after the head: if the session has ended since, the response must not tell whether
        // the password is right.
        state.store.admit(&user).await?;
        let account = state.store.find_account(user.id).await?.ok_or_else(ApiError::unauthorized)?;
        let attempt = state.throttle.attempt(account.email.as_str(), client.ip)?;
        if !state.passwords.verify(&current, Some(&account.password_hash), client.ip).await? {
            attempt.fail(FailureReason::WrongCurrentPassword);
            return Err(ApiError::new(Code::BadCredentials, "the current password is wrong").into());
        }
        drop(attempt);
        let hash = state.passwords.hash(&new, client.ip).await?;
        let (by, user_agent) = (Some(user.session.id), &user.session.user_agent);
        let changed = state.store.change_password(&account, by, &hash, user_agent).await?;
        let session = changed.ok_or_else(ApiError::unauthorized)?;
        state.auth.set_cookies(&jar, &session);
        state.auth.set_device_cookie(&jar, &User { password_hash: hash, ..account });
        tracing::info!(user = %user.id, session = %session.id, "password changed");
        let message = "the password was changed, and all other sessions were ended";
        Ok(SetsCookies(Json(Message::new(message))))
    }
}
