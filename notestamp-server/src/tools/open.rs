//! Decides where a task runs.

use std::path::Path;
use std::sync::Arc;

use notestamp_store::{StoreSettings, SystemClock};
use poem::Body;
use tokio::io::BufReader;
use tokio::net::UnixStream;

use super::admin_client;
use super::admin_socket::AdminSocket;
use super::context::Context;
use super::event::{Event, Events};
use super::exit::Exit;
use super::export::{self, ExportTask};
use super::failure::Failure;
use super::frames::PIECE_BYTES_MAX;
use super::import::{self, Importer};
use super::task::{self, Task};
use super::transfer;
use crate::config::{RecordsUrl, ToolConfig};
use crate::storage;

/// Runs a task in the server that has the data folder open, through its admin socket. Without such a server, or with
/// records in MongoDB, which several processes may have open, this process opens the store itself.
pub(super) async fn run(config: &ToolConfig, task: Task, events: Events) {
    if let Err(failure) = try_run(config, task, &events).await {
        // A receiver that is gone needs no last event.
        let _ = events.send(Event::Failure(failure)).await;
    }
}

async fn try_run(config: &ToolConfig, task: Task, events: &Events) -> Result<(), Failure> {
    if let Some(stream) = connect(config).await? {
        admin_client::run(stream, &task, events).await;
        return Ok(());
    }
    let (settings, clock) = (settings(config), Arc::new(SystemClock));
    let store = match &task {
        Task::Check { .. } => storage::open_unchanged(&config.storage, settings, clock).await?,
        _ => storage::open(&config.storage, settings, clock).await?,
    };
    let context = Context { store: store.clone(), passwords: Arc::default() };
    task::run(task, &context, events).await;
    store.close().await?;
    Ok(())
}

/// Exports an account into files that this process writes.
pub(super) async fn run_export(config: &ToolConfig, task: ExportTask, target: &Path, events: Events) {
    let last = match try_export(config, task, target, &events).await {
        Ok(summary) => summary,
        Err(failure) => Event::Failure(failure),
    };
    let _ = events.send(last).await;
}

async fn try_export(
    config: &ToolConfig,
    task: ExportTask,
    target: &Path,
    events: &Events,
) -> Result<Event, Failure> {
    if let Some(stream) = connect(config).await? {
        let body = Body::from_vec(serde_json::to_vec(&task).expect("texts can be serialized"));
        let response = admin_client::post(stream, transfer::EXPORT, body).await;
        let response =
            response.map_err(|error| Failure::unreachable("the server does not respond", &*error))?;
        return export::receive(&mut admin_client::reader(response), target, events).await;
    }
    let context = open_context(config).await?;
    let (mut writer, reader) = tokio::io::duplex(PIECE_BYTES_MAX);
    let sending = {
        let context = context.clone();
        tokio::spawn(async move { export::send(&context, &task, &mut writer).await })
    };
    let received = export::receive(&mut BufReader::new(reader), target, events).await;
    sending.abort();
    context.store.close().await?;
    received
}

/// Imports an archive that this process reads.
pub(super) async fn run_import(config: &ToolConfig, email: &str, source: &Path, events: Events) {
    let last = match try_import(config, email, source, &events).await {
        Ok(summary) => summary,
        Err(failure) => Event::Failure(failure),
    };
    let _ = events.send(last).await;
}

async fn try_import(
    config: &ToolConfig,
    email: &str,
    source: &Path,
    events: &Events,
) -> Result<Event, Failure> {
    if let (Some(_), RecordsUrl::Sqlite(database)) = (connect(config).await?, &config.storage.records) {
        return import::run(&Importer::Server(database.clone()), email, source, events).await;
    }
    let context = open_context(config).await?;
    let imported = import::run(&Importer::Here(context.clone()), email, source, events).await;
    context.store.close().await?;
    imported
}

/// A connection to the server that has the data folder open; `None` if this process must open the store itself.
async fn connect(config: &ToolConfig) -> Result<Option<UnixStream>, Failure> {
    let RecordsUrl::Sqlite(database) = &config.storage.records else { return Ok(None) };
    ensure_present(database)?;
    let connected = AdminSocket::connect(database).await;
    connected.map_err(|error| Failure::unreachable("cannot connect to the server", &error))
}

async fn open_context(config: &ToolConfig) -> Result<Context, Failure> {
    let store = storage::open(&config.storage, settings(config), Arc::new(SystemClock)).await?;
    Ok(Context { store, passwords: Arc::default() })
}

/// The settings of a store that no server has open: the limits of a server apply to what is imported.
fn settings(config: &ToolConfig) -> StoreSettings {
    let ToolConfig { storage, sweep, retention, limits, .. } = config;
    StoreSettings {
        media_bytes_max: limits.media_bytes_max,
        notes_bytes_max: limits.notes_bytes_max,
        quota_bytes_max: limits.quota_bytes,
        projects_max: limits.projects_max,
        memory_bytes_max: limits.memory_bytes_max,
        ..storage::sweep_settings(storage, sweep, retention)
    }
}

/// A tool works on a store that exists; a mistyped path must not become a new store.
pub(super) fn ensure_present(database: &Path) -> Result<(), Failure> {
    match database.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!("there is no store: {} does not exist", database.display());
            Err(Failure::new(Exit::WrongUse, message))
        }
        Err(error) => Err(Failure::unreachable("the store cannot be read", &error)),
    }
}
