//! The documents, one module for each collection: their conversions from and to the domain, and damaged ones.

pub(super) mod objects;
pub(super) mod projects;
pub(super) mod sessions;
pub(super) mod states;
pub(super) mod trash;
pub(super) mod users;
pub(super) mod versions;

use mongodb::bson::{RawDocumentBuf, deserialize_from_slice};
use mongodb::error::Error as DriverError;
use serde::de::DeserializeOwned;

use super::error::{Failure, Result};
use crate::records::{RecordKind, omit_damaged};

/// Converts a document into the value that it stores.
pub(in crate::records::mongodb) fn read<D, T>(document: &RawDocumentBuf) -> Result<T>
where
    D: DeserializeOwned,
    T: TryFrom<D, Error = Failure>,
{
    deserialize_from_slice::<D>(document.as_bytes()).map_err(DriverError::from)?.try_into()
}

/// The values of these documents. Damaged documents are omitted, logged and counted.
pub(in crate::records::mongodb) fn readable<D, T>(kind: RecordKind, documents: &[RawDocumentBuf]) -> Vec<T>
where
    D: DeserializeOwned,
    T: TryFrom<D, Error = Failure>,
{
    documents.iter().filter_map(|document| log_damage(kind, read::<D, T>(document))).collect()
}

/// The value that was read; absent if it is damaged, which is logged and counted.
pub(in crate::records::mongodb) fn log_damage<T>(kind: RecordKind, read: Result<T>) -> Option<T> {
    read.inspect_err(|damage| omit_damaged(kind, damage)).ok()
}
