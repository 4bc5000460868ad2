//! Accounts and sign-in.

use notestamp_store::{Session, User};
use poem_openapi::{ApiRequest, Multipart, Object};
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::json::JsonBody;
use super::metadata::ProjectMetadata;
use crate::auth::Password;
use crate::error::ApiError;

/// An email address and a password.
#[derive(Debug, Object, Multipart, Deserialize)]
pub struct Credentials {
    /// An email address.
    username: Option<String>,
    /// 8 to 1,024 bytes.
    password: Option<String>,
}

/// Credentials, in any of the ways that forms send them.
#[derive(Debug, ApiRequest)]
pub enum CredentialsBody {
    /// A JSON object.
    Json(JsonBody<Credentials>),
    /// A form as browsers send it by default.
    Form(Form<Credentials>),
    /// A form as `FormData` sends it.
    Multipart(Credentials),
}

impl CredentialsBody {
    /// The address and the password.
    ///
    /// # Errors
    /// 400 if one of them is missing or empty.
    pub fn into_parts(self) -> Result<(String, Password), ApiError> {
        let Credentials { username, password } = match self {
            Self::Json(JsonBody(credentials)) | Self::Form(Form(credentials)) => credentials,
            Self::Multipart(credentials) => credentials,
        };
        Ok((present(username, "username")?, Password::typed(&present(password, "password")?)))
    }
}

/// The password that an account has, and the one that it is to have.
#[derive(Debug, Object, Multipart, Deserialize)]
pub struct PasswordChange {
    /// The password that the account has.
    current: Option<String>,
    /// 8 to 1,024 bytes.
    new: Option<String>,
}

/// A change of password, in any of the ways that forms send it.
#[derive(Debug, ApiRequest)]
pub enum PasswordChangeBody {
    /// A JSON object.
    Json(JsonBody<PasswordChange>),
    /// A form as browsers send it by default.
    Form(Form<PasswordChange>),
    /// A form as `FormData` sends it.
    Multipart(PasswordChange),
}

impl PasswordChangeBody {
    /// The current password and the new one.
    ///
    /// # Errors
    /// 400 if one of them is missing or empty.
    pub fn into_parts(self) -> Result<(Password, Password), ApiError> {
        let PasswordChange { current, new } = match self {
            Self::Json(JsonBody(change)) | Self::Form(Form(change)) => change,
            Self::Multipart(change) => change,
        };
        Ok((Password::typed(&present(current, "current")?), Password::typed(&present(new, "new")?)))
    }
}

fn present(field: Option<String>, name: &str) -> Result<String, ApiError> {
    let given = field.filter(|text| !text.is_empty());
    given.ok_or_else(|| ApiError::bad_request(format!("{name} is missing")))
}

/// A new account.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub struct Registered {
    /// Its address, in the one spelling that it has however it was typed.
    pub email: String,
}

/// Who signed in, and what they have.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub struct SignedIn {
    /// The account's address.
    pub email: String,
    /// The account's projects, the latest save first.
    pub directory: Vec<ProjectMetadata>,
}

/// That it is done, in words.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub struct Message {
    /// For people.
    pub message: String,
}

impl Message {
    /// A message for people.
    pub fn new(message: &str) -> Self {
        Self { message: message.to_owned() }
    }
}

/// A session that is signed in.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub struct SessionEntry {
    /// Names it.
    pub id: String,
    /// When it was signed in (ISO 8601).
    pub created: String,
    /// When its tokens were last renewed (ISO 8601).
    #[oai(rename = "lastUsed")]
    #[serde(rename = "lastUsed")]
    pub last_used: String,
    /// What it was signed in with, in that program's own words.
    #[oai(rename = "userAgent")]
    #[serde(rename = "userAgent")]
    pub user_agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
}

impl SessionEntry {
    /// Describes a session; `current` says whether the request was made in it.
    pub fn new(session: &Session, current: bool) -> Self {
        Self {
            id: session.id.to_string(),
            created: session.created.to_string(),
            last_used: session.last_used.to_string(),
            user_agent: session.user_agent.clone(),
            current,
        }
    }
}

/// An account.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub struct Account {
    /// Its address.
    pub email: String,
    /// When it was created (ISO 8601).
    pub created: String,
    /// What it uses.
    pub usage: Usage,
}

/// What an account uses.
#[derive(Debug, Default, Object, Serialize)]
#[oai(read_only_all)]
pub struct Usage {
    /// How many projects it has.
    pub projects: u64,
    /// Bytes of the distinct media that they refer to, and of their current notes.
    pub bytes: u64,
}

impl From<&User> for Account {
    fn from(user: &User) -> Self {
        Self {
            email: user.email.as_str().to_owned(),
            created: user.created.to_string(),
            usage: Usage { projects: user.usage.projects, bytes: user.usage.bytes },
        }
    }
}
