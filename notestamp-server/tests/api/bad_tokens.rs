//! Only the server's own tokens, each in its own cookie and before its expiry, authenticate a request; any other value
//! is refused without a server error.

use std::time::Duration;

use jsonwebtoken::Algorithm;
use reqwest::Method;
use reqwest::header::{COOKIE, HeaderValue};
use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{ACCESS, Client, REFRESH, ServerResponse};
use crate::token::{self, KEY, OTHER_KEY, Pieces};

const COOKIES: [&str; 2] = [ACCESS, REFRESH];
const CLAIMS: [&str; 9] = ["iss", "aud", "sub", "sid", "jti", "kind", "gen", "iat", "exp"];

/// A server whose key is known.
async fn server() -> TestServer {
    TestServer::spawn_with(token::sign_with(&[KEY])).await
}

/// Sends a request with `value` in one cookie. An access token comes with a valid refresh token, which must not replace
/// it; a refresh token comes alone, so that it is used.
async fn present(ada: &Client, cookie: &str, value: impl AsRef<[u8]>) -> ServerResponse {
    let mut header = format!("{cookie}=").into_bytes();
    header.extend_from_slice(value.as_ref());
    if cookie == ACCESS {
        header.extend_from_slice(format!("; {REFRESH}={}", ada.cookie(REFRESH)).as_bytes());
    }
    let request = ada.request(Method::GET, "/auth/user");
    ada.twin().send(request.header(COOKIE, HeaderValue::from_bytes(&header).unwrap())).await
}

async fn assert_refused(ada: &Client, cookie: &str, what: &str, value: impl AsRef<[u8]>) {
    let response = present(ada, cookie, value).await;
    assert_eq!(response.status, 401, "{cookie}, {what}: {}", response.text());
    assert_eq!(response.json()["code"], "unauthorized", "{cookie}, {what}");
    response.assert_sets_no_cookie();
}

/// Asserts that Ada's session is still open.
async fn assert_unharmed(server: &TestServer, ada: &Client) {
    ada.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
    server.advance(Duration::from_secs(15 * 60));
    ada.get("/auth/user").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn a_token_signed_by_the_test_with_the_known_key_is_valid() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        present(&ada, cookie, Pieces::of(&ada.cookie(cookie)).signed()).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn a_header_of_another_algorithm_is_refused() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = Pieces::of(&ada.cookie(cookie));
        for name in
            ["none", "None", "NONE", "", "HS384", "HS512", "RS256", "PS256", "ES256", "EdDSA", "hs256"]
        {
            let changed = good.clone().with_header("alg", name);
            assert_refused(&ada, cookie, name, changed.signed()).await;
            assert_refused(&ada, cookie, name, changed.unsigned()).await;
        }
        for (name, algorithm) in [("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
            let consistent = good.clone().with_header("alg", name);
            assert_refused(&ada, cookie, name, consistent.signed_by(algorithm, KEY)).await;
            assert_refused(&ada, cookie, name, good.signed_by(algorithm, KEY)).await;
        }
        for value in [json!(null), json!(1), json!(["HS256"]), json!({})] {
            assert_refused(&ada, cookie, "alg", good.clone().with_header("alg", value).signed()).await;
        }
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn a_token_of_another_key_is_refused_with_any_key_id() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = Pieces::of(&ada.cookie(cookie));
        assert_refused(&ada, cookie, "our id", good.signed_by(Algorithm::HS256, OTHER_KEY)).await;
        let honest = good.clone().with_header("kid", token::key_id(OTHER_KEY));
        assert_refused(&ada, cookie, "its id", honest.signed_by(Algorithm::HS256, OTHER_KEY)).await;

        let ids = [json!(null), json!(""), json!(0), json!([]), json!("0"), json!("../../dev/null")];
        for id in ids {
            let what = format!("kid {id}");
            assert_refused(&ada, cookie, &what, good.clone().with_header("kid", id).signed()).await;
        }
        let mut nameless = good.clone();
        nameless.header.as_object_mut().unwrap().remove("kid").unwrap();
        assert_refused(&ada, cookie, "no kid", nameless.signed()).await;
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn each_claim_is_required() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = Pieces::of(&ada.cookie(cookie));
        let mut names: Vec<_> = good.claims.as_object().unwrap().keys().map(String::as_str).collect();
        let mut known = CLAIMS.to_vec();
        names.sort_unstable();
        known.sort_unstable();
        assert_eq!(names, known, "a new claim must be tested too");
        for claim in CLAIMS {
            let mut without = good.clone();
            without.claims.as_object_mut().unwrap().remove(claim).unwrap();
            assert_refused(&ada, cookie, &format!("no {claim}"), without.signed()).await;
        }
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn each_claim_has_one_type() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = Pieces::of(&ada.cookie(cookie));
        for claim in CLAIMS {
            let genuine = &good.claims[claim];
            let mut wrong =
                vec![json!(null), json!(true), json!({}), json!([]), json!([genuine]), json!(-1.5)];
            match genuine {
                Value::String(_) => wrong.extend([json!(""), json!("🎧"), json!(0)]),
                number => {
                    let as_float = number.as_f64().unwrap() + 0.5;
                    wrong.extend([json!(number.to_string()), json!(""), json!(as_float), json!(1e300)]);
                }
            }
            for value in wrong {
                let what = format!("{claim} = {value}");
                assert_refused(&ada, cookie, &what, good.clone().with_claim(claim, value).signed()).await;
            }
        }
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn a_token_with_a_wrong_claim_is_refused() {
    let server = server().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    let bobs = Pieces::of(&bob.cookie(ACCESS)).claims;
    for cookie in COOKIES {
        let good = Pieces::of(&ada.cookie(cookie));
        let now = good.claims["iat"].as_i64().unwrap();
        let other_kind = if cookie == ACCESS { "refresh" } else { "access" };
        for (claim, value) in [
            ("iss", json!("another-server")),
            ("iss", json!("Notestamp-server")),
            ("aud", json!("another-client")),
            ("kind", json!(other_kind)),
            ("kind", json!("admin")),
            ("sub", bobs["sub"].clone()),
            ("sid", bobs["sid"].clone()),
            ("sid", good.claims["sub"].clone()),
            ("gen", json!(1)),
            ("gen", json!(u64::MAX)),
            ("iat", json!(i64::MAX)),
            ("exp", json!(now - 1)),
            ("exp", json!(i64::MIN)),
            ("exp", json!(u64::MAX)),
        ] {
            let what = format!("{claim} = {value}");
            assert_refused(&ada, cookie, &what, good.clone().with_claim(claim, value).signed()).await;
        }
    }
    for client in [&ada, &bob] {
        client.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
    }
    assert_unharmed(&server, &ada).await;
}

/// Its signature is ours: the clock has been set back since.
#[apply(api_test)]
async fn a_token_that_was_issued_ahead_of_the_clock_is_valid() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = Pieces::of(&ada.cookie(cookie));
        let now = good.claims["iat"].as_i64().unwrap();
        present(&ada, cookie, good.with_claim("iat", now + 600).signed()).await.assert_status(200);
    }
    const AHEAD: Duration = Duration::from_secs(5 * 60);
    server.set_clock_ahead(AHEAD);
    let bob = server.signed_in("bob@example.org").await;
    server.set_clock_back(AHEAD);
    bob.get("/auth/user").await.assert_status(200).assert_sets_no_cookie();
    bob.drop_cookie(ACCESS);
    bob.get("/auth/user").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn a_token_in_the_wrong_cookie_is_refused() {
    let server = server().await;
    let ada = server.ada().await;
    assert_refused(&ada, ACCESS, "a refresh token", ada.cookie(REFRESH)).await;
    assert_refused(&ada, REFRESH, "an access token", ada.cookie(ACCESS)).await;
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn a_token_is_valid_until_its_last_second_and_no_longer() {
    let server = server().await;
    let ada = server.ada().await;
    let access_alone = |token: String| {
        let request = ada.request(Method::GET, "/auth/user").header(COOKIE, format!("{ACCESS}={token}"));
        let somebody = server.visitor();
        async move { somebody.send(request).await }
    };
    let access = Pieces::of(&ada.cookie(ACCESS)).with_claim("iat", 0);
    let refresh = Pieces::of(&ada.cookie(REFRESH)).with_claim("iat", 0);
    let now = Pieces::of(&ada.cookie(ACCESS)).claims["iat"].as_i64().unwrap();
    for (expires, status) in [(now - 1, 401), (now, 401), (now + 1, 200)] {
        let access = access.clone().with_claim("exp", expires).signed();
        access_alone(access).await.assert_status(status);
        let refresh = refresh.clone().with_claim("exp", expires).signed();
        present(&ada, REFRESH, refresh).await.assert_status(status);
    }
}

#[apply(api_test)]
async fn a_token_with_any_character_changed_is_refused() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = ada.cookie(cookie);
        for (at, character) in good.char_indices() {
            let other = if character == 'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert_refused(&ada, cookie, &format!("character {at}"), changed).await;
        }
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn a_part_of_a_token_is_refused() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = ada.cookie(cookie);
        for length in 1..good.len() {
            assert_refused(&ada, cookie, &format!("{length} characters"), &good[..length]).await;
        }
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn garbage_is_refused() {
    let server = server().await;
    let ada = server.ada().await;
    let long = "x".repeat(8 * 1024);
    let dots = ".".repeat(8 * 1024);
    let nested = Pieces { header: json!({"alg": "HS256"}), claims: json!([[[[[[]]]]]]) };
    for cookie in COOKIES {
        for garbage in [
            long.as_bytes(),
            dots.as_bytes(),
            nested.signed().as_bytes(),
            "🎧.ä.ö".as_bytes(),
            &[0xff, 0xfe, b'.', 0x80, b'.'],
            b"%00.%ff.%zz",
            b"\"quoted.token.here\"",
            b" ",
            b"=",
            b"..",
            b"e30.e30.",
        ] {
            // Blanks are trimmed: the token is absent then, and a valid refresh token replaces it.
            if cookie == ACCESS && garbage == b" " {
                continue;
            }
            assert_refused(&ada, cookie, &String::from_utf8_lossy(garbage), garbage).await;
        }
    }
    assert_unharmed(&server, &ada).await;
}

#[apply(api_test)]
async fn an_empty_cookie_is_none() {
    let server = server().await;
    let ada = server.ada().await;
    assert_refused(&ada, REFRESH, "empty", "").await;
    present(&ada, ACCESS, "").await.assert_status(200).assert_refreshes();
}

#[apply(api_test)]
async fn of_several_cookies_of_one_name_the_first_counts() {
    let server = server().await;
    let ada = server.ada().await;
    for cookie in COOKIES {
        let good = ada.cookie(cookie);
        present(&ada, cookie, format!("{good}; {cookie}=nonsense")).await.assert_status(200);
        assert_refused(&ada, cookie, "bad first", format!("nonsense; {cookie}={good}")).await;
    }
    let (access, refresh) = (ada.cookie(ACCESS), ada.cookie(REFRESH));
    let pairs = format!("{ACCESS}={access}; {REFRESH}={refresh}; ").repeat(8);
    let request = ada.request(Method::GET, "/auth/user").header(COOKIE, pairs);
    ada.send(request).await.assert_status(200);
}

#[apply(api_test)]
async fn cookies_of_other_programs_on_the_host_are_ignored() {
    let server = server().await;
    let ada = server.ada().await;
    let own = ada.cookie_header().unwrap();
    for other in [
        "theme=dünkel".as_bytes(),
        b"state=\xff\xfe",
        b"rate=100%",
        b"nameless",
        b"=",
        b";;",
        b"accessToken=nonsense",
        b"quoted=\"a;b\"",
    ] {
        let before = [other, b"; ", own.as_bytes()].concat();
        let after = [own.as_bytes(), b"; ", other].concat();
        for cookies in [before, after] {
            let request = ada.request(Method::GET, "/auth/user");
            let request = request.header(COOKIE, HeaderValue::from_bytes(&cookies).unwrap());
            ada.send(request).await.assert_status(200).assert_sets_no_cookie();
        }
    }
}
