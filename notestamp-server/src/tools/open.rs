//! Decides where a task runs.

use std::path::Path;
use std::sync::Arc;

use notestamp_store::SystemClock;

use super::admin_client;
use super::admin_socket::AdminSocket;
use super::context::Context;
use super::event::{Event, Events};
use super::exit::Exit;
use super::failure::Failure;
use super::task::{self, Task};
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
    if let RecordsUrl::Sqlite(database) = &config.storage.records {
        ensure_present(database)?;
        let connected = AdminSocket::connect(database).await;
        if let Some(stream) =
            connected.map_err(|error| Failure::unreachable("cannot connect to the server", &error))?
        {
            admin_client::run(stream, &task, events).await;
            return Ok(());
        }
    }
    let settings = storage::sweep_settings(&config.storage, &config.sweep, &config.retention);
    let clock = Arc::new(SystemClock);
    let store = match &task {
        Task::Check { .. } => storage::open_unchanged(&config.storage, settings, clock).await?,
        _ => storage::open(&config.storage, settings, clock).await?,
    };
    let context = Context { store: store.clone(), passwords: Arc::default() };
    task::run(task, &context, events).await;
    store.close().await?;
    Ok(())
}

/// A tool works on a store that exists; a mistyped path must not become a new store.
fn ensure_present(database: &Path) -> Result<(), Failure> {
    match database.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => {
            let message = format!("there is no store: {} does not exist", database.display());
            Err(Failure::new(Exit::WrongUse, message))
        }
        Err(error) => Err(Failure::unreachable("the store cannot be read", &error)),
    }
}
