//! Identifiers: opaque, ordered by creation time, and of a separate type for each kind.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::InvalidValue;
use crate::clock::Timestamp;
use crate::random::Random;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// A version 7 UUID (RFC 9562), written as 32 hexadecimal digits.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Creates a new id: unique and unguessable.
            pub fn generate(now: Timestamp, random: &dyn Random) -> Self {
                let mut bytes = [0; 10];
                random.fill(&mut bytes);
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
            }

            /// The id with these bytes, as [`as_bytes`](Self::as_bytes) returns them.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of the id; they sort in the same order as the ids.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0.simple(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidValue;

            fn from_str(text: &str) -> Result<Self, InvalidValue> {
                let canonical = text.len() == 32 && !text.bytes().any(|b| b.is_ascii_uppercase());
                match Uuid::try_parse(text) {
                    Ok(uuid) if canonical => Ok(Self(uuid)),
                    _ => Err(InvalidValue::new($what, "is not 32 lower-case hexadecimal digits")),
                }
            }
        }
    };
}

id!(
    /// Names an account.
    UserId,
    "user id"
);
id!(
    /// Names a store; its records and both of its blob stores hold this id.
    StoreId,
    "store id"
);
id!(
    /// Names a session: one sign-in and its chain of refresh tokens.
    SessionId,
    "session id"
);
id!(
    /// Names a project for its whole life, even if its title changes.
    ProjectId,
    "project id"
);
id!(
    /// Names one object in a blob store; never used again for another object.
    ObjectId,
    "object id"
);
id!(
    /// Names a refresh token.
    TokenId,
    "token id"
);
id!(
    /// Names a hold: a mark in the records that stops the deletion of bytes while a backup reads them.
    HoldId,
    "hold id"
);
id!(
    /// Names the restore of a backup into an empty store.
    RestoreId,
    "restore id"
);
