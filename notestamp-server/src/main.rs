use std::process::ExitCode;

use notestamp_server::config::{self, Invocation};

fn main() -> ExitCode {
    match config::parse(std::env::args_os(), std::env::vars_os()) {
        Ok(Invocation::Show(text)) => match text.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Ok(Invocation::Serve(_) | Invocation::Sweep(_) | Invocation::OpenApi(_)) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}
