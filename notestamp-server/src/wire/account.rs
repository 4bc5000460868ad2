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
pub(crate) struct Credentials {
    /// An email address.
    username: Option<String>,
    /// A password of 8 to 1,024 bytes.
    password: Option<String>,
}

/// Credentials, in any encoding of a form.
#[derive(Debug, ApiRequest)]
pub(crate) enum CredentialsBody {
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
    pub(crate) fn into_parts(self) -> Result<(String, Password), ApiError> {
        let Credentials { username, password } = match self {
            Self::Json(JsonBody(credentials)) | Self::Form(Form(credentials)) => credentials,
            Self::Multipart(credentials) => credentials,
        };
        Ok((present(username, "username")?, Password::typed(&present(password, "password")?)))
    }
}

/// The current password of an account, and the new one.
#[derive(Debug, Object, Multipart, Deserialize)]
pub(crate) struct PasswordChange {
    /// The current password of the account.
    current: Option<String>,
    /// A password of 8 to 1,024 bytes.
    new: Option<String>,
}

/// The current and the new password, in any encoding of a form.
#[derive(Debug, ApiRequest)]
pub(crate) enum PasswordChangeBody {
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
    pub(crate) fn into_parts(self) -> Result<(Password, Password), ApiError> {
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
pub(crate) struct Registered {
    /// The email address in its normalized spelling.
    pub(crate) email: String,
}

/// The account that signed in, and its projects.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct SignedIn {
    /// The account's email address.
    pub(crate) email: String,
    /// The account's projects, the latest save first.
    pub(crate) directory: Vec<ProjectMetadata>,
}

/// A confirmation that the operation succeeded.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct Message {
    /// The confirmation in words, for people.
    pub(crate) message: String,
}

impl Message {
    /// A message for people.
    pub(crate) fn new(message: &str) -> Self {
        Self { message: message.to_owned() }
    }
}

/// A session that has not ended.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct SessionEntry {
    /// The session's id.
    pub(crate) id: String,
    /// The time of the sign-in (ISO 8601).
    pub(crate) created: String,
    /// The time when its tokens were last renewed (ISO 8601).
    #[oai(rename = "lastUsed")]
    #[serde(rename = "lastUsed")]
    pub(crate) last_used: String,
    /// The `User-Agent` header of the sign-in.
    #[oai(rename = "userAgent")]
    #[serde(rename = "userAgent")]
    pub(crate) user_agent: String,
    /// Whether it is the session of this request.
    pub(crate) current: bool,
}

impl SessionEntry {
    /// Describes a session; `current` says whether the request was made in it.
    pub(crate) fn new(session: &Session, current: bool) -> Self {
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
pub(crate) struct Account {
    /// The account's email address.
    pub(crate) email: String,
    /// The time when the account was created (ISO 8601).
    pub(crate) created: String,
    /// The storage that the account uses.
    pub(crate) usage: Usage,
}

/// The storage that an account uses.
#[derive(Debug, Default, Object, Serialize)]
#[oai(read_only_all)]
pub(crate) struct Usage {
    /// The number of projects.
    pub(crate) projects: u64,
    /// The bytes of the distinct media of all projects, and of their current notes.
    pub(crate) bytes: u64,
    /// The bytes that history and trash hold besides. The quota limits their sum, and what the records cost.
    #[oai(rename = "keptBytes")]
    #[serde(rename = "keptBytes")]
    pub(crate) kept_bytes: u64,
}

impl From<&User> for Account {
    fn from(user: &User) -> Self {
        Self {
            email: user.email.as_str().to_owned(),
            created: user.created.to_string(),
            usage: Usage {
                projects: user.usage.projects,
                bytes: user.usage.bytes,
                kept_bytes: user.usage.kept_bytes,
            },
        }
    }
}
