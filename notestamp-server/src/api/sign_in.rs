use std::sync::Arc;

use notestamp_store::{Email, ListQuery, PasswordHash, RevocationReason, Session, User};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path};

use super::Tag;
use super::home::media_url;
use crate::auth::{CurrentUser, FailureReason, Password, SessionJar};
use crate::error::{ApiError, Code, Failed, failures};
use crate::http::base_url::BaseUrl;
use crate::middleware::client_address::Client;
use crate::state::State;
use crate::wire::account::{CredentialsBody, Message, PasswordChangeBody, SessionEntry, SignedIn};
use crate::wire::json::Json;
use crate::wire::metadata::ProjectMetadata;

/// Signing in and out.
pub struct SignIn;

failures! {
    /// The error statuses of signing in.
    SignInFailures: 400 401 403 408 413 415 429 507;
    /// The error statuses of signing out.
    SignOutFailures: 403 507;
    /// The error statuses of changing a password.
    ChangePasswordFailures: 400 401 403 408 413 415 429 507;
    /// The error statuses of listing sessions.
    SessionsFailures: 401;
    /// The error statuses of ending a session.
    EndSessionFailures: 401 403 404 507;
}

type SignedInOr = Result<Json<SignedIn>, Failed<SignInFailures>>;

/// How many sessions of an account are listed at most: the most recently used ones.
const SESSIONS_LISTED_MAX: usize = 1_000;

/// How many times a sign-in verifies the password at most: it retries if the stored hash has changed meanwhile.
const RACES_MAX: usize = 3;

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
        client: Client,
        jar: SessionJar,
        #[oai(name = "User-Agent")] user_agent: Header<Option<String>>,
        body: CredentialsBody,
    ) -> SignedInOr {
        sign_in(&state, &base, &client, &jar, user_agent.0, body).await
    }

    /// Sign in, at the path that other clients use
    #[oai(path = "/auth/login", method = "post", operation_id = "logIn")]
    async fn log_in(
        &self,
        state: Data<&Arc<State>>,
        base: BaseUrl,
        client: Client,
        jar: SessionJar,
        #[oai(name = "User-Agent")] user_agent: Header<Option<String>>,
        body: CredentialsBody,
    ) -> SignedInOr {
        sign_in(&state, &base, &client, &jar, user_agent.0, body).await
    }

    /// Sign out
    ///
    /// Ends this session only. It succeeds with expired tokens, without cookies, and when the session has already ended.
    #[oai(path = "/auth/signout", method = "delete", operation_id = "signOut")]
    async fn sign_out(
        &self,
        state: Data<&Arc<State>>,
        jar: SessionJar,
    ) -> Result<Json<Message>, Failed<SignOutFailures>> {
        sign_out(&state, &jar).await
    }

    /// Sign out, at the path that other clients use
    #[oai(path = "/auth/logout", method = "post", operation_id = "logOut")]
    async fn log_out(
        &self,
        state: Data<&Arc<State>>,
        jar: SessionJar,
    ) -> Result<Json<Message>, Failed<SignOutFailures>> {
        sign_out(&state, &jar).await
    }

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
    ) -> Result<Json<Message>, Failed<ChangePasswordFailures>> {
        let (current, new) = body.into_parts()?;
        new.check_new().map_err(notestamp_store::Error::from)?;
        // The body may arrive long after the head: if the session has ended since, the response must not tell whether
        // the password is right.
        state.store.admit(&user).await?;
        let account = state.store.find_account(user.id).await?.ok_or_else(ApiError::unauthorized)?;
        let attempt = state.throttle.attempt(account.email.as_str(), client.ip)?;
        if !state.passwords.verify(&current, Some(&account.password_hash)).await? {
            attempt.fail(FailureReason::WrongCurrentPassword);
            return Err(ApiError::new(Code::BadCredentials, "the current password is wrong").into());
        }
        drop(attempt);
        let hash = state.passwords.hash(&new).await?;
        let (by, user_agent) = (Some(user.session.id), &user.session.user_agent);
        let changed = state.store.change_password(&account, by, &hash, user_agent).await?;
        let session = changed.ok_or_else(ApiError::unauthorized)?;
        state.set_cookies(&jar, &session);
        tracing::info!(user = %user.id, session = %session.id, "password changed");
        Ok(Json(Message::new("the password was changed, and all other sessions were ended")))
    }

    /// List the sessions of the account
    ///
    /// The sessions that have not ended, the most recently used first.
    #[oai(path = "/auth/sessions", method = "get", operation_id = "listSessions")]
    async fn sessions(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
    ) -> Result<Json<Vec<SessionEntry>>, Failed<SessionsFailures>> {
        let sessions = state.store.list_sessions(user.id, SESSIONS_LISTED_MAX).await?;
        let entry = |session: &Session| SessionEntry::new(session, session.id == user.session.id);
        Ok(Json(sessions.iter().map(entry).collect()))
    }

    /// End a session of the account
    ///
    /// If it is the session of this request, the response also deletes its cookies.
    #[oai(path = "/auth/sessions/:id", method = "delete", operation_id = "endSession")]
    async fn end_session(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        jar: SessionJar,
        /// The session's id.
        id: Path<String>,
    ) -> Result<Json<Message>, Failed<EndSessionFailures>> {
        let not_found = || ApiError::new(Code::NotFound, "session not found");
        let id = id.0.parse().map_err(|_| not_found())?;
        if !state.store.revoke_session(&user, id, RevocationReason::Ended).await? {
            return Err(not_found().into());
        }
        tracing::info!(user = %user.id, session = %id, "session ended");
        if id == user.session.id {
            state.clear_cookies(&jar);
        }
        Ok(Json(Message::new("the session was ended")))
    }
}

async fn sign_in(
    state: &State,
    base: &BaseUrl,
    client: &Client,
    jar: &SessionJar,
    user_agent: Option<String>,
    body: CredentialsBody,
) -> SignedInOr {
    let (username, password) = body.into_parts()?;
    // An invalid address has no account, so the response is the same as for an unknown address.
    let email = Email::parse(&username).ok();
    let name = email.as_ref().map_or(username.as_str(), Email::as_str);
    let attempt = state.throttle.attempt(name, client.ip)?;
    if email.is_none() && username.trim().len() > Email::BYTES_MAX {
        attempt.fail(FailureReason::UnknownAccount);
        return Err(bad_credentials().into());
    }
    for _ in 0..RACES_MAX {
        let account = match prove(state, email.as_ref(), &password).await? {
            Ok(account) => account,
            Err(reason) => {
                attempt.fail(reason);
                return Err(bad_credentials().into());
            }
        };
        let directory = state.store.list_projects(account.id, &ListQuery::default()).await?;
        // Starts the session last: cookies that are older than `late_cookies` allows would be left out.
        let user_agent = user_agent.as_deref().unwrap_or_default();
        let Some(session) = state.store.start_session(&account, user_agent).await? else {
            continue;
        };
        state.set_cookies(jar, &session);
        tracing::info!(user = %account.id, session = %session.id, "signed in");
        let entry = |project| ProjectMetadata::new(project, media_url(base));
        let directory = directory.projects.into_iter().map(entry).collect();
        return Ok(Json(SignedIn { email: account.email.as_str().to_owned(), directory }));
    }
    attempt.fail(FailureReason::WrongPassword);
    Err(bad_credentials().into())
}

/// Returns the account of this address if the password is right. The response does not reveal whether the account
/// exists, not even by the time that it takes.
async fn prove(
    state: &State,
    email: Option<&Email>,
    password: &Password,
) -> Result<Result<User, FailureReason>, ApiError> {
    let account = match email {
        Some(email) => state.store.find_account_by_email(email).await?,
        None => None,
    };
    let hash = account.as_ref().map(|account| &account.password_hash);
    let matches = state.passwords.verify(password, hash).await?;
    let mut account = match account {
        Some(account) if matches => account,
        Some(_) => return Ok(Err(FailureReason::WrongPassword)),
        None => return Ok(Err(FailureReason::UnknownAccount)),
    };
    if state.passwords.is_weak(&account.password_hash) {
        let stronger: PasswordHash = state.passwords.hash(password).await?;
        state.store.upgrade_password_hash(&account, &stronger).await?;
        account.password_hash = stronger;
    }
    Ok(Ok(account))
}

fn bad_credentials() -> ApiError {
    ApiError::new(Code::BadCredentials, "no account has this address and password")
}

async fn sign_out(state: &State, jar: &SessionJar) -> Result<Json<Message>, Failed<SignOutFailures>> {
    let (access, refresh) = state.presented(jar);
    for token in [access.authentic(), refresh.authentic()].into_iter().flatten() {
        let reason = RevocationReason::SignedOut;
        if state.store.revoke_session(token.user, token.session, reason).await? {
            tracing::info!(user = %token.user, session = %token.session, "signed out");
        }
    }
    state.clear_cookies(jar);
    Ok(Json(Message::new("signed out")))
}
