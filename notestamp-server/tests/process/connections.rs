//! Connections, file descriptors and the shutdown of a whole process.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::Client;
use super::generated::{file, pieces};
use super::server::Server;

/// More than fits into the buffers of a connection.
const MEDIA_BYTES: usize = 24 << 20;

/// The longest time of a restart while a player is connected. The limit for other requests is 20 s.
const STOP_TIME_MAX: Duration = Duration::from_secs(10);

/// Sets the soft limit of file descriptors of a process, and returns the one that it had.
fn limit_descriptors(pid: u32, soft: &str) -> String {
    let run = |arguments: &[&str]| {
        let output = Command::new("prlimit").args(["--pid", &pid.to_string()]).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let before = run(&["--nofile", "--noheadings", "--raw", "--output", "SOFT"]);
    run(&[&format!("--nofile={soft}:")]);
    before
}

/// The file descriptor that the next file or connection of a process would get.
fn first_free_descriptor(pid: u32) -> u32 {
    (0..).find(|number| !Path::new(&format!("/proc/{pid}/fd/{number}")).is_symlink()).unwrap()
}

fn connect(url: &str) -> TcpStream {
    TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_beyond_a_low_limit_of_descriptors_block_no_other_client() {
    let folder = tempfile::tempdir().unwrap();
    // Both limits, so that the server cannot raise the soft one: there is room for 192 connections.
    let server = Server::start_with_descriptors(&folder.path().join("data"), 512);
    let client = Client::register(&server.url, "somebody").await;
    client.save("title", "notes", Some(pieces(&file(100_000)))).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.extend((0..30).map(|_| connect(&server.url)));
        let newcomer = client.with_new_connections();
        let projects = newcomer.list().await;
        assert_eq!(newcomer.download(&projects[0]).await.1, 100_000);
    }
    drop(silent);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_descriptors_the_server_returns_retry_after_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]);
    let client = Client::register(&server.url, "somebody").await;
    client.save("title", "notes", Some(pieces(&file(100_000)))).await.unwrap();
    let projects = client.list().await;

    let before = limit_descriptors(server.pid(), &first_free_descriptor(server.pid()).to_string());
    // A request that needs a file gets 503.
    let response = client.fetch(&projects[0].src).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(response.headers().contains_key("retry-after"));
    drop(response.bytes().await.unwrap());
    // A new connection gets the descriptor of an idle one.
    assert_eq!(client.with_new_connections().list().await.len(), 1);

    limit_descriptors(server.pid(), &before);
    assert_eq!(client.with_new_connections().download(&projects[0]).await.1, 100_000);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_closes_players_and_finishes_an_upload() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let client = Client::register(&server.url, "somebody").await;
    client.save("title", "notes", Some(pieces(&file(MEDIA_BYTES)))).await.unwrap();

    let src = client.list().await[0].src.clone();
    let mut player = client.fetch(&src).await.unwrap();
    player.chunk().await.unwrap().expect("the media begins");

    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let body = stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let upload = tokio::spawn({
        let client = client.with_new_connections();
        async move { client.save("upload", "notes", Some(body.boxed())).await }
    });
    for piece in file(3 << 20).chunks(1 << 16) {
        sender.send(Bytes::copy_from_slice(piece)).await.unwrap();
    }

    let start = Instant::now();
    server.signal("TERM");
    while player.chunk().await.is_ok_and(|chunk| chunk.is_some()) {}
    assert!(
        TcpStream::connect(server.url.strip_prefix("http://").unwrap()).is_err(),
        "the server no longer listens"
    );
    drop(sender);
    upload.await.unwrap().expect("the upload is finished");
    assert!(server.ended().success());
    assert!(start.elapsed() < STOP_TIME_MAX, "it took {:?}", start.elapsed());

    let server = Server::start(&data, &[]);
    assert_eq!(client.at(&server.url).list().await.len(), 2);
}

#[test]
fn both_wildcards_of_a_port_are_served() {
    let folder = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    let listen = [format!("0.0.0.0:{free}"), format!("[::]:{free}")];
    let settings = ["--listen", &listen[0], "--listen", &listen[1]];
    let server = Server::start(&folder.path().join("data"), &settings);
    TcpStream::connect(("127.0.0.1", free)).unwrap();
    TcpStream::connect(("::1", free)).unwrap();
    assert!(server.stop().success());
}
