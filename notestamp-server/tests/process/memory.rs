//! Memory does not grow with the size of a file, and equal files are stored on the disk only once.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use futures_util::{Stream, stream};
use notestamp_store::{Digest, Hasher};

use super::client::Client;
use super::server::Server;

const MIB: u64 = 1 << 20;

/// The size of the large file: 256 MiB, or the value of `NOTESTAMP_TEST_LARGE_MIB`.
fn large_bytes() -> u64 {
    let mib = std::env::var("NOTESTAMP_TEST_LARGE_MIB");
    mib.map_or(256, |mib| mib.parse().expect("NOTESTAMP_TEST_LARGE_MIB is a number")) * MIB
}

/// A generated file in which no two pieces are equal.
fn generated(size: u64) -> impl Stream<Item = Bytes> + Send + 'static {
    let piece = BytesMut::zeroed(MIB as usize);
    let pieces = (0..size.div_ceil(MIB)).map(move |number| {
        let mut piece = piece.clone();
        piece[..8].copy_from_slice(&number.to_le_bytes());
        piece.truncate((size - number * MIB).min(MIB) as usize);
        piece.freeze()
    });
    stream::iter(pieces)
}

async fn digest(size: u64) -> Digest {
    use futures_util::StreamExt;

    let hasher = generated(size).fold(Hasher::new(), async |mut hasher, piece| {
        hasher.update(&piece);
        hasher
    });
    hasher.await.finish().0
}

/// The total size of the files in a folder, without the store's id.
fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let entries = entries.filter(|entry| entry.file_name() != ".store-id");
    let sizes = entries.map(|entry| match entry.metadata().unwrap() {
        metadata if metadata.is_dir() => bytes_in(&entry.path()),
        metadata => metadata.len(),
    });
    sizes.sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_takes_little_memory_and_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, size) = (folder.path().join("data"), large_bytes());
    // These tests do not cover a power loss.
    let server = Server::start(&data, &["--durability", "relaxed"]);
    let client = Client::register(&server.url, "somebody").await;
    let idle = server.memory_peak();

    client.save("first", "notes", Some(generated(size))).await.unwrap();
    let uploaded = server.memory_peak();
    assert_eq!(bytes_in(&data.join("media")), size);

    client.save("second", "notes", Some(generated(size))).await.unwrap();
    assert_eq!(bytes_in(&data.join("media")), size, "the second project brings no bytes");

    let projects = client.list().await;
    assert_eq!(client.download(&projects[0]).await, (digest(size).await, size));
    let downloaded = server.memory_peak();
    println!(
        "{} MiB: idle {} MiB, uploaded {} MiB, downloaded {} MiB",
        size / MIB,
        idle / MIB,
        uploaded / MIB,
        downloaded / MIB
    );
    assert!(uploaded - idle <= 48 * MIB, "uploading took {} MiB", (uploaded - idle) / MIB);
    assert!(downloaded - idle <= 48 * MIB, "downloading took {} MiB", (downloaded - idle) / MIB);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_equal_uploads_at_once_take_little_memory_and_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, size) = (folder.path().join("data"), large_bytes() / 10);
    let server = Server::start(&data, &["--durability", "relaxed"]);
    let client = Client::register(&server.url, "somebody").await;
    let idle = server.memory_peak();

    let saves = (0..10).map(|n| {
        let client = client.clone();
        async move { client.save(&format!("title {n}"), "notes", Some(generated(size))).await }
    });
    join_all(saves).await.into_iter().for_each(|saved| saved.unwrap());
    let peak = server.memory_peak();
    println!("ten times {} MiB: idle {} MiB, peak {} MiB", size / MIB, idle / MIB, peak / MIB);

    let digest = digest(size).await;
    assert!(client.list().await.iter().all(|project| project.media == Some(digest)));
    // Background deletions complete before the process ends.
    assert!(server.stop().success());
    assert_eq!(bytes_in(&data.join("media")), size);
    assert!(peak - idle <= 96 * MIB, "it took {} MiB", (peak - idle) / MIB);
}
