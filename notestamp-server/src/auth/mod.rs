//! Who is asking: the keys that sign tokens.

mod key_file;
mod keys;

pub use key_file::{SigningKeyError, SigningKeySource};
pub use keys::{InvalidSigningKeys, SigningKey, SigningKeys};
