use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use notestamp_server::config::{self, Config, Invocation, OpenApiFormat, SweepConfig};
use notestamp_server::{App, openapi, shutdown, storage, telemetry};
use notestamp_store::{SystemClock, error_chain};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let invocation = match config::parse(std::env::args_os(), std::env::vars_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let done = match invocation {
        Invocation::Show(text) => text.print().map_err(Failure::from),
        Invocation::OpenApi(format) => print(format).map_err(Failure::from),
        Invocation::Serve(config) => in_runtime(serve(*config)),
        Invocation::Sweep(config) => in_runtime(sweep(*config)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn in_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}

async fn serve(config: Config) -> Result<(), Failure> {
    telemetry::start(&config.log);
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let stop = shutdown::requested()?;
    let storage = config.storage.clone();
    let app = App::build(config).await?;

    let mut docs = None;
    for address in app.addresses() {
        println!("listening on http://{address}");
        docs.get_or_insert(address);
    }
    if let Some(address) = app.metrics_address() {
        println!("metrics on http://{address}/metrics");
    }
    match &storage.data_folder {
        Some(folder) => println!("data in {}", folder.path().display()),
        None => println!(
            "metadata in {}, notes in {}, media in {}",
            storage.records, storage.notes, storage.media
        ),
    }
    if let Some(address) = docs {
        println!("API documentation at http://{address}/docs");
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
    println!(
        "doomed {} objects, deleted {}, could not delete {}; took away {} records of removed accounts",
        report.doomed, report.deleted, report.failed, report.purged
    );
    Ok(())
}

fn print(format: OpenApiFormat) -> io::Result<()> {
    use io::Write as _;

    let text = match format {
        OpenApiFormat::Json => openapi::json(),
        OpenApiFormat::Yaml => openapi::yaml(),
    };
    io::stdout().write_all(text.as_bytes())
}
