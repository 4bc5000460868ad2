//! A web app on the same origin as the API.

use std::fs;
use std::path::Path;

use reqwest::Method;
use tempfile::TempDir;

use crate::harness::{Client, ServerResponse, TestServer};
use crate::stores::Memory;

const HTML: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// A built app, as a bundler leaves it: one file is also compressed, another one is hidden.
fn build() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "index.html", "<title>the app</title>");
    write(folder.path(), "assets/index-BQhKzOq1.js", "console.log(1)");
    write(folder.path(), "assets/index-BQhKzOq1.js.br", "compressed by br");
    write(folder.path(), "assets/index-BQhKzOq1.js.gz", "compressed by gzip");
    write(folder.path(), "logo.png", "0123456789");
    write(folder.path(), "docs/index.html", "the app's own page at /docs/");
    write(folder.path(), "home/list", "the app's own file");
    write(folder.path(), ".env", "secret");
    folder
}

fn write(folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

async fn serve(app: &TempDir) -> TestServer<Memory> {
    TestServer::spawn_with(|config| config.site.folder = Some(app.path().to_owned())).await
}

async fn get(client: &Client, path: &str, headers: &[(&str, &str)]) -> ServerResponse {
    client.get_with(path, headers).await
}

#[tokio::test]
async fn the_app_is_at_the_front_and_at_its_own_paths() {
    let app = build();
    let server = serve(&app).await;
    let visitor = server.visitor();
    for path in ["/", "/?tab=1", "/index.html", "/songs/first", "/songs/a.mp3", "/home", "/auth/unknown"] {
        let page = get(&visitor, path, &[("accept", HTML)]).await.assert_status(200);
        assert_eq!(page.text(), "<title>the app</title>", "{path}");
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        assert_eq!(page.header("cache-control"), Some("no-cache"), "{path}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe-eval"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
        let head = visitor.send(visitor.request(Method::HEAD, path).header("accept", HTML)).await;
        assert_eq!(
            (head.status, head.header("etag"), head.text()),
            (200, page.header("etag"), String::new())
        );
    }
    assert_eq!(visitor.get("/songs/first").await.assert_status(200).text(), "<title>the app</title>");
    for path in ["/assets/gone.js", "/.env", "/..%2fCargo.toml"] {
        visitor.get(path).await.assert_error(404, "not_found");
    }
}

#[tokio::test]
async fn paths_of_the_api_win_over_those_of_the_app() {
    let app = build();
    let server = serve(&app).await;
    let ada = server.ada().await;
    let visitor = server.visitor();
    for headers in [&[][..], &[("accept", HTML)]] {
        get(&visitor, "/home/list", headers).await.assert_error(401, "unauthorized");
        assert_eq!(get(&ada, "/home/list", headers).await.assert_status(200).text(), "[]");
        assert!(get(&visitor, "/docs", headers).await.assert_status(200).text().contains("SwaggerUI"));
        get(&visitor, "/openapi.json", headers).await.assert_status(200).json();
        get(&visitor, "/healthz", headers).await.assert_status(200).json();
        get(&visitor, "/auth/signin", headers).await.assert_error(405, "method_not_allowed");
        get(&ada, "/project/get/a.b", headers).await.assert_error(404, "not_found");
    }
    visitor.post_json("/songs/first", &"{}".into()).await.assert_error(404, "not_found");
    ada.save_media("a", "audio/mpeg", b"media").await;
    assert_eq!(ada.get("/home/media-file/a").await.assert_status(200).body, &b"media"[..]);
}

#[tokio::test]
async fn precompressed_files_are_sent_to_those_who_accept_them() {
    let app = build();
    let server = serve(&app).await;
    let visitor = server.visitor();
    let path = "/assets/index-BQhKzOq1.js";
    let mut tags = Vec::new();
    for (accepted, coding, text) in [
        ("gzip, deflate, br", Some("br"), "compressed by br"),
        ("gzip", Some("gzip"), "compressed by gzip"),
        ("gzip;q=0", None, "console.log(1)"),
        ("zstd", None, "console.log(1)"),
    ] {
        let file = get(&visitor, path, &[("accept-encoding", accepted)]).await.assert_status(200);
        assert_eq!((file.header("content-encoding"), file.text().as_str()), (coding, text));
        assert_eq!(file.header("content-type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(file.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(file.header("content-length"), Some(text.len().to_string().as_str()));
        let varies: Vec<_> = file.headers.get_all("vary").iter().collect();
        assert_eq!(varies, ["Accept-Encoding", "Origin"]);
        tags.push(file.header("etag").unwrap().to_owned());
    }
    assert_eq!(tags[2], tags[3]);
    assert!(tags[0] != tags[1] && tags[1] != tags[2], "{tags:?}");
}

#[tokio::test]
async fn files_have_entity_tags_and_ranges() {
    let app = build();
    let server = serve(&app).await;
    let visitor = server.visitor();
    let whole = visitor.get("/logo.png").await.assert_status(200);
    assert_eq!(whole.header("content-type"), Some("image/png"));
    let tag = whole.header("etag").unwrap();
    let same = get(&visitor, "/logo.png", &[("if-none-match", tag)]).await.assert_status(304);
    assert_eq!(same.text(), "");
    get(&visitor, "/logo.png", &[("if-match", "\"other\"")]).await.assert_error(412, "precondition_failed");
    let part = get(&visitor, "/logo.png", &[("range", "bytes=2-4")]).await.assert_status(206);
    assert_eq!((part.header("content-range"), part.text().as_str()), (Some("bytes 2-4/10"), "234"));
    let beyond = get(&visitor, "/logo.png", &[("range", "bytes=10-")]).await;
    let beyond = beyond.assert_error(416, "range_not_satisfiable");
    assert_eq!(beyond.header("content-range"), Some("bytes */10"));
    // A changed file is not continued.
    let headers = [("range", "bytes=2-4"), ("if-range", "\"other\"")];
    assert_eq!(get(&visitor, "/logo.png", &headers).await.assert_status(200).text(), "0123456789");

    write(app.path(), "logo.png", "another logo");
    let changed = get(&visitor, "/logo.png", &[("if-none-match", tag)]).await.assert_status(200);
    assert_eq!(changed.text(), "another logo");
}

#[tokio::test]
async fn a_server_without_an_app_has_its_own_page_and_404() {
    let server = TestServer::<Memory>::spawn().await;
    let visitor = server.visitor();
    assert!(visitor.get("/").await.assert_status(200).text().contains("notestamp"));
    get(&visitor, "/songs/first", &[("accept", HTML)]).await.assert_error(404, "not_found");
}
