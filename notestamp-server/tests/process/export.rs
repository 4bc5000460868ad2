//! Exports of an account: as a folder and as a tar file, beside a running server and without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use futures_util::stream;
use serde_json::Value;

use super::client::Client;
use super::server::{Server, tool};
use super::tools::{lines, refused};

/// The files below a folder, by their paths.
pub fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The files in a tar archive, as another program unpacks it.
pub fn unpacked(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new("tar").arg("-xf").arg(archive).arg("-C").arg(folder.path()).status();
    assert!(status.unwrap().success());
    files(folder.path())
}

fn json(files: &BTreeMap<String, Vec<u8>>, path: &str) -> Value {
    let file = files.get(path).unwrap_or_else(|| panic!("{path} in {:?}", files.keys()));
    serde_json::from_slice(file).unwrap()
}

/// An account with projects, versions and a trash.
pub async fn fill(server: &Server) -> Client {
    let client = Client::register(&server.url, "ada").await;
    let media = |bytes: &'static [u8]| Some(stream::iter([Bytes::from_static(bytes)]));
    client.save("Lecture", "first", media(b"sound")).await.unwrap();
    client.save("Lecture", "second", media(b"other sound")).await.unwrap();
    client.save("a/b: ../c", "odd", media(b"")).await.unwrap();
    client.save("Metadata", "ours", media(b"sound")).await.unwrap();
    for title in ["letter", "Letter"] {
        client.save(title, title, None::<stream::Empty<Bytes>>).await.unwrap();
    }
    client.save("gone", "one", media(b"gone")).await.unwrap();
    client.save("gone", "two", media(b"gone")).await.unwrap();
    assert!(client.delete("gone").await.unwrap());
    client.save("gone", "three", None::<stream::Empty<Bytes>>).await.unwrap();
    client
}

pub const EMAIL: &str = "ada@example.org";

/// Exports an account; the files.
#[track_caller]
pub fn exported(data: &Path, target: &Path, all: bool) -> BTreeMap<String, Vec<u8>> {
    let mut arguments = vec!["export", EMAIL, target.to_str().unwrap()];
    arguments.extend(all.then_some("--all"));
    let printed = lines(&tool(data, &arguments, ""));
    assert_eq!(printed.last().unwrap()["summary"]["damaged"], 0);
    if target.is_dir() { files(target) } else { unpacked(target) }
}

fn assert_layout(files: &BTreeMap<String, Vec<u8>>) {
    let metadata = json(files, "Lecture/.metadata.json");
    let keys: Vec<_> = metadata.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["label", "lastModified", "mimetype", "src", "title", "type"]);
    assert_eq!((&metadata["title"], &metadata["src"]), (&"Lecture".into(), &"".into()));
    assert_eq!(json(files, "Lecture/.Lecture.json"), "second");
    assert_eq!(files["Lecture/Lecture.mp3"], b"other sound");
    let details = json(files, "Lecture/.notestamp.json");
    assert_eq!((details["revision"].as_u64(), details["id"].as_str().unwrap().len()), (Some(2), 32));

    // `printf %s 'a/b: ../c' | sha256sum`, and so on.
    for (title, name) in [("a/b: ../c", "a%2Fb%3A ..%2Fc~"), ("Metadata", "Metadata~"), ("letter", "letter~")]
    {
        let name = format!("{name}{}", &notestamp_store::Digest::of(title.as_bytes()).to_string()[..8]);
        assert_eq!(json(files, &format!("{name}/.metadata.json"))["title"], title);
        assert!(files.contains_key(&format!("{name}/.{name}.json")), "{:?}", files.keys());
    }
    assert!(!files.keys().any(|path| path.contains(".part")), "{:?}", files.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_exported_in_the_same_layout_into_a_folder_and_a_tar_file() {
    let place = tempfile::tempdir().unwrap();
    let (data, at) = (place.path().join("data"), |name: &str| place.path().join(name));
    let server = Server::start(&data, &[]);
    let client = fill(&server).await;
    let folder = exported(&data, &at("folder"), false);
    assert_layout(&folder);
    assert!(!folder.keys().any(|path| path.starts_with('.')), "{:?}", folder.keys());
    assert_eq!(exported(&data, &at("a.tar"), false), folder);

    let all = exported(&data, &at("all"), true);
    assert_layout(&all);
    assert_eq!(json(&all, ".history/Lecture/1/.Lecture.json"), "first");
    assert_eq!(all[".history/Lecture/1/Lecture.mp3"], b"sound");
    let trashed: Vec<&String> = all.keys().filter(|path| path.starts_with(".trash/gone~")).collect();
    assert_eq!(trashed.len(), 4, "{trashed:?}");
    assert_eq!(
        json(&all, &format!("{}/.gone.json", Path::new(trashed[0]).parent().unwrap().display())),
        "two"
    );
    let tar = exported(&data, &at("all.tar"), true);
    assert_eq!(tar, all);

    let response = client.fetch(&format!("{}/auth/export?all=true", server.url)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/x-tar");
    fs::write(at("downloaded.tar"), response.bytes().await.unwrap()).unwrap();
    assert_eq!(unpacked(&at("downloaded.tar")), all);

    assert!(server.stop().success());
    assert_eq!(exported(&data, &at("without.tar"), true), all);
    assert_eq!(exported(&data, &at("all"), true), all, "a second time into the same folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_is_left_out_and_named() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let server = Server::start(&data, &[]);
    let client = Client::register(&server.url, "ada").await;
    let media = |len: usize| Some(stream::iter([Bytes::from(vec![7; len])]));
    client.save("short", "short", media(300 << 10)).await.unwrap();
    client.save("whole", "whole", media(200 << 10)).await.unwrap();
    let cut =
        media_files(&data).into_iter().find(|path| path.metadata().unwrap().len() == 300 << 10).unwrap();
    fs::File::options().write(true).open(cut).unwrap().set_len(299 << 10).unwrap();
    for name in ["folder", "file.tar"] {
        let target = place.path().join(name);
        let output = tool(&data, &["export", EMAIL, target.to_str().unwrap()], "");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.code() == Some(1) && printed.contains("not exported"), "{printed}");
        let files = if target.is_dir() { files(&target) } else { unpacked(&target) };
        assert_eq!(files["whole/whole.mp3"].len(), 200 << 10);
        assert!(files.contains_key("short/.short.json") && !files.contains_key("short/short.mp3"));
    }
    let response = client.fetch(&format!("{}/auth/export", server.url)).await.unwrap();
    let archive = place.path().join("downloaded.tar");
    fs::write(&archive, response.bytes().await.unwrap()).unwrap();
    let errors = String::from_utf8(unpacked(&archive)["export-errors.txt"].clone()).unwrap();
    assert!(errors.starts_with("short: the media is left out"), "{errors}");
}

/// The media files of a data folder.
fn media_files(data: &Path) -> Vec<PathBuf> {
    let found = files(&data.join("media"));
    found.keys().filter(|path| path.contains('/')).map(|path| data.join("media").join(path)).collect()
}

#[test]
fn an_export_that_cannot_be_done_says_why() {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    let server = Server::start(&data, &[]);
    let target = place.path().join("target");
    let (code, said) = refused(&tool(&data, &["export", EMAIL, target.to_str().unwrap()], ""));
    assert!(code == Some(1) && said.contains("there is no account"), "{said}");
    assert!(tool(&data, &["account", "create", EMAIL], "correct horse battery\n").status.success());
    fs::write(&target, "a file").unwrap();
    let output = tool(&data, &["export", EMAIL, target.to_str().unwrap()], "");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("cannot write"), "{said}");
    assert!(server.stop().success());
}
