use super::TestServer;
use crate::harness::{Client, Upload};

/// Saves with these preconditions; returns the status, and the entity tag of the project after that.
async fn save_if(client: &Client, title: &str, conditions: &[(&'static str, &str)]) -> (u16, Option<String>) {
    let upload = Upload::of(title).notes("[2]");
    let upload = conditions.iter().fold(upload, |upload, (name, value)| upload.header(name, value));
    let response = client.save(upload).await;
    if response.status == 412 {
        response.clone().assert_error(412, "precondition_failed");
    }
    (response.status, response.header("etag").map(str::to_owned))
}

fn saved(revision: &str) -> (u16, Option<String>) {
    (200, Some(revision.to_owned()))
}

fn stale(revision: &str) -> (u16, Option<String>) {
    (412, Some(revision.to_owned()))
}

#[apply(api_test)]
async fn without_a_precondition_the_last_write_wins() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for revision in 1..4 {
        let tag = format!("\"{revision}\"");
        assert_eq!(save_if(&ada, "a", &[]).await, saved(&tag));
        assert_eq!(ada.open("a").await.header("etag"), Some(tag.as_str()));
    }
}

#[apply(api_test)]
async fn a_save_of_the_current_revision_succeeds_and_a_stale_one_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\"")]).await, saved("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\"")]).await, stale("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\", \"2\"")]).await, saved("\"3\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\""), ("if-match", "\"3\"")]).await, saved("\"4\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "*")]).await, saved("\"5\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "W/\"5\"")]).await, stale("\"5\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"other\"")]).await, stale("\"5\""));
}

#[apply(api_test)]
async fn if_match_on_an_absent_project_fails() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for value in ["*", "\"1\"", "\"0\""] {
        assert_eq!(save_if(&ada, "a", &[("if-match", value)]).await, (412, None));
    }
    assert!(ada.titles().await.is_empty());
}

#[apply(api_test)]
async fn if_none_match_star_refuses_a_save_of_an_existing_project() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "*")]).await, saved("\"1\""));
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "*")]).await, stale("\"1\""));
    ada.delete_project("a").await.assert_status(200);
    // Another project: its tag differs from that of the first one.
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "*")]).await, saved("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\"")]).await, stale("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "\"7\", \"8\"")]).await, saved("\"3\""));
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "W/\"3\"")]).await, stale("\"3\""));
}

#[apply(api_test)]
async fn both_preconditions_must_hold() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\""), ("if-none-match", "*")]).await, stale("\"1\""));
    assert_eq!(
        save_if(&ada, "a", &[("if-match", "\"1\""), ("if-none-match", "\"9\"")]).await,
        saved("\"2\"")
    );
}

#[apply(api_test)]
async fn a_malformed_precondition_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    for value in ["1", "\"1", "", "\"1\" \"2\"", "*, \"1\"", ","] {
        for name in ["if-match", "if-none-match"] {
            assert_eq!(save_if(&ada, "a", &[(name, value)]).await.0, 400, "{name}: {value}");
        }
    }
    assert_eq!(ada.open("a").await.header("etag"), Some("\"1\""));
}

#[apply(api_test)]
async fn a_refused_save_leaves_the_project_as_it_was() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes("[1]")).await.assert_status(200);
    let stale = Upload::of("a").notes("[2]").media(b"media").header("if-match", "\"7\"");
    ada.save(stale).await.assert_error(412, "precondition_failed");
    let opened = ada.open("a").await.json();
    assert_eq!(opened["content"], "[1]");
    assert!(opened["metadata"].get("mediaDigest").is_none());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn of_two_saves_of_one_revision_one_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    let save = || save_if(&ada, "a", &[("if-match", "\"1\"")]);
    let (a, b, c) = tokio::join!(save(), save(), save());
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
}

/// All operations that return an entity tag, and whether the tag depends on this project or on all projects.
const READS: [&str; 5] = [
    "/home/open?name=a",
    "/project/get/a",
    "/project/notes/a",
    "/home/list",
    "/project/list?pageParam=0&searchParam=&columnFilters=&sorting=",
];

#[apply(api_test)]
async fn an_unchanged_resource_is_not_sent_again() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    for path in READS {
        let first = ada.get(path).await.assert_status(200);
        let tag = first.header("etag").expect(path).to_owned();
        assert!(!tag.starts_with("W/"), "{path}: {tag}");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
            let response = ada.get_with(path, &[("if-none-match", &known)]).await.assert_status(304);
            assert!(response.body.is_empty());
            assert_eq!(response.header("etag"), Some(tag.as_str()), "{path}");
            assert_eq!(response.header("cache-control"), first.header("cache-control"), "{path}");
            assert_eq!(response.header("content-type"), None, "{path}");
            let head = ada.request(reqwest::Method::HEAD, path).header("if-none-match", known);
            ada.send(head).await.assert_status(304);
        }
        for other in ["\"x\"", "nonsense", ""] {
            let response = ada.get_with(path, &[("if-none-match", other)]).await.assert_status(200);
            assert_eq!(
                (response.body, response.headers.get("etag")),
                (first.body.clone(), first.headers.get("etag"))
            );
        }
        ada.save(Upload::of("a").notes(format!("[\"{path}\"]"))).await.assert_status(200);
        let changed = ada.get_with(path, &[("if-none-match", &tag)]).await.assert_status(200);
        assert_ne!(changed.header("etag"), Some(tag.as_str()), "{path}");
    }
}

#[apply(api_test)]
async fn a_resource_that_fails_a_precondition_is_not_sent() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    for path in READS {
        let tag = ada.get(path).await.assert_status(200).header("etag").unwrap().to_owned();
        for stale in ["\"x\"", &format!("W/{tag}"), "\"0\", \"99\""] {
            let response = ada.get_with(path, &[("if-match", stale), ("if-none-match", &tag)]).await;
            let response = response.assert_error(412, "precondition_failed");
            assert_eq!(response.header("etag"), Some(tag.as_str()), "{path}: {stale}");
            let head = ada.request(reqwest::Method::HEAD, path).header("if-match", stale);
            ada.send(head).await.assert_status(412);
        }
        for good in [tag.as_str(), "*", &format!("\"x\", {tag}")] {
            ada.get_with(path, &[("if-match", good)]).await.assert_status(200);
            ada.get_with(path, &[("if-match", good), ("if-none-match", &tag)]).await.assert_status(304);
        }
        ada.get_with(path, &[("if-match", "nonsense")]).await.assert_error(400, "bad_request");
    }
    // An absent project is 404 with any precondition.
    for path in ["/home/open?name=b", "/project/get/b", "/project/notes/b"] {
        ada.get_with(path, &[("if-match", "*")]).await.assert_error(404, "not_found");
    }
}

#[apply(api_test)]
async fn the_tag_of_a_list_changes_exactly_when_its_response_does() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let page = "/home/list?sort=title&limit=1";
    let tag = async |path: &str| ada.get(path).await.assert_status(200).header("etag").unwrap().to_owned();
    let empty = tag("/home/list").await;
    ada.save_project("a").await;
    let (all, first, audio) = (tag("/home/list").await, tag(page).await, tag("/home/list?type=audio").await);
    assert_ne!(all, empty);
    assert_eq!(audio, empty, "what is the same has the same tag");
    // The page is the same except for the link to the next one.
    ada.save_project("b").await;
    let (more, linked) = (tag("/home/list").await, tag(page).await);
    assert!(more != all && linked != first);
    assert_eq!((tag("/home/list").await, tag(page).await), (more, linked.clone()));
    ada.save_project("c").await;
    assert_eq!(tag(page).await, linked, "what is saved elsewhere changes no page");
    assert_eq!(tag("/home/list?type=audio").await, audio);
    for title in ["a", "b", "c"] {
        ada.delete_project(title).await.assert_status(200);
    }
    assert_eq!(tag("/home/list").await, empty);
}

#[apply(api_test)]
async fn a_project_is_deleted_only_if_the_preconditions_hold() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for path in ["/home/delete?name=a", "/project/delete/a"] {
        ada.save_project("a").await;
        ada.save_project("a").await;
        let tag = ada.open("a").await.assert_status(200).header("etag").unwrap().to_owned();
        for conditions in [
            &[("if-match", "\"0\"")][..],
            &[("if-match", "\"x\", \"99\"")],
            &[("if-match", &format!("W/{tag}"))],
            &[("if-none-match", "*")],
            &[("if-none-match", &tag)],
            &[("if-none-match", &format!("\"x\", W/{tag}"))],
            &[("if-match", &tag), ("if-none-match", "*")],
            &[("if-match", "\"0\""), ("if-none-match", "\"0\"")],
        ] {
            let response = ada.delete_with(path, conditions).await.assert_error(412, "precondition_failed");
            assert_eq!(response.header("etag"), Some(tag.as_str()), "{path}: {conditions:?}");
            assert_eq!(ada.open("a").await.assert_status(200).header("etag"), Some(tag.as_str()));
        }
        for value in ["1", "\"1", "", "*, \"1\"", ","] {
            for name in ["if-match", "if-none-match"] {
                ada.delete_with(path, &[(name, value)]).await.assert_error(400, "bad_request");
            }
        }
        for conditions in [
            &[("if-match", tag.as_str())][..],
            &[("if-match", &format!("\"0\", {tag}"))],
            &[("if-match", "*")],
            &[("if-none-match", "\"0\"")],
            &[("if-match", "*"), ("if-none-match", "\"0\"")],
        ] {
            let now = ada.open("a").await.header("etag").unwrap().to_owned();
            let current: Vec<_> =
                conditions.iter().map(|(name, value)| (*name, value.replace(&tag, &now))).collect();
            let current: Vec<_> = current.iter().map(|(name, value)| (*name, value.as_str())).collect();
            ada.delete_with(path, &current).await.assert_status(200);
            // An absent project is 404 with any precondition.
            ada.delete_with(path, conditions).await.assert_error(404, "not_found");
            ada.save_project("a").await;
        }
        ada.delete_project("a").await.assert_status(200);
    }
}

#[apply(api_test)]
async fn a_project_that_was_saved_meanwhile_is_not_deleted() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    let seen = ada.open("a").await.header("etag").unwrap().to_owned();
    ada.save(Upload::of("a").notes("[\"newer\"]")).await.assert_status(200);
    let delete = ada.delete_with("/home/delete?name=a", &[("if-match", &seen)]).await;
    delete.assert_error(412, "precondition_failed");
    assert_eq!(ada.open("a").await.assert_status(200).json()["content"], "[\"newer\"]");
}
