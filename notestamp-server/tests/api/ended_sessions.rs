//! After a session has ended, every server refuses its tokens from the next request on.

use reqwest::Method;
use serde_json::json;

use super::TestServer;
use crate::harness::{ACCESS, ADA, Client, PASSWORD};
use crate::token::{self, KEY, Pieces};

const BOB: &str = "bob@example.org";

/// Two servers over the same stores.
async fn servers() -> [TestServer; 2] {
    let server = TestServer::spawn_with(token::sign_with(&[KEY])).await;
    let sibling = server.sibling().await;
    [server, sibling]
}

/// Asserts that copied cookies are refused: both together, and each alone.
async fn assert_dead(tokens: &Client, servers: &[TestServer; 2]) {
    for server in servers {
        let thief = tokens.at(server);
        thief.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
        thief.save(crate::harness::Upload::of("a")).await.assert_error(401, "unauthorized");
        thief.drop_cookie(ACCESS);
        thief.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
}

fn session_id(client: &Client) -> String {
    Pieces::of(&client.cookie(ACCESS)).claims["sid"].as_str().unwrap().to_owned()
}

async fn change_password(client: &Client, new: &str) {
    let change = json!({"current": PASSWORD, "new": new});
    client.post_json("/auth/password", &change).await.assert_status(200).assert_signs_in();
}

#[apply(api_test)]
async fn after_signing_out_its_tokens_are_refused_and_those_of_other_sessions_accepted() {
    let servers = servers().await;
    let (ada, elsewhere) = (servers[0].ada().await, servers[0].visitor());
    elsewhere.sign_in(ADA).await.assert_status(200);
    for (method, path) in [(Method::DELETE, "/auth/signout"), (Method::POST, "/auth/logout")] {
        let tokens = ada.twin();
        ada.send(ada.request(method, path)).await.assert_status(200).assert_deletes_cookies();
        assert_dead(&tokens, &servers).await;
        ada.sign_in(ADA).await.assert_status(200);
    }
    elsewhere.at(&servers[1]).get("/home/list").await.assert_status(200);
}

#[apply(api_test)]
async fn after_the_removal_of_the_account_its_tokens_are_refused() {
    let servers = servers().await;
    let (ada, elsewhere) = (servers[0].ada().await, servers[0].visitor());
    elsewhere.sign_in(ADA).await.assert_status(200);
    let tokens = ada.twin();
    ada.remove_account().await.assert_status(200).assert_deletes_cookies();
    assert_dead(&tokens, &servers).await;
    assert_dead(&elsewhere, &servers).await;

    // They do not authenticate for a new account with the same address either.
    ada.register(ADA).await.assert_status(201);
    assert_dead(&tokens, &servers).await;
}

#[apply(api_test)]
async fn after_a_password_change_all_old_tokens_are_refused_including_the_callers() {
    let servers = servers().await;
    let (ada, elsewhere) = (servers[0].ada().await, servers[0].visitor());
    elsewhere.sign_in(ADA).await.assert_status(200);
    let tokens = ada.twin();
    change_password(&ada, "eighteen otters in a canoe").await;
    assert_dead(&tokens, &servers).await;
    assert_dead(&elsewhere, &servers).await;
    for server in &servers {
        ada.at(server).get("/home/list").await.assert_status(200).assert_sets_no_cookie();
    }
    servers[1].visitor().sign_in(ADA).await.assert_error(401, "bad_credentials");
}

#[apply(api_test)]
async fn the_tokens_of_a_session_that_another_session_ended_are_refused() {
    let servers = servers().await;
    let (ada, lost_laptop) = (servers[0].ada().await, servers[1].visitor());
    lost_laptop.sign_in(ADA).await.assert_status(200);
    let path = format!("/auth/sessions/{}", session_id(&lost_laptop));
    ada.delete(&path).await.assert_status(200).assert_sets_no_cookie();
    assert_dead(&lost_laptop, &servers).await;
    ada.get("/home/list").await.assert_status(200);
    ada.delete(&path).await.assert_error(404, "not_found");

    let sessions = ada.get("/auth/sessions").await.assert_status(200).json();
    let ids: Vec<_> = sessions.as_array().unwrap().iter().map(|session| session["id"].clone()).collect();
    assert_eq!(ids, [session_id(&ada)]);
    assert_eq!(sessions[0]["current"], true);
}

#[apply(api_test)]
async fn a_session_can_end_itself() {
    let servers = servers().await;
    let ada = servers[0].ada().await;
    ada.delete(&format!("/auth/sessions/{}", session_id(&ada))).await.assert_status(200);
    assert_dead(&ada, &servers).await;
}

#[apply(api_test)]
async fn a_session_of_another_account_is_not_found_and_stays_open() {
    let [server, _sibling] = servers().await;
    let (ada, bob) = (server.ada().await, server.signed_in(BOB).await);
    let somebody_elses = ada.delete(&format!("/auth/sessions/{}", session_id(&bob))).await;
    let unknown = ada.delete("/auth/sessions/01960000-0000-7000-8000-000000000000").await;
    let nonsense = ada.delete("/auth/sessions/nonsense").await;
    for response in [&somebody_elses, &unknown, &nonsense] {
        let response = response.clone().assert_error(404, "not_found").json();
        assert_eq!(response["message"], somebody_elses.json()["message"], "nothing tells them apart");
    }
    bob.get("/home/list").await.assert_status(200);
    let sessions = ada.get("/auth/sessions").await.assert_status(200).json();
    assert!(!sessions.to_string().contains(&session_id(&bob)));
}

#[apply(api_test)]
async fn the_tokens_of_an_ended_session_cannot_end_another() {
    let servers = servers().await;
    let (ada, elsewhere) = (servers[0].ada().await, servers[0].visitor());
    elsewhere.sign_in(ADA).await.assert_status(200);
    let thief = ada.twin();
    ada.sign_out().await.assert_status(200);
    thief
        .delete(&format!("/auth/sessions/{}", session_id(&elsewhere)))
        .await
        .assert_error(401, "unauthorized");
    thief.remove_account().await.assert_error(401, "unauthorized");
    elsewhere.get("/home/list").await.assert_status(200);
}

#[apply(api_test)]
async fn ending_the_own_session_deletes_its_cookies_and_ending_another_does_not() {
    let servers = servers().await;
    let (ada, elsewhere) = (servers[0].ada().await, servers[0].visitor());
    elsewhere.sign_in(ADA).await.assert_status(200);
    let end = |session: String| format!("/auth/sessions/{session}");
    ada.delete(&end(session_id(&elsewhere))).await.assert_status(200).assert_sets_no_cookie();
    let tokens = ada.twin();
    // The request itself is authenticated by the refresh token; the new cookies must be deleted too.
    ada.drop_cookie(ACCESS);
    ada.delete(&end(session_id(&tokens))).await.assert_status(200).assert_deletes_cookies();
    assert_dead(&tokens, &servers).await;
}
