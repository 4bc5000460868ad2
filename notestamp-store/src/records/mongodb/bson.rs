//! The domain's values as BSON: ids are UUIDs, times are dates, a digest is 32 bytes.

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};

use super::error::{Failure, Result};
use crate::clock::Timestamp;
use crate::domain::{Digest, Namespace, UserId};

pub(super) fn date(at: Timestamp) -> DateTime {
    DateTime::from_millis(at.as_millis())
}

pub(super) fn timestamp(date: DateTime) -> Timestamp {
    Timestamp::from_millis(date.timestamp_millis())
}

pub(super) fn uuid(id: &[u8; 16]) -> Uuid {
    Uuid::from_bytes(*id)
}

pub(super) fn binary(digest: &Digest) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: digest.as_bytes().to_vec() }
}

pub(super) fn digest(binary: &Binary, field: &'static str) -> Result<Digest> {
    let bytes = <[u8; 32]>::try_from(&*binary.bytes).map_err(|_| Failure::Field { field })?;
    Ok(Digest::from_bytes(bytes))
}

/// The stored form of a namespace: its owner's id, or null if it is shared.
pub(super) fn namespace_owner(namespace: Namespace) -> Option<Uuid> {
    match namespace {
        Namespace::Owner(owner) => Some(uuid(owner.as_bytes())),
        Namespace::Shared => None,
    }
}

/// Parses the stored form that [`namespace_owner`] makes.
pub(super) fn namespace(owner: Option<Uuid>) -> Namespace {
    owner.map_or(Namespace::Shared, |owner| Namespace::Owner(UserId::from_bytes(owner.bytes())))
}

/// A limit as MongoDB takes it; `None` for zero, which MongoDB would take as unlimited.
pub(super) fn limit(limit: usize) -> Option<i64> {
    (limit > 0).then(|| i64::try_from(limit).unwrap_or(i64::MAX))
}
