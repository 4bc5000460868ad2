//! Authentication: passwords, tokens, cookies.

mod argon2id;
mod authenticator;
mod common_passwords;
mod cookies;
mod current_user;
mod hash_queue;
mod key_file;
mod keys;
mod media_url;
mod password;
mod session_jar;
mod throttle;
mod tokens;

pub use authenticator::{Authenticator, CurrentUser};
pub use cookies::SessionCookies;
pub use key_file::SigningKeyError;
pub use keys::{InvalidSigningKeys, SigningKey, SigningKeys};
pub use media_url::{MediaGrant, MediaUrls};
pub use password::{Password, Passwords};
pub use session_jar::SessionJar;
pub use throttle::{FailureReason, Throttle};
pub use tokens::{Claims, Kind, TokenStatus, Tokens};
