//! What a backup and a restore send over the admin socket.

use serde::{Deserialize, Serialize};

use notestamp_store::backup::{BlobTarget, SnapshotLine, StateLine, UserLine};

use super::failure::Failure;

/// The paths of the requests.
pub(super) const SNAPSHOT: &str = "/backup/snapshot";
pub(super) const READ_BLOB: &str = "/backup/blob";
pub(super) const BEGIN_RESTORE: &str = "/restore/begin";
pub(super) const PUT_BLOB: &str = "/restore/blob";
pub(super) const PUT_RECORDS: &str = "/restore/records";
pub(super) const END_RESTORE: &str = "/restore/end";

/// The header with the [`PutBlob`] of a request whose body is the bytes.
pub(super) const BLOB: &str = "x-blob";

/// A line of the response to a request for a snapshot. After [`End`](Self::End), empty lines follow as long as the
/// bytes are held.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum SourceLine {
    Begin { store: String, time: i64 },
    Record(Box<SnapshotLine>),
    End,
    Failure(Failure),
}

#[derive(Serialize, Deserialize)]
pub(super) struct BeginRestore {
    pub(super) snapshot: String,
}

/// The response to [`BeginRestore`].
#[derive(Serialize, Deserialize)]
pub(super) struct BegunRestore {
    pub(super) restore: String,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PutBlob {
    pub(super) restore: String,
    pub(super) blob: BlobTarget,
}

#[derive(Serialize, Deserialize)]
pub(super) struct PutRecords {
    pub(super) restore: String,
    pub(super) states: Vec<StateLine>,
    pub(super) users: Vec<UserLine>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct EndRestore {
    pub(super) restore: String,
    /// The ids of the accounts whose usage is counted anew.
    pub(super) recount: Vec<String>,
}
