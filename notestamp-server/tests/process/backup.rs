//! Backups and restores by the command line: beside a running server, without one, killed, and between MongoDB with S3
//! and a data folder.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::generated::{file, pieces};
use super::server::{PROGRAM, Server, tool};

/// The exit code, the last line of the output if it is a summary, and what was said on standard error.
fn run(data: &Path, arguments: &[&str]) -> (i32, Value, String) {
    let output = tool(data, arguments, "");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("\"finding\":\"unaccounted"), "{text}");
    let last: Value = text.lines().last().map_or(Value::Null, |line| serde_json::from_str(line).unwrap());
    (output.status.code().unwrap(), last["summary"].clone(), String::from_utf8(output.stderr).unwrap())
}

#[track_caller]
fn done(data: &Path, arguments: &[&str]) -> Value {
    let (code, summary, said) = run(data, arguments);
    assert_eq!(code, 0, "{arguments:?}: {summary} {said}");
    summary
}

/// A server with an account that has history, trash and media.
async fn used_server(data: &Path) -> (Server, Client) {
    let server = Server::start(data, &[]);
    let client = Client::register(&server.url, "ada").await;
    client.save("Song", "[\"first\"]", Some(pieces(&file(300_000)))).await.unwrap();
    client.save("Song", "[\"second\"]", Some(pieces(&file(2_000_000)))).await.unwrap();
    client.save("Gone", "[]", Some(pieces(&file(300_000)))).await.unwrap();
    client.delete("Gone").await.unwrap();
    client.save("Talk", "[\"talk\"]", None::<futures_util::stream::Empty<bytes::Bytes>>).await.unwrap();
    (server, client)
}

/// What the account of a client sees at a server.
async fn seen(client: &Client, url: &str) -> Vec<String> {
    let client = client.at(url).sign_in_again().await.unwrap();
    let mut seen = Vec::new();
    for project in client.list().await {
        let media = match project.media {
            Some(_) => format!("{:?}", client.download(&project).await),
            None => String::new(),
        };
        seen.push(format!("{} {} {media}", project.title, client.open(&project.title).await));
    }
    for path in ["/home/history?name=Song", "/home/trash"] {
        seen.push(client.fetch(&format!("{url}{path}")).await.unwrap().text().await.unwrap());
    }
    assert_eq!(seen.len(), 4);
    seen
}

fn path(place: &TempDir, name: &str) -> (PathBuf, String) {
    let path = place.path().join(name);
    (path.clone(), path.to_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_beside_a_server_is_restored_beside_another_and_without_one() {
    let place = tempfile::tempdir().unwrap();
    let (data, _) = path(&place, "data");
    let (_, backup) = path(&place, "backup");
    let (server, client) = used_server(&data).await;
    let expected = seen(&client, &server.url).await;
    let first = done(&data, &["backup", &backup]);
    assert_eq!((&first["copied"], &first["findings"]), (&6.into(), &0.into()));
    let second = done(&data, &["backup", &backup]);
    assert_eq!((&second["blobs"], &second["copied"]), (&first["blobs"], &0.into()));
    assert_eq!(done(&data, &["backup", "list", &backup])["snapshots"], 2);
    assert_eq!(done(&data, &["backup", "verify", &backup])["findings"], 0);
    assert_eq!(done(&data, &["backup", "prune", &backup, "--keep", "1"])["snapshots"], 1);
    // The hold of a backup that has ended keeps nothing.
    assert_eq!(done(&data, &["sweep"])["held"], false);
    assert!(server.stop().success());
    assert_eq!(done(&data, &["backup", &backup])["copied"], 0, "the data folder is free again");

    // Beside a server.
    let (target, _) = path(&place, "target");
    let server = Server::start(&target, &[]);
    let restored = done(&target, &["restore", &backup]);
    assert_eq!((&restored["accounts"], &restored["findings"]), (&1.into(), &0.into()));
    assert_eq!(seen(&client, &server.url).await, expected);
    let (code, _, said) = run(&target, &["restore", &backup]);
    assert!(code == 2 && said.contains("not empty"), "{code} {said}");
    assert_eq!(done(&target, &["check", "--deep"])["findings"], 0);
    assert!(server.stop().success());

    // Without one, into a folder that is made; the oldest snapshot by its name.
    let (made, _) = path(&place, "new/target");
    let snapshots = fs::read_dir(place.path().join("backup/snapshots")).unwrap();
    let mut names: Vec<_> =
        snapshots.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let time = names[0].strip_suffix(".jsonl").unwrap();
    assert_eq!(done(&made, &["restore", &backup, "--snapshot", time])["restored"], time);
    assert_eq!(done(&made, &["check", "--deep"])["findings"], 0);
    let server = Server::start(&made, &[]);
    assert_eq!(seen(&client, &server.url).await, expected);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_damage_and_an_unreachable_store_have_their_exit_codes() {
    let place = tempfile::tempdir().unwrap();
    let (data, data_text) = path(&place, "data");
    let (folder, backup) = path(&place, "backup");
    let (absent, absent_text) = path(&place, "absent");
    let (server, _client) = used_server(&data).await;
    assert!(server.stop().success());
    done(&data, &["backup", &backup]);
    for (data, arguments, expected, part) in [
        (&absent, &["backup", &backup][..], 2, "there is no store"),
        (&data, &["backup", &data_text], 2, "neither empty nor a backup"),
        (&data, &["backup"], 2, "DIR"),
        (&data, &["backup", "list", &absent_text], 2, "there is no backup"),
        (&data, &["backup", "verify", &absent_text], 2, "there is no backup"),
        (&data, &["backup", "prune", &backup], 2, "keep"),
        (&data, &["backup", "prune", &backup, "--keep", "0"], 2, "keep"),
        (&data, &["restore", &backup], 2, "not empty"),
        (&absent, &["restore", &absent_text], 2, "there is no backup"),
        (&absent, &["restore", &backup, "--snapshot", "2001-01-01"], 2, "no snapshot"),
        (&absent, &["restore", &backup, "--snapshot", "../x"], 2, "no time"),
    ] {
        let (code, _, said) = run(data, arguments);
        assert!(code == expected && said.contains(part), "{arguments:?}: {code} {said}");
    }
    let blocked = fs::File::open(data.join("notestamp.sqlite.lock")).unwrap();
    blocked.lock().unwrap();
    let (code, _, said) = run(&data, &["backup", &backup]);
    assert!(code == 3 && said.contains("in use"), "{code} {said}");
    drop(blocked);

    let blobs = fs::read_dir(folder.join("blobs")).unwrap().map(|entry| entry.unwrap().path());
    let blob = fs::read_dir(blobs.into_iter().next().unwrap()).unwrap().next().unwrap().unwrap().path();
    fs::write(&blob, "damaged").unwrap();
    let (code, summary, _) = run(&data, &["backup", "verify", &backup]);
    assert_eq!((code, &summary["findings"]), (1, &1.into()));
    let (code, _, said) = run(&place.path().join("target"), &["restore", &backup]);
    assert!(code == 1 && said.contains("damaged"), "{code} {said}");
    // The next backup copies it again.
    assert_eq!(done(&data, &["backup", &backup])["copied"], 1);
    done(&data, &["backup", "verify", &backup]);
}

/// Runs a tool and kills it after this time; returns whether it had succeeded before.
fn run_and_kill(data: &Path, arguments: &[&str], after: Duration) -> bool {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).arg("--data").arg(data).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    std::thread::sleep(after);
    let _ = child.kill();
    child.wait().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_and_a_killed_restore_go_on_when_they_are_repeated() {
    let place = tempfile::tempdir().unwrap();
    let (data, _) = path(&place, "data");
    let (_, backup) = path(&place, "backup");
    let (server, client) = used_server(&data).await;
    let expected = seen(&client, &server.url).await;
    for millis in (4..60).step_by(8) {
        run_and_kill(&data, &["backup", &backup], Duration::from_millis(millis));
    }
    done(&data, &["backup", &backup]);
    assert_eq!(done(&data, &["backup", "verify", &backup])["findings"], 0);
    assert!(server.stop().success());

    let (target, _) = path(&place, "target");
    let mut has_succeeded = false;
    for millis in (4..100).step_by(8) {
        has_succeeded =
            has_succeeded || run_and_kill(&target, &["restore", &backup], Duration::from_millis(millis));
    }
    let (code, _, said) = run(&target, &["restore", &backup]);
    assert!(code == 0 || (has_succeeded && said.contains("not empty")), "{code} {said}");
    assert_eq!(done(&target, &["check", "--deep"])["findings"], 0);
    let server = Server::start(&target, &[]);
    assert_eq!(seen(&client, &server.url).await, expected);
    assert!(server.stop().success());
}

/// A database and a bucket of real servers, as the settings of a tool or a server.
fn mongodb_s3(name: &str) -> Vec<String> {
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("{name} is needed"));
    let unique = format!("notestamp_backup_{name}_{}", std::process::id());
    let server = variable("NOTESTAMP_TEST_MONGODB_URL");
    let (hosts, options) = server.split_once('?').unwrap_or((&server, ""));
    let (scheme, hosts) = hosts.split_once("://").unwrap();
    let hosts = hosts.split('/').next().unwrap();
    let (bucket, endpoint) = (variable("NOTESTAMP_TEST_S3_BUCKET"), variable("NOTESTAMP_TEST_S3_ENDPOINT"));
    let blobs = |of| format!("s3://{bucket}/{unique}/{of}?endpoint={endpoint}&path_style=true");
    vec![
        format!("--metadata={scheme}://{hosts}/{unique}?{options}"),
        format!("--notes={}", blobs("notes")),
        format!("--media={}", blobs("media")),
    ]
}

fn with<'a>(settings: &[&'a str], arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, settings].concat()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_library_moves_to_mongodb_and_s3_and_back() {
    let place = tempfile::tempdir().unwrap();
    let (data, _) = path(&place, "data");
    let (_, backup) = path(&place, "backup");
    let (_, second) = path(&place, "second");
    let (server, client) = used_server(&data).await;
    let expected = seen(&client, &server.url).await;
    done(&data, &["backup", &backup]);
    assert!(server.stop().success());

    let settings = mongodb_s3("moves");
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    // Beside a server that has the empty store open.
    let key = ("NOTESTAMP_SIGNING_KEY", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    let log = place.path().join("log");
    let owned: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
    let server = Server::start_logging(&owned, &[key], &log);
    run_and_kill(&data, &with(&settings, &["restore", &backup]), Duration::from_millis(150));
    let (code, _, said) = run(&data, &with(&settings, &["restore", &backup]));
    assert!(code == 0 || said.contains("not empty"), "{code} {said}");
    assert_eq!(seen(&client, &server.url).await, expected);
    assert_eq!(done(&data, &with(&settings, &["check", "--deep"]))["findings"], 0);

    let moved = done(&data, &with(&settings, &["backup", &second]));
    assert_eq!((&moved["copied"], &moved["findings"]), (&6.into(), &0.into()));
    assert_eq!(done(&data, &with(&settings, &["backup", &second]))["copied"], 0);
    assert_eq!(done(&data, &with(&settings, &["sweep"]))["held"], false);
    assert!(server.stop().success());
    let (target, _) = path(&place, "target");
    done(&target, &["restore", &second]);
    let server = Server::start(&target, &[]);
    assert_eq!(seen(&client, &server.url).await, expected);
    assert!(server.stop().success());
}
