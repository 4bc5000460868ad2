//! The operator's tools, beside a running server and without one.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use super::client::Client;
use super::server::{PROGRAM, Server, tool};

const ADA: &str = "ada@example.org";
const PASSWORD: &str = "correct horse battery\n";

/// The lines of an output, which are JSON because it is no terminal.
#[track_caller]
pub fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The exit code of a tool that fails, which prints no result and says why.
#[track_caller]
pub fn refused(output: &Output) -> (Option<i32>, String) {
    assert_eq!(String::from_utf8(output.stdout.clone()).unwrap(), "");
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// A data folder where a server has run.
fn used_folder(place: &Path) -> PathBuf {
    let data = place.join("data");
    assert!(Server::start(&data, &[]).stop().success());
    data
}

async fn sign_in(url: &str, password: &str) -> u16 {
    let credentials = json!({ "username": ADA, "password": password });
    let sent = reqwest::Client::new().post(format!("{url}/auth/signin")).json(&credentials).send().await;
    sent.unwrap().status().as_u16()
}

/// Manages an account in all ways.
fn manage_accounts(data: &Path) {
    let summary = |arguments: &[&str], input: &str| lines(&tool(data, arguments, input));
    assert_eq!(summary(&["account", "list"], ""), [json!({ "summary": { "accounts": 0 } })]);
    let created = summary(&["account", "create", " Ada@Example.org"], PASSWORD);
    assert_eq!(created, [json!({ "summary": { "created": ADA } })]);
    let (code, said) = refused(&tool(data, &["account", "create", ADA], PASSWORD));
    assert_eq!((code, said.as_str()), (Some(1), "error: account already exists\n"));

    for arguments in [&["account", "list"][..], &["account", "show", ADA]] {
        let shown = summary(arguments, "");
        assert_eq!(shown[0]["account"]["email"], ADA);
        assert_eq!(shown[0]["account"]["projects"], 0);
        assert_eq!(shown[1], json!({ "summary": { "accounts": 1 } }));
    }
    let set = summary(&["account", "set-password", ADA], "another long password\n");
    assert_eq!(set, [json!({ "summary": { "passwordSet": ADA } })]);
    assert_eq!(summary(&["account", "sign-out", ADA], ""), [json!({ "summary": { "signedOut": ADA } })]);
    let swept = summary(&["sweep"], "");
    assert_eq!(
        swept,
        [
            json!({ "summary": { "purged": 0, "thinned": 0, "trashPurged": 0, "doomed": 0, "deleted": 0, "held": false, "failed": 0 } })
        ]
    );

    let (code, said) = refused(&tool(data, &["account", "remove", ADA], "y\n"));
    assert!(code == Some(2) && said.contains("--yes"), "{said}");
    let removed = summary(&["account", "remove", ADA, "--yes"], "");
    assert_eq!(removed, [json!({ "summary": { "removed": ADA } })]);
    for command in ["show", "sign-out"] {
        let (code, said) = refused(&tool(data, &["account", command, ADA], ""));
        assert!(code == Some(1) && said.contains("there is no account ada@example.org"), "{said}");
    }
}

#[test]
fn accounts_are_managed_beside_a_running_server_and_without_one() {
    let place = tempfile::tempdir().unwrap();
    let data = used_folder(place.path());
    manage_accounts(&data);
    let server = Server::start(&data, &[]);
    manage_accounts(&data);
    assert!(server.stop().success());
    manage_accounts(&data);
}

#[test]
fn wrong_use_is_told_apart_from_failure() {
    let place = tempfile::tempdir().unwrap();
    let data = used_folder(place.path());
    let absent = place.path().join("absent");
    for (data, arguments, input, part) in [
        (&absent, &["account", "list"][..], "", "there is no store"),
        (&absent, &["sweep"], "", "there is no store"),
        (&data, &["account", "show", "no address"], "", "email address"),
        (&data, &["account", "create", ADA], "", "no password"),
        (&data, &["account", "create", ADA], "short\n", "password is shorter"),
        (&data, &["account", "show"], "", "EMAIL"),
    ] {
        let (code, said) = refused(&tool(data, arguments, input));
        assert!(code == Some(2) && said.contains(part), "{arguments:?}: {code:?} {said}");
    }
    assert!(!absent.exists());
    let blocked = fs::File::open(data.join("notestamp.sqlite.lock")).unwrap();
    blocked.lock().unwrap();
    let (code, said) = refused(&tool(&data, &["account", "list"], ""));
    assert!(code == Some(3) && said.contains("in use"), "{code:?} {said}");
}

#[tokio::test]
async fn a_new_password_and_a_sign_out_end_the_sessions_at_the_running_server() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let server = Server::start(&data, &[]);
    let run = |arguments: &[&str], input: &str| lines(&tool(&data, arguments, input));
    let client = Client::register(&server.url, "bob").await;
    let accounts = run(&["account", "list"], "");
    let email = accounts[0]["account"]["email"].as_str().unwrap().to_owned();
    assert_eq!(run(&["account", "show", &email], "")[0]["account"]["sessions"], 1);
    assert_eq!(client.get("/home/list").await.0, 200);
    run(&["account", "sign-out", &email], "");
    assert_eq!(client.get("/home/list").await.0, 401);

    run(&["account", "create", ADA], PASSWORD);
    assert_eq!(sign_in(&server.url, PASSWORD.trim()).await, 200);
    run(&["account", "set-password", ADA], "another long password\r\n");
    assert_eq!(run(&["account", "show", ADA], "")[0]["account"]["sessions"], 0);
    assert_eq!(sign_in(&server.url, PASSWORD.trim()).await, 401);
    assert_eq!(sign_in(&server.url, "another long password").await, 200);
    assert!(server.stop().success());
}

/// The admin socket of a data folder.
fn socket(data: &Path) -> PathBuf {
    data.join("notestamp.sqlite.socket")
}

#[tokio::test]
async fn the_admin_socket_is_for_the_owner_of_the_folder_and_no_path_on_tcp_leads_to_it() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let server = Server::start(&data, &[]);
    let found = fs::metadata(socket(&data)).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    let task = json!({ "task": "listAccounts" });
    for path in ["/", "/tasks", "/admin", "/listAccounts"] {
        let sent = reqwest::Client::new().post(format!("{}{path}", server.url)).json(&task).send().await;
        assert!(matches!(sent.unwrap().status().as_u16(), 404 | 405), "{path}");
    }
    assert!(server.stop().success());
    assert!(!socket(&data).exists());
}

#[test]
fn the_socket_of_a_killed_server_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    Server::start(&data, &[]).kill();
    assert!(socket(&data).exists());
    let none = [json!({ "summary": { "accounts": 0 } })];
    assert_eq!(lines(&tool(&data, &["account", "list"], "")), none, "without a server");
    let server = Server::start(&data, &[]);
    assert_eq!(lines(&tool(&data, &["account", "list"], "")), none, "beside the next server");
    assert!(server.stop().success());
}

#[test]
fn a_data_folder_with_a_long_path_has_an_admin_socket_too() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("a".repeat(150)).join("b".repeat(150));
    let server = Server::start(&data, &[]);
    assert_eq!(lines(&tool(&data, &["account", "list"], "")), [json!({ "summary": { "accounts": 0 } })]);
    assert!(server.stop().success());
}

#[test]
fn the_settings_are_printed_with_their_sources() {
    let mut command = Command::new(PROGRAM);
    // A variable of the tests would cause a warning.
    let output = command.args(["config", "check", "--quota", "1GiB"]).env_clear().output().unwrap();
    let printed = lines(&output);
    let quota = json!({ "setting": "quota", "value": "1GiB", "source": "--quota" });
    assert!(printed.contains(&quota), "{printed:?}");
    assert_eq!(printed.last().unwrap()["summary"]["warnings"], 0);
}
