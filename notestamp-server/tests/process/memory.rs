//! Memory does not grow with the size of a file or the number of requests, and equal files are stored only once.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use futures_util::{Stream, stream};
use notestamp_store::{Digest, Hasher};
use tokio::io::AsyncReadExt as _;
use tokio::time::sleep;

use super::client::Client;
use super::server::{Server, wait_until};

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
async fn eight_equal_uploads_at_once_take_little_memory_and_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, size) = (folder.path().join("data"), large_bytes() / 8);
    let server = Server::start(&data, &["--durability", "relaxed"]);
    let client = Client::register(&server.url, "somebody").await;
    let idle = server.memory_peak();

    let saves = (0..8).map(|n| {
        let client = client.clone();
        async move { client.save(&format!("title {n}"), "notes", Some(generated(size))).await }
    });
    join_all(saves).await.into_iter().for_each(|saved| saved.unwrap());
    let peak = server.memory_peak();
    println!("eight times {} MiB: idle {} MiB, peak {} MiB", size / MIB, idle / MIB, peak / MIB);

    let digest = digest(size).await;
    assert!(client.list().await.iter().all(|project| project.media == Some(digest)));
    // Background deletions complete before the process ends.
    assert!(server.stop().success());
    assert_eq!(bytes_in(&data.join("media")), size);
    assert!(peak - idle <= 96 * MIB, "it took {} MiB", (peak - idle) / MIB);
}

/// Large requests and responses share this budget.
const BUDGET: u64 = 64 * MIB;

/// What the process may take besides the budget: buffers of connections, and freed memory that the allocator keeps in
/// the arena of each thread. Without a budget, these tests take several times as much.
const SLACK: u64 = 128 * MIB;

const NOTES: u64 = 6 * MIB;

/// A server with that budget, and accounts on it.
async fn start_with_budget(data: &Path, accounts: usize) -> (Server, Vec<Client>) {
    let budget = format!("{BUDGET}B");
    let server = Server::start(data, &["--durability", "relaxed", "--memory-max", &budget]);
    let names: Vec<_> = (0..accounts).map(|n| format!("somebody-{n}")).collect();
    let mut clients = Vec::new();
    for name in names {
        clients.push(Client::register(&server.url, &name).await);
    }
    (server, clients)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_saves_of_large_notes_at_once_stay_within_the_memory_budget() {
    let folder = tempfile::tempdir().unwrap();
    let (server, clients) = start_with_budget(&folder.path().join("data"), 4).await;
    let idle = server.memory_peak();
    let notes = serde_json::to_string(&"x".repeat(NOTES as usize - 2)).unwrap();

    let save = async |n: usize| clients[n % 4].save_as_json(&format!("title {n}"), &notes).await;
    let saves = (0..40).map(save);
    let statuses = join_all(saves).await;
    let peak = server.memory_peak();
    println!("40 saves of {} MiB: idle {} MiB, peak {} MiB", NOTES / MIB, idle / MIB, peak / MIB);
    assert!(statuses.iter().all(|status| [200, 429, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    assert!(peak - idle <= BUDGET + SLACK, "it took {} MiB", (peak - idle) / MIB);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_read_no_responses_stay_within_the_memory_budget_and_keep_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (server, clients) = start_with_budget(&folder.path().join("data"), 2).await;
    let [greedy, modest] = clients.as_slice() else { panic!("two accounts") };
    let idle = server.memory_peak();
    let notes = serde_json::to_string(&"x".repeat(NOTES as usize - 2)).unwrap();
    assert_eq!(greedy.save_as_json("large", &notes).await, 200);
    assert_eq!(modest.save_as_json("small", "\"small\"").await, 200);

    let mut held = join_all((0..40).map(|_| greedy.open_without_reading("large"))).await;
    // The requests are under way: they wait for memory, or for their clients.
    sleep(Duration::from_secs(2)).await;
    assert_eq!(modest.open("small").await, "small");
    let peak = server.memory_peak();
    println!("40 clients that read nothing: idle {} MiB, peak {} MiB", idle / MIB, peak / MIB);
    assert!(peak - idle <= BUDGET + SLACK, "it took {} MiB", (peak - idle) / MIB);
    let mut statuses = Vec::new();
    for connection in &mut held {
        let mut line = [0; 12];
        connection.read_exact(&mut line).await.unwrap();
        statuses.push(String::from_utf8_lossy(&line[9..]).into_owned());
    }
    // Some have been given a response, and the others were refused after a while.
    assert!(statuses.iter().all(|status| ["200", "503"].contains(&status.as_str())), "{statuses:?}");
    assert!(statuses.iter().any(|status| status == "200"), "{statuses:?}");
    drop(held);
    server.kill();
}

/// What a server may hold at rest, besides the program itself.
const REST: u64 = 32 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_a_load_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (server, clients) = start_with_budget(&folder.path().join("data"), 4).await;
    let notes = serde_json::to_string(&"x".repeat(NOTES as usize - 2)).unwrap();
    let save = async |n: usize| clients[n % 4].save_as_json("title", &notes).await;
    assert!(join_all((0..16).map(save)).await.contains(&200));
    join_all(clients.iter().map(|client| async { assert_eq!(client.sign_out().await, 200) })).await;
    assert!(server.memory_peak() > REST);
    wait_until("the memory is given back", || server.memory_held() <= REST);
    assert!(server.stop().success());
}
