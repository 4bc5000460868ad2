use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::mpsc;

use super::failure::Failure;

/// How many events may wait until they are printed or sent.
pub(super) const EVENTS_WAITING_MAX: usize = 64;

/// Receives what a task reports. A task whose receiver is gone is cancelled.
pub(super) type Events = mpsc::Sender<Event>;

/// What a tool reports. As JSON, each event is one object: a line of the output, and of a response of the admin socket.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Event {
    /// How much is done.
    Progress(Progress),
    /// An account.
    Account(AccountLine),
    /// A snapshot of a backup.
    Snapshot(SnapshotLine),
    /// The end of a tool: names with numbers or texts.
    Summary(Map<String, Value>),
    /// The end of a tool that could not do what it should.
    Failure(Failure),
    /// Damage.
    #[serde(untagged)]
    Finding(FindingLine),
}

/// How much is done.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    /// How many units are done.
    pub(super) done: u64,
    /// How many there are, as far as is known.
    pub(super) total: u64,
    /// What is counted.
    pub(super) unit: String,
}

/// Damage that a check has found.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct FindingLine {
    /// The name of the kind of damage.
    pub(super) finding: String,
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) object: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    pub(super) detail: String,
    pub(super) repaired: bool,
}

/// An account, without its secrets.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct AccountLine {
    pub(super) email: String,
    pub(super) id: String,
    pub(super) created: String,
    pub(super) projects: u64,
    pub(super) bytes: u64,
    /// The number of open sessions; only where one account is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sessions: Option<usize>,
}

/// A snapshot of a backup.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(super) struct SnapshotLine {
    /// What `--snapshot` takes.
    pub(super) time: String,
    pub(super) users: u64,
    pub(super) projects: u64,
    pub(super) blobs: u64,
    pub(super) bytes: u64,
}

impl Event {
    /// A summary of these values.
    pub(super) fn summary<const N: usize>(values: [(&str, Value); N]) -> Self {
        Self::Summary(values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}
