//! Authentication: passwords, tokens, cookies.

mod argon2id;
mod authenticator;
mod common_passwords;
mod cookies;
mod device_cookie;
mod hash_queue;
mod key_file;
mod keys;
mod legacy_hash;
mod media_url;
mod password;
mod purpose_keys;
mod session_jar;
mod throttle;
mod tokens;
mod user_argument;

pub(crate) use authenticator::{Authenticator, CurrentUser};
pub(crate) use cookies::SessionCookies;
pub(crate) use device_cookie::DeviceCookie;
pub use key_file::SigningKeyError;
pub use keys::{InvalidSigningKeys, SigningKey, SigningKeys};
pub(crate) use media_url::{MediaGrant, MediaUrls};
pub(crate) use password::{Password, Passwords};
pub(crate) use session_jar::SessionJar;
pub(crate) use throttle::{FailureReason, Throttle};
pub(crate) use tokens::Tokens;
