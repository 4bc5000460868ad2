//! Errors of the file system, injected into a running server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use futures_util::stream;

use super::client::Client;
use super::server::{PROGRAM, Server, try_start_by, wait, wait_until};

/// Makes system calls of a running server fail, until it is dropped.
struct Fault(Child);

impl Fault {
    fn inject(server: &Server, calls: &str, errno: &str, trace: &Path) -> Self {
        let mut strace = Command::new("strace");
        strace.args(["--follow-forks", "-e", &format!("trace={calls}")]);
        strace.args(["-e", &format!("inject={calls}:error={errno}"), "-p", &server.pid().to_string(), "-o"]);
        let log = trace.with_extension("attached");
        let attached = fs::File::create(&log).unwrap();
        let child = strace.arg(trace).stdout(Stdio::null()).stderr(attached).spawn().unwrap();
        wait_until("strace attaches", || fs::read_to_string(&log).unwrap().contains("attached"));
        Self(child)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let detached = Command::new("kill").args(["-s", "INT", &self.0.id().to_string()]).status();
        assert!(detached.unwrap().success());
        wait(&mut self.0);
    }
}

fn media(name: &str) -> Option<stream::Iter<std::array::IntoIter<Bytes, 1>>> {
    Some(stream::iter([Bytes::from(name.to_owned())]))
}

/// Saves with each error, and then without it.
async fn assert_statuses(calls: &str, expected: &[(&str, u16, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let client = Client::register(&server.url, "somebody").await;
    let trace = folder.path().join("trace");
    for (errno, status, code) in expected {
        let fault = Fault::inject(&server, calls, errno, &trace);
        let refused = client.try_save(errno, media(errno)).await;
        assert_eq!(refused, (*status, (*code).to_owned()), "{calls}: {errno}");
        drop(fault);
        let saved = client.try_save(errno, media(errno)).await;
        assert_eq!(saved.0, 200, "{calls}: after {errno}");
    }
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn each_error_of_the_media_folder_has_its_status() {
    // Only the step that makes an object appear renames.
    let expected = [
        ("ENOSPC", 507, "storage_full"),
        ("EDQUOT", 507, "storage_full"),
        ("EFBIG", 413, "too_large"),
        ("EROFS", 503, "unavailable"),
        ("EACCES", 503, "unavailable"),
        ("EIO", 503, "unavailable"),
        ("ESTALE", 503, "unavailable"),
        ("ENOTDIR", 503, "unavailable"),
        ("ENAMETOOLONG", 500, "internal"),
    ];
    assert_statuses("rename", &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs strace"]
async fn each_error_of_the_database_folder_has_its_status() {
    // Only SQLite uses this system call, and the probe for the reason of its failure.
    let expected = [
        ("ENOSPC", 507, "storage_full"),
        ("EDQUOT", 507, "storage_full"),
        ("EFBIG", 507, "storage_full"),
        ("EROFS", 503, "unavailable"),
        ("EACCES", 503, "unavailable"),
        ("EIO", 503, "unavailable"),
        ("ESTALE", 503, "unavailable"),
    ];
    assert_statuses("pwrite64", &expected).await;
}

/// A command that runs the program, in which syncs of this folder fail as on a file system without them.
fn without_folder_syncs(data: &Path, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "-P"]).arg(data).args(["-e", "trace=fsync"]);
    strace.args(["-e", "inject=fsync:error=EINVAL", "-o"]).arg(trace).arg(PROGRAM);
    strace
}

fn data_folder(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap().join("data")
}

#[test]
#[ignore = "needs strace"]
fn a_file_system_that_cannot_sync_folders_is_refused_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let (data, trace) = (data_folder(folder.path()), folder.path().join("trace"));
    let ended = try_start_by(without_folder_syncs(&data, &trace), &data, &[]);
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    let names_it = said.contains(data.to_str().unwrap()) && said.contains("Invalid argument");
    assert!(names_it && said.contains("durability `relaxed`"), "{said}");
}

#[test]
#[ignore = "needs strace"]
fn with_relaxed_durability_a_file_system_need_not_sync_folders() {
    let folder = tempfile::tempdir().unwrap();
    let (data, trace) = (data_folder(folder.path()), folder.path().join("trace"));
    let relaxed = ["--durability", "relaxed"];
    let server = Server::start_below(without_folder_syncs(&data, &trace), &data, &relaxed);
    assert!(server.stop().success());
}

#[tokio::test]
async fn a_file_beyond_the_limit_of_the_process_is_too_large_and_the_server_continues() {
    let folder = tempfile::tempdir().unwrap();
    let mut limited = Command::new("bash");
    // In units of 1,024 bytes.
    limited.args(["-c", "ulimit -f 2048 && exec \"$0\" \"$@\"", PROGRAM]);
    let server = Server::start_by(limited, &folder.path().join("data"), &[]);
    let client = Client::register(&server.url, "somebody").await;
    let large = stream::iter((0..5).map(|n| Bytes::from(vec![n; 1 << 20])));
    assert_eq!(client.try_save("large", Some(large)).await, (413, "too_large".to_owned()));
    assert_eq!(client.try_save("small", media("small")).await.0, 200);
    assert!(server.stop().success());
}
