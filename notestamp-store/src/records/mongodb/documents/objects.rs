use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, DateTime, Uuid};
use serde::{Deserialize, Serialize};

use crate::domain::{Object, ObjectId, ObjectKind, ObjectPlace, ObjectState};
use crate::records::mongodb::bson::{
    binary, date, digest as digest_of, namespace as namespace_of, namespace_owner, timestamp, uuid,
};
use crate::records::mongodb::error::{Failure, Result};

#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct ObjectDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    kind: String,
    /// The owner's id, or null if the namespace is shared.
    namespace: Option<Uuid>,
    /// Whether its bytes are a document of their own. Absent in what older versions have written.
    #[serde(default)]
    inline: bool,
    state: String,
    digest: Option<Binary>,
    size: Option<u64>,
    references: u64,
    since: DateTime,
}

/// The bytes of an inline object.
#[derive(Serialize, Deserialize)]
pub(in crate::records::mongodb) struct InlineDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    bytes: Binary,
}

impl InlineDocument {
    pub(in crate::records::mongodb) fn of(id: ObjectId, bytes: &[u8]) -> Self {
        let bytes = Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() };
        Self { id: uuid(id.as_bytes()), bytes }
    }
}

impl From<InlineDocument> for Bytes {
    fn from(document: InlineDocument) -> Self {
        document.bytes.bytes.into()
    }
}

impl ObjectDocument {
    pub(in crate::records::mongodb) fn of(row: &Object) -> Self {
        Self {
            id: uuid(row.id.as_bytes()),
            kind: row.kind.as_str().to_owned(),
            namespace: namespace_owner(row.namespace),
            inline: row.place == ObjectPlace::Inline,
            state: row.state.as_str().to_owned(),
            digest: row.content.map(|(digest, _)| binary(&digest)),
            size: row.content.map(|(_, size)| size),
            references: row.references,
            since: date(row.since),
        }
    }
}

impl TryFrom<ObjectDocument> for Object {
    type Error = Failure;

    fn try_from(document: ObjectDocument) -> Result<Self> {
        let digest = document.digest.map(|digest| digest_of(&digest, "objects.digest")).transpose()?;
        Ok(Self {
            id: ObjectId::from_bytes(document.id.bytes()),
            kind: ObjectKind::parse(&document.kind).ok_or(Failure::Field { field: "objects.kind" })?,
            namespace: namespace_of(document.namespace),
            place: if document.inline { ObjectPlace::Inline } else { ObjectPlace::BlobStore },
            state: ObjectState::parse(&document.state).ok_or(Failure::Field { field: "objects.state" })?,
            content: digest.zip(document.size),
            references: document.references,
            since: timestamp(document.since),
        })
    }
}
