//! Imports into an account: what an export has written, what the client's File Sync has written, and what is hostile.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::client::Client;
use super::export::{EMAIL, exported, fill};
use super::server::{Server, tool};
use super::tools::lines;

/// The summary of an import, and its exit code.
fn import(data: &Path, source: &Path) -> (Value, Option<i32>) {
    let output = tool(data, &["import", EMAIL, source.to_str().unwrap()], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    let last =
        printed.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let summary: Value = serde_json::from_str(last).unwrap();
    (summary["summary"].clone(), output.status.code())
}

/// A data folder with an empty account.
fn empty_account(place: &Path, name: &str) -> std::path::PathBuf {
    let data = place.join(name);
    assert!(Server::start(&data, &[]).stop().success());
    lines(&tool(&data, &["account", "create", EMAIL], "correct horse battery staple\n"));
    data
}

/// The files of an export without what another account cannot have: ids, revisions, the time of the first save.
fn comparable(files: BTreeMap<String, Vec<u8>>) -> Vec<(String, Value)> {
    let mut comparable = Vec::new();
    for (path, content) in files {
        let names = path.split('/').map(|name| match name.split_once('~') {
            Some((title, id)) if path.contains(".trash") || path.contains("gone~") => {
                format!("{title}{}", &id[8.min(id.len())..])
            }
            _ if name.bytes().all(|byte| byte.is_ascii_digit()) => "N".to_owned(),
            _ => name.to_owned(),
        });
        let path = names.collect::<Vec<_>>().join("/");
        let mut content: Value = match serde_json::from_slice(&content) {
            Ok(content) => content,
            Err(_) => content.into(),
        };
        if path.ends_with(".notestamp.json") {
            for key in ["id", "revision", "created"] {
                assert!(content.as_object_mut().unwrap().remove(key).is_some(), "{path}");
            }
        }
        comparable.push((path, content));
    }
    comparable.sort_by_key(|(path, content)| (path.clone(), content.to_string()));
    comparable
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_export_has_written_makes_the_same_account() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let data = at("data");
    let server = Server::start(&data, &[]);
    let client = fill(&server).await;
    let (order, all) = (client.list().await, exported(&data, &at("all.tar"), true));
    assert_eq!(exported(&data, &at("all"), true), all);
    let (again, code) = import(&data, &at("all"));
    assert_eq!((&again["imported"], &again["notImported"], code), (&0.into(), &0.into(), Some(0)), "{again}");
    assert!(server.stop().success());

    for (name, source) in [("without", "all"), ("beside", "all.tar")] {
        let data = empty_account(place.path(), name);
        let running = (name == "beside").then(|| Server::start(&data, &[]));
        let (first, code) = import(&data, &at(source));
        assert_eq!((&first["notImported"], code), (&0.into(), Some(0)), "{first}");
        assert_eq!((&first["imported"], &first["states"]), (&7.into(), &9.into()), "{first}");
        let copy = exported(&data, &at(&format!("{name}.tar")), true);
        assert_eq!(comparable(copy), comparable(all.clone()));
        let (second, code) = import(&data, &at(source));
        assert_eq!(
            (&second["states"], &second["unchanged"], code),
            (&0.into(), &7.into(), Some(0)),
            "{second}"
        );

        let server = running.unwrap_or_else(|| Server::start(&data, &[]));
        let client = client.at(&server.url).sign_in_again().await.unwrap();
        let titles =
            |list: &[super::client::Listed]| list.iter().map(|it| it.title.clone()).collect::<Vec<_>>();
        assert_eq!(titles(&client.list().await), titles(&order));
        assert!(server.stop().success());
        let checked = tool(&data, &["check", "--deep"], "");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

/// Writes a project as the client's File Sync does.
fn write_project(folder: &Path, title: &str, notes: &str, media: Option<(&str, &[u8])>) {
    let folder = folder.join(title);
    fs::create_dir_all(&folder).unwrap();
    let metadata = json!({
        "title": title, "label": "Audio", "type": "audio", "mimetype": "audio/wav", "src": "",
        "lastModified": "2024-05-06T07:08:09.123Z",
    });
    fs::write(folder.join(".metadata.json"), metadata.to_string()).unwrap();
    fs::write(folder.join(format!(".{title}.json")), notes).unwrap();
    fs::write(folder.join(format!("{title}.md")), "# readable").unwrap();
    if let Some((extension, bytes)) = media {
        fs::write(folder.join(format!("{title}.{extension}")), bytes).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_has_written_is_taken_and_other_content_is_a_save() {
    let place = tempfile::tempdir().unwrap();
    let (data, synced) = (place.path().join("data"), place.path().join("synced"));
    let server = Server::start(&data, &[]);
    let client = Client::register(&server.url, "ada").await;
    write_project(&synced, "Lecture", "\"one\"", Some(("wav", b"sound")));
    write_project(&synced, "Notes", "\"plain\"", None);
    write_project(&synced, "Broken", "{", None);
    write_project(&synced, "Twice", "1", Some(("wav", b"a")));
    fs::write(synced.join("Twice/Twice.mp3"), "b").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", synced.join("Notes/Notes.wav")).unwrap();
    let (summary, code) = import(&data, &synced);
    assert_eq!((&summary["imported"], &summary["notImported"]), (&3.into(), &3.into()), "{summary}");
    assert_eq!(code, Some(1));
    let listed = client.list().await;
    assert_eq!(listed.iter().map(|it| it.title.as_str()).collect::<Vec<_>>(), ["Notes", "Lecture"]);
    assert_eq!((client.open("Lecture").await.as_str(), listed[0].media), ("one", None));
    assert_eq!(client.download(&listed[1]).await.0, notestamp_store::Digest::of(b"sound"));

    fs::remove_dir_all(synced.join("Broken")).unwrap();
    fs::remove_dir_all(synced.join("Twice")).unwrap();
    fs::remove_file(synced.join("Notes/Notes.wav")).unwrap();
    let (summary, code) = import(&data, &synced);
    assert_eq!(
        (&summary["unchanged"], &summary["states"], code),
        (&2.into(), &0.into(), Some(0)),
        "{summary}"
    );
    write_project(&synced, "Lecture", "\"two\"", Some(("wav", b"sound")));
    let (summary, code) = import(&data, &synced);
    assert_eq!(
        (&summary["unchanged"], &summary["states"], code),
        (&1.into(), &1.into(), Some(0)),
        "{summary}"
    );
    assert_eq!(client.open("Lecture").await, "two");
    let all = exported(&data, &place.path().join("all"), true);
    assert_eq!(all[".history/Lecture/1/.Lecture.json"], b"\"one\"");
}

#[test]
fn a_hostile_archive_changes_nothing_and_a_limit_names_what_it_refuses() {
    let place = tempfile::tempdir().unwrap();
    let data = empty_account(place.path(), "data");
    let (synced, archive) = (place.path().join("synced"), place.path().join("a.tar"));
    write_project(&synced, "Lecture", "1", None);
    for transform in ["s,Lecture/.metadata,../Lecture/.metadata,", "s,^,/tmp/,"] {
        let mut command = std::process::Command::new("tar");
        command.args(["-P", "-cf"]).arg(&archive).arg("-C").arg(&synced);
        assert!(command.args(["--transform", transform, "Lecture"]).status().unwrap().success());
        let output = tool(&data, &["import", EMAIL, archive.to_str().unwrap()], "");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && said.contains("is refused"), "{said}");
    }
    assert_eq!(lines(&tool(&data, &["account", "show", EMAIL], ""))[0]["account"]["projects"], 0);

    write_project(&synced, "Long", &format!("\"{}\"", "x".repeat(17 << 20)), None);
    let output = tool(&data, &["import", EMAIL, synced.to_str().unwrap()], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && printed.contains("notes exceeds 16777216 bytes"), "{printed}");
    assert!(printed.contains("\"object\":\"Long\""), "{printed}");
    assert_eq!(lines(&tool(&data, &["account", "show", EMAIL], ""))[0]["account"]["projects"], 1);
    let output = tool(&data, &["import", EMAIL, place.path().join("absent").to_str().unwrap()], "");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_describes_a_project_must_be_short() {
    let place = tempfile::tempdir().unwrap();
    let (data, synced) = (empty_account(place.path(), "data"), place.path().join("synced"));
    write_project(&synced, "Long", "1", None);
    fs::write(synced.join("Long/.metadata.json"), " ".repeat((256 << 10) + 1)).unwrap();
    let output = tool(&data, &["import", EMAIL, synced.to_str().unwrap()], "");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.code() == Some(1) && printed.contains("it is too large"), "{printed}");
}
