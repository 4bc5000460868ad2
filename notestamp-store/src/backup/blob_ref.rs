use serde::{Deserialize, Serialize};

use super::text;
use crate::domain::{Digest, Namespace, ObjectId, ObjectKind};

/// The bytes of an object of the store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BlobRef {
    /// The kind of the object.
    #[serde(with = "text::kind")]
    pub kind: ObjectKind,
    /// Its namespace.
    #[serde(with = "text")]
    pub namespace: Namespace,
    /// Its id.
    #[serde(with = "text")]
    pub object: ObjectId,
    /// The digest of its bytes.
    #[serde(with = "text")]
    pub digest: Digest,
    /// Their number.
    pub size: u64,
}
