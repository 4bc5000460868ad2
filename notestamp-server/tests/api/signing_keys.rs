//! Signing keys can be replaced without ending sessions.

use std::time::Duration;

use notestamp_server::App;
use notestamp_server::config::{Config, SigningKeySource};

use super::TestServer;
use crate::harness::{ACCESS, REFRESH};
use crate::token::{self, KEY, OTHER_KEY, Pieces};

const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);

fn key_of(token: &str) -> String {
    Pieces::of(token).header["kid"].as_str().unwrap().to_owned()
}

#[apply(api_test)]
async fn a_new_first_key_signs_and_the_old_one_verifies() {
    let before = TestServer::spawn_with(token::sign_with(&[KEY])).await;
    let ada = before.ada().await;
    let after = before.sibling_with(token::sign_with(&[OTHER_KEY, KEY])).await;
    let ada = ada.at(&after);
    assert_eq!(key_of(&ada.cookie(ACCESS)), token::key_id(KEY));
    ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();

    after.advance(ACCESS_TTL);
    ada.get("/home/list").await.assert_status(200).assert_refreshes();
    for cookie in [ACCESS, REFRESH] {
        assert_eq!(key_of(&ada.cookie(cookie)), token::key_id(OTHER_KEY));
    }
    ada.get("/home/list").await.assert_status(200).assert_sets_no_cookie();

    // A server without the new key: before or after the change.
    ada.at(&before).get("/home/list").await.assert_error(401, "unauthorized");
    let later = after.sibling_with(token::sign_with(&[OTHER_KEY])).await;
    ada.at(&later).get("/home/list").await.assert_status(200);
}

#[apply(api_test)]
async fn an_old_key_verifies_a_refresh_token_until_it_expires_and_no_longer() {
    let before = TestServer::spawn_with(token::sign_with(&[KEY])).await;
    let ada = before.ada().await;
    let after = before.sibling_with(token::sign_with(&[OTHER_KEY, KEY])).await;
    let (in_time, late) = (ada.at(&after), before.signed_in("bob@example.org").await.at(&after));
    let refresh_ttl = Duration::from_secs(30 * 24 * 60 * 60);
    after.advance(refresh_ttl - Duration::from_secs(1));
    in_time.get("/home/list").await.assert_status(200).assert_refreshes();
    after.advance(Duration::from_secs(1));
    late.get("/home/list").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn the_tokens_of_a_removed_key_are_refused() {
    let before = TestServer::spawn_with(token::sign_with(&[KEY])).await;
    let ada = before.ada().await;
    let after = before.sibling_with(token::sign_with(&[OTHER_KEY])).await;
    let stranger = ada.at(&after);
    stranger.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    stranger.drop_cookie(ACCESS);
    stranger.get("/home/list").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    ada.get("/home/list").await.assert_status(200);
}

#[apply(api_test)]
async fn a_server_with_a_weak_key_does_not_start() {
    for (weak, why) in [
        ("", "no key"),
        ("0123456789abcdef", "too short"),
        (&KEY[..62], "too short"),
        (&"ab".repeat(32), "weak"),
        (&format!("{KEY}\nsecret"), "hex digits"),
    ] {
        let mut config = Config::for_testing();
        config.tokens.signing_keys = SigningKeySource::Variable(weak.to_owned());
        let error = App::build(config).await.err().expect("it does not start").to_string();
        assert!(error.contains(why) && error.contains("NOTESTAMP_SIGNING_KEY"), "{weak}: {error}");
        assert!(weak.is_empty() || !error.contains(weak), "{error}");
    }
}
