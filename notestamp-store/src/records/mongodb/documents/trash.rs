use mongodb::bson::Uuid;
use serde::Deserialize;

use crate::domain::{ProjectId, UserId};

/// Of a project in the trash only its id and its owner.
#[derive(Deserialize)]
pub(in crate::records::mongodb) struct OwnedDocument {
    #[serde(rename = "_id")]
    id: Uuid,
    owner: Uuid,
}

impl From<OwnedDocument> for (UserId, ProjectId) {
    fn from(document: OwnedDocument) -> Self {
        (UserId::from_bytes(document.owner.bytes()), ProjectId::from_bytes(document.id.bytes()))
    }
}
