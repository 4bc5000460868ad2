use serde_json::json;

use super::TestServer;
use crate::harness::{ACCESS, ADA, DEVICE, PASSWORD, REFRESH, Upload, credentials};

/// The paths for signing in, and those for signing out.
const SIGN_IN: [&str; 2] = ["/auth/signin", "/auth/login"];

#[apply(api_test)]
async fn signing_in_returns_the_address_and_the_directory() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("first").await;
    ada.save(Upload::of("second").media(b"media")).await.assert_status(200);
    let listed = ada.get("/home/list").await.json();
    for path in SIGN_IN {
        let response = server.visitor().post_json(path, &credentials(ADA)).await.assert_status(200);
        assert_eq!(response.json(), json!({"email": ADA, "directory": listed}));
    }
}

#[apply(api_test)]
async fn a_new_account_has_an_empty_directory() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    client.register(ADA).await.assert_status(201);
    assert_eq!(client.sign_in(ADA).await.json(), json!({"email": ADA, "directory": []}));
}

#[apply(api_test)]
async fn the_cookies_are_out_of_reach_for_scripts_and_other_sites() {
    let server = TestServer::spawn().await;
    server.visitor().register(ADA).await.assert_status(201);
    for path in SIGN_IN {
        let set = server.visitor().post_json(path, &credentials(ADA)).await.assert_status(200).cookies();
        let attributes = |max_age: &str| {
            ["HttpOnly", max_age, "Path=/", "SameSite=Lax", "Secure"].map(str::to_owned).to_vec()
        };
        let attributes_of = |name: &str| set[name].attributes.clone();
        assert_eq!(set.len(), 3);
        assert_eq!(attributes_of(ACCESS), attributes("Max-Age=900"));
        assert_eq!(attributes_of(REFRESH), attributes("Max-Age=2592000"));
        assert_eq!(attributes_of(DEVICE), attributes("Max-Age=31536000"));
        for name in [ACCESS, REFRESH] {
            assert_eq!(set[name].value.split('.').count(), 3, "a JSON Web Token");
        }
    }
}

#[apply(api_test)]
async fn insecure_cookies_have_no_prefix() {
    let server = TestServer::spawn_with(|config| config.cookies.insecure = true).await;
    server.visitor().register(ADA).await.assert_status(201);
    let client = server.visitor();
    let set = client.sign_in(ADA).await.cookies();
    assert_eq!(set["accessToken"].attributes, ["HttpOnly", "Max-Age=900", "Path=/", "SameSite=Lax"]);
    assert_eq!(set["refreshToken"].attributes, ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Lax"]);
    assert_eq!(set["deviceToken"].attributes, ["HttpOnly", "Max-Age=31536000", "Path=/", "SameSite=Lax"]);
    client.get("/auth/user").await.assert_status(200);
}

#[apply(api_test)]
async fn every_kind_of_form_signs_in() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    client.register(ADA).await.assert_status(201);
    let form = serde_urlencoded::to_string([("username", ADA), ("password", PASSWORD)]).unwrap();
    let multipart = || Upload::empty().text("username", ADA).text("password", PASSWORD).into_body();
    for path in SIGN_IN {
        let urlencoded = "application/x-www-form-urlencoded";
        client.post(path, urlencoded, form.clone()).await.assert_status(200);
        client.post(path, &Upload::content_type(), multipart()).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn an_unknown_account_and_a_wrong_password_have_the_same_response() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    client.register(ADA).await.assert_status(201);
    for path in SIGN_IN {
        let mut responses = Vec::new();
        for (email, password) in [
            (ADA, "seventeen otters in a boat"),
            (ADA, "Seventeen otters in a canoe"),
            (ADA, "seventeen otters in a canoe "),
            (ADA, "short"),
            ("bob@example.org", PASSWORD),
            ("no address", PASSWORD),
        ] {
            let response = client.post_json(path, &json!({"username": email, "password": password})).await;
            let response = response.assert_error(401, "bad_credentials");
            response.assert_sets_no_cookie();
            let names: Vec<_> = response.headers.keys().map(|name| name.as_str().to_owned()).collect();
            let mut error = response.json();
            error["requestId"].take();
            responses.push((error, names));
        }
        assert!(responses.iter().all(|response| *response == responses[0]), "{responses:?}");
    }
}

#[apply(api_test)]
async fn each_sign_in_creates_its_own_session() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let elsewhere = server.visitor();
    elsewhere.sign_in(ADA).await.assert_status(200);
    assert_ne!(ada.cookie(REFRESH), elsewhere.cookie(REFRESH));
    ada.sign_out().await.assert_status(200);
    elsewhere.get("/auth/user").await.assert_status(200);
}

#[apply(api_test)]
async fn a_user_agent_of_any_bytes_signs_in() {
    let server = TestServer::spawn().await;
    server.visitor().register(ADA).await.assert_status(201);
    for agent in [&b""[..], b"caf\xe9", "🎧".as_bytes(), &[b'x'; 5000]] {
        let client = server.visitor();
        let request = client.request(reqwest::Method::POST, "/auth/signin").json(&credentials(ADA));
        let agent = reqwest::header::HeaderValue::from_bytes(agent).unwrap();
        client.send(request.header("user-agent", agent)).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn signing_out_deletes_the_cookies_and_invalidates_the_tokens() {
    let server = TestServer::spawn().await;
    server.visitor().register(ADA).await.assert_status(201);
    for post in [false, true] {
        let client = server.visitor();
        client.sign_in(ADA).await.assert_status(200);
        let thief = client.twin();
        let response = match post {
            true => client.send(client.request(reqwest::Method::POST, "/auth/logout")).await,
            false => client.sign_out().await,
        };
        let response = response.assert_status(200);
        assert!(response.json()["message"].is_string());
        response.assert_deletes_cookies();
        thief.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
        thief.drop_cookie(ACCESS);
        thief.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
}

#[apply(api_test)]
async fn signing_out_works_with_an_expired_access_token() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    server.advance(std::time::Duration::from_secs(16 * 60));
    let thief = ada.twin();
    ada.sign_out().await.assert_status(200).assert_deletes_cookies();
    thief.get("/auth/user").await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn signing_out_works_with_one_token_only() {
    let server = TestServer::spawn().await;
    server.visitor().register(ADA).await.assert_status(201);
    for lost in [ACCESS, REFRESH] {
        let client = server.visitor();
        client.sign_in(ADA).await.assert_status(200);
        let thief = client.twin();
        client.drop_cookie(lost);
        client.sign_out().await.assert_status(200);
        thief.get("/auth/user").await.assert_error(401, "unauthorized");
    }
}

#[apply(api_test)]
async fn signing_out_twice_or_with_garbage_succeeds() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let twin = ada.twin();
    ada.sign_out().await.assert_status(200);
    twin.sign_out().await.assert_status(200).assert_deletes_cookies();
    ada.sign_out().await.assert_status(200).assert_deletes_cookies();
    for cookies in ["", "=", ";;;", "__Host-accessToken", "__Host-accessToken=x; __Host-refreshToken=.."] {
        let request = ada.request(reqwest::Method::DELETE, "/auth/signout").header("cookie", cookies);
        ada.send(request).await.assert_status(200).assert_deletes_cookies();
    }
}

#[apply(api_test)]
async fn a_request_without_a_session_is_401_before_any_other_error() {
    let server = TestServer::spawn().await;
    server.ada().await.save_project("hers").await;
    let visitor = server.visitor();
    for path in [
        "/auth/user",
        "/home/list",
        "/home/list?limit=nonsense",
        "/home/open",
        "/home/open?name=hers",
        "/home/media/hers",
        "/home/media-file/hers",
        "/home/stream-audio/hers",
        "/home/stream-media?name=hers",
        "/home/stream-media",
    ] {
        visitor.get(path).await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
    for path in ["/auth/remove", "/home/delete", "/home/delete?name=hers"] {
        visitor.delete(path).await.assert_error(401, "unauthorized").assert_sets_no_cookie();
    }
    visitor.save(Upload::of("hers")).await.assert_error(401, "unauthorized");
    visitor.post("/home/upload", "text/plain", "nonsense").await.assert_error(401, "unauthorized");
    visitor.head("/home/media-file/hers").await.assert_status(401);
}

#[apply(api_test)]
async fn all_spellings_of_an_address_and_a_password_sign_in() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    let credentials = |name: &str, password: &str| json!({"username": name, "password": password});
    let (address, password) = ("jos\u{e9}.STRASSE@b\u{fc}cher.example", "m\u{fc}de otters in a canoe");
    let made = visitor.post_json("/auth/register", &credentials(address, password)).await.assert_status(201);
    assert_eq!(made.json(), json!({"email": "jos\u{e9}.strasse@b\u{fc}cher.example"}));
    for (name, typed) in [
        (address, password),
        ("jose\u{301}.straße@xn--bcher-kva.example", "mu\u{308}de otters in a canoe"),
        (" JOSE\u{301}.Strasse@BU\u{308}CHER.example ", "m\u{fc}de\u{a0}otters\u{3000}in a canoe"),
    ] {
        visitor.post_json("/auth/signin", &credentials(name, typed)).await.assert_status(200);
        visitor.post_json("/auth/register", &credentials(name, typed)).await.assert_error(409, "email_taken");
    }
    let other = credentials(address, "M\u{fc}de otters in a canoe");
    visitor.post_json("/auth/signin", &other).await.assert_error(401, "bad_credentials");
}

#[apply(api_test)]
async fn a_name_or_password_that_is_not_a_string_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for body in [
        json!({"username": 5, "password": PASSWORD}),
        json!({"username": true, "password": PASSWORD}),
        json!({"username": [ADA], "password": PASSWORD}),
        json!({"username": {"a": ADA}, "password": PASSWORD}),
        json!({"username": null, "password": PASSWORD}),
        json!({"username": ADA, "password": 12_345_678}),
        json!({"username": ADA, "password": false}),
        json!({"username": ADA}),
        json!([ADA, PASSWORD]),
        json!(ADA),
        json!(null),
    ] {
        for path in ["/auth/register", "/auth/signin", "/auth/login"] {
            let refused = server.visitor().post_json(path, &body).await.assert_error(400, "bad_request");
            assert!(!refused.text().contains("12345678"), "{}", refused.text());
        }
    }
    for body in [json!({"current": 5, "new": PASSWORD}), json!({"current": PASSWORD, "new": 123_456_789})] {
        ada.post_json("/auth/password", &body).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn an_invalid_address_cannot_register() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    let long = format!("ada@{}.example", vec!["b".repeat(60); 4].join("."));
    for name in [
        "<a@b.example>",
        "a\u{200b}da@b.example",
        "a\u{ad}da@b.example",
        "ada\u{7}@b.example",
        "a da@b.example",
        &long,
    ] {
        visitor.register(name).await.assert_error(400, "bad_request");
    }
}
