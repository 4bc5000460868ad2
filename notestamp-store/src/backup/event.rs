use tokio::sync::mpsc;

/// Receives what a backup reports while it runs. A receiver that is gone does not end the backup.
pub type BackupEvents = mpsc::Sender<BackupEvent>;

/// What a backup reports while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BackupEvent {
    /// How much is done.
    Progress {
        /// The bytes that are done.
        done: u64,
        /// All bytes.
        total: u64,
    },
    /// Damage, in the store or in the backup.
    Finding(BackupFinding),
}

/// Damage, in the store or in the backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupFinding {
    /// The kind of damage.
    pub name: &'static str,
    /// The kind of thing that is damaged.
    pub kind: String,
    /// Its digest or its id.
    pub object: String,
    /// The reason.
    pub detail: String,
}

/// Sends an event to its receiver, if there is one still.
pub(super) async fn tell(events: &BackupEvents, event: BackupEvent) {
    let _ = events.send(event).await;
}
