use notestamp_store::{CheckOptions, SweepReport};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::event::{Event, Events};
#[cfg(not(feature = "mongodb"))]
use super::exit::Exit;
use super::failure::Failure;
#[cfg(feature = "mongodb")]
use super::legacy;
use super::{accounts, check};

/// What a tool does, with its arguments: the body of a request to the admin socket. It may contain a password, so it
/// cannot be printed.
#[derive(Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "camelCase")]
pub(super) enum Task {
    Sweep,
    Check { deep: bool, repair: bool },
    ImportLegacy { mongodb: String, bucket: String, variables: Vec<(String, String)> },
    ListAccounts,
    ShowAccount { email: String },
    CreateAccount { email: String, password: String },
    RemoveAccount { email: String },
    SetPassword { email: String, password: String },
    SignOut { email: String },
}

/// Runs a task and sends its events; the last one is its result. The task is cancelled if the receiver of the events is
/// gone, and can be repeated then.
pub(super) async fn run(task: Task, context: &Context, events: &Events) {
    let last = tokio::select! {
        () = events.closed() => return,
        ended = perform(task, context, events) => ended.unwrap_or_else(Event::Failure),
    };
    // A receiver that is gone needs no last event.
    let _ = events.send(last).await;
}

/// Returns the summary.
async fn perform(task: Task, context: &Context, events: &Events) -> Result<Event, Failure> {
    match task {
        Task::Sweep => sweep(context).await,
        Task::Check { deep, repair } => check::run(context, events, CheckOptions { deep, repair }).await,
        #[cfg(feature = "mongodb")]
        Task::ImportLegacy { mongodb, bucket, variables } => {
            legacy::run(context, events, (&mongodb, &bucket), &variables).await
        }
        #[cfg(not(feature = "mongodb"))]
        Task::ImportLegacy { .. } => Err(Failure::new(Exit::WrongUse, "this build does not support MongoDB")),
        Task::ListAccounts => accounts::list(context, events).await,
        Task::ShowAccount { email } => accounts::show(context, events, &email).await,
        Task::CreateAccount { email, password } => accounts::create(context, &email, &password).await,
        Task::RemoveAccount { email } => accounts::remove(context, &email).await,
        Task::SetPassword { email, password } => accounts::set_password(context, &email, &password).await,
        Task::SignOut { email } => accounts::sign_out(context, &email).await,
    }
}

async fn sweep(context: &Context) -> Result<Event, Failure> {
    let SweepReport { purged, thinned, trash_purged, doomed, deleted, held, failed } =
        context.store.sweep().await?;
    Ok(Event::summary([
        ("purged", purged.into()),
        ("thinned", thinned.into()),
        ("trashPurged", trash_purged.into()),
        ("doomed", doomed.into()),
        ("deleted", deleted.into()),
        ("held", held.into()),
        ("failed", failed.into()),
    ]))
}
