//! Accounts, for an operator whose users have forgotten something.

use notestamp_store::{Email, RevocationReason, User};

use super::context::Context;
use super::event::{AccountLine, Event, Events};
use super::exit::Exit;
use super::failure::Failure;
use crate::auth::Password;
use crate::config::SESSIONS_OPEN_MAX;

/// How many accounts are read at once.
const STEP: usize = 500;

pub(super) async fn list(context: &Context, events: &Events) -> Result<Event, Failure> {
    let (mut after, mut count) = (None, 0);
    loop {
        let users = context.store.list_accounts(after, STEP).await?;
        let Some(last) = users.last() else { break };
        after = Some(last.id);
        count += users.len();
        for user in &users {
            if events.send(Event::Account(line(user, None))).await.is_err() {
                break;
            }
        }
    }
    Ok(Event::summary([("accounts", count.into())]))
}

pub(super) async fn show(context: &Context, events: &Events, email: &str) -> Result<Event, Failure> {
    let user = find(context, email).await?;
    let sessions = context.store.list_sessions(user.id, SESSIONS_OPEN_MAX).await?;
    // If the receiver of the events is gone, `task::run` cancels this task.
    let _ = events.send(Event::Account(line(&user, Some(sessions.len())))).await;
    Ok(Event::summary([("accounts", 1.into())]))
}

pub(super) async fn create(context: &Context, email: &str, password: &str) -> Result<Event, Failure> {
    let email = Email::parse(email)?;
    let hash = context.passwords.hash(&new_password(password)?, None).await?;
    let user = context.store.create_account(email, hash).await?;
    Ok(done("created", &user))
}

pub(super) async fn remove(context: &Context, email: &str) -> Result<Event, Failure> {
    let user = find(context, email).await?;
    context.store.remove_account(user.id).await?;
    // The account is removed already; what it leaves does not wait for the next scheduled sweep.
    context.store.sweep().await?;
    Ok(done("removed", &user))
}

pub(super) async fn set_password(context: &Context, email: &str, password: &str) -> Result<Event, Failure> {
    let password = new_password(password)?;
    let user = find(context, email).await?;
    let hash = context.passwords.hash(&password, None).await?;
    match context.store.reset_password(user.id, &hash).await? {
        true => Ok(done("passwordSet", &user)),
        false => Err(unknown(&user.email)),
    }
}

pub(super) async fn sign_out(context: &Context, email: &str) -> Result<Event, Failure> {
    let user = find(context, email).await?;
    match context.store.revoke_all_sessions(user.id, RevocationReason::Ended).await? {
        true => Ok(done("signedOut", &user)),
        false => Err(unknown(&user.email)),
    }
}

/// The account with this address.
pub(super) async fn find(context: &Context, email: &str) -> Result<User, Failure> {
    let email = Email::parse(email)?;
    context.store.find_account_by_email(&email).await?.ok_or_else(|| unknown(&email))
}

fn unknown(email: &Email) -> Failure {
    let message = format!("there is no account {}", email.as_str());
    Failure { is_final: true, ..Failure::new(Exit::Incomplete, message) }
}

fn new_password(text: &str) -> Result<Password, Failure> {
    let password = Password::typed(text);
    password.check_new()?;
    Ok(password)
}

fn done(what: &str, user: &User) -> Event {
    Event::summary([(what, user.email.as_str().into())])
}

fn line(user: &User, sessions: Option<usize>) -> AccountLine {
    AccountLine {
        email: user.email.as_str().to_owned(),
        id: user.id.to_string(),
        created: user.created.to_string(),
        projects: user.usage.projects,
        bytes: user.usage.bytes,
        sessions,
    }
}
