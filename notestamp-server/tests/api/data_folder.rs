//! Files of the data folder that are removed while the server runs.

use std::fs;
use std::path::{Path, PathBuf};

use notestamp_server::App;

use crate::harness::{Client, Upload, digest};
use crate::stores::{Embedded, Stores};

type TestServer = crate::harness::TestServer<Embedded>;

/// The only media file in the folder.
fn media_file(server: &TestServer) -> PathBuf {
    let folders =
        fs::read_dir(server.stores().data().join("media")).unwrap().map(|entry| entry.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| fs::read_dir(folder).unwrap());
    let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    file.clone()
}

async fn media(client: &Client, title: &str) -> Vec<u8> {
    client.get(&format!("/home/media-file/{title}")).await.assert_status(200).body
}

#[tokio::test]
async fn a_lost_media_file_is_restored_by_the_next_upload_of_the_same_file() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let bytes = vec![7; 3_000_000];
    let known = |title: &str| Upload::of(title).text("mediaDigest", digest(&bytes));
    for title in ["a", "b"] {
        ada.save(Upload::of(title).media(&bytes)).await.assert_status(200);
    }
    for title in ["a", "c"] {
        fs::remove_file(media_file(&server)).unwrap();
        ada.save(known(title)).await.assert_error(409, "media_needed");
        ada.save(Upload::of(title).media(&bytes)).await.assert_status(200);
        for title in ["a", "b"] {
            assert!(media(&ada, title).await == bytes, "{title}");
        }
    }
    ada.save(known("d")).await.assert_status(200);
    server.assert_nothing_leaks().await;
}

/// Replaces this folder by an empty one, like a mount point whose disk is not mounted.
fn unmount(folder: &Path) -> PathBuf {
    let disk = folder.with_extension("disk");
    fs::rename(folder, &disk).unwrap();
    fs::create_dir(folder).unwrap();
    disk
}

fn mount(folder: &Path, disk: &Path) {
    fs::remove_dir_all(folder).unwrap();
    fs::rename(disk, folder).unwrap();
}

#[tokio::test]
async fn an_unmounted_media_folder_is_not_ready_and_prevents_a_start() {
    for kind in ["media", "notes"] {
        let server = TestServer::spawn().await;
        let ada = server.ada().await;
        // Notes that are too long for the records.
        let notes = format!("\"{}\"", "words ".repeat(12_000));
        ada.save(Upload::of("a").notes(notes).media(b"media")).await.assert_status(200);
        let folder = server.stores().data().join(kind);
        let disk = unmount(&folder);
        let unready = reqwest::get(format!("{}/readyz", server.origin())).await.unwrap();
        assert_eq!(unready.status(), 503);
        let unready: serde_json::Value = unready.json().await.unwrap();
        assert_eq!(unready["code"], "store_mismatch");
        let config = server.stores().config();
        let stores = server.stop().await;

        let refused = App::build(config).await.err().expect("it does not start");
        let message = notestamp_store::error_chain(&refused);
        for named in [folder.to_str().unwrap(), "notestamp.sqlite", kind] {
            assert!(message.contains(named), "{message}");
        }
        mount(&folder, &disk);
        App::build(stores.config()).await.map(drop).unwrap();
    }
}
