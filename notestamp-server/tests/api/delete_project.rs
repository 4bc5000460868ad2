use serde_json::json;

use super::TestServer;
use crate::harness::{Upload, digest, titles};

#[apply(api_test)]
async fn deleting_returns_the_updated_directory() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["a", "b", "c"] {
        ada.save_project(title).await;
    }
    let directory = ada.delete_project("b").await.assert_status(200).json();
    assert_eq!(titles(&directory), ["c", "a"]);
    assert_eq!(directory, ada.list(&[]).await.json());
    ada.delete_project("a").await.assert_status(200);
    assert_eq!(ada.delete_project("c").await.assert_status(200).json(), json!([]));
}

#[apply(api_test)]
async fn a_deleted_project_is_gone() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    ada.delete_project("a").await.assert_status(200);
    ada.open("a").await.assert_error(404, "not_found");
    ada.get("/home/media-file/a").await.assert_error(404, "not_found");
    let by_id = format!("/home/media/{}", project["id"].as_str().unwrap());
    ada.get(&by_id).await.assert_error(404, "not_found");
    ada.delete_project("a").await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn a_title_can_be_used_again_by_a_new_project() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let old = ada.save_media("a", "audio/mpeg", b"old").await;
    ada.delete_project("a").await.assert_status(200);
    let new = ada.save_media("a", "video/mp4", b"new").await;
    assert_ne!(old["id"], new["id"]);
    assert_eq!((&new["revision"], &new["mimetype"]), (&json!(2), &json!("video/mp4")));
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"new");
}

#[apply(api_test)]
async fn media_of_another_project_is_kept() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    ada.save_media("b", "audio/mpeg", b"media").await;
    ada.delete_project("a").await.assert_status(200);
    assert_eq!(ada.get("/home/media-file/b").await.assert_status(200).body, b"media");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn media_of_a_deleted_project_is_needed_again() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    ada.delete("/home/delete?name=a&permanently=true").await.assert_status(200);
    let refer = || Upload::of("b").text("mediaDigest", digest(b"media"));
    ada.save(refer()).await.assert_error(409, "media_needed");
    ada.save(refer().media(b"media")).await.assert_status(200);
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
    assert_eq!(ada.get("/home/media-file/b").await.assert_status(200).body, b"media");
}

#[apply(api_test)]
async fn unreferenced_bytes_are_swept() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    ada.delete("/home/delete?name=a&permanently=true").await.assert_status(200);
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}
