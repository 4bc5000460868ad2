//! Deleted projects: listing, restoring and purging them.

use std::time::Duration;

use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{ADA, Client, Upload, digest, find, titles};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn trash(client: &Client) -> Vec<Value> {
    client.get("/home/trash").await.assert_status(200).json().as_array().unwrap().clone()
}

fn id(project: &Value) -> &str {
    project["id"].as_str().unwrap()
}

#[apply(api_test)]
async fn a_deleted_project_is_restored_with_its_history() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes("[1]")).await.assert_status(200);
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    ada.save_project("b").await;
    let before = ada.get_at("/home/history", &[("name", "a")]).await.json();
    ada.delete_project("a").await.assert_status(200);

    let mut expected = project.clone();
    expected["src"] = json!("");
    expected["deleted"] = json!("2026-01-01T00:00:00.000Z");
    expected["purged"] = json!("2026-01-31T00:00:00.000Z");
    assert_eq!(trash(&ada).await, [expected]);
    assert_eq!(ada.titles().await, ["b"]);
    for path in ["/home/open", "/home/history"] {
        ada.get_at(path, &[("name", "a")]).await.assert_error(404, "not_found");
        ada.get_at(path, &[("id", id(&project))]).await.assert_error(404, "not_found");
    }
    for path in ["", "?revision=1", "?revision=2"] {
        let media = format!("/home/media/{}{path}", id(&project));
        ada.get(&media).await.assert_error(404, "not_found");
    }
    assert_eq!(ada.whole_usage().await, json!({"projects": 1, "bytes": 18, "keptBytes": 5 + 18 + 3}));

    let directory =
        ada.post_at("/home/trash/restore", &[("id", id(&project))]).await.assert_status(200).json();
    assert_eq!(titles(&directory), ["a", "b"], "it is the latest save");
    let mut restored = project.clone();
    restored["revision"] = json!(3);
    assert_eq!(find(&directory, "a"), restored);
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"media");
    let after = ada.get_at("/home/history", &[("name", "a")]).await.json();
    assert_eq!(after[1], before[1]);
    assert_eq!(trash(&ada).await, [json!(null); 0]);
    assert_eq!(ada.whole_usage().await["keptBytes"], 3);
    ada.post_at("/home/trash/restore", &[("id", id(&project))]).await.assert_error(404, "not_found");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_title_that_is_taken_again_needs_another_one() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let old = ada.save_media("a", "audio/mpeg", b"old").await;
    ada.delete_project("a").await.assert_status(200);
    ada.save_media("a", "audio/mpeg", b"new").await;
    let restore = async |parameters: &[(&str, &str)]| ada.post_at("/home/trash/restore", parameters).await;
    restore(&[("id", id(&old))]).await.assert_error(409, "title_taken");
    restore(&[("id", id(&old)), ("title", "a")]).await.assert_error(409, "title_taken");
    restore(&[("id", id(&old)), ("title", "")]).await.assert_error(400, "bad_request");
    for wrong in [&[("id", "")][..], &[("id", "x")], &[], &[("title", "b")]] {
        restore(wrong).await.assert_error(400, "bad_request");
    }
    assert_eq!(trash(&ada).await.len(), 1);
    let directory = restore(&[("id", id(&old)), ("title", "b/ä")]).await.assert_status(200).json();
    assert_eq!(titles(&directory), ["b/ä", "a"]);
    assert_eq!(ada.get_at("/home/stream-media", &[("name", "b/ä")]).await.assert_status(200).body, b"old");
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"new");
}

#[apply(api_test)]
async fn the_trash_is_listed_in_pages_the_last_deleted_first() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["a", "b", "c", "d", "e"] {
        ada.save_project(title).await;
        ada.delete_project(title).await.assert_status(200);
        server.advance(Duration::from_secs(1));
    }
    let all = trash(&ada).await;
    assert_eq!(titles(&json!(all)), ["e", "d", "c", "b", "a"]);
    let (mut paged, mut path) = (Vec::new(), "/home/trash?limit=2".to_owned());
    loop {
        let page = ada.get(&path).await.assert_status(200);
        paged.extend(page.json().as_array().unwrap().clone());
        let Some(link) = page.header("link") else { break };
        let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        path = url.strip_prefix(&server.origin()).unwrap().to_owned();
    }
    assert_eq!(paged, all);
    for wrong in [("limit", "0"), ("limit", "1001"), ("cursor", ""), ("cursor", "x")] {
        ada.get_at("/home/trash", &[wrong]).await.assert_error(400, "bad_request");
    }
    let bob = server.signed_in("bob@example.org").await;
    assert_eq!(trash(&bob).await.len(), 0);
    bob.post_at("/home/trash/restore", &[("id", id(&all[0]))]).await.assert_error(404, "not_found");
    bob.delete_at("/home/trash", &[("id", id(&all[0]))]).await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn the_trash_is_emptied_one_by_one_or_at_once() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["a", "b", "c"] {
        ada.save_media(title, "audio/mpeg", title.as_bytes()).await;
        ada.save(Upload::of(title).notes("[1]")).await.assert_status(200);
        ada.delete_project(title).await.assert_status(200);
        server.advance(Duration::from_secs(1));
    }
    // A mistake must not delete everything.
    for wrong in
        ["/home/trash?id=", "/home/trash?id=x", "/home/trash?name=a", "/home/trash?ID=1", "/home/trash?"]
    {
        ada.delete(wrong).await.assert_error(400, "bad_request");
    }
    let all = trash(&ada).await;
    let left = ada.delete_at("/home/trash", &[("id", id(&all[1]))]).await.assert_status(200).json();
    assert_eq!(titles(&left), ["c", "a"]);
    ada.delete_at("/home/trash", &[("id", id(&all[1]))]).await.assert_error(404, "not_found");
    ada.post_at("/home/trash/restore", &[("id", id(&all[1]))]).await.assert_error(404, "not_found");

    assert_eq!(ada.delete("/home/trash").await.assert_status(200).json(), json!([]));
    assert_eq!(trash(&ada).await.len(), 0);
    assert_eq!(ada.whole_usage().await, json!({"projects": 0, "bytes": 0, "keptBytes": 0}));
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
    let again = Upload::of("a").text("mediaDigest", digest(b"a"));
    let ada = server.visitor();
    ada.sign_in(ADA).await.assert_status(200);
    ada.save(again).await.assert_error(409, "media_needed");
}

#[apply(api_test)]
async fn a_permanent_deletion_skips_the_trash() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["a", "b"] {
        ada.save(Upload::of(title).notes("[1]")).await.assert_status(200);
        ada.save_media(title, "audio/mpeg", title.as_bytes()).await;
    }
    ada.delete("/home/delete?name=a&permanently=x").await.assert_error(400, "bad_request");
    assert_eq!(ada.titles().await.len(), 2);
    let left = ada.delete("/home/delete?name=a&permanently=true").await.assert_status(200).json();
    assert_eq!(titles(&left), ["b"]);
    let left = ada.delete("/project/delete/b?permanently=true").await.assert_status(200).json();
    assert_eq!(left["directory"], json!([]));
    assert_eq!(trash(&ada).await.len(), 0);
    assert_eq!(ada.whole_usage().await, json!({"projects": 0, "bytes": 0, "keptBytes": 0}));
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_project_is_deleted_by_its_id() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    for wrong in ["/home/delete", "/home/delete?id=", "/home/delete?name=", "/home/delete?id=x"] {
        ada.delete(wrong).await.assert_error(400, "bad_request");
    }
    ada.delete_at("/home/delete", &[("id", id(&project))]).await.assert_status(200);
    assert_eq!(titles(&json!(trash(&ada).await)), ["a"]);
    // In both dialects, a deletion moves to the trash.
    ada.save_project("b").await;
    ada.delete("/project/delete/b").await.assert_status(200);
    assert_eq!(trash(&ada).await.len(), 2);
}

#[apply(api_test)]
async fn the_sweep_purges_what_was_deleted_long_ago() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    ada.delete_project("a").await.assert_status(200);
    let purged_after = async |time: Duration| {
        server.advance(time);
        ada.sign_in(ADA).await.assert_status(200);
        server.store().sweep().await.unwrap();
        trash(&ada).await.is_empty()
    };
    assert!(!purged_after(29 * DAY).await);
    assert!(purged_after(DAY + Duration::from_millis(1)).await);
    assert_eq!(ada.whole_usage().await["keptBytes"], 0);
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn without_a_trash_a_deletion_is_final() {
    let server = TestServer::spawn_with(|config| config.retention.trash = None).await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    ada.delete_project("a").await.assert_status(200);
    assert_eq!(trash(&ada).await.len(), 0);
    assert_eq!(ada.whole_usage().await["keptBytes"], 0);
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_full_trash_loses_what_was_deleted_first() {
    let server = TestServer::spawn_with(|config| config.limits.projects_max = 2).await;
    let ada = server.ada().await;
    for title in ["a", "b", "c"] {
        ada.save_project(title).await;
        ada.delete_project(title).await.assert_status(200);
        server.advance(Duration::from_secs(1));
    }
    let left = trash(&ada).await;
    assert_eq!(titles(&json!(left)), ["c", "b"]);
    ada.save_project("d").await;
    ada.save_project("e").await;
    ada.post_at("/home/trash/restore", &[("id", id(&left[0]))]).await.assert_error(507, "too_many_projects");
}
