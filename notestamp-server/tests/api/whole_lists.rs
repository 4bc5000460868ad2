//! Lists of so many projects that the server reads and sends them in several chunks.

use notestamp_server::config::ProjectListEntries;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use super::TestServer;
use crate::harness::{ADA, Client, Upload, titles};

/// Several chunks, the last one not full.
const MANY: usize = 150;

/// Saves projects `project 0`, `project 1` and so on; each response has only the project.
async fn save_many(client: &Client, count: usize, extra: &Value) {
    for at in 0..count {
        let metadata = json!({"title": format!("project {at}"), "type": "audio", "extra": extra});
        let upload = Upload::empty()
            .part("notesFile", Some("notes.json"), Some("application/json"), *b"[]")
            .text("metadata", metadata.to_string());
        client.save_at("/project/save", upload).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn every_whole_list_has_the_bytes_of_a_page_of_all() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_many(&ada, MANY + 1, &json!("[]")).await;
    let page = async || ada.list(&[("limit", "1000")]).await.assert_status(200).text();

    let deleted = ada.delete(&format!("/project/delete/project%20{MANY}")).await.assert_status(200);
    let all = page().await;
    let entries: Value = serde_json::from_str(&all).unwrap();
    let expected: Vec<_> = (0..MANY).rev().map(|at| format!("project {at}")).collect();
    assert_eq!(titles(&entries), expected);
    assert_eq!(deleted.text(), format!(r#"{{"directory":{all}}}"#));

    let whole = ada.list(&[]).await.assert_status(200);
    assert_eq!(whole.text(), all);
    assert_eq!((whole.header("content-length"), whole.header("link")), (None, None));
    let filtered = ada.list(&[("search", "PROJECT 1"), ("type", "audio"), ("sort", "title")]).await;
    let of_page = [("search", "PROJECT 1"), ("type", "audio"), ("sort", "title"), ("limit", "1000")];
    assert_eq!(filtered.text(), ada.list(&of_page).await.text());
    let listed = ada.get("/project/list").await.assert_status(200);
    assert_eq!(listed.text(), format!(r#"{{"projects":{all},"nextOffset":null}}"#));
    let signed_in = server.visitor().sign_in(ADA).await.assert_status(200);
    assert_eq!(signed_in.text(), format!(r#"{{"email":"{ADA}","directory":{all}}}"#));
    let saved = ada.save(Upload::of("project 7")).await.assert_status(200);
    assert_eq!(saved.text(), page().await);
    let deleted = ada.delete_project("project 8").await.assert_status(200);
    assert_eq!(deleted.text(), page().await);
}

#[apply(api_test)]
async fn a_list_of_titles_is_whole_too() {
    let server =
        TestServer::spawn_with(|config| config.responses.project_list = ProjectListEntries::Titles).await;
    let ada = server.ada().await;
    save_many(&ada, MANY, &json!(null)).await;
    let expected: Vec<_> = (0..MANY).rev().map(|at| format!("project {at}")).collect();
    let listed = ada.get("/project/list").await.assert_status(200).json();
    assert_eq!(listed, json!({"projects": expected, "nextOffset": null}));
}

#[apply(api_test)]
async fn a_list_of_a_few_has_a_length() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    for path in ["/home/list", "/project/list"] {
        let response = ada.get(path).await.assert_status(200);
        assert_eq!(response.header("content-length"), Some(response.body.len().to_string().as_str()));
    }
}

#[apply(api_test)]
async fn the_tag_of_a_long_list_changes_with_each_save_and_deletion() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_many(&ada, MANY, &json!(null)).await;
    for path in ["/home/list", "/project/list"] {
        let tag = async || ada.get(path).await.assert_status(200).header("etag").unwrap().to_owned();
        let first = tag().await;
        assert_eq!(tag().await, first, "{path}");
        let unchanged = ada.get_with(path, &[("if-none-match", &first)]).await.assert_status(304);
        assert_eq!((unchanged.header("etag"), unchanged.body.len()), (Some(first.as_str()), 0));
        ada.get_with(path, &[("if-match", "\"other\"")]).await.assert_error(412, "precondition_failed");

        ada.save_project("project 3").await;
        let saved = tag().await;
        ada.get_with(path, &[("if-none-match", &first)]).await.assert_status(200);
        ada.save_project("another").await;
        ada.delete_project("another").await.assert_status(200);
        let tags = [first, saved, tag().await];
        assert!(tags[0] != tags[1] && tags[0] != tags[2] && tags[1] != tags[2], "{tags:?}");
    }
}

#[apply(api_test_in_threads)]
async fn a_session_that_ends_in_the_middle_of_a_list_breaks_it_off() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    // More than the buffers of the connection take.
    let (count, extra) = (800, json!("x".repeat(15_000)));
    save_many(&ada, count, &extra).await;
    for ends in [false, true] {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let address = server.origin().strip_prefix("http://").unwrap().parse().unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let request = format!(
            "GET /home/list HTTP/1.1\r\nHost: {address}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            ada.cookie_header().unwrap(),
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = vec![0; 1000];
        stream.read_exact(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 200 "));
        if ends {
            ada.twin().sign_out().await.assert_status(200);
        }
        let read = stream.read_to_end(&mut response).await;
        let is_complete = read.is_ok() && response.ends_with(b"]\r\n0\r\n\r\n");
        assert_eq!(is_complete, !ends, "{read:?}");
        assert_eq!(response.len() > count * 15_000, !ends);
    }
}
