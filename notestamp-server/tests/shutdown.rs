//! Signals affect a whole process, so each of these tests starts this binary again as a separate process.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use notestamp_server::shutdown;

/// The deadline for a child process to stop.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The child process of the tests below; as an ordinary test it does nothing.
#[tokio::test]
async fn child() {
    if std::env::var_os("NOTESTAMP_TEST_CHILD").is_none() {
        return;
    }
    let requested = shutdown::requested().unwrap();
    say("ready");
    tokio::time::timeout(TIMEOUT, requested).await.expect("a signal comes");
    say("stopping");
    if std::env::var_os("LINGER").is_some() {
        tokio::time::sleep(TIMEOUT).await;
    }
}

/// Begins a new line, because the test harness leaves one unfinished.
fn say(word: &str) {
    println!("\n{word}");
}

struct Process(Child, BufReader<ChildStdout>);

impl Process {
    fn start(linger: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test knows its file"));
        command.args(["--exact", "child", "--nocapture"]).stdout(Stdio::piped());
        command.env("NOTESTAMP_TEST_CHILD", "1");
        if linger {
            command.env("LINGER", "1");
        }
        let mut child = command.spawn().expect("it starts again");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut process = Self(child, output);
        process.wait_for("ready");
        process
    }

    #[track_caller]
    fn wait_for(&mut self, word: &str) {
        let mut lines = self.1.by_ref().lines().map_while(Result::ok);
        assert!(lines.any(|line| line == word), "it says {word}");
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().is_ok_and(|status| status.success()));
    }

    fn status(mut self) -> Option<i32> {
        self.0.wait().expect("it ends").code()
    }
}

#[test]
fn the_first_signal_starts_a_graceful_shutdown() {
    for name in ["INT", "TERM"] {
        let mut process = Process::start(false);
        process.signal(name);
        process.wait_for("stopping");
        assert_eq!(process.status(), Some(0), "{name}");
    }
}

#[test]
fn the_second_signal_stops_at_once() {
    for (name, status) in [("INT", 130), ("TERM", 143)] {
        let mut process = Process::start(true);
        process.signal("TERM");
        process.wait_for("stopping");
        process.signal(name);
        assert_eq!(process.status(), Some(status), "{name}");
    }
}
