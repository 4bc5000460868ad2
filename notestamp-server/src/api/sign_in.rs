//! Signing in and out.

use std::sync::Arc;

use notestamp_store::{Email, ListQuery, PasswordHash, RevocationReason, User};
use poem::http::HeaderMap;
use poem::http::header::USER_AGENT;
use poem::web::Data;
use poem_openapi::OpenApi;

use super::home::media_url;
use super::sets_cookies::SetsCookies;
use super::tag::Tag;
use super::whole_list::WholeList;
use crate::auth::{FailureReason, Password, SessionJar};
use crate::error::{ApiError, Code, Failed, failures};
use crate::middleware::base_url::BaseUrl;
use crate::middleware::client_address::Client;
use crate::state::State;
use crate::transport::HeldMemory;
use crate::wire::account::{CredentialsBody, Message, SignedIn};
use crate::wire::json::{Json, StreamedJson};
use crate::wire::metadata::ProjectMetadata;

/// Signing in and out.
pub(crate) struct SignIn;

failures! {
    /// The error statuses of signing in.
    SignInFailures: 400 401 403 408 413 415 429 507;
    /// The error statuses of signing out.
    SignOutFailures: 403 507;
}

type SignedInOr = Result<SetsCookies<StreamedJson<SignedIn>>, Failed<SignInFailures>>;

/// How many times a sign-in verifies the password at most: it retries if the stored hash has changed meanwhile.
const RACES_MAX: usize = 3;

#[OpenApi(tag = "Tag::SignIn")]
impl SignIn {
    /// Sign in
    ///
    /// Sets the two cookies of a new session. Of more than 100 open sessions the least recently used one ends.
    #[oai(path = "/auth/signin", method = "post", operation_id = "signIn")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn sign_in(
        &self,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        client: Client,
        jar: SessionJar,
        memory: HeldMemory,
        headers: &HeaderMap,
        body: CredentialsBody,
    ) -> SignedInOr {
        sign_in(&state, &base, &client, &jar, &memory, headers, body).await
    }

    /// Sign in, at the path that other clients use
    #[oai(path = "/auth/login", method = "post", operation_id = "logIn")]
    #[expect(clippy::too_many_arguments, reason = "each is a parameter of the operation")]
    async fn log_in(
        &self,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        client: Client,
        jar: SessionJar,
        memory: HeldMemory,
        headers: &HeaderMap,
        body: CredentialsBody,
    ) -> SignedInOr {
        sign_in(&state, &base, &client, &jar, &memory, headers, body).await
    }

    /// Sign out
    ///
    /// Ends this session only. It succeeds with expired tokens, without cookies, and when the session has already ended.
    #[oai(path = "/auth/signout", method = "delete", operation_id = "signOut")]
    async fn sign_out(
        &self,
        state: Data<&Arc<State>>,
        jar: SessionJar,
    ) -> Result<SetsCookies<Json<Message>>, Failed<SignOutFailures>> {
        sign_out(&state, &jar).await
    }

    /// Sign out, at the path that other clients use
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        state: Data<&Arc<State>>,
        jar: SessionJar,
    ) -> Result<SetsCookies<Json<Message>>, Failed<SignOutFailures>> {
        sign_out(&state, &jar).await
    }
}

async fn sign_in(
    state: &Arc<State>,
    base: &BaseUrl,
    client: &Client,
    jar: &SessionJar,
    memory: &HeldMemory,
    headers: &HeaderMap,
    body: CredentialsBody,
) -> SignedInOr {
    let (username, password) = body.into_parts()?;
    // An invalid address has no account, so the response is the same as for an unknown address.
    let email = Email::parse(&username).ok();
    let name = email.as_ref().map_or(username.as_str(), Email::as_str);
    let attempt = match is_known_device(state, jar, email.as_ref()).await? {
        true => state.throttle.attempt_of_known_device(name, client.ip)?,
        false => state.throttle.attempt(name, client.ip)?,
    };
    if email.is_none() && username.trim().len() > Email::BYTES_MAX {
        attempt.fail(FailureReason::UnknownAccount);
        return Err(bad_credentials().into());
    }
    for _ in 0..RACES_MAX {
        let account = match prove(state, client, email.as_ref(), &password).await? {
            Ok(account) => account,
            Err(reason) => {
                attempt.fail(reason);
                return Err(bad_credentials().into());
            }
        };
        let media_url = media_url(base);
        let entry = move |project| ProjectMetadata::new(project, &media_url);
        let empty = SignedIn { email: account.email.as_str().to_owned(), directory: Vec::new() };
        let list = WholeList::read(state, account.id, memory, &ListQuery::default(), &empty, entry).await?;
        // Starts the session last: cookies that are older than `late_cookies` allows would be left out.
        let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(session) = state.store.start_session(&account, user_agent).await? else {
            continue;
        };
        state.auth.set_cookies(jar, &session);
        state.auth.set_device_cookie(jar, &account);
        tracing::info!(user = %account.id, session = %session.id, "signed in");
        return Ok(SetsCookies(list.by_session(session.id).into_body()));
    }
    attempt.fail(FailureReason::WrongPassword);
    Err(bad_credentials().into())
}

/// Returns whether the browser has signed in to the account of this address before.
async fn is_known_device(state: &State, jar: &SessionJar, email: Option<&Email>) -> Result<bool, ApiError> {
    let Some(email) = email.filter(|_| state.auth.has_device_cookie(jar)) else { return Ok(false) };
    let account = state.store.find_account_by_email(email).await?;
    Ok(account.is_some_and(|account| state.auth.knows_device(jar, &account)))
}

/// Returns the account of this address if the password is right. The response does not reveal whether the account
/// exists, not even by the time that it takes.
async fn prove(
    state: &State,
    client: &Client,
    email: Option<&Email>,
    password: &Password,
) -> Result<Result<User, FailureReason>, ApiError> {
    let account = match email {
        Some(email) => state.store.find_account_by_email(email).await?,
        None => None,
    };
    let hash = account.as_ref().map(|account| &account.password_hash);
    let matches = state.passwords.verify(password, hash, client.ip).await?;
    let mut account = match account {
        Some(account) if matches => account,
        Some(_) => return Ok(Err(FailureReason::WrongPassword)),
        None => return Ok(Err(FailureReason::UnknownAccount)),
    };
    if state.passwords.is_weak(&account.password_hash) {
        let stronger: PasswordHash = state.passwords.hash(password, client.ip).await?;
        state.store.upgrade_password_hash(&account, &stronger).await?;
        account.password_hash = stronger;
    }
    Ok(Ok(account))
}

fn bad_credentials() -> ApiError {
    ApiError::new(Code::BadCredentials, "no account has this address and password")
}

async fn sign_out(
    state: &State,
    jar: &SessionJar,
) -> Result<SetsCookies<Json<Message>>, Failed<SignOutFailures>> {
    let (access, refresh) = state.auth.presented(jar);
    for token in [access.authentic(), refresh.authentic()].into_iter().flatten() {
        let reason = RevocationReason::SignedOut;
        if state.store.revoke_session(token.user, token.session, reason).await? {
            tracing::info!(user = %token.user, session = %token.session, "signed out");
        }
    }
    state.auth.delete_cookies(jar);
    Ok(SetsCookies(Json(Message::new("signed out"))))
}
