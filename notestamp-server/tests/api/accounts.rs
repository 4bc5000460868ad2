use serde_json::json;

use super::TestServer;
use crate::harness::{ADA, Client, PASSWORD, START, Upload, credentials};

#[apply(api_test)]
async fn registering_returns_the_address_and_sets_no_cookie() {
    let server = TestServer::spawn().await;
    let response = server.visitor().register(ADA).await.assert_status(201);
    assert_eq!(response.json(), json!({"email": ADA}));
    response.assert_sets_no_cookie();
}

#[apply(api_test)]
async fn every_kind_of_form_registers() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    let register = async |content_type: &str, body: Vec<u8>| {
        client.post("/auth/register", content_type, body).await.assert_status(201);
    };
    let form = serde_urlencoded::to_string([("username", "b@example.org"), ("password", PASSWORD)]).unwrap();
    let multipart = Upload::empty().text("username", "c@example.org").text("password", PASSWORD);
    register("application/json", credentials("a@example.org").to_string().into()).await;
    register("application/json; charset=utf-8", credentials("aa@example.org").to_string().into()).await;
    register("application/x-www-form-urlencoded", form.into()).await;
    register(&Upload::content_type(), multipart.into_body()).await;
    for email in ["a@example.org", "aa@example.org", "b@example.org", "c@example.org"] {
        client.sign_in(email).await.assert_status(200);
    }
}

#[apply(api_test)]
async fn an_address_is_trimmed_and_lower_cased() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    let response = client.register("  Ada@Example.ORG ").await.assert_status(201);
    assert_eq!(response.json(), json!({"email": ADA}));
    assert_eq!(client.sign_in("ADA@example.org").await.assert_status(200).json()["email"], ADA);
}

#[apply(api_test)]
async fn unknown_fields_are_ignored() {
    let server = TestServer::spawn().await;
    let body = json!({"username": ADA, "password": PASSWORD, "confirmPassword": PASSWORD});
    server.visitor().post_json("/auth/register", &body).await.assert_status(201);
}

#[apply(api_test)]
async fn a_missing_or_empty_field_is_refused() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    for path in ["/auth/register", "/auth/signin", "/auth/login"] {
        for body in [
            json!({}),
            json!({"username": ADA}),
            json!({"password": PASSWORD}),
            json!({"username": "", "password": PASSWORD}),
            json!({"username": ADA, "password": ""}),
            json!({"username": null, "password": PASSWORD}),
        ] {
            client.post_json(path, &body).await.assert_error(400, "bad_request");
        }
        for form in ["", "username=ada%40example.org", "password=secret-secret", "username=&password="] {
            let content_type = "application/x-www-form-urlencoded";
            client.post(path, content_type, form).await.assert_error(400, "bad_request");
        }
        for form in [Upload::empty(), Upload::empty().text("username", ADA)] {
            let body = form.into_body();
            client.post(path, &Upload::content_type(), body).await.assert_error(400, "bad_request");
        }
    }
}

#[apply(api_test)]
async fn a_body_that_is_not_a_form_is_refused() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    for path in ["/auth/register", "/auth/signin", "/auth/login"] {
        for body in ["", "{", "[]", "null", "7", "\"text\"", "\u{feff}{}"] {
            client.post(path, "application/json", body).await.assert_error(400, "bad_request");
        }
        let not_utf8 = b"{\"username\": \"\xff\", \"password\": \"\xff\"}".to_vec();
        client.post(path, "application/json", not_utf8).await.assert_error(400, "bad_request");
        client.post(path, &Upload::content_type(), "no form").await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn a_body_of_another_type_is_refused() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    let body = credentials(ADA).to_string();
    for path in ["/auth/register", "/auth/signin", "/auth/login"] {
        for content_type in ["text/plain", "application/xml", "nonsense"] {
            let response = client.post(path, content_type, body.clone()).await;
            response.assert_error(415, "unsupported_media_type");
        }
        let without = client.request(reqwest::Method::POST, path).body(body.clone());
        client.send(without).await.assert_error(415, "unsupported_media_type");
    }
}

#[apply(api_test)]
async fn a_malformed_address_is_refused() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    let long = format!("{}@example.org", "a".repeat(65));
    let longer = format!("ada@{}.org", ["b".repeat(60).as_str(); 5].join("."));
    for email in [
        "ada",
        "@",
        "@example.org",
        "ada@",
        "a@b@c",
        "a da@example.org",
        "ada@exa\u{0}mple.org",
        " ",
        &long,
        &longer,
    ] {
        client.register(email).await.assert_error(400, "bad_request");
    }
}

async fn register_with(client: &Client, email: &str, password: &str) -> u16 {
    client.post_json("/auth/register", &json!({"username": email, "password": password})).await.status
}

#[apply(api_test)]
async fn a_password_of_8_to_1024_bytes_is_accepted() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    assert_eq!(register_with(&client, "a@example.org", "k7#mQz2").await, 400);
    assert_eq!(register_with(&client, "b@example.org", "k7#mQz2x").await, 201);
    assert_eq!(register_with(&client, "c@example.org", "ßßßß").await, 201, "8 bytes in 4 characters");
    assert_eq!(register_with(&client, "d@example.org", &"ab".repeat(512)).await, 201);
    assert_eq!(register_with(&client, "e@example.org", &("ab".repeat(512) + "c")).await, 400);
}

#[apply(api_test)]
async fn a_long_password_is_compared_to_its_last_byte() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    let (right, wrong) = ("x".repeat(1023) + "y", "x".repeat(1023) + "z");
    assert_eq!(register_with(&client, ADA, &right).await, 201);
    let sign_in = async |password: &str| {
        client.post_json("/auth/signin", &json!({"username": ADA, "password": password})).await.status
    };
    assert_eq!(sign_in(&wrong).await, 401);
    assert_eq!(sign_in(&right[..1023]).await, 401);
    assert_eq!(sign_in(&right).await, 200);
}

#[apply(api_test)]
async fn a_common_password_is_refused() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    for password in ["password", "Password1", "12345678", "QWERTYUIOP"] {
        assert_eq!(register_with(&client, ADA, password).await, 400, "{password}");
    }
}

#[apply(api_test)]
async fn a_taken_address_is_refused_in_any_letter_case() {
    let server = TestServer::spawn().await;
    let client = server.visitor();
    client.register(ADA).await.assert_status(201);
    for email in [ADA, "Ada@Example.Org", " ada@example.org "] {
        client.register(email).await.assert_error(409, "email_taken");
    }
}

#[apply(api_test)]
async fn an_account_shows_its_address_its_age_and_its_usage() {
    let server = TestServer::spawn().await;
    let account = server.ada().await.get("/auth/user").await.assert_status(200).json();
    let usage = json!({"projects": 0, "bytes": 0, "keptBytes": 0});
    assert_eq!(account, json!({"email": ADA, "created": START, "usage": usage}));
}

#[apply(api_test)]
async fn usage_counts_distinct_media_and_current_notes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes("[1]").media(b"0123456789")).await.assert_status(200);
    assert_eq!(ada.usage().await, (1, 13));
    ada.save(Upload::of("b").notes("[2]").media(b"0123456789")).await.assert_status(200);
    assert_eq!(ada.usage().await, (2, 16), "equal media counts once");
    ada.save(Upload::of("b").notes("[22]")).await.assert_status(200);
    assert_eq!(ada.usage().await, (2, 17), "replaced notes do not count");
    ada.delete_project("a").await.assert_status(200);
    assert_eq!(ada.usage().await, (1, 14), "media that is still referred to counts");
    ada.delete_project("b").await.assert_status(200);
    assert_eq!(ada.usage().await, (0, 0), "whatever the sweep has yet to do");
    assert_eq!(server.signed_in("bob@example.org").await.usage().await, (0, 0));
}

#[apply(api_test)]
async fn a_removed_account_is_gone_at_once() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    ada.save(Upload::of("mine").media(b"mine")).await.assert_status(200);
    bob.save(Upload::of("his").media(b"mine")).await.assert_status(200);
    let elsewhere = server.visitor();
    elsewhere.sign_in(ADA).await.assert_status(200);
    let twin = ada.twin();

    let response = ada.remove_account().await.assert_status(200);
    assert!(response.json()["message"].is_string());
    response.assert_deletes_cookies();

    for client in [&twin, &elsewhere] {
        client.get("/auth/user").await.assert_error(401, "unauthorized");
        client.get("/home/list").await.assert_error(401, "unauthorized");
        client.get("/home/media-file/mine").await.assert_error(401, "unauthorized");
        client.save(Upload::of("late")).await.assert_error(401, "unauthorized");
        client.remove_account().await.assert_error(401, "unauthorized");
    }
    server.visitor().sign_in(ADA).await.assert_error(401, "bad_credentials");
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
    assert_eq!(bob.get("/home/media-file/his").await.assert_status(200).body, b"mine");
}

#[apply(api_test)]
async fn the_refresh_token_of_a_removed_account_is_refused_too() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let twin = ada.twin();
    ada.remove_account().await.assert_status(200);
    twin.drop_cookie(crate::harness::ACCESS);
    twin.get("/auth/user").await.assert_error(401, "unauthorized").assert_sets_no_cookie();
}

#[apply(api_test)]
async fn the_address_of_a_removed_account_can_be_used_again() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save(Upload::of("old").media(b"old")).await.assert_status(200);
    ada.remove_account().await.assert_status(200);
    let again = server.ada().await;
    assert_eq!(again.titles().await, [] as [&str; 0]);
    assert_eq!(again.usage().await, (0, 0));
    again.open("old").await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn a_form_that_is_not_utf_8_is_refused() {
    let server = TestServer::spawn().await;
    let client = server.signed_in("bob@example.org").await;
    let content_type = "application/x-www-form-urlencoded";
    for password in [&b"seventeen%ffotters"[..], b"seventeen\xffotters", b"seventeen%ed%a0%80otters"] {
        for path in ["/auth/register", "/auth/signin", "/auth/login"] {
            let body = [b"username=ada%40example.org&password=", password].concat();
            client.post(path, content_type, body).await.assert_error(400, "bad_request");
        }
        let body = [b"current=seventeen+otters+in+a+canoe&new=", password].concat();
        client.post("/auth/password", content_type, body).await.assert_error(400, "bad_request");
    }
    let multipart =
        Upload::empty().text("username", ADA).text("password", b"seventeen\xffotters").into_body();
    client.post("/auth/register", &Upload::content_type(), multipart).await.assert_error(400, "bad_request");
    // U+FFFD itself is a character like any other.
    let body = "username=ada%40example.org&password=seventeen%ef%bf%bdotters";
    client.post("/auth/register", content_type, body).await.assert_status(201);
}
