use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use notestamp_server::config::{self, Config, Invocation, OpenApiFormat, Storage, SweepConfig};
use notestamp_server::{
    App, give_memory_back, openapi, raise_descriptor_limit, shutdown, storage, telemetry,
};
use notestamp_store::{SystemClock, error_chain};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let invocation = match config::parse(std::env::args_os(), std::env::vars_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let done = match invocation {
        Invocation::Show(text) => text.print().map_err(Failure::from),
        Invocation::OpenApi(format) => say(&document(format)),
        Invocation::Serve(config) => {
            give_memory_back();
            in_runtime(serve(*config))
        }
        Invocation::Sweep(config) => in_runtime(sweep(*config)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A broken pipe is not an error: the reader of the output has closed it.
            if !is_broken_pipe(&*error) {
                complain(&error_chain(&*error));
            }
            ExitCode::FAILURE
        }
    }
}

/// Writes the result of the program to standard output.
fn say(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|error| OutputError(error).into())
}

/// Writing to standard output failed.
#[derive(Debug, thiserror::Error)]
#[error("the output cannot be written")]
struct OutputError(#[source] io::Error);

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref().is_some_and(|OutputError(error)| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes an error to standard error; a failure to do so cannot be reported anywhere.
fn complain(error: &str) {
    let _ = writeln!(io::stderr(), "error: {error}");
}

fn in_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        shutdown::outlive_file_size_limit()?;
        work.await
    })
}

async fn serve(config: Config) -> Result<(), Failure> {
    telemetry::start(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    if let Err(error) = raise_descriptor_limit() {
        tracing::warn!(%error, "cannot raise the limit of file descriptors");
    }
    let stop = shutdown::requested()?;
    let storage = config.storage.clone();
    let app = App::build(config).await?;

    // The server runs even if the announcement cannot be written.
    if let Err(error) = say(&announcement(&app, &storage)) {
        tracing::warn!(error = error_chain(&*error), "cannot write the addresses to standard output");
    }
    app.run(stop).await?;
    Ok(())
}

async fn sweep(config: SweepConfig) -> Result<(), Failure> {
    telemetry::start(&config.log);
    let settings = storage::sweep_settings(&config.storage, &config.sweep);
    let store = storage::open(&config.storage, settings, Arc::new(SystemClock)).await?;
    let report = store.sweep().await?;
    store.close().await?;
    say(&format!(
        "doomed {} objects, deleted {}, could not delete {}; purged {} records of removed accounts\n",
        report.doomed, report.deleted, report.failed, report.purged
    ))
}

/// The text that tells the server's addresses, and where its data is.
fn announcement(app: &App, storage: &Storage) -> String {
    let mut lines: Vec<String> =
        app.addresses().map(|address| format!("listening on http://{address}\n")).collect();
    lines.extend(app.metrics_address().map(|address| format!("metrics on http://{address}/metrics\n")));
    lines.push(match &storage.data_folder {
        Some(folder) => format!("data in {}\n", folder.path().display()),
        None => format!(
            "metadata in {}, notes in {}, media in {}\n",
            storage.records, storage.notes, storage.media
        ),
    });
    if let Some(address) = app.addresses().next() {
        if app.serves_site() {
            lines.push(format!("web app at http://{address}/\n"));
        }
        lines.push(format!("API documentation at http://{address}/docs\n"));
    }
    lines.concat()
}

fn document(format: OpenApiFormat) -> String {
    match format {
        OpenApiFormat::Json => openapi::json(),
        OpenApiFormat::Yaml => openapi::yaml(),
    }
}
