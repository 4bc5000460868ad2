//! What a tool prints: text on a terminal, else JSON lines.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;
use tokio::sync::mpsc;

use super::event::{AccountLine, Event, FindingLine, Progress, SnapshotLine};
use super::exit::Exit;
use super::failure::Failure;

/// The output of a tool.
pub struct Output {
    as_json: bool,
    /// Whether the last line of the terminal shows the progress.
    shows_progress: bool,
    error: Option<io::Error>,
}

impl Output {
    /// Text if standard output is a terminal and `as_json` is false; else JSON lines.
    pub fn new(as_json: bool) -> Self {
        let as_json = as_json || !io::stdout().is_terminal();
        Self { as_json, shows_progress: false, error: None }
    }

    /// The error that ended the output before its end.
    pub fn into_error(self) -> Option<io::Error> {
        self.error
    }

    /// Prints all events, until the last one or until the output cannot be written.
    pub(super) async fn print_all(&mut self, mut events: mpsc::Receiver<Event>) -> Exit {
        let mut exit = Exit::Done;
        while let Some(event) = events.recv().await {
            if matches!(&event, Event::Finding(finding) if !finding.repaired) {
                exit = Exit::Incomplete;
            }
            match &event {
                Event::Failure(failure) => return self.fail(failure),
                Event::Summary(_) => {
                    return if self.print(&event) { exit } else { Exit::Incomplete };
                }
                event if !self.print(event) => return Exit::Incomplete,
                _ => {}
            }
        }
        self.fail(&Failure::new(Exit::Incomplete, "the tool ended without a result"))
    }

    pub(super) fn fail(&mut self, failure: &Failure) -> Exit {
        self.end_progress();
        // A failure to do so cannot be reported anywhere.
        let _ = writeln!(io::stderr(), "error: {}", failure.message);
        failure.exit
    }

    /// Prints a value as one line: as text, or as JSON. Returns whether it could be written.
    pub(super) fn print_line(&mut self, text: &str, value: &impl serde::Serialize) -> bool {
        self.end_progress();
        let line = match self.as_json {
            true => serde_json::to_string(value).expect("it can be serialized"),
            false => text.to_owned(),
        };
        let mut output = io::stdout().lock();
        let written = writeln!(output, "{line}").and_then(|()| output.flush());
        self.error = written.err();
        self.error.is_none()
    }

    fn print(&mut self, event: &Event) -> bool {
        match event {
            Event::Progress(progress) if !self.as_json => {
                self.show_progress(progress);
                true
            }
            event => self.print_line(&text(event), event),
        }
    }

    /// Shows the progress on the last line of the terminal.
    fn show_progress(&mut self, Progress { done, total, unit }: &Progress) {
        const WIDTH: u64 = 30;
        let filled = if *total == 0 { WIDTH } else { (done.min(total) * WIDTH) / total };
        let (filled, empty) = ("#".repeat(filled as usize), "-".repeat((WIDTH - filled) as usize));
        // The progress is a courtesy: whether it can be written does not matter.
        let _ = write!(io::stderr(), "\r[{filled}{empty}] {done} of {total} {unit}\u{1b}[K");
        self.shows_progress = true;
    }

    fn end_progress(&mut self) {
        if std::mem::take(&mut self.shows_progress) {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}

fn text(event: &Event) -> String {
    match event {
        Event::Progress(Progress { done, total, unit }) => format!("{done} of {total} {unit}"),
        Event::Account(AccountLine { email, created, projects, bytes, sessions, .. }) => {
            let sessions = sessions.map(|count| format!(", {count} open sessions")).unwrap_or_default();
            format!("{email}: {projects} projects, {bytes} bytes, since {created}{sessions}")
        }
        Event::Snapshot(SnapshotLine { time, users, projects, blobs, bytes }) => {
            format!("{time}: {users} accounts, {projects} projects, {blobs} blobs of {bytes} bytes")
        }
        Event::Summary(values) => {
            let values = values.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            });
            values.collect::<Vec<_>>().join(", ")
        }
        Event::Failure(failure) => failure.message.clone(),
        Event::Finding(FindingLine { finding, kind, object, owner, title, detail, repaired }) => {
            let object = object.as_ref().map(|object| format!(" {object}")).unwrap_or_default();
            let title = title.as_ref().map(|title| format!(" of the project {title:?}")).unwrap_or_default();
            let owner = owner.as_ref().map(|owner| format!(" of {owner}")).unwrap_or_default();
            let repaired = if *repaired { " (repaired)" } else { "" };
            format!("{finding}: {kind}{object}{title}{owner}: {detail}{repaired}")
        }
    }
}
