//! Signals: which of them stop the server.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for `SIGINT` and `SIGTERM` from now on, and resolves at the first of them.
///
/// A second one then ends the process at once, without a graceful shutdown, with the status that a shell gives to a
/// program killed by that signal.
///
/// # Errors
///
/// If the operating system does not allow the process to handle the signals.
pub fn requested() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        let kind = next(&mut interrupt, &mut terminate).await;
        tracing::info!(signal = kind.as_raw_value(), "stopping; a second signal stops at once");
        tokio::spawn(async move {
            let kind = next(&mut interrupt, &mut terminate).await;
            std::process::exit(128 + kind.as_raw_value());
        });
    })
}

/// From now on, a write beyond the file size limit of the process (`ulimit -f`) fails with an error, and `SIGXFSZ` does
/// not end the process. Call it in a runtime.
///
/// The signal gets a handler, because safe code cannot ignore a signal; the handler stays installed.
///
/// # Errors
///
/// If the operating system does not allow the process to handle the signals.
pub fn outlive_file_size_limit() -> io::Result<()> {
    let number = rustix::process::Signal::XFSZ.as_raw();
    signal(SignalKind::from_raw(number)).map(drop)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> SignalKind {
    tokio::select! {
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = terminate.recv() => SignalKind::terminate(),
    }
}
