use std::sync::Arc;

use notestamp_store::{Email, ListQuery, RevocationReason};
use poem::web::Data;
use poem::web::cookie::CookieJar;
use poem_openapi::OpenApi;
use poem_openapi::param::Header;

use super::Tag;
use crate::error::{ApiError, Code, Failed, failures};
use crate::http::base_url::BaseUrl;
use crate::state::State;
use crate::wire::account::{CredentialsBody, Message, SignedIn};
use crate::wire::json::Json;
use crate::wire::metadata::ProjectMetadata;

/// Signing in and out.
pub struct SignIn;

failures! {
    /// Of signing in.
    SignInFailures: 400 401 403 408 413 415 429;
    /// Of signing out.
    SignOutFailures: 403;
}

type SignedInOr = Result<Json<SignedIn>, Failed<SignInFailures>>;

#[OpenApi(tag = "Tag::SignIn")]
impl SignIn {
    /// Sign in
    ///
    /// Sets the two cookies of a new session.
    #[oai(path = "/auth/signin", method = "post", operation_id = "signIn")]
    async fn sign_in(
        &self,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        jar: &CookieJar,
        #[oai(name = "User-Agent")] user_agent: Header<Option<String>>,
        body: CredentialsBody,
    ) -> SignedInOr {
        sign_in(&state, &base, jar, user_agent.0.as_deref().unwrap_or_default(), body).await
    }

    /// Sign in, by the name that other clients know
    #[oai(path = "/auth/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        jar: &CookieJar,
        #[oai(name = "User-Agent")] user_agent: Header<Option<String>>,
        body: CredentialsBody,
    ) -> SignedInOr {
        sign_in(&state, &base, jar, user_agent.0.as_deref().unwrap_or_default(), body).await
    }

    /// Sign out
    ///
    /// Ends this session only. Works with expired tokens, with none, and again.
    #[oai(path = "/auth/signout", method = "delete", operation_id = "signOut")]
    async fn sign_out(
        &self,
        state: Data<&Arc<State>>,
        jar: &CookieJar,
    ) -> Result<Json<Message>, Failed<SignOutFailures>> {
        sign_out(&state, jar).await
    }

    /// Sign out, by the name that other clients know
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        state: Data<&Arc<State>>,
        jar: &CookieJar,
    ) -> Result<Json<Message>, Failed<SignOutFailures>> {
        sign_out(&state, jar).await
    }
}

async fn sign_in(
    state: &State,
    base: &BaseUrl,
    jar: &CookieJar,
    user_agent: &str,
    body: CredentialsBody,
) -> SignedInOr {
    let (username, password) = body.into_parts()?;
    // What cannot be an address has no account, which is answered like any other unknown one.
    let account = match Email::parse(&username) {
        Ok(email) => state.store.find_account_by_email(&email).await?,
        Err(_) => None,
    };
    let hash = account.as_ref().map(|account| &account.password_hash);
    let matches = state.passwords.verify(&password, hash).await?;
    let Some(account) = account.filter(|_| matches) else {
        return Err(ApiError::new(Code::BadCredentials, "no account has this address and password").into());
    };
    if state.passwords.is_weak(&account.password_hash) {
        let stronger = state.passwords.hash(&password).await?;
        state.store.upgrade_password_hash(&account, &stronger).await?;
    }
    let session = state.store.start_session(account.id, user_agent).await?;
    let directory = state.store.list_projects(account.id, &ListQuery::default()).await?;
    state.set_cookies(jar, &session);
    tracing::info!(user = %account.id, session = %session.id, "signed in");
    let directory =
        directory.projects.into_iter().map(|project| ProjectMetadata::new(project, base.as_str()));
    Ok(Json(SignedIn { email: account.email.as_str().to_owned(), directory: directory.collect() }))
}

async fn sign_out(state: &State, jar: &CookieJar) -> Result<Json<Message>, Failed<SignOutFailures>> {
    let (access, refresh) = state.presented(jar);
    for token in [access.authentic(), refresh.authentic()].into_iter().flatten() {
        let reason = RevocationReason::SignedOut;
        if state.store.revoke_session(token.user, token.session, reason).await? {
            tracing::info!(user = %token.user, session = %token.session, "signed out");
        }
    }
    state.cookies.clear(jar);
    Ok(Json(Message::new("signed out")))
}
