//! Backups and restores. The store may be open in this process or in a server; the folder of the backup is always read
//! and written here.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notestamp_store::backup::{
    self, BackupError, BackupEvent, BackupFinding, BackupFolder, BackupReport, BackupSource, PruneReport,
    RestoreReport, RestoreTarget, SnapshotEntry, VerifyReport,
};
use notestamp_store::{Store, SystemClock};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::event::{EVENTS_WAITING_MAX, Event, Events, FindingLine, Progress, SnapshotLine};
use super::exit::Exit;
use super::failure::Failure;
use super::open::ensure_present;
use super::remote_store::RemoteStore;
use crate::config::{BackupTool, RecordsUrl, ToolConfig};
use crate::storage;

/// Runs a tool for backups, and sends its events; the last one is its result.
pub(super) async fn run(config: &ToolConfig, tool: BackupTool, events: Events) {
    let ended = match tool {
        BackupTool::Create { folder } => create(config, &folder, &events).await,
        BackupTool::List { folder } => list(folder, &events).await,
        BackupTool::Verify { folder } => verify(folder, &events).await,
        BackupTool::Prune { folder, keep } => prune(folder, keep).await,
        BackupTool::Restore { folder, snapshot } => {
            restore(config, &folder, snapshot.as_deref(), &events).await
        }
    };
    // A receiver that is gone needs no last event.
    let _ = events.send(ended.unwrap_or_else(Event::Failure)).await;
}

async fn create(config: &ToolConfig, folder: &Path, events: &Events) -> Result<Event, Failure> {
    if let RecordsUrl::Sqlite(database) = &config.storage.records {
        ensure_present(database)?;
    }
    let report = match remote(config).await? {
        Some(server) => back_up(folder, &server, events).await?,
        None => {
            let store = open(config, false).await?;
            let report = back_up(folder, &store, events).await;
            store.close().await?;
            report?
        }
    };
    let BackupReport {
        snapshot, users, projects, versions, trashed, blobs, bytes, copied, copied_bytes, ..
    } = report;
    Ok(Event::summary([
        ("snapshot", snapshot.into()),
        ("accounts", users.into()),
        ("projects", projects.into()),
        ("versions", versions.into()),
        ("trashed", trashed.into()),
        ("blobs", blobs.into()),
        ("bytes", bytes.into()),
        ("copied", copied.into()),
        ("copiedBytes", copied_bytes.into()),
        ("findings", report.findings.into()),
    ]))
}

async fn restore(
    config: &ToolConfig,
    folder: &Path,
    snapshot: Option<&str>,
    events: &Events,
) -> Result<Event, Failure> {
    // Before a data folder is made: a mistyped path of the backup must not leave one.
    let opened = folder.to_owned();
    blocking(move || BackupFolder::open(&opened).map(drop)).await?;
    let report = match remote(config).await? {
        Some(server) => bring_back(folder, snapshot, &server, events).await?,
        None => {
            let store = open(config, true).await?;
            let report = bring_back(folder, snapshot, &store, events).await;
            store.close().await?;
            report?
        }
    };
    let RestoreReport { snapshot, users, states, objects, bytes, findings } = report;
    Ok(Event::summary([
        ("restored", snapshot.into()),
        ("accounts", users.into()),
        ("states", states.into()),
        ("objects", objects.into()),
        ("bytes", bytes.into()),
        ("findings", findings.into()),
    ]))
}

async fn list(folder: PathBuf, events: &Events) -> Result<Event, Failure> {
    let snapshots = blocking(move || BackupFolder::open(&folder)?.list()).await?;
    let count = snapshots.len();
    for SnapshotEntry { name, users, projects, blobs, bytes, .. } in snapshots {
        let line = SnapshotLine { time: name, users, projects, blobs, bytes };
        if events.send(Event::Snapshot(line)).await.is_err() {
            break;
        }
    }
    Ok(Event::summary([("snapshots", count.into())]))
}

async fn verify(folder: PathBuf, events: &Events) -> Result<Event, Failure> {
    let sender = events.clone();
    let tell = move |event| sender.blocking_send(event_of(event)).is_ok();
    let report = blocking(move || backup::verify(&folder, tell)).await?;
    let VerifyReport { snapshots, blobs, bytes, findings } = report;
    Ok(Event::summary([
        ("snapshots", snapshots.into()),
        ("blobs", blobs.into()),
        ("bytes", bytes.into()),
        ("findings", findings.into()),
    ]))
}

async fn prune(folder: PathBuf, keep: NonZeroUsize) -> Result<Event, Failure> {
    let PruneReport { snapshots, blobs, bytes } = blocking(move || backup::prune(&folder, keep)).await?;
    Ok(Event::summary([("snapshots", snapshots.into()), ("blobs", blobs.into()), ("bytes", bytes.into())]))
}

/// The store that a running server has open; absent if this process opens it.
async fn remote(config: &ToolConfig) -> Result<Option<RemoteStore>, Failure> {
    match &config.storage.records {
        RecordsUrl::Sqlite(database) if database.exists() => RemoteStore::find(database.clone()).await,
        _ => Ok(None),
    }
}

async fn open(config: &ToolConfig, is_target: bool) -> Result<Store, Failure> {
    let settings = storage::sweep_settings(&config.storage, &config.sweep, &config.retention);
    let clock = Arc::new(SystemClock);
    Ok(match is_target {
        true => storage::open_target(&config.storage, settings, clock).await?,
        false => storage::open(&config.storage, settings, clock).await?,
    })
}

async fn back_up(
    folder: &Path,
    source: &dyn BackupSource,
    events: &Events,
) -> Result<BackupReport, BackupError> {
    let (sender, reported) = mpsc::channel(EVENTS_WAITING_MAX);
    // The sender is dropped at the end, so that passing its events on ends too.
    let work = async move { backup::back_up(folder, source, &sender).await };
    futures_util::join!(work, pass_on(reported, events)).0
}

async fn bring_back(
    folder: &Path,
    snapshot: Option<&str>,
    target: &dyn RestoreTarget,
    events: &Events,
) -> Result<RestoreReport, BackupError> {
    let (sender, reported) = mpsc::channel(EVENTS_WAITING_MAX);
    let work = async move { backup::restore(folder, snapshot, target, &sender).await };
    futures_util::join!(work, pass_on(reported, events)).0
}

async fn pass_on(mut reported: mpsc::Receiver<BackupEvent>, events: &Events) {
    while let Some(event) = reported.recv().await {
        // If the receiver of the events is gone, the work goes on: it can be ended by a signal.
        let _ = events.send(event_of(event)).await;
    }
}

fn event_of(event: BackupEvent) -> Event {
    match event {
        BackupEvent::Progress { done, total } => {
            Event::Progress(Progress { done, total, unit: "bytes".to_owned() })
        }
        BackupEvent::Finding(BackupFinding { name, kind, object, detail }) => Event::Finding(FindingLine {
            finding: name.to_owned(),
            kind,
            object: Some(object),
            owner: None,
            title: None,
            detail,
            repaired: false,
        }),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, Failure> {
    let done = spawn_blocking(work).await;
    Ok(done.map_err(|panicked| Failure::new(Exit::Incomplete, panicked.to_string()))??)
}
