//! `check` on a data folder whose files and records are damaged from outside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::generated::{file, pieces};
use super::server::{Server, tool};

/// A data folder with two projects, which share their media; no server has it open.
async fn used_folder() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let server = Server::start(&place.path().join("data"), &[]);
    let client = Client::register(&server.url, "ada").await;
    for title in ["Song", "Talk"] {
        client.save(title, "[]", Some(pieces(&file(300_000)))).await.unwrap();
    }
    assert!(server.stop().success());
    place
}

/// A copy of the folder, to be damaged.
fn copy(place: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let (from, to) = (place.path().join("data"), copy.path());
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().unwrap().success());
    copy
}

/// Executes a statement on the database, past all that the schema demands.
fn execute(data: &Path, statement: &str) {
    let database = Connection::open(data.join("notestamp.sqlite")).unwrap();
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    database.pragma_update(None, "foreign_keys", false).unwrap();
    assert!(database.execute(statement, ()).unwrap() > 0, "{statement}");
}

/// The only file of media.
fn media_file(data: &Path) -> PathBuf {
    let mut folders = fs::read_dir(data.join("media")).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.find(|path| path.is_dir()).unwrap();
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// The exit code of a check, and its findings.
fn check(data: &Path, flags: &[&str]) -> (i32, Vec<Value>) {
    let output = tool(data, &[&["check"], flags].concat(), "");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    let summary = lines.last().unwrap_or_else(|| panic!("{said}"));
    let findings: Vec<Value> = lines.iter().filter(|line| line["finding"].is_string()).cloned().collect();
    assert_eq!(summary["summary"]["findings"], findings.len(), "{text}{said}");
    (output.status.code().unwrap(), findings)
}

type Damage = fn(&Path);

/// The damage, the one finding that names it, and whether it can be repaired.
const DAMAGE: [(&str, &str, bool, Damage); 12] = [
    ("missing", "media", false, |data| fs::remove_file(media_file(data)).unwrap()),
    ("wrong length", "media", false, |data| fs::write(media_file(data), "short").unwrap()),
    ("wrong digest", "media", false, |data| {
        let mut bytes = fs::read(media_file(data)).unwrap();
        bytes[1_000] ^= 1;
        fs::write(media_file(data), bytes).unwrap();
    }),
    ("unaccounted", "notes", true, |data| fs::write(data.join("notes/stranger"), "?").unwrap()),
    ("unaccounted", "media", true, |data| fs::create_dir(data.join("media/strangers")).unwrap()),
    ("unaccounted", "media", true, |data| {
        let file = media_file(data).with_file_name("0123456789abcdef0123456789abcdef");
        fs::write(file, "stray").unwrap();
    }),
    ("reference count", "media", true, |data| {
        execute(data, "UPDATE objects SET reference_count = 1 WHERE kind = 'media'");
    }),
    ("reference count", "media", true, |data| {
        execute(data, "UPDATE objects SET reference_count = 0, state = 'doomed' WHERE kind = 'media'");
    }),
    ("usage", "user", true, |data| execute(data, "UPDATE users SET usage_bytes = usage_bytes + 1")),
    ("stale row", "media", true, |data| {
        let row = "INSERT INTO objects (id, kind, namespace, state, reference_count, since) \
                   SELECT x'00000000000000000000000000000001', 'media', namespace, 'reserved', 0, 1 \
                   FROM objects WHERE kind = 'media'";
        execute(data, row);
    }),
    ("damaged record", "project", false, |data| {
        execute(data, "UPDATE projects SET extra = 'no JSON' WHERE title = 'Song'");
    }),
    ("missing", "notes", true, |data| {
        let lost = "DELETE FROM objects WHERE id = (SELECT notes FROM projects WHERE title = 'Song')";
        execute(data, lost);
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_damage_is_named_exactly_and_repaired_if_possible() {
    let place = used_folder().await;
    assert_eq!(check(&place.path().join("data"), &["--deep"]), (0, vec![]));
    for (name, kind, can_be_repaired, damage) in DAMAGE {
        let copy = copy(&place);
        let data = copy.path().join("data");
        damage(&data);
        let (code, found) = check(&data, &["--deep"]);
        let [finding] = &found[..] else { panic!("{name}: {found:?}") };
        assert_eq!((code, &finding["repaired"]), (1, &Value::Bool(false)));
        assert_eq!((&finding["finding"], &finding["kind"]), (&name.into(), &kind.into()), "{finding}");

        let (code, repaired) = check(&data, &["--deep", "--repair"]);
        assert_eq!(code, i32::from(!can_be_repaired), "{repaired:?}");
        assert_eq!(repaired[0]["repaired"], can_be_repaired);
        if can_be_repaired {
            assert_eq!(check(&data, &["--deep"]), (0, vec![]), "{name}");
        } else {
            assert_eq!(check(&data, &["--deep"]), (1, found), "{name}");
        }
        let server = Server::start(&data, &[]);
        assert!(server.stop().success(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_at_a_server_finds_damage_and_nothing_in_saves_that_go_on() {
    let place = used_folder().await;
    let data = place.path().join("data");
    let server = Server::start(&data, &["--sweep-every", "50ms", "--sweep-grace", "0s"]);
    let client = Client::register(&server.url, "bob").await;
    let saving = tokio::spawn(async move {
        for n in 0..1_000_000 {
            client.save(&format!("{}", n % 3), "[]", Some(pieces(&file(3_000 + n % 5)))).await.unwrap();
            client.delete(&format!("{}", n % 3)).await.unwrap();
        }
    });
    let checked = data.clone();
    let checks = tokio::task::spawn_blocking(move || {
        for _ in 0..5 {
            assert_eq!(check(&checked, &["--deep", "--repair"]), (0, vec![]));
        }
        fs::write(checked.join("notes/stranger"), "?").unwrap();
        let (code, found) = check(&checked, &[]);
        assert_eq!((code, &found[0]["finding"]), (1, &"unaccounted".into()));
    });
    checks.await.unwrap();
    assert!(!saving.is_finished(), "the saves went on");
    saving.abort();
    assert!(server.stop().success());
}
