//! Guessing passwords does not succeed, reveals nothing, and does not disturb other users.

use std::time::Duration;

use argon2::{Argon2, Params, PasswordHasher};
use futures_util::future::join_all;
use notestamp_server::config::SignInFailures;
use notestamp_store::{Email, PasswordHash};
use reqwest::Method;
use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{ADA, Client, PASSWORD, ServerResponse, credentials};

const X_FORWARDED_FOR: &str = "x-forwarded-for";

async fn guess(client: &Client, email: &str) -> ServerResponse {
    client.post_json("/auth/signin", &json!({"username": email, "password": "a wrong guess"})).await
}

async fn sign_in_from(client: &Client, address: &str, body: &Value) -> ServerResponse {
    let request = client.request(Method::POST, "/auth/signin").header(X_FORWARDED_FOR, address).json(body);
    client.send(request).await
}

#[track_caller]
fn assert_limited(response: ServerResponse) {
    let response = response.assert_error(429, "too_many_requests");
    let seconds: u64 = response.header("retry-after").expect("it says when").parse().unwrap();
    assert!((1..=15 * 60).contains(&seconds), "{seconds}");
    response.assert_sets_no_cookie();
}

#[apply(api_test)]
async fn the_eleventh_failure_is_refused_until_the_first_is_old() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let guesser = server.visitor();
    for name in ["ada@example.org", "ADA@example.org ", "Ada@Example.Org"].iter().cycle().take(10) {
        guess(&guesser, name).await.assert_error(401, "bad_credentials");
    }
    assert_limited(guess(&guesser, ADA).await);
    assert_limited(guesser.sign_in(ADA).await);
    assert_limited(guesser.post_json("/auth/login", &credentials(ADA)).await);
    // Open sessions stay open, and other accounts are not affected.
    ada.get("/home/list").await.assert_status(200);
    guesser.register("bob@example.org").await.assert_status(201);
    guesser.sign_in("bob@example.org").await.assert_status(200);

    server.advance(Duration::from_secs(15 * 60) - Duration::from_secs(1));
    let refused = guesser.sign_in(ADA).await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_limited(refused);
    server.advance(Duration::from_secs(1));
    guesser.sign_in(ADA).await.assert_status(200);
}

#[apply(api_test)]
async fn failures_while_the_clock_was_ahead_count_no_longer_than_others() {
    const AHEAD: Duration = Duration::from_secs(8 * 60 * 60);
    let server = TestServer::spawn().await;
    server.ada().await;
    let guesser = server.visitor();
    server.set_clock_ahead(AHEAD);
    for _ in 0..10 {
        guess(&guesser, ADA).await.assert_error(401, "bad_credentials");
    }
    server.set_clock_back(AHEAD);
    assert_limited(guesser.sign_in(ADA).await);
    server.advance(Duration::from_secs(15 * 60));
    guesser.sign_in(ADA).await.assert_status(200);
}

#[apply(api_test)]
async fn an_unknown_account_is_limited_like_a_known_one() {
    let server = TestServer::spawn().await;
    let guesser = server.visitor();
    for name in ["nobody@example.org", "no address"] {
        for _ in 0..10 {
            guess(&guesser, name).await.assert_error(401, "bad_credentials");
        }
        assert_limited(guess(&guesser, name).await);
    }
}

#[apply(api_test)]
async fn the_right_password_works_from_another_address_behind_a_trusted_proxy() {
    let proxy = "127.0.0.1/32".parse().unwrap();
    let server = TestServer::spawn_with(|config| config.listen.trusted_proxies = vec![proxy]).await;
    server.ada().await;
    let wrong = json!({"username": ADA, "password": "a wrong guess"});
    for _ in 0..10 {
        sign_in_from(&server.visitor(), "192.0.2.66", &wrong).await.assert_error(401, "bad_credentials");
    }
    assert_limited(sign_in_from(&server.visitor(), "192.0.2.66", &credentials(ADA)).await);
    sign_in_from(&server.visitor(), "192.0.2.1", &credentials(ADA)).await.assert_status(200);
    // Entries that the attacker writes stand left of the attacker's address, and do not count.
    let disguise = "192.0.2.1, 192.0.2.66";
    assert_limited(sign_in_from(&server.visitor(), disguise, &credentials(ADA)).await);
}

#[apply(api_test)]
async fn an_address_in_a_header_of_an_untrusted_peer_is_ignored() {
    let server = TestServer::spawn().await;
    server.ada().await;
    let wrong = json!({"username": ADA, "password": "a wrong guess"});
    for n in 0..10 {
        let address = format!("192.0.2.{n}");
        sign_in_from(&server.visitor(), &address, &wrong).await.assert_error(401, "bad_credentials");
    }
    assert_limited(sign_in_from(&server.visitor(), "192.0.2.200", &credentials(ADA)).await);
}

#[apply(api_test)]
async fn an_address_that_fills_the_queue_of_hashes_keeps_no_other_address_out() {
    let proxy = "127.0.0.1/32".parse().unwrap();
    let server = TestServer::spawn_with(|config| config.listen.trusted_proxies = vec![proxy]).await;
    server.ada().await;
    let register = async |n: usize| {
        let visitor = server.visitor();
        let body = credentials(&format!("{n}@example.org"));
        let request = visitor.request(Method::POST, "/auth/register");
        let response = request.header(X_FORWARDED_FOR, "192.0.2.66").json(&body).send().await.unwrap();
        response.status().as_u16()
    };
    let registrations = join_all((0..100).map(register));
    let sign_ins = async {
        for n in 1..=5 {
            let from = format!("192.0.2.{n}");
            sign_in_from(&server.visitor(), &from, &credentials(ADA)).await.assert_status(200);
        }
    };
    let (registered, ()) = futures_util::join!(registrations, sign_ins);
    let count = |status: u16| registered.iter().filter(|other| **other == status).count();
    assert!(count(503) > 0 && count(201) > 0, "{registered:?}");
    assert_eq!(count(503) + count(201), 100);
}

#[apply(api_test)]
async fn a_wrong_current_password_counts() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let change = |current: &str| json!({"current": current, "new": "eighteen otters in a canoe"});
    for _ in 0..10 {
        let refused = ada.post_json("/auth/password", &change("a wrong guess")).await;
        refused.assert_error(401, "bad_credentials").assert_sets_no_cookie();
    }
    assert_limited(ada.post_json("/auth/password", &change(PASSWORD)).await);
    assert_limited(server.visitor().sign_in(ADA).await);
    ada.get("/home/list").await.assert_status(200);
}

#[apply(api_test)]
async fn successes_do_not_count() {
    let server = TestServer::spawn_with(|config| {
        config.limits.sign_in_failures = SignInFailures::parse("3/15m").unwrap();
    })
    .await;
    let ada = server.ada().await;
    for _ in 0..2 {
        guess(&ada, ADA).await.assert_error(401, "bad_credentials");
    }
    for _ in 0..5 {
        ada.sign_in(ADA).await.assert_status(200);
    }
    // Nor do they reset the count of failures: otherwise an attacker with an account could guess for ever.
    guess(&ada, ADA).await.assert_error(401, "bad_credentials");
    assert_limited(ada.sign_in(ADA).await);
}

#[apply(api_test)]
async fn concurrent_guesses_do_not_bypass_the_limit() {
    let server = TestServer::spawn().await;
    server.ada().await;
    let guesser = server.visitor();
    let responses = join_all((0..40).map(|_| guess(&guesser, ADA))).await;
    let count = |status| responses.iter().filter(|response| response.status == status).count();
    assert_eq!((count(401), count(429)), (10, 30));
}

#[apply(api_test)]
async fn unknown_accounts_and_wrong_passwords_have_identical_responses() {
    let server = TestServer::spawn().await;
    server.ada().await;
    let told = |response: ServerResponse| {
        let mut body = response.clone().assert_error(401, "bad_credentials").json();
        let id = body["requestId"].take();
        assert_eq!(response.header("x-request-id"), id.as_str());
        let mut headers: Vec<_> = response.headers.iter().collect();
        headers.retain(|(name, _)| *name != "x-request-id" && *name != "date");
        let headers: Vec<_> =
            headers.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        (body.to_string(), headers)
    };
    let wrong = told(guess(&server.visitor(), ADA).await);
    for unknown in ["nobody@example.org", "no address", "a@b", &"x".repeat(1000)] {
        assert_eq!(told(guess(&server.visitor(), unknown).await), wrong, "{unknown}");
    }
}

/// More than the queue for hashing allows: so none of these waits, and none is hashed.
#[apply(api_test_in_threads)]
async fn a_name_that_is_longer_than_any_address_is_refused_at_once_and_counts() {
    let server = TestServer::spawn_with(|config| {
        config.limits.sign_in_failures = SignInFailures::parse("10/15m,150/15m").unwrap();
    })
    .await;
    let guesser = server.visitor();
    let long = |n: usize| format!("{n}{}@example.org", "x".repeat(300));
    let guesses: Vec<_> = (0..150).map(long).collect();
    for response in join_all(guesses.iter().map(|name| guess(&guesser, name))).await {
        response.assert_error(401, "bad_credentials");
    }
    assert_limited(guess(&guesser, &long(150)).await);
}

/// Without an attacker: more sign-ins than the server can hash.
#[apply(api_test_in_threads)]
async fn a_storm_of_sign_ins_gets_retry_after_and_does_not_affect_other_requests() {
    let server = TestServer::spawn_with(|config| {
        config.limits.sign_in_failures = SignInFailures::Unlimited;
    })
    .await;
    let ada = server.ada().await;
    let storm = join_all((0..200).map(|_| {
        // Not through the harness, which treats 503 as a fault.
        ada.request(Method::POST, "/auth/signin").json(&credentials(ADA)).send()
    }));
    let meanwhile = async {
        for _ in 0..20 {
            ada.get("/home/list").await.assert_status(200);
        }
    };
    let (responses, ()) = tokio::join!(storm, meanwhile);
    let mut busy = 0;
    let mut served = 0;
    for response in responses {
        let response = response.unwrap();
        match response.status().as_u16() {
            200 => served += 1,
            503 => {
                assert_eq!(response.headers()["retry-after"], "2");
                assert!(!response.headers().contains_key("set-cookie"));
                assert_eq!(response.json::<Value>().await.unwrap()["code"], "busy");
                busy += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(served >= 64 && busy > 0, "{served} served, {busy} busy");
    // The storm is over, and has no later effect.
    server.visitor().sign_in(ADA).await.assert_status(200);
}

#[apply(api_test)]
async fn a_hash_with_weaker_parameters_is_replaced_at_sign_in() {
    let server = TestServer::spawn().await;
    let weak = |algorithm, memory, passes| {
        let params = Params::new(memory, passes, 1, None).unwrap();
        let argon2 = Argon2::new(algorithm, argon2::Version::V0x13, params);
        argon2.hash_password(PASSWORD.as_bytes()).unwrap().to_string()
    };
    let strong = (19 * 1024, 2);
    for (email, phc, stays) in [
        ("memory@example.org", weak(argon2::Algorithm::Argon2id, 8 * 1024, strong.1), false),
        ("passes@example.org", weak(argon2::Algorithm::Argon2id, strong.0, 1), false),
        ("variant@example.org", weak(argon2::Algorithm::Argon2i, strong.0, strong.1), false),
        ("stronger@example.org", weak(argon2::Algorithm::Argon2id, 32 * 1024, 3), true),
    ] {
        let address = Email::parse(email).unwrap();
        server.store().create_account(address.clone(), PasswordHash::new(phc.clone())).await.unwrap();
        let stored = async || {
            let account = server.store().find_account_by_email(&address).await.unwrap().unwrap();
            account.password_hash.as_phc().to_owned()
        };
        // A wrong current password changes nothing.
        guess(&server.visitor(), email).await.assert_error(401, "bad_credentials");
        assert_eq!(stored().await, phc);

        server.visitor().sign_in(email).await.assert_status(200);
        let now = stored().await;
        assert_eq!(now == phc, stays, "{email}: {now}");
        assert!(stays || now.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{now}");
        server.visitor().sign_in(email).await.assert_status(200);
        assert_eq!(stored().await, now, "once");
    }
}
