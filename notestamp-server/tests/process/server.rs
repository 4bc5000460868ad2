//! A server process.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The deadline for everything that a process should do.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// The interval of polling.
const STEP: Duration = Duration::from_millis(10);

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_notestamp-server");

/// A running server; it is killed when this value is dropped.
pub struct Server {
    child: Child,
    pid: u32,
    pub url: String,
    /// The lines of its standard output after the first address.
    said: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server on this data folder and a free port.
    pub fn start(data: &Path, settings: &[&str]) -> Self {
        Self::spawn(serve(Command::new(PROGRAM), data, settings))
    }

    /// The same with this hard limit of file descriptors.
    pub fn start_with_descriptors(data: &Path, descriptors: u64) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""), PROGRAM]);
        Self::start_by(command, data, &[])
    }

    /// The same under `strace`, which writes these system calls into a file.
    pub fn start_traced(data: &Path, settings: &[&str], calls: &str, trace: &Path) -> Self {
        let mut command = Command::new("strace");
        command.args(["--follow-forks", "--decode-fds=path,socket", "-e", &format!("trace={calls}"), "-o"]);
        command.arg(trace).arg(PROGRAM);
        Self::start_below(command, data, settings)
    }

    /// Starts a server on this data folder by a command that runs it as a child, such as `strace`.
    pub fn start_below(command: Command, data: &Path, settings: &[&str]) -> Self {
        let mut server = Self::start_by(command, data, settings);
        let children = format!("/proc/{0}/task/{0}/children", server.pid);
        server.pid = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        server
    }

    /// Starts a server with these settings and variables, and nothing else, on a free port; its log goes to a file,
    /// which is printed if the server does not start.
    pub fn start_logging(settings: &[String], variables: &[(&str, &str)], path: &Path) -> Self {
        let log = File::options().create(true).append(true).open(path).unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(settings).envs(variables.iter().copied());
        command.stderr(log);
        Self::try_spawn(command).unwrap_or_else(|| panic!("no start: {}", fs::read_to_string(path).unwrap()))
    }

    /// Starts a server on this data folder by a command that becomes it.
    pub fn start_by(command: Command, data: &Path, settings: &[&str]) -> Self {
        Self::spawn(serve(command, data, settings))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    fn spawn(command: Command) -> Self {
        Self::try_spawn(command).expect("it says where it listens")
    }

    /// Starts a server; absent if it ends before it listens.
    fn try_spawn(mut command: Command) -> Option<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it can be started");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let url = lines.find_map(|line| Some(line.strip_prefix("listening on ")?.to_owned()));
        let Some(url) = url else {
            child.wait().expect("it has been started");
            return None;
        };
        // A full pipe that no test reads would block the server.
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        thread::spawn(move || lines.for_each(|line| heard.lock().unwrap().push(line)));
        Some(Self { pid: child.id(), child, url, said })
    }

    /// The URL of the metrics of a server that was started with `--metrics-listen`.
    pub fn metrics_url(&self) -> String {
        self.said_line("metrics on ")
    }

    /// The rest of the line of its standard output that begins so.
    pub fn said_line(&self, beginning: &str) -> String {
        let mut found = None;
        wait_until(beginning, || {
            let said = self.said.lock().unwrap();
            found = said.iter().find_map(|line| line.strip_prefix(beginning)).map(str::to_owned);
            found.is_some()
        });
        found.expect("it was found")
    }

    /// Kills the process with SIGKILL.
    pub fn kill(mut self) {
        self.signal("KILL");
        self.child.wait().unwrap();
    }

    /// Stops the server gracefully.
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        wait(&mut self.child)
    }

    /// Waits for the end of a server that is shutting down.
    pub fn ended(mut self) -> ExitStatus {
        wait(&mut self.child)
    }

    /// The peak memory of the process, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// How much memory the process holds, without that of files.
    pub fn memory_held(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// A line of the status of the process (proc_pid_status(5)), in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let found = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        found.unwrap().parse::<u64>().unwrap() << 10
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal("KILL");
            let _ = self.child.wait();
        }
    }
}

/// Tries to start a server that must not start; returns its output.
pub fn try_start(data: &Path) -> Output {
    run(&mut serve(Command::new(PROGRAM), data, &[]))
}

/// The same, with these settings and variables, and nothing else.
pub fn try_start_with(settings: &[String], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0"]).args(settings).envs(variables.iter().copied());
    run(&mut command)
}

/// The same with another command, which ends with the program's own arguments.
pub fn try_start_by(command: Command, data: &Path, settings: &[&str]) -> Output {
    run(&mut serve(command, data, settings))
}

/// Runs the program with these arguments and this standard output.
pub fn run_into(arguments: &[&str], output: Stdio) -> Output {
    let mut child = Command::new(PROGRAM);
    let mut child = child.args(arguments).stdout(output).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let status = wait(&mut child);
    let mut stderr = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut stderr).unwrap();
    Output { status, stdout: Vec::new(), stderr }
}

/// Waits until a condition is true.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..TIMEOUT.as_millis() / STEP.as_millis() {
        if is_so() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("{what}: in vain");
}

/// Sweeps a data folder that no server has open.
pub fn sweep(data: &Path) -> Output {
    run(Command::new(PROGRAM).args(["sweep", "--sweep-grace", "0s", "--data"]).arg(data))
}

/// Runs a tool of the operator on a data folder, with this standard input.
pub fn tool(data: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(PROGRAM);
    let mut child = command.args(arguments).arg("--data").arg(data).env("RUST_LOG", "error");
    child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    // A tool that needs no input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    output_of(child)
}

fn serve(mut command: Command, data: &Path, settings: &[&str]) -> Command {
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data).args(settings);
    command.env("RUST_LOG", "error");
    command
}

fn run(command: &mut Command) -> Output {
    output_of(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn output_of(mut child: Child) -> Output {
    let status = wait(&mut child);
    let mut output = Output { status, stdout: Vec::new(), stderr: Vec::new() };
    child.stdout.take().unwrap().read_to_end(&mut output.stdout).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut output.stderr).unwrap();
    output
}

/// Waits for a process to end, and kills it after the timeout.
pub fn wait(child: &mut Child) -> ExitStatus {
    for _ in 0..TIMEOUT.as_millis() / STEP.as_millis() {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(STEP);
    }
    child.kill().unwrap();
    panic!("it does not end");
}
