//! Accounts and sign-in.

use notestamp_store::User;
use poem_openapi::payload::{Form, Json};
use poem_openapi::{ApiRequest, Multipart, Object};
use serde::{Deserialize, Serialize};

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
    Json(Json<Credentials>),
    /// A form as browsers send it by default.
    Form(Form<Credentials>),
    /// A form as `FormData` sends it.
    Multipart(Credentials),
}

impl CredentialsBody {
    /// Both fields.
    ///
    /// # Errors
    /// 400 where one of them is missing or empty.
    pub fn into_parts(self) -> Result<(String, Password), ApiError> {
        let Credentials { username, password } = match self {
            Self::Json(Json(credentials)) | Self::Form(Form(credentials)) => credentials,
            Self::Multipart(credentials) => credentials,
        };
        let present = |field: Option<String>, name| match field {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(ApiError::bad_request(format!("{name} is missing"))),
        };
        Ok((present(username, "username")?, Password::typed(present(password, "password")?)))
    }
}

/// A new account.
#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
pub struct Registered {
    /// Its address, trimmed and in lower case.
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
    /// A message.
    pub fn new(message: &str) -> Self {
        Self { message: message.to_owned() }
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
