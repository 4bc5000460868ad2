//! Errors. The harness asserts for every response of every test that an error has the common body, contains the request
//! id, and is not a server error.

use reqwest::Method;

use super::TestServer;
use crate::harness::{Client, Upload};

#[apply(api_test)]
async fn unknown_paths_are_not_found() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for path in [
        "/nowhere",
        "/home",
        "/home/",
        "/home/list/",
        "/home//list",
        "/HOME/LIST",
        "/auth",
        "/auth/user/x",
        "/home/media-file",
        "/home/media-file/",
        "/home/media-file/a/b",
        "/home/stream-audio/",
        "/metrics",
        "/index.html",
        "/favicon.ico",
        "/openapi.json/",
        "/docs/nowhere",
        "/%2e%2e/etc/passwd",
        "/%00",
        "/home%2Flist",
        "/🎧",
    ] {
        ada.get(path).await.assert_error(404, "not_found");
        ada.head(path).await.assert_status(404);
    }
    ada.delete("/nowhere").await.assert_error(404, "not_found");
    ada.post("/nowhere", "text/plain", "body").await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn an_unsupported_method_is_refused_with_the_allowed_ones() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    let read = &["GET", "HEAD"][..];
    for (path, allowed) in [
        ("/auth/register", &["POST"][..]),
        ("/auth/signin", &["POST"]),
        ("/auth/login", &["POST"]),
        ("/auth/logout", &["POST"]),
        ("/auth/signout", &["DELETE"]),
        ("/auth/remove", &["DELETE"]),
        ("/auth/user", read),
        ("/home/upload", &["POST"]),
        ("/home/open?name=a", read),
        ("/home/list", read),
        ("/home/delete?name=a", &["DELETE"]),
        ("/home/media/x", read),
        ("/home/media/x/name.mp3", read),
        ("/home/media-file/a", read),
        ("/home/media-file/%ff", read),
        ("/home/stream-audio/a", read),
        ("/home/stream-media?name=a", read),
        ("/project/save", &["POST"]),
        ("/project/get/a", read),
        ("/project/list", read),
        ("/project/delete/a", &["DELETE"]),
        ("/project/notes/a", read),
        ("/project/media/a", read),
        ("/project/duplicate/a", read),
        ("/media/x", read),
        ("/media/download/a", read),
        ("/media/stream/a", read),
        ("/healthz", read),
        ("/readyz", read),
        ("/openapi.json", read),
        ("/openapi.yaml", read),
        ("/docs", read),
        ("/", read),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
            if allowed.contains(&method) {
                continue;
            }
            let request = ada.request(Method::from_bytes(method.as_bytes()).unwrap(), path);
            let response = ada.send(request).await.assert_status(405);
            if method != "HEAD" {
                assert_eq!(response.json()["code"], "method_not_allowed", "{method} {path}");
            }
            let mut allow: Vec<_> = response.header("allow").expect(path).split(", ").collect();
            allow.sort_unstable();
            assert_eq!(allow, allowed, "{method} {path}");
        }
    }
    assert_eq!(ada.titles().await, ["a"]);
}

#[apply(api_test)]
async fn a_head_has_the_response_of_a_get() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    for path in [
        "/",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/auth/user",
        "/home/list",
        "/home/open?name=a",
    ] {
        let (get, head) = (ada.get(path).await.assert_status(200), ada.head(path).await.assert_status(200));
        assert!(head.body.is_empty());
        for name in ["content-type", "etag", "cache-control", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    ada.head("/home/open?name=unknown").await.assert_status(404);
    ada.head("/home/open").await.assert_status(400);
}

#[apply(api_test)]
async fn each_request_has_its_own_id() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    let ids = [visitor.get("/healthz").await, visitor.get("/healthz").await];
    assert_ne!(ids[0].header("x-request-id"), ids[1].header("x-request-id"));
    let forged = visitor.get_with("/nowhere", &[("x-request-id", "forged")]).await;
    assert_ne!(forged.header("x-request-id"), Some("forged"));
}

#[apply(api_test)]
async fn api_responses_are_not_cached_and_load_no_content() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for path in ["/auth/user", "/home/list", "/home/open", "/nowhere"] {
        let response = ada.get(path).await;
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let policy = response.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
    }
}

/// A request of raw bytes, on its own connection.
async fn raw(server: &TestServer, client: &Client, request: &[u8]) -> u16 {
    let end = format!(
        "\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\n\r\n",
        client.cookie_header().unwrap()
    );
    let request = [request, b" HTTP/1.1", end.as_bytes()].concat();
    server.send_raw(request).await.status
}

#[apply(api_test)]
async fn a_malformed_target_is_a_client_error() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for target in [
        &b"/home/media-file/%"[..],
        b"/home/media-file/%f",
        b"/home/media-file/%zz",
        b"/home/media-file/%ff%fe",
        b"/home/media-file/%00",
        b"/home/media-file/\xff",
        b"/home/media-file/\xc3\xa9",
        b"/home/media/%ff",
        b"/home/open?name=%",
        b"/home/open?name=%zz",
        b"/home/open?name=%ff",
        b"/home/open?%ff=%ff",
        b"/home/open?name=\xff",
        b"/home/open?&&==&",
        b"/home/open?name=a&name=b",
        b"/home/list?limit=%ff",
        b"/home/list?limit=1&limit=2",
        b"/home/list?cursor=%ff",
        b"/home/list?search=%ff",
        b"/%ff",
        b"/../../etc/passwd",
        b"//",
        b"*",
        b"nowhere",
        b"http://other.example/home/list",
        b"other.example:80",
        b"/home/list#fragment",
    ] {
        for method in [&b"GET "[..], b"HEAD ", b"OPTIONS ", b"CONNECT "] {
            let status = raw(&server, &ada, &[method, target].concat()).await;
            let shown = String::from_utf8_lossy(target);
            assert!(status < 500, "{shown}: {status}");
        }
    }
    let long = format!("GET /home/open?name={}", "a".repeat(100_000));
    assert_eq!(raw(&server, &ada, long.as_bytes()).await, 431);
}

#[apply(api_test)]
async fn queries_and_paths_that_are_not_utf8_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for path in [
        "/home/list?search=%ff",
        "/home/list?type=%ff",
        "/home/list?cursor=t%ff",
        "/home/open?name=%c3%28",
        "/home/media-file/%c3%28",
        "/home/stream-audio/%ed%a0%80",
    ] {
        ada.get(path).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn headers_of_arbitrary_bytes_are_at_most_a_client_error() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    let cookies = ada.cookie_header().unwrap();
    for line in [
        &b"Cookie: \xff\xfe"[..],
        b"Content-Type: \xff",
        b"Content-Type: multipart/form-data; boundary=\xff",
        b"If-Match: \xff",
        b"If-None-Match: \xff",
        b"Range: \xff",
        b"If-Range: \xff",
        b"Origin: \xff",
        b"Sec-Fetch-Site: \xff",
        b"User-Agent: \xff",
        b"Accept: \xff",
        b"Forwarded: for=\xff",
        b"X-Forwarded-For: \xff",
        b"X-Forwarded-Host: evil.example",
        b"X-HTTP-Method-Override: DELETE",
        b"Transfer-Encoding: gzip",
        b"Expect: nonsense",
        b"Upgrade: websocket",
    ] {
        for start in ["GET /home/media-file/a", "GET /home/list", "POST /home/upload", "DELETE /home/delete"]
        {
            let head =
                format!("{start} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookies}\r\n");
            let request = [head.as_bytes(), line, b"\r\n\r\n"].concat();
            let status = server.send_raw(request).await.status;
            assert!(status < 500, "{start}, {}: {status}", String::from_utf8_lossy(line));
        }
    }
    assert_eq!(ada.titles().await, ["a"]);
}

#[apply(api_test)]
async fn a_request_without_a_host_is_served_or_refused_cleanly() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    let cookies = ada.cookie_header().unwrap();
    for request in [
        format!("GET /home/list HTTP/1.0\r\nCookie: {cookies}\r\n\r\n"),
        format!("GET /home/list HTTP/1.1\r\nConnection: close\r\nCookie: {cookies}\r\n\r\n"),
        format!(
            "GET /home/list HTTP/1.1\r\nHost: user@x/y\r\nConnection: close\r\nCookie: {cookies}\r\n\r\n"
        ),
        format!(
            "GET /home/list HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\nCookie: {cookies}\r\n\r\n"
        ),
    ] {
        let response = server.send_raw(&request).await;
        if response.status == 200 {
            let src = crate::harness::find(&response.json(), "a")["src"].as_str().unwrap().to_owned();
            assert!(src.starts_with(&server.origin()), "{src} is absolute: {request}");
        } else {
            response.assert_status(400);
        }
    }
}

#[apply(api_test)]
async fn a_message_reveals_no_internals() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for response in [
        ada.save(Upload::of("a").notes("{")).await,
        ada.save(Upload::of("a").text("metadata", "{")).await,
        ada.post("/auth/register", "application/json", "{").await,
        ada.get("/home/list?limit=x").await,
        ada.get("/home/media-file/%ff").await,
        ada.post("/home/upload", "multipart/form-data", "").await,
    ] {
        let message =
            response.assert_error(400, "bad_request").json()["message"].as_str().unwrap().to_owned();
        for word in ["serde", "poem", "src/", ".rs", "panicked", "notestamp_"] {
            assert!(!message.contains(word), "{message}");
        }
    }
}

/// Optional white space before a semicolon, and parameters that are empty (RFC 9110, 5.6.6).
#[apply(api_test)]
async fn a_content_type_is_parsed_with_any_spacing() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let visitor = server.visitor();
    let credentials = crate::harness::credentials(crate::harness::ADA).to_string();
    let form = serde_urlencoded::to_string([
        ("username", crate::harness::ADA),
        ("password", crate::harness::PASSWORD),
    ])
    .unwrap();
    let multipart = |fields: &[(&str, &str)]| {
        fields.iter().fold(Upload::empty(), |form, (name, value)| form.text(name, *value)).into_body()
    };
    let sign_in = multipart(&[("username", crate::harness::ADA), ("password", crate::harness::PASSWORD)]);
    for parameters in
        [" ; charset=utf-8", "\t;\tcharset=utf-8", " ;charset=\"utf-8\" ; ", ";", "; ;  charset=utf-8"]
    {
        let json = format!("Application/JSON{parameters}");
        visitor.post("/auth/signin", &json, credentials.clone()).await.assert_status(200);
        ada.post("/home/upload", &json, r#"{"title":"a","stmp":"[]"}"#).await.assert_status(200);
        let urlencoded = format!("application/x-www-form-urlencoded{parameters}");
        visitor.post("/auth/signin", &urlencoded, form.clone()).await.assert_status(200);
        ada.post("/home/upload", &urlencoded, "title=a&stmp=[]").await.assert_status(200);
    }
    let boundary = Upload::BOUNDARY;
    for parameters in [
        format!(" ; boundary={boundary}"),
        format!("\t;\tboundary=\"{boundary}\""),
        format!(";charset=utf-8 ;boundary={boundary} ; "),
        format!("; Boundary={boundary};"),
    ] {
        let content_type = format!("Multipart/Form-Data{parameters}");
        visitor.post("/auth/signin", &content_type, sign_in.clone()).await.assert_status(200);
        ada.post("/home/upload", &content_type, Upload::of("a").into_body()).await.assert_status(200);
        let files = multipart(&[("metadata", r#"{"title":"a"}"#), ("notesFile", "[]")]);
        ada.post("/project/save", &content_type, files).await.assert_status(200);
    }
    for content_type in ["application/json charset=utf-8", "application /json", "a/b"] {
        let response = ada.post("/home/upload", content_type, r#"{"title":"a","stmp":"[]"}"#).await;
        response.assert_error(415, "unsupported_media_type");
    }
}
