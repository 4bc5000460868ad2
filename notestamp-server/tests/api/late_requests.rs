//! A browser's cookies are never replaced by older ones: a slow request is served, and sets no cookies.

use std::time::Duration;

use serde_json::json;

use super::TestServer;
use crate::harness::{ACCESS, ADA, Client, HeldRequest, PASSWORD, REFRESH, ServerResponse, Upload};

const SECOND: Duration = Duration::from_secs(1);
const GRACE: Duration = Duration::from_secs(30);
const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
const BOB: &str = "bob@example.org";
const SAVES: [&str; 2] = ["/home/upload", "/project/save"];

/// A save in the dialect of this path.
fn upload(path: &str, title: &str) -> Upload {
    let metadata =
        Upload::empty().text("metadata", json!({ "title": title }).to_string()).media(b"0123456789");
    match path {
        "/project/save" => metadata.part("notesFile", Some("notes.json"), None, *b"[]"),
        _ => metadata.notes("[]"),
    }
}

/// Begins a save, and holds its body back after the server has authenticated the request.
async fn hold(client: &Client, path: &str, title: &str) -> HeldRequest {
    client.hold(path, &Upload::content_type(), upload(path, title).into_body()).await
}

/// Sends the rest, and keeps the cookies that the response sets.
async fn finish(client: &Client, held: HeldRequest) -> ServerResponse {
    let response = held.finish().await;
    client.keep_cookies(&response);
    response
}

/// Performs two rotations, each confirmed, with fast requests.
async fn rotate_twice(server: &TestServer, client: &Client) {
    for _ in 0..2 {
        server.advance(ACCESS_TTL);
        client.get("/home/list").await.assert_status(200).assert_refreshes();
        client.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
    }
}

#[apply(api_test)]
async fn a_save_is_served_by_the_refresh_token_and_sets_no_cookies() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let refresh = ada.cookie(REFRESH);
    for path in SAVES {
        server.advance(ACCESS_TTL);
        for _ in 0..2 {
            ada.save_at(path, upload(path, "a")).await.assert_status(200).assert_sets_no_cookie();
        }
        let without = ada.twin();
        without.drop_cookie(ACCESS);
        without.save_at(path, upload(path, "a")).await.assert_status(200).assert_sets_no_cookie();
    }
    ada.get("/home/list").await.assert_status(200).assert_refreshes();
    for path in SAVES {
        ada.save_at(path, upload(path, "a")).await.assert_status(200).assert_sets_no_cookie();
    }
    assert_ne!(ada.cookie(REFRESH), refresh);
}

#[apply(api_test)]
async fn a_save_that_fails_sets_no_cookies() {
    let server = TestServer::spawn_with(|config| {
        config.limits.notes_bytes_max = 10;
        config.limits.media_bytes_max = 10;
    })
    .await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes("[1]")).await.assert_status(200);
    server.advance(ACCESS_TTL);
    let refused = |response: ServerResponse, status| response.assert_status(status).assert_sets_no_cookie();
    refused(ada.post("/home/upload", "text/plain", "x").await, 415);
    refused(ada.save(Upload::of("a").notes("{")).await, 400);
    refused(ada.save(Upload::of("a").notes("[1,2,3,4,5,6]")).await, 413);
    refused(ada.save(Upload::of("a").notes("[1]").media(&[0; 200 << 10])).await, 413);
    refused(ada.save(Upload::of("a").notes("[1]").header("if-match", "\"7\"")).await, 412);
    refused(ada.save(Upload::of("b").notes("[1]").text("mediaDigest", "0".repeat(64))).await, 409);
    ada.get("/home/list").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn a_slow_save_does_not_overwrite_newer_tokens_of_another_tab() {
    for path in SAVES {
        let server = TestServer::spawn().await;
        let ada = server.ada().await;
        server.advance(ACCESS_TTL);
        let slow = hold(&ada, path, "a").await;
        rotate_twice(&server, &ada).await;
        let newest = ada.cookie(REFRESH);
        finish(&ada, slow).await.assert_status(200).assert_sets_no_cookie();
        assert_eq!(ada.cookie(REFRESH), newest);
        ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
        // The grace period, in which the old token is always valid, has passed too.
        server.advance(ACCESS_TTL + GRACE);
        ada.get("/home/list").await.assert_status(200).assert_refreshes();
        assert_eq!(ada.titles().await, ["a"]);
    }
}

#[apply(api_test)]
async fn a_slow_save_does_not_overwrite_the_tokens_of_another_user() {
    for path in SAVES {
        let server = TestServer::spawn().await;
        let browser = server.ada().await;
        browser.register(BOB).await.assert_status(201);
        server.advance(ACCESS_TTL);
        let slow = hold(&browser, path, "Ada's").await;
        browser.sign_in(BOB).await.assert_status(200);
        finish(&browser, slow).await.assert_status(200).assert_sets_no_cookie();
        assert_eq!(browser.get("/auth/user").await.assert_status(200).json()["email"], BOB);
        assert_eq!(browser.titles().await, [""; 0], "what Ada saved is hers");
        browser.sign_in(ADA).await.assert_status(200);
        assert_eq!(browser.titles().await, ["Ada's"]);
    }
}

#[apply(api_test)]
async fn a_save_with_a_replaced_refresh_token_is_a_replay() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let (previous, ahead) = (ada.twin(), ada.twin());
    server.advance(ACCESS_TTL);
    ahead.get("/home/list").await.assert_status(200).assert_refreshes();
    // No request has used the new token, so the old one is still valid, as if the response had been lost.
    server.advance(2 * GRACE);
    previous.save(upload("/home/upload", "a")).await.assert_status(200).assert_sets_no_cookie();
    // A save confirms it like any other request.
    ahead.drop_cookie(ACCESS);
    ahead.save(upload("/home/upload", "a")).await.assert_status(200).assert_sets_no_cookie();
    previous
        .save(upload("/home/upload", "a"))
        .await
        .assert_error(401, "unauthorized")
        .assert_sets_no_cookie();
    ahead.get("/home/list").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn a_password_change_sets_the_cookies_of_its_new_session_and_no_others() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let change = |current: &str| {
        let body = json!({"current": current, "new": "eighteen otters in a canoe"});
        body.to_string().into_bytes()
    };
    server.advance(ACCESS_TTL);
    let slow = ada.hold("/auth/password", "application/json", change("a wrong guess")).await;
    rotate_twice(&server, &ada).await;
    finish(&ada, slow).await.assert_error(401, "bad_credentials").assert_sets_no_cookie();
    ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();

    server.advance(ACCESS_TTL);
    let slow = ada.hold("/auth/password", "application/json", change(PASSWORD)).await;
    server.advance(60 * SECOND);
    finish(&ada, slow).await.assert_status(200).assert_signs_in();
    ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
}
