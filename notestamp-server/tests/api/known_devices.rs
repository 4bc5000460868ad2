//! A browser that has signed in before is told apart from the clients at its address, so they cannot keep it out.

use std::time::Duration;

use serde_json::json;

use super::TestServer;
use crate::harness::{ADA, Client, DEVICE, PASSWORD, credentials};

const BOB: &str = "bob@example.org";

async fn guess(client: &Client, email: &str) -> u16 {
    client.post_json("/auth/signin", &json!({"username": email, "password": "a wrong guess"})).await.status
}

/// Uses up the failed sign-ins of Ada's account at the address of all clients.
async fn use_up(server: &TestServer) {
    let guesser = server.visitor();
    while guess(&guesser, ADA).await != 429 {}
}

/// A client that has nothing but this device cookie.
fn with_device(server: &TestServer, value: &str) -> Client {
    let client = server.visitor();
    client.set_cookie(DEVICE, value);
    client
}

#[apply(api_test)]
async fn a_known_device_signs_in_while_its_address_is_throttled() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.sign_out().await.assert_status(200);
    use_up(&server).await;
    server.visitor().sign_in(ADA).await.assert_error(429, "too_many_requests");
    ada.sign_in(ADA).await.assert_status(200);

    // The limit of the address, whatever the account, does not apply either.
    let guesser = server.visitor();
    for n in 0..100 {
        guess(&guesser, &format!("{n}@example.org")).await;
    }
    server.visitor().register(BOB).await.assert_status(201);
    server.visitor().sign_in(BOB).await.assert_error(429, "too_many_requests");
    for path in ["/auth/signin", "/auth/login"] {
        let device = with_device(&server, &ada.cookie(DEVICE));
        device.post_json(path, &credentials(ADA)).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn the_failures_of_a_known_device_are_limited_too() {
    let server = TestServer::spawn().await;
    let device = with_device(&server, &server.ada().await.cookie(DEVICE));
    for _ in 0..10 {
        assert_eq!(guess(&device, ADA).await, 401);
    }
    device.sign_in(ADA).await.assert_error(429, "too_many_requests");
    server.visitor().sign_in(ADA).await.assert_status(200);
    server.advance(Duration::from_secs(15 * 60));
    device.sign_in(ADA).await.assert_status(200);
}

#[apply(api_test)]
async fn a_device_cookie_is_good_for_its_account_only_and_signs_nobody_in() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let of_bob = server.signed_in(BOB).await.cookie(DEVICE);
    let of_ada = ada.cookie(DEVICE);
    use_up(&server).await;
    let flipped = if of_ada.starts_with('0') { "1" } else { "0" };
    for value in [of_bob, format!("{flipped}{}", &of_ada[1..]), of_ada[1..].to_owned(), String::new()] {
        with_device(&server, &value).sign_in(ADA).await.assert_error(429, "too_many_requests");
    }
    let device = with_device(&server, &of_ada);
    device.get("/home/list").await.assert_error(401, "unauthorized");
    device.get("/auth/user").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn a_new_password_makes_the_device_cookies_useless() {
    const NEW: &str = "eighteen otters in a canoe";
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let old = ada.cookie(DEVICE);
    ada.post_json("/auth/password", &json!({"current": PASSWORD, "new": NEW})).await.assert_status(200);
    use_up(&server).await;
    let credentials = json!({"username": ADA, "password": NEW});
    let refused = with_device(&server, &old).post_json("/auth/signin", &credentials).await;
    refused.assert_error(429, "too_many_requests");
    let device = with_device(&server, &ada.cookie(DEVICE));
    device.post_json("/auth/signin", &credentials).await.assert_status(200);
}

#[apply(api_test)]
async fn the_removal_of_the_account_makes_its_device_cookies_useless() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let old = ada.cookie(DEVICE);
    ada.remove_account().await.assert_status(200);
    server.visitor().register(ADA).await.assert_status(201);
    use_up(&server).await;
    with_device(&server, &old).sign_in(ADA).await.assert_error(429, "too_many_requests");
}
