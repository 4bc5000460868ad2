use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::json;

use super::TestServer;
use crate::harness::{CLIENT_ORIGIN, ServerResponse, Upload, credentials};

#[track_caller]
fn assert_readable(response: &ServerResponse, origin: &str) {
    assert_eq!(response.header("access-control-allow-origin"), Some(origin), "{response:?}");
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    let exposed = response.header("access-control-expose-headers").unwrap();
    for name in ["ETag", "Link", "Content-Range", "Retry-After"] {
        assert!(exposed.split(", ").any(|it| it == name), "{name}: {exposed}");
    }
}

#[track_caller]
fn assert_unreadable(response: &ServerResponse) {
    let cors = response.headers.keys().filter(|name| name.as_str().starts_with("access-control-"));
    assert_eq!(cors.collect::<Vec<_>>(), [] as [&str; 0], "{response:?}");
}

#[apply(api_test)]
async fn every_response_can_be_read_by_an_allowed_page() {
    let server = TestServer::spawn_with(|config| config.limits.notes_bytes_max = 100).await;
    let (ada, visitor) = (server.ada().await, server.visitor());
    ada.save_media("a", "audio/mpeg", b"media").await;
    let origin = [("origin", CLIENT_ORIGIN)];
    let with = |upload: Upload| upload.header("origin", CLIENT_ORIGIN);
    let ranged = |range| [("origin", CLIENT_ORIGIN), ("range", range)];
    let request = |method, path: &str| ada.request(method, path).header("origin", CLIENT_ORIGIN);
    for (status, response) in [
        (200, ada.get_with("/home/list", &origin).await),
        (200, ada.get_with("/", &origin).await),
        (200, ada.get_with("/openapi.json", &origin).await),
        (200, ada.get_with("/healthz", &origin).await),
        (200, ada.get_with("/home/media-file/a", &origin).await),
        (206, ada.get_with("/home/media-file/a", &ranged("bytes=1-")).await),
        (416, ada.get_with("/home/media-file/a", &ranged("bytes=99-")).await),
        (200, ada.save(with(Upload::of("b"))).await),
        (400, ada.save(with(Upload::of("b").notes("{"))).await),
        (401, visitor.get_with("/home/list", &origin).await),
        (401, visitor.save(with(Upload::of("b"))).await),
        (404, ada.get_with("/home/open?name=unknown", &origin).await),
        (404, ada.get_with("/nowhere", &origin).await),
        (405, ada.send(request(Method::PUT, "/home/list")).await),
        (405, ada.send(request(Method::GET, "/home/upload")).await),
        (409, ada.save(with(Upload::of("b").text("mediaDigest", "0".repeat(64)))).await),
        (412, ada.save(with(Upload::of("b").header("if-match", "\"9\""))).await),
        (413, ada.save(with(Upload::of("b").notes(format!("[{}1]", " ".repeat(200))))).await),
        (
            413,
            ada.send(
                request(Method::POST, "/auth/register")
                    .header("content-type", "application/json")
                    .body("x".repeat(100_000)),
            )
            .await,
        ),
        (415, ada.send(request(Method::POST, "/home/upload").body("x")).await),
    ] {
        let response = response.assert_status(status);
        assert_readable(&response, CLIENT_ORIGIN);
    }
}

#[apply(api_test)]
async fn the_response_names_the_exact_origin() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    for origin in ["http://localhost:3000", "http://localhost:5173"] {
        assert_readable(&visitor.get_with("/healthz", &[("origin", origin)]).await, origin);
    }
}

/// Origins that are not allowed, though some look as if they were.
fn foreign_origins() -> Vec<&'static str> {
    vec![
        "https://evil.example",
        "http://localhost",
        "http://localhost:3001",
        "https://localhost:3000",
        "http://localhost:3000.evil.example",
        "http://evil.example/http://localhost:3000",
        "http://localhost:3000@evil.example",
        "http://localhost:30000",
        "null",
        "nonsense",
        "*",
        "",
    ]
}

#[apply(api_test)]
async fn a_page_that_is_not_allowed_can_read_nothing() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for origin in foreign_origins() {
        let response = ada.get_with("/home/list", &[("origin", origin)]).await;
        assert_unreadable(&response.assert_status(200));
        assert_unreadable(&ada.get_with("/nowhere", &[("origin", origin)]).await.assert_status(404));
    }
    assert_unreadable(&ada.get("/home/list").await);
}

#[apply(api_test)]
async fn a_page_that_is_not_allowed_can_change_nothing() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    for origin in foreign_origins() {
        for (method, path) in [
            (Method::POST, "/auth/register"),
            (Method::POST, "/auth/signin"),
            (Method::POST, "/auth/login"),
            (Method::POST, "/auth/logout"),
            (Method::DELETE, "/auth/signout"),
            (Method::DELETE, "/auth/remove"),
            (Method::POST, "/home/upload"),
            (Method::DELETE, "/home/delete?name=a"),
            (Method::PUT, "/nowhere"),
        ] {
            let request = ada.request(method, path).header("origin", origin);
            let response = ada.send(request.json(&credentials("b@example.org"))).await;
            let response = response.assert_error(403, "forbidden_origin");
            assert_unreadable(&response);
            response.assert_sets_no_cookie();
        }
        let upload = Upload::of("b").header("origin", origin);
        ada.save(upload).await.assert_error(403, "forbidden_origin");
    }
    assert_eq!(ada.titles().await, ["a"]);
    server.visitor().sign_in("b@example.org").await.assert_error(401, "bad_credentials");
}

#[apply(api_test)]
async fn bytes_that_are_not_an_origin_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for bytes in [&b"http://localhost:3000\xff"[..], b"\xe9", "http://ä.example".as_bytes()] {
        let origin = HeaderValue::from_bytes(bytes).unwrap();
        let request = ada.request(Method::DELETE, "/auth/remove").header("origin", origin.clone());
        ada.send(request).await.assert_error(403, "forbidden_origin");
        let request = ada.request(Method::GET, "/home/list").header("origin", origin);
        assert_unreadable(&ada.send(request).await.assert_status(200));
    }
}

#[apply(api_test)]
async fn two_origins_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let request = ada.request(Method::DELETE, "/auth/remove");
    let request = request.header("origin", CLIENT_ORIGIN).header("origin", CLIENT_ORIGIN);
    ada.send(request).await.assert_error(403, "forbidden_origin");
}

#[apply(api_test)]
async fn pages_of_allowed_origins_can_make_changes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let own = server.origin();
    for origin in ["http://localhost:3000", "http://localhost:5173", &own] {
        let response = ada.save(Upload::of("a").header("origin", origin)).await.assert_status(200);
        assert_readable(&response, origin);
    }
}

#[apply(api_test)]
async fn the_servers_own_origin_is_the_host_that_was_used() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let act = async |host: &str, origin: &str| {
        ada.save(Upload::of("a").header("host", host).header("origin", origin)).await.status
    };
    assert_eq!(act("notes.example", "http://notes.example").await, 200);
    assert_eq!(act("notes.example:8080", "http://notes.example:8080").await, 200);
    assert_eq!(act("notes.example", "http://other.example").await, 403);
    assert_eq!(act("notes.example:8080", "http://notes.example").await, 403);
}

#[apply(api_test)]
async fn the_public_url_is_the_servers_own_origin_for_any_host() {
    let server = TestServer::spawn_with(|config| {
        let url = notestamp_server::config::PublicUrl::parse("https://notes.example");
        config.listen.public_url = Some(url.unwrap());
    })
    .await;
    let ada = server.ada().await;
    let act = async |origin: &str| ada.save(Upload::of("a").header("origin", origin)).await.status;
    assert_eq!(act("https://notes.example").await, 200);
    assert_eq!(act(&server.origin()).await, 403);
}

#[apply(api_test)]
async fn without_an_origin_sec_fetch_site_must_be_same_origin() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (site, status) in [
        ("same-origin", 200),
        ("none", 200),
        ("same-site", 403),
        ("cross-site", 403),
        ("nonsense", 403),
        ("", 403),
    ] {
        let response = ada.save(Upload::of("a").header("sec-fetch-site", site)).await;
        assert_eq!(response.status, status, "{site}");
        let read = ada.get_with("/home/list", &[("sec-fetch-site", site)]).await;
        assert_eq!(read.status, 200, "reading changes nothing");
    }
    let allowed = Upload::of("a").header("sec-fetch-site", "cross-site").header("origin", CLIENT_ORIGIN);
    ada.save(allowed).await.assert_status(200);
}

#[apply(api_test)]
async fn programs_that_send_neither_header_can_make_changes() {
    let server = TestServer::spawn().await;
    server.ada().await.save_project("a").await;
}

#[apply(api_test)]
async fn a_preflight_of_an_allowed_page_always_succeeds() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    for path in ["/home/upload", "/home/list", "/auth/signout", "/home/media/x", "/nowhere"] {
        for method in ["GET", "POST", "DELETE"] {
            let request = visitor
                .request(Method::OPTIONS, path)
                .header("origin", CLIENT_ORIGIN)
                .header("access-control-request-method", method)
                .header("access-control-request-headers", "content-type,if-match,if-none-match,range");
            let response = visitor.send(request).await;
            assert!(response.status == 200 || response.status == 204, "{response:?}");
            assert_readable(&response, CLIENT_ORIGIN);
            let words = |name: &str| {
                response.header(name).unwrap().split(", ").map(str::to_owned).collect::<Vec<_>>()
            };
            assert!(words("access-control-allow-methods").contains(&method.to_owned()));
            for name in ["content-type", "if-match", "if-none-match", "range"] {
                assert!(words("access-control-allow-headers").contains(&name.to_owned()));
            }
            assert!(response.header("vary").unwrap().contains("Origin"));
        }
    }
}

#[apply(api_test)]
async fn a_preflight_of_another_page_allows_nothing() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    for origin in foreign_origins() {
        let request = visitor
            .request(Method::OPTIONS, "/home/upload")
            .header("origin", origin)
            .header("access-control-request-method", "POST");
        assert_unreadable(&visitor.send(request).await);
    }
}

#[apply(api_test)]
async fn a_foreign_page_cannot_sign_a_user_in() {
    let server = TestServer::spawn().await;
    let mallory = server.visitor();
    mallory.register("mallory@example.org").await.assert_status(201);
    for path in ["/auth/signin", "/auth/login"] {
        let form = "username=mallory%40example.org&password=seventeen+otters+in+a+canoe";
        let request = mallory.request(Method::POST, path).header("origin", "https://evil.example");
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form);
        mallory.send(request).await.assert_error(403, "forbidden_origin").assert_sets_no_cookie();
        let plain =
            mallory.post_json(path, &json!({"username": "mallory@example.org", "password": "x"})).await;
        plain.assert_error(401, "bad_credentials");
    }
}

#[apply(api_test)]
async fn another_spelling_of_an_allowed_origin_is_another_origin() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let own = server.origin();
    for origin in
        ["http://LOCALHOST:3000", "HTTP://localhost:3000", "http://localhost:3000/", &format!("{own}/")]
    {
        assert_unreadable(&ada.get_with("/home/list", &[("origin", origin)]).await.assert_status(200));
        let saved = ada.save(Upload::of("a").header("origin", origin)).await;
        assert_unreadable(&saved.assert_error(403, "forbidden_origin"));
    }
    assert_eq!(ada.titles().await, [] as [&str; 0]);
    ada.save(Upload::of("a").header("origin", &own)).await.assert_status(200);
}
