//! A full disk: stored data can be read, and operations that free space work.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use bytes::Bytes;
use futures_util::stream;
use notestamp_store::CheckReport;
use tempfile::TempDir;

use super::client::Client;
use super::crash::check;
use super::server::{Server, TIMEOUT, sweep, try_start};

const MIB: u64 = 1 << 20;

/// A small file system in memory, removed when this is dropped.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn mount(mib: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(folder.path());
        assert!(mount.status().unwrap().success(), "it takes root to mount");
        Self { folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }

    /// Another program uses all space except this much.
    fn fill(&self, left: u64) {
        let mut filler = OpenOptions::new().append(true).create(true).open(self.filler()).unwrap();
        for piece in [64 << 10, 4 << 10] {
            let error = loop {
                if let Err(error) = filler.write_all(&vec![1; piece]) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull);
        }
        let length = filler.metadata().unwrap().len();
        filler.set_len(length.saturating_sub(left)).unwrap();
    }

    /// Frees the space that the other program has taken.
    fn empty(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}

fn media() -> Option<impl futures_util::Stream<Item = Bytes> + Send + 'static> {
    Some(stream::iter((0..3).map(|n| Bytes::from(vec![n; MIB as usize]))))
}

async fn readiness(server: &Server) -> (u16, String) {
    let response = reqwest::get(format!("{}/readyz", server.url)).await.unwrap();
    let status = response.status().as_u16();
    let body: serde_json::Value = response.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

fn full() -> (u16, String) {
    (507, "storage_full".to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, to mount a small disk"]
async fn on_a_full_disk_stored_data_is_served_and_can_be_deleted() {
    let disk = Disk::mount(160);
    let server = Server::start(&disk.data(), &["--sweep-grace", "0s"]);
    let ada = Client::register(&server.url, "ada").await;
    let eve = Client::register(&server.url, "eve").await;
    for title in ["kept", "deleted"] {
        ada.save(title, "notes", media()).await.unwrap();
    }
    disk.fill(0);

    assert_eq!(readiness(&server).await, (503, "storage_full".to_owned()));
    // A missing access token has the same effect as an expired one.
    let refreshing = ada.with_refresh_token_only();
    let (status, cookies) = refreshing.get("/home/list").await;
    assert_eq!((status, cookies), (200, 0), "served without rotation");
    let projects = refreshing.list().await;
    assert_eq!(refreshing.download(&projects[0]).await.1, 3 * MIB);
    assert_eq!(refreshing.open("kept").await, "notes");

    assert_eq!(ada.try_save("new", media()).await, full());
    assert_eq!(ada.try_save("kept", None::<stream::Empty<Bytes>>).await, full());
    assert_eq!(Client::try_register(&server.url, "late").await, full());

    assert!(ada.delete("deleted").await.unwrap());
    for round in 0..20 {
        disk.fill(0);
        let again = eve.sign_in_again().await.unwrap_or_else(|status| panic!("sign-in {round}: {status}"));
        disk.fill(0);
        assert_eq!(again.sign_out().await, 200, "sign-out {round}");
    }
    disk.fill(0);
    assert_eq!(eve.remove().await, 200);
    assert!(refreshing.get("/home/list").await.0 == 200, "the refresh token is as good as before");
    assert!(server.stop().success());

    // The next process finds the disk full, and works nevertheless.
    disk.fill(0);
    let swept = sweep(&disk.data());
    assert!(swept.status.success(), "{}", String::from_utf8_lossy(&swept.stderr));
    disk.fill(0);
    let server = Server::start(&disk.data(), &[]);
    let ada = ada.at(&server.url);
    assert_eq!(ada.list().await.len(), 1);

    disk.empty();
    assert_eq!(readiness(&server).await.0, 200);
    assert_eq!(ada.try_save("new", media()).await.0, 200);
    assert!(server.stop().success());
    let report = check(&disk.data()).await;
    assert_eq!(report.findings, [], "{report:?}");
    assert!(report.unreferenced.is_empty(), "what was refused had reserved nothing: {report:?}");
    let reserve = fs::metadata(disk.data().join("notestamp.sqlite.reserve")).unwrap();
    assert_eq!((reserve.len(), reserve.blocks() * 512), (16 * MIB, 16 * MIB), "it is whole again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, to mount a small disk"]
async fn with_too_little_free_space_new_data_is_refused() {
    let disk = Disk::mount(160);
    let server = Server::start(&disk.data(), &[]);
    let ada = Client::register(&server.url, "ada").await;
    disk.fill(32 * MIB);
    assert_eq!(readiness(&server).await, (503, "storage_full".to_owned()));
    assert_eq!(ada.try_save("new", media()).await, full());
    assert_eq!(Client::try_register(&server.url, "late").await, full());
    // Small records can still be written.
    assert_eq!(ada.with_refresh_token_only().get("/home/list").await, (200, 2), "rotated");
    assert!(server.stop().success());
    assert_eq!(check(&disk.data()).await, CheckReport::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, to mount a small disk"]
async fn an_upload_does_not_use_the_space_that_must_stay_free() {
    let disk = Disk::mount(160);
    let server = Server::start(&disk.data(), &[]);
    let ada = Client::register(&server.url, "ada").await;
    let large = stream::iter((0..140).map(|n| Bytes::from(vec![n; MIB as usize])));
    assert_eq!(ada.try_save("large", Some(large)).await, full());
    // The bytes of the upload are deleted soon after.
    let saved = async { while ada.try_save("small", media()).await.0 != 200 {} };
    tokio::time::timeout(TIMEOUT, saved).await.expect("nothing is left of it");
    assert!(server.stop().success());
}

#[test]
#[ignore = "needs root, to mount a small disk"]
fn a_first_start_on_a_full_disk_reports_the_full_disk() {
    let disk = Disk::mount(4);
    File::create(disk.filler()).unwrap();
    disk.fill(0);
    let ended = try_start(&disk.data());
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("no space left") && said.contains(disk.data().to_str().unwrap()), "{said}");
    assert!(!said.contains("4874"), "{said}");
}
