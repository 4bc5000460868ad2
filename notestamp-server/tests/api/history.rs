//! Versions of projects: listing, opening and restoring them.

use std::time::Duration;

use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, Upload, digest, find};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Saves a project with these notes; returns its metadata.
async fn save(client: &Client, title: &str, notes: &str) -> Value {
    let directory = client.save(Upload::of(title).notes(notes)).await.assert_status(200).json();
    find(&directory, title)
}

async fn history(client: &Client, title: &str) -> Vec<Value> {
    let listed = client.get_at("/home/history", &[("name", title)]).await.assert_status(200).json();
    listed.as_array().unwrap().clone()
}

fn revisions(history: &[Value]) -> Vec<u64> {
    history.iter().map(|version| version["revision"].as_u64().unwrap()).collect()
}

async fn opened(client: &Client, title: &str, revision: u64) -> Value {
    let parameters = [("name", title), ("revision", &revision.to_string())];
    client.get_at("/home/open", &parameters).await.assert_status(200).json()
}

async fn restore(client: &Client, title: &str, revision: u64) -> crate::harness::ServerResponse {
    client.post_at("/home/restore", &[("name", title), ("revision", &revision.to_string())]).await
}

#[apply(api_test)]
async fn each_save_keeps_what_it_replaces() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for notes in ["[1]", "[1,2]", "[1,2,3]"] {
        save(&ada, "a", notes).await;
        server.advance(Duration::from_secs(1));
    }
    let listed = history(&ada, "a").await;
    assert_eq!(
        listed,
        [
            json!({"revision": 3, "saved": "2026-01-01T00:00:02.000Z", "notesSize": 7, "label": "", "type": "", "mimetype": ""}),
            json!({"revision": 2, "saved": "2026-01-01T00:00:01.000Z", "notesSize": 5, "label": "", "type": "", "mimetype": ""}),
            json!({"revision": 1, "saved": "2026-01-01T00:00:00.000Z", "notesSize": 3, "label": "", "type": "", "mimetype": ""}),
        ]
    );
    for (revision, notes) in [(1, "[1]"), (2, "[1,2]"), (3, "[1,2,3]")] {
        let parameters = [("name", "a"), ("revision", &revision.to_string())];
        let response = ada.get_at("/home/open", &parameters).await.assert_status(200);
        assert_eq!(response.header("etag"), Some(format!("\"{revision}\"").as_str()));
        let opened = response.json();
        assert_eq!((&opened["content"], &opened["metadata"]["revision"]), (&json!(notes), &json!(revision)));
    }
    assert_eq!(ada.open("a").await.json()["content"], "[1,2,3]");
    assert_eq!(ada.whole_usage().await, json!({"projects": 1, "bytes": 7, "keptBytes": 8}));
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn equal_notes_make_no_version() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for notes in ["[1]", "[1]", "[2]", "[2]"] {
        save(&ada, "a", notes).await;
    }
    assert_eq!(revisions(&history(&ada, "a").await), [4, 2]);
}

#[apply(api_test)]
async fn a_restored_version_is_a_save_that_can_be_undone() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let labelled = json!({"title": "a", "label": "Audio", "type": "audio", "mood": "blue"});
    ada.save(Upload::with_metadata(labelled).notes("[1]")).await.assert_status(200);
    save(&ada, "a", "[2]").await;
    save(&ada, "b", "[]").await;
    server.advance(Duration::from_secs(5));

    let response = restore(&ada, "a", 1).await.assert_status(200);
    assert_eq!(response.header("etag"), Some("\"3\""));
    let directory = response.json();
    assert_eq!(directory[0]["title"], "a", "it is the latest save");
    let restored = find(&directory, "a");
    for (name, value) in [("label", "Audio"), ("type", "audio"), ("mood", "blue")] {
        assert_eq!(restored[name], value);
    }
    assert_eq!(restored["lastModified"], "2026-01-01T00:00:05.000Z");
    assert_eq!(ada.open("a").await.json()["content"], "[1]");
    assert_eq!(revisions(&history(&ada, "a").await), [3, 2, 1]);

    restore(&ada, "a", 2).await.assert_status(200);
    assert_eq!(ada.open("a").await.json()["content"], "[2]");
    assert_eq!(revisions(&history(&ada, "a").await), [4, 3, 2, 1]);
    // The current state, too.
    restore(&ada, "a", 4).await.assert_status(200);
    assert_eq!(revisions(&history(&ada, "a").await), [5, 3, 2, 1]);
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn replaced_media_is_kept_and_restored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let first = ada.save_media("a", "audio/mpeg", b"first take").await;
    let second = ada.save_media("a", "audio/wav", b"second").await;
    assert_eq!((&second["id"], &second["revision"]), (&first["id"], &json!(2)));
    assert_eq!(second["mimetype"], "audio/wav");
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"second");
    let of_first = opened(&ada, "a", 1).await["metadata"].clone();
    assert_eq!(of_first["mediaDigest"], digest(b"first take"));

    // The `src` of an opened version leads to its own media, in ranges too.
    let src = of_first["src"].as_str().unwrap();
    assert_eq!(src, format!("{}/home/media/{}?revision=1", server.origin(), first["id"].as_str().unwrap()));
    let path = src.strip_prefix(&server.origin()).unwrap();
    let played = ada.get(path).await.assert_status(200);
    assert_eq!(
        (played.body.as_slice(), played.header("content-type")),
        (b"first take".as_slice(), Some("audio/mpeg"))
    );
    assert_eq!(ada.get_with(path, &[("range", "bytes=6-")]).await.assert_status(206).body, b"take");
    let other = server.signed_in("bob@example.org").await;
    other.get(path).await.assert_error(404, "not_found");
    ada.get(&path.replace("revision=1", "revision=7")).await.assert_error(404, "not_found");
    ada.get(&path.replace("revision=1", "revision=x")).await.assert_error(400, "bad_request");
    assert_eq!(ada.whole_usage().await["keptBytes"], 10 + 18);

    let restored = find(&restore(&ada, "a", 1).await.assert_status(200).json(), "a");
    assert_eq!(
        (&restored["mediaDigest"], &restored["mimetype"]),
        (&of_first["mediaDigest"], &json!("audio/mpeg"))
    );
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"first take");
    // Media of the history can be named by its digest alone.
    let known = Upload::of("b").text("mediaDigest", digest(b"second"));
    ada.save(known).await.assert_status(200);
    assert_eq!(ada.get("/home/media-file/b").await.assert_status(200).body, b"second");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn the_absence_of_media_is_restored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let linked = json!({"title": "a", "src": "https://example.org/song"});
    ada.save(Upload::with_metadata(linked)).await.assert_status(200);
    ada.save_media("a", "audio/mpeg", b"media").await;
    let restored = find(&restore(&ada, "a", 1).await.assert_status(200).json(), "a");
    assert_eq!((restored.get("mediaDigest"), &restored["src"]), (None, &json!("https://example.org/song")));
    ada.get("/home/media-file/a").await.assert_error(404, "not_found");
    restore(&ada, "a", 2).await.assert_status(200);
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"media");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn preconditions_apply_to_a_restore() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save(&ada, "a", "[1]").await;
    save(&ada, "a", "[2]").await;
    let request = |tag: &str| {
        ada.request(reqwest::Method::POST, "/home/restore?name=a&revision=1").header("if-match", tag)
    };
    let stale = ada.send(request("\"1\"")).await.assert_error(412, "precondition_failed");
    assert_eq!(stale.header("etag"), Some("\"2\""));
    assert_eq!(revisions(&history(&ada, "a").await), [2, 1]);
    ada.send(request("\"2\"")).await.assert_status(200);
}

#[apply(api_test)]
async fn projects_are_named_by_their_title_or_by_their_id() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save(&ada, "a", "[1]").await;
    let project = save(&ada, "a", "[2]").await;
    let id = project["id"].as_str().unwrap();
    let by_id = ada.get_at("/home/history", &[("id", id)]).await.assert_status(200).json();
    assert_eq!(by_id.as_array().unwrap(), &history(&ada, "a").await);
    assert_eq!(ada.get_at("/home/open", &[("id", id)]).await.assert_status(200).json()["content"], "[2]");
    ada.post_at("/home/restore", &[("id", id), ("revision", "1")]).await.assert_status(200);
    assert_eq!(ada.open("a").await.json()["content"], "[1]");

    let bob = server.signed_in("bob@example.org").await;
    for path in ["/home/history", "/home/open"] {
        for wrong in
            [vec![], vec![("id", "")], vec![("id", "x")], vec![("name", "")], vec![("name", "a"), ("id", id)]]
        {
            ada.get_at(path, &wrong).await.assert_error(400, "bad_request");
        }
        ada.get_at(path, &[("name", "b")]).await.assert_error(404, "not_found");
        bob.get_at(path, &[("id", id)]).await.assert_error(404, "not_found");
    }
    for wrong in [vec![("name", "a")], vec![("name", "a"), ("revision", "")], vec![("revision", "1")]] {
        ada.post_at("/home/restore", &wrong).await.assert_error(400, "bad_request");
    }
    for absent in ["0", "9", "18446744073709551615"] {
        ada.post_at("/home/restore", &[("id", id), ("revision", absent)])
            .await
            .assert_error(404, "not_found");
        ada.get_at("/home/open", &[("id", id), ("revision", absent)]).await.assert_error(404, "not_found");
    }
    bob.post_at("/home/restore", &[("id", id), ("revision", "1")]).await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn a_history_has_pages() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for n in 0..5 {
        save(&ada, "a b", &format!("[{n}]")).await;
    }
    let all = history(&ada, "a b").await;
    let (mut paged, mut path) = (Vec::new(), "/home/history?name=a+b&limit=2".to_owned());
    loop {
        let page = ada.get(&path).await.assert_status(200);
        paged.extend(page.json().as_array().unwrap().clone());
        let Some(link) = page.header("link") else { break };
        let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        path = url.strip_prefix(&server.origin()).unwrap().to_owned();
    }
    assert_eq!(paged, all);
    for wrong in [("limit", "0"), ("limit", "1001"), ("cursor", ""), ("cursor", "x")] {
        ada.get_at("/home/history", &[("name", "a b"), wrong]).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn after_a_day_the_last_version_of_each_day_is_kept() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for n in 0..4 {
        save(&ada, "a", &format!("[{n}]")).await;
    }
    server.advance(DAY + Duration::from_secs(1));
    ada.sign_in(crate::harness::ADA).await.assert_status(200);
    server.store().sweep().await.unwrap();
    assert_eq!(revisions(&history(&ada, "a").await), [4, 3]);
    server.advance(30 * DAY);
    ada.sign_in(crate::harness::ADA).await.assert_status(200);
    server.store().sweep().await.unwrap();
    assert_eq!(revisions(&history(&ada, "a").await), [4]);
    assert_eq!(ada.open("a").await.assert_status(200).json()["content"], "[3]");
    assert_eq!(ada.whole_usage().await["keptBytes"], 0);
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn without_a_history_nothing_is_kept_and_media_is_not_replaced() {
    let server = TestServer::spawn_with(|config| config.retention.history = None).await;
    let ada = server.ada().await;
    save(&ada, "a", "[1]").await;
    save(&ada, "a", "[2]").await;
    assert_eq!(revisions(&history(&ada, "a").await), [2]);
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    let other = Upload::of("a").notes("[3]").media(b"other");
    ada.save(other).await.assert_error(409, "media_differs");
    assert_eq!(find(&ada.list(&[]).await.json(), "a"), project);
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, b"media");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn history_gives_way_to_what_the_quota_allows() {
    // Each state costs 1 KiB and its metadata, besides its notes.
    let server = TestServer::spawn_with(|config| config.limits.quota_bytes = Some(12_000)).await;
    let ada = server.ada().await;
    let notes = |n: usize| format!("\"{n}{}\"", "x".repeat(1_000));
    for n in 0..9 {
        save(&ada, "a", &notes(n)).await;
    }
    let kept = revisions(&history(&ada, "a").await);
    assert_eq!(kept, [9, 8, 7, 6, 5]);
    assert_eq!(ada.open("a").await.json()["content"], notes(8));
    let too_large = Upload::of("b").notes(notes(0).replace('x', "xxxxxxxxxxxx"));
    ada.save(too_large).await.assert_error(507, "quota_exceeded");
    assert_eq!(revisions(&history(&ada, "a").await), kept, "a save that fails purges nothing");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_removed_account_leaves_no_versions() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"first").await;
    ada.save_media("a", "audio/mpeg", b"second").await;
    ada.delete_project("a").await.assert_status(200);
    ada.remove_account().await.assert_status(200);
    server.store().sweep().await.unwrap();
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}
