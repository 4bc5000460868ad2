use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use super::TestServer;
use crate::harness::{ACCESS, ADA, Client, PASSWORD, REFRESH, Upload};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
const SECOND: Duration = Duration::from_secs(1);

#[apply(api_test)]
async fn a_token_that_has_not_expired_is_not_replaced() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(ACCESS_TTL - SECOND);
    ada.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
}

#[apply(api_test)]
async fn a_just_expired_access_token_is_replaced_by_the_response() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let (access, refresh) = (ada.cookie(ACCESS), ada.cookie(REFRESH));
    server.advance(ACCESS_TTL);
    let response = ada.get("/auth/user").await.assert_status(200);
    response.assert_refreshes();
    let set = response.cookies();
    let attributes = |max_age| ["HttpOnly", max_age, "Path=/", "SameSite=Lax", "Secure"];
    assert_eq!(set[ACCESS].attributes, attributes("Max-Age=900"));
    assert_eq!(set[REFRESH].attributes, attributes("Max-Age=2592000"));
    assert_ne!((ada.cookie(ACCESS), ada.cookie(REFRESH)), (access, refresh));
    ada.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
}

#[apply(api_test)]
async fn a_missing_access_token_is_replaced_by_the_response() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for _ in 0..3 {
        ada.drop_cookie(ACCESS);
        ada.get("/auth/user").await.assert_status(200).assert_refreshes();
    }
    ada.set_cookie(ACCESS, "");
    ada.get("/auth/user").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn every_route_refreshes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"0123456789").await;
    let by_id = format!("/home/media/{}", project["id"].as_str().unwrap());
    for path in [
        "/auth/user",
        "/home/list",
        "/home/open?name=a",
        &by_id,
        "/home/media-file/a",
        "/home/stream-audio/a",
        "/home/stream-media?name=a",
    ] {
        server.advance(ACCESS_TTL);
        ada.get(path).await.assert_status(200).assert_refreshes();
        server.advance(ACCESS_TTL);
        ada.head(path).await.assert_status(200).assert_refreshes();
    }
    server.advance(ACCESS_TTL);
    ada.get_with(&by_id, &[("range", "bytes=2-")]).await.assert_status(206).assert_refreshes();
    ada.save_project("b").await;
    server.advance(ACCESS_TTL);
    ada.delete_project("b").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn errors_refresh_too() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save(Upload::of("a").notes("[1]").media(b"0123456789")).await.assert_status(200).json();
    let tag = format!("\"{}\"", project[0]["mediaDigest"].as_str().unwrap());
    let expire = || server.advance(ACCESS_TTL);
    let refreshed =
        |response: crate::harness::ServerResponse, status| response.assert_status(status).assert_refreshes();

    expire();
    refreshed(ada.open("unknown").await, 404);
    expire();
    refreshed(ada.get("/home/open").await, 400);
    expire();
    refreshed(ada.list(&[("limit", "0")]).await, 400);
    expire();
    refreshed(ada.delete_project("unknown").await, 404);
    expire();
    refreshed(ada.get("/home/media/nonsense").await, 404);
    expire();
    refreshed(ada.get_with("/home/media-file/a", &[("if-none-match", &tag)]).await, 304);
    expire();
    refreshed(ada.get_with("/home/media-file/a", &[("range", "bytes=10-")]).await, 416);
}

#[apply(api_test)]
async fn a_damaged_access_token_is_refused_with_any_refresh_token() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let good = ada.cookie(ACCESS);
    let (head, signature) = good.rsplit_once('.').unwrap();
    let flipped: String = signature.chars().rev().collect();
    for damaged in [
        "nonsense",
        "a.b.c",
        "...",
        &good[..good.len() - 1],
        &format!("{good}x"),
        &format!("{head}.{flipped}"),
        &format!("{head}."),
        head,
        &ada.cookie(REFRESH),
        // {"alg":"none","typ":"JWT"}, with the same claims and no signature.
        &format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", head.split_once('.').unwrap().1),
    ] {
        ada.set_cookie(ACCESS, damaged);
        ada.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
    ada.set_cookie(ACCESS, &good);
    ada.get("/auth/user").await.assert_status(200);
}

#[apply(api_test)]
async fn tokens_of_another_server_are_refused() {
    let (server, other) = (TestServer::spawn().await, TestServer::spawn().await);
    let (ada, stranger) = (server.ada().await, other.ada().await);
    ada.set_cookie(ACCESS, &stranger.cookie(ACCESS));
    ada.get("/auth/user").await.assert_error(401, "unauthorized");
    ada.set_cookie(REFRESH, &stranger.cookie(REFRESH));
    ada.drop_cookie(ACCESS);
    ada.get("/auth/user").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn a_damaged_refresh_token_cannot_refresh() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let access = ada.cookie(ACCESS);
    ada.drop_cookie(ACCESS);
    for damaged in ["nonsense", "a.b.c", &access, &ada.cookie(REFRESH)[1..]] {
        ada.set_cookie(REFRESH, damaged);
        ada.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
}

#[apply(api_test)]
async fn tokens_of_two_sessions_are_refused() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    let elsewhere = server.visitor();
    elsewhere.sign_in(ADA).await.assert_status(200);
    for other in [&bob, &elsewhere] {
        let mixed = ada.twin();
        mixed.set_cookie(REFRESH, &other.cookie(REFRESH));
        mixed.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
    server.advance(ACCESS_TTL);
    for other in [&bob, &elsewhere] {
        let mixed = ada.twin();
        mixed.set_cookie(REFRESH, &other.cookie(REFRESH));
        mixed.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
    for client in [&ada, &bob, &elsewhere] {
        client.get("/auth/user").await.assert_status(200);
    }
}

#[apply(api_test)]
async fn a_session_that_is_not_used_for_30_days_ends() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(30 * DAY);
    ada.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
}

#[apply(api_test)]
async fn a_session_stays_open_while_it_is_used_up_to_its_maximum() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for day in 1..180 {
        server.advance(DAY);
        ada.get("/auth/user").await.assert_status(200);
        assert!(day < 180);
    }
    server.advance(DAY);
    ada.get("/auth/user").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn concurrent_requests_get_the_same_successor() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(ACCESS_TTL);
    let tabs: [Client; 4] = std::array::from_fn(|_| ada.twin());
    let [a, b, c, d] = &tabs;
    let (a, b, c, d) =
        tokio::join!(a.get("/home/list"), b.get("/auth/user"), c.get("/home/list"), d.get("/auth/user"));
    for response in [a, b, c, d] {
        response.assert_status(200).assert_refreshes();
    }
    let successor = tabs[0].cookie(REFRESH);
    assert_ne!(successor, ada.cookie(REFRESH));
    assert!(tabs.iter().all(|tab| tab.cookie(REFRESH) == successor));
    for tab in &tabs {
        tab.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
    }
}

#[apply(api_test)]
async fn after_a_lost_response_the_same_successor_is_returned() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(ACCESS_TTL);
    let lost = ada.twin();
    lost.get("/auth/user").await.assert_status(200).assert_refreshes();
    // No request has used the new tokens, so the old one stays valid after the grace period.
    server.advance(10 * DAY);
    ada.get("/auth/user").await.assert_status(200).assert_refreshes();
    assert_eq!(ada.cookie(REFRESH), lost.cookie(REFRESH));
}

#[apply(api_test)]
async fn an_old_refresh_token_is_a_replay_after_the_grace_period_and_revokes_the_session() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let thief = ada.twin();
    thief.drop_cookie(ACCESS);
    server.advance(ACCESS_TTL);
    ada.get("/auth/user").await.assert_status(200).assert_refreshes();
    ada.get("/auth/user").await.assert_status(200);
    server.advance(Duration::from_secs(29));
    thief.twin().get("/auth/user").await.assert_status(200).assert_refreshes();
    server.advance(SECOND);
    thief.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    ada.get("/auth/user").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn an_access_token_is_valid_until_it_expires_even_after_a_refresh() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let old = ada.twin();
    ada.drop_cookie(ACCESS);
    server.advance(MINUTE);
    ada.get("/auth/user").await.assert_status(200).assert_refreshes();
    old.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
}

#[apply(api_test)]
async fn public_routes_neither_need_nor_refresh_a_session() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(ACCESS_TTL);
    for path in ["/", "/docs", "/openapi.json", "/openapi.yaml", "/healthz", "/readyz"] {
        ada.get(path).await.assert_status(200).assert_sets_no_cookie();
    }
    ada.set_cookie(ACCESS, "garbage");
    ada.get("/healthz").await.assert_status(200).assert_sets_no_cookie();
    let body = json!({"username": "bob@example.org", "password": PASSWORD});
    let request = ada.request(Method::POST, "/auth/register").json(&body);
    ada.send(request).await.assert_status(201).assert_sets_no_cookie();
}
