//! A program whose output cannot be written.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use super::server::{PROGRAM, Server, run_into, try_start_with, wait, wait_until};

fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_command_whose_output_cannot_be_written_fails_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Server::start(folder.path(), &[]).stop().success());
    let data = folder.path().to_str().unwrap();
    for arguments in [&["openapi"][..], &["openapi", "--yaml"], &["sweep", "--data", data], &["--help"]] {
        let ended = run_into(arguments, full().into());
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {said}");
        let said_once = said.matches("No space left on device").count() == 1 && !said.contains("panicked");
        assert!(said_once, "{arguments:?}: {said}");
    }
}

#[test]
fn a_command_whose_output_was_closed_ends_without_a_message() {
    let ended = run_into(&["openapi"], Stdio::piped());
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(1), ""));
}

#[test]
fn a_server_that_cannot_print_its_address_serves_nevertheless() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
    let mut server = command.stdout(full()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    wait_until("the warning", || {
        fs::read_to_string(&log).unwrap().contains("cannot write the addresses to standard output")
    });
    let signalled = Command::new("kill").args(["-s", "TERM", &server.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    assert!(wait(&mut server).success(), "{}", fs::read_to_string(&log).unwrap());
}

#[tokio::test]
async fn a_server_that_cannot_write_its_log_serves_nevertheless() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").to_str().unwrap().to_owned();
    let full = folder.path().join("full");
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let server = Server::start_logging(&["--data".into(), data], &[("RUST_LOG", "trace")], &full);
    for _ in 0..3 {
        let response = reqwest::get(format!("{}/home/list", server.url)).await.unwrap();
        assert_eq!(response.status(), 401);
    }
    assert!(server.stop().success());
}

/// The output of a start with a bucket at this endpoint.
fn start_with_bucket(endpoint: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap().to_owned();
    let media = format!("s3://bucket/media?endpoint={endpoint}");
    let credentials = [("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    let ended = try_start_with(&["--data".into(), data, "--media".into(), media], &credentials);
    assert_eq!(ended.status.code(), Some(1));
    String::from_utf8(ended.stderr).unwrap()
}

#[test]
fn the_error_about_an_unreachable_bucket_has_the_reason() {
    // It accepts connections, and sends nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    // It sends bytes that are not TLS, and closes the connection.
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain_url = format!("https://{}", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in plain.incoming() {
            let _ = std::io::Write::write_all(&mut connection.unwrap(), b"this is not TLS\n");
        }
    });
    for (endpoint, reason) in [
        ("http://127.0.0.1:1", "Connection refused"),
        ("http://nowhere.invalid", "failed to lookup address information"),
        (&*plain_url, "InvalidContentType"),
        (&*silent_url, "no response within 4 s"),
    ] {
        let said = start_with_bucket(endpoint);
        let error = said.lines().find(|line| line.starts_with("error: ")).unwrap_or_else(|| panic!("{said}"));
        assert!(error.contains(reason), "{endpoint}: {error}");
    }
}
