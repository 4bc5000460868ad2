use std::io::{self, Write as _};
use std::process::ExitCode;

use notestamp_server::config::{self, Config, Invocation, OpenApiFormat, Storage, ToolConfig};
use notestamp_server::tools::{self, Exit, Output};
use notestamp_server::{App, give_memory_back, openapi, raise_descriptor_limit, shutdown, telemetry};
use notestamp_store::error_chain;

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
        Invocation::Show(text) => text.print().map_err(Failure::from).map(|()| Exit::Done),
        Invocation::OpenApi(format) => say(document(format).as_bytes()).map(|()| Exit::Done),
        Invocation::Completions(shell) => say(&config::completions(shell)).map(|()| Exit::Done),
        Invocation::CheckConfig(settings) => {
            print(Output::new(settings.json), |output| tools::show_settings(&settings, output))
        }
        Invocation::Serve(config) => {
            give_memory_back();
            in_runtime(serve(*config)).map(|()| Exit::Done)
        }
        Invocation::Tool(config) => in_runtime(run_tool(*config)),
    };
    match done {
        Ok(exit) => ExitCode::from(exit as u8),
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
fn say(text: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    output.write_all(text).and_then(|()| output.flush()).map_err(|error| OutputError(error).into())
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

fn in_runtime<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
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
    if let Err(error) = say(announcement(&app, &storage).as_bytes()) {
        tracing::warn!(error = error_chain(&*error), "cannot write the addresses to standard output");
    }
    app.run(stop).await?;
    Ok(())
}

async fn run_tool(config: ToolConfig) -> Result<Exit, Failure> {
    telemetry::start(&config.log);
    let mut output = Output::new(config.json);
    let exit = tools::run(config, &mut output).await;
    ended(output, exit)
}

fn print(mut output: Output, work: impl FnOnce(&mut Output) -> Exit) -> Result<Exit, Failure> {
    let exit = work(&mut output);
    ended(output, exit)
}

fn ended(output: Output, exit: Exit) -> Result<Exit, Failure> {
    match output.into_error() {
        Some(error) => Err(OutputError(error).into()),
        None => Ok(exit),
    }
}

/// The text that tells the server's addresses, and where its data is.
fn announcement(app: &App, storage: &Storage) -> String {
    let scheme = app.scheme();
    let mut lines: Vec<String> =
        app.addresses().map(|address| format!("listening on {scheme}://{address}\n")).collect();
    let redirect = app.redirect_address();
    lines.extend(redirect.map(|address| format!("redirecting http://{address} to https\n")));
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
            lines.push(format!("web app at {scheme}://{address}/\n"));
        }
        lines.push(format!("API documentation at {scheme}://{address}/docs\n"));
    }
    lines.concat()
}

fn document(format: OpenApiFormat) -> String {
    match format {
        OpenApiFormat::Json => openapi::json(),
        OpenApiFormat::Yaml => openapi::yaml(),
    }
}
