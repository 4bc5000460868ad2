//! The state of sessions survives a restart of the server.

use serde_json::json;

use super::TestServer;
use crate::harness::{ACCESS, ADA, Client, PASSWORD, REFRESH};

async fn assert_out(client: &Client) {
    client.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    client.drop_cookie(ACCESS);
    client.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
}

#[apply(api_test)]
async fn a_session_continues_with_its_tokens_after_a_restart() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let server = server.restarted().await;
    let ada = ada.at(&server);
    ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();
    ada.drop_cookie(ACCESS);
    ada.get("/home/list").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn a_replay_is_distinguished_from_a_second_tab_after_a_restart() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let (thief, tab) = (ada.twin(), ada.twin());
    ada.drop_cookie(ACCESS);
    ada.get("/home/list").await.assert_status(200).assert_refreshes();

    let server = server.restarted().await;
    let (ada, thief, tab) = (ada.at(&server), thief.at(&server), tab.at(&server));
    tab.drop_cookie(ACCESS);
    tab.get("/home/list").await.assert_status(200).assert_refreshes();
    assert_eq!(tab.cookie(REFRESH), ada.cookie(REFRESH));
    ada.drop_cookie(ACCESS);
    ada.get("/home/list").await.assert_status(200).assert_refreshes();
    thief.drop_cookie(ACCESS);
    thief.get("/home/list").await.assert_error(401, "unauthorized");

    let server = server.restarted().await;
    assert_out(&ada.at(&server)).await;
}

#[apply(api_test)]
async fn ended_sessions_stay_ended_after_a_restart() {
    let server = TestServer::spawn().await;
    let signed_out = server.ada().await;
    let thief = signed_out.twin();
    signed_out.sign_out().await.assert_status(200);
    let removed = server.signed_in("bob@example.org").await;
    let also_removed = removed.twin();
    removed.remove_account().await.assert_status(200);
    let (old, changed) = (server.signed_in("eve@example.org").await, server.visitor());
    changed.sign_in("eve@example.org").await.assert_status(200);
    let change = json!({"current": PASSWORD, "new": "another seventeen otters"});
    changed.post_json("/auth/password", &change).await.assert_status(200);

    let server = server.restarted().await;
    for client in [thief, also_removed, old] {
        assert_out(&client.at(&server)).await;
    }
    changed.at(&server).get("/home/list").await.assert_status(200);
    server.visitor().sign_in(ADA).await.assert_status(200);
    server.visitor().sign_in("bob@example.org").await.assert_error(401, "bad_credentials");
    server.visitor().sign_in("eve@example.org").await.assert_error(401, "bad_credentials");
}
