use mongodb::bson::Document;
use mongodb::{Collection, Database};

use super::documents::objects::{InlineDocument, ObjectDocument};
use super::documents::projects::ProjectDocument;
use super::documents::sessions::SessionDocument;
use super::documents::states::StateDocument;
use super::documents::users::{RemovedUser, UserDocument};

/// The collections, one for each kind of record.
#[derive(Clone)]
pub(super) struct Collections {
    pub(super) database: Database,
    /// The version of the schema, and the store's identity.
    pub(super) meta: Collection<Document>,
    pub(super) users: Collection<UserDocument>,
    /// The removed accounts of which sessions or projects may be left to purge.
    pub(super) removed_users: Collection<RemovedUser>,
    pub(super) sessions: Collection<SessionDocument>,
    pub(super) projects: Collection<ProjectDocument>,
    pub(super) versions: Collection<StateDocument>,
    pub(super) trash: Collection<StateDocument>,
    /// The ledger.
    pub(super) objects: Collection<ObjectDocument>,
    /// What has been taken over from another program. It has no version of its own: a program that does not know it
    /// ignores it.
    pub(super) imports: Collection<Document>,
    /// The bytes of inline objects, so that reading the ledger never reads them.
    pub(super) inline_bytes: Collection<InlineDocument>,
    /// The bytes of inline objects that were removed while there was a hold.
    pub(super) held_bytes: Collection<InlineDocument>,
}

impl Collections {
    pub(super) fn of(database: &Database) -> Self {
        Self {
            meta: database.collection("meta"),
            users: database.collection("users"),
            removed_users: database.collection("removed_users"),
            sessions: database.collection("sessions"),
            projects: database.collection("projects"),
            versions: database.collection("versions"),
            trash: database.collection("trash"),
            objects: database.collection("objects"),
            imports: database.collection("imports"),
            inline_bytes: database.collection("inline_bytes"),
            held_bytes: database.collection("held_bytes"),
            database: database.clone(),
        }
    }
}
