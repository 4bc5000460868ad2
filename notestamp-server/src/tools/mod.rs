//! The operator's tools. Each is a use case of the store; a server that has the store open runs it for the command line,
//! over the admin socket.

mod accounts;
mod admin_client;
mod admin_server;
mod admin_socket;
mod archive;
mod backup;
mod backup_server;
mod backup_wire;
mod check;
mod confirm;
mod context;
mod event;
mod exit;
mod export;
mod export_target;
mod failure;
mod frames;
mod import;
mod import_steps;
mod json_lines;
#[cfg(feature = "mongodb")]
mod legacy;
mod open;
mod output;
mod remote_store;
mod settings;
mod task;
mod transfer;
mod transfer_client;

pub(crate) use admin_server::AdminServer;
pub(crate) use admin_socket::AdminSocket;
pub(crate) use context::Context;
pub use exit::Exit;
pub use output::Output;
pub use settings::show_settings;

use tokio::sync::mpsc;

use crate::config::{Tool, ToolConfig};
use confirm::{ask_before_removal, read_password};
use event::EVENTS_WAITING_MAX;
use export::ExportTask;
use failure::Failure;
use task::Task;

/// Runs a tool, at the server that has the store open, or else in this process, and prints what it reports.
pub async fn run(config: ToolConfig, output: &mut Output) -> Exit {
    let (events, reported) = mpsc::channel(EVENTS_WAITING_MAX);
    let running = match config.tool.clone() {
        Tool::Export { email, target, all } => tokio::spawn(async move {
            let task = ExportTask { email, all };
            open::run_export(&config, task, &target, events).await;
        }),
        Tool::Import { email, source } => tokio::spawn(async move {
            open::run_import(&config, &email, &source, events).await;
        }),
        Tool::Backup(tool) => tokio::spawn(async move { backup::run(&config, tool, events).await }),
        tool => {
            let task = match task_of(&tool) {
                Ok(task) => task,
                Err(failure) => return output.fail(&failure),
            };
            tokio::spawn(async move { open::run(&config, task, events).await })
        }
    };
    let exit = output.print_all(reported).await;
    // The task closes the store after its last event, and ends early if the receiver of its events is gone.
    match running.await {
        Ok(()) => exit,
        Err(panicked) => output.fail(&Failure::new(Exit::Incomplete, panicked.to_string())),
    }
}

/// The task of a tool, with what the operator types.
fn task_of(tool: &Tool) -> Result<Task, Failure> {
    use crate::config::AccountTool as Account;

    Ok(match tool.clone() {
        Tool::Sweep => Task::Sweep,
        Tool::Check { deep, repair } => Task::Check { deep, repair },
        Tool::Export { .. } | Tool::Import { .. } | Tool::Backup(_) => {
            unreachable!("this process reads and writes their files")
        }
        Tool::ImportLegacy { mongodb, bucket } => {
            Task::ImportLegacy { mongodb, bucket, variables: legacy_variables(text_variables()) }
        }
        Tool::Account(Account::List) => Task::ListAccounts,
        Tool::Account(Account::Show { email }) => Task::ShowAccount { email },
        Tool::Account(Account::Create { email }) => Task::CreateAccount { email, password: read_password()? },
        Tool::Account(Account::Remove { email, is_confirmed }) => {
            if !is_confirmed {
                ask_before_removal(&email)?;
            }
            Task::RemoveAccount { email }
        }
        Tool::Account(Account::SetPassword { email }) => {
            Task::SetPassword { email, password: read_password()? }
        }
        Tool::Account(Account::SignOut { email }) => Task::SignOut { email },
    })
}

/// The variables of the environment that are texts.
fn text_variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The variables with the credentials and options of the original's bucket, under their `AWS_…` names: those of
/// `NOTESTAMP_LEGACY_AWS_…`, without the prefix `NOTESTAMP_LEGACY_`. If no such variable is set, those of `AWS_…`.
fn legacy_variables(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String)> {
    let (mut own, mut usual) = (Vec::new(), Vec::new());
    for (name, value) in variables {
        match name.strip_prefix("NOTESTAMP_LEGACY_") {
            Some(name) if name.starts_with("AWS_") => own.push((name.to_owned(), value)),
            None if name.starts_with("AWS_") => usual.push((name, value)),
            _ => {}
        }
    }
    if own.is_empty() { usual } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credentials_of_the_original_are_its_own_or_the_usual_ones() {
        let variable = |name: &str| (name.to_owned(), name.to_owned());
        let usual = [variable("AWS_REGION"), variable("AWS_ACCESS_KEY_ID"), variable("PATH")];
        let names = |variables: &[(String, String)]| {
            let found = legacy_variables(variables.iter().cloned());
            found.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&usual), ["AWS_REGION", "AWS_ACCESS_KEY_ID"]);
        let own = [&usual[..], &[variable("NOTESTAMP_LEGACY_AWS_ENDPOINT_URL")]].concat();
        assert_eq!(names(&own), ["AWS_ENDPOINT_URL"]);
    }
}
