//! Media by signed URLs.

use std::time::Duration;

use super::TestServer;
use crate::harness::{ADA, CLIENT_ORIGIN, Client};

const SECOND: Duration = Duration::from_secs(1);
/// The longest time for which a URL needs no cookies: it expires at a multiple of five minutes, at which every test
/// begins.
const TTL: Duration = Duration::from_secs(15 * 60);

/// The path and query of the URL of a project's media.
async fn url(server: &TestServer, client: &Client, title: &str) -> String {
    let metadata = client.get(&format!("/project/get/{title}")).await.assert_status(200).json();
    metadata["src"].as_str().unwrap().strip_prefix(&server.origin()).expect("it is absolute").to_owned()
}

async fn server_with_media() -> (TestServer, Client, String) {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"0123456789").await;
    let url = url(&server, &ada, "a").await;
    (server, ada, url)
}

#[apply(api_test)]
async fn the_url_is_read_without_cookies_whole_and_in_parts() {
    let (server, _ada, url) = server_with_media().await;
    let visitor = server.visitor();
    let whole = visitor.get_with(&url, &[("origin", CLIENT_ORIGIN)]).await.assert_status(200);
    assert_eq!(whole.body, b"0123456789");
    assert_eq!(whole.header("access-control-allow-origin"), Some(CLIENT_ORIGIN));
    assert_eq!(whole.header("content-security-policy"), Some("sandbox allow-same-origin"));
    assert_eq!(whole.header("content-type"), Some("audio/mpeg"));
    whole.assert_sets_no_cookie();
    let part = visitor.get_with(&url, &[("range", "bytes=2-4")]).await.assert_status(206);
    assert_eq!((part.body.as_slice(), part.header("content-range")), (&b"234"[..], Some("bytes 2-4/10")));
    let head = visitor.head(&url).await.assert_status(200);
    assert_eq!(head.header("content-length"), Some("10"));
    let tag = part.header("etag").unwrap();
    visitor.get_with(&url, &[("if-none-match", tag)]).await.assert_status(304);
    visitor.get_with(&url, &[("range", "bytes=10-")]).await.assert_error(416, "range_not_satisfiable");
}

#[apply(api_test)]
async fn the_url_is_the_same_for_five_minutes_and_valid_for_ten_to_fifteen() {
    let (server, ada, first) = server_with_media().await;
    let minute = 60 * SECOND;
    server.advance(5 * minute - SECOND);
    assert_eq!(url(&server, &ada, "a").await, first);
    let list = async || ada.get("/project/list").await.assert_status(200).json();
    let (listed, stream) = (list().await, ada.get("/media/stream/a").await.json());
    assert_eq!(listed["projects"][0]["src"], format!("{}{first}", server.origin()));
    assert_eq!(stream["streamURL"], listed["projects"][0]["src"]);
    // The first URL is still valid after ten minutes, and no longer valid after twenty.
    server.advance(10 * minute);
    server.visitor().get(&first).await.assert_status(200);
    let later = url(&server, &ada, "a").await;
    assert_ne!(later, first);
    server.advance(10 * minute);
    server.visitor().get(&first).await.assert_error(401, "unauthorized");
    server.visitor().get(&later).await.assert_status(200);
    server.advance(SECOND);
    server.visitor().get(&later).await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn a_browser_caches_the_media_and_revalidates_it() {
    let (server, _ada, url) = server_with_media().await;
    let visitor = server.visitor();
    let response = visitor.get(&url).await.assert_status(200);
    assert_eq!(response.header("cache-control"), Some("private, no-cache"));
    let tag = response.header("etag").unwrap();
    let again = visitor.get_with(&url, &[("if-none-match", tag)]).await.assert_status(304);
    // A browser replaces its cached headers by those of this response.
    for name in ["cache-control", "content-security-policy", "etag", "vary"] {
        assert_eq!(
            again.headers.get_all(name).iter().collect::<Vec<_>>(),
            response.headers.get_all(name).iter().collect::<Vec<_>>(),
            "{name}"
        );
    }
}

#[apply(api_test)]
async fn with_an_expired_url_the_cookies_alone_decide() {
    let (server, ada, url) = server_with_media().await;
    let visitor = server.visitor();
    server.advance(TTL - SECOND);
    visitor.get(&url).await.assert_status(200);
    server.advance(SECOND);
    visitor.get(&url).await.assert_error(401, "unauthorized");
    // The access token has expired as well, so the response refreshes the session.
    ada.get(&url).await.assert_status(200).assert_refreshes();
    // Any session of the user is enough.
    visitor.sign_in(ADA).await.assert_status(200);
    assert_eq!(visitor.get(&url).await.assert_status(200).body, b"0123456789");
    let bob = server.signed_in("bob@example.org").await;
    bob.get(&url).await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn the_url_grants_one_project_only() {
    let (server, ada, url) = server_with_media().await;
    let other = ada.save_media("b", "audio/mpeg", b"other").await["id"].as_str().unwrap().to_owned();
    let (_, parameters) = url.split_once('?').unwrap();
    let of_other = format!("/media/{other}?{parameters}");
    server.visitor().get(&of_other).await.assert_error(401, "unauthorized");
    assert_eq!(ada.get(&of_other).await.assert_status(200).body, b"other");
    server.visitor().get(&format!("/media/x?{parameters}")).await.assert_error(401, "unauthorized");
    ada.get(&format!("/media/x?{parameters}")).await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn with_any_change_in_the_url_the_cookies_alone_decide() {
    let (server, ada, url) = server_with_media().await;
    let bob = server.signed_in("bob@example.org").await;
    let (base, signature) = url.rsplit_once('=').unwrap();
    let flipped = if signature.starts_with('0') { "1" } else { "0" };
    let session_at = url.find("session=").unwrap() + "session=".len();
    let other_session = format!("{}{}{}", &url[..session_at], "0".repeat(32), &url[session_at + 32..]);
    let expires_at = url.find("expires=").unwrap() + "expires=".len();
    let later = format!("{}9{}", &url[..expires_at], &url[expires_at..]);
    let without = |name: &str| url.replace(&format!("{name}="), "other=");
    for changed in [
        format!("{base}={flipped}{}", &signature[1..]),
        format!("{base}="),
        format!("{base}={}", &signature[2..]),
        format!("{base}={signature}00"),
        format!("{base}=%C3%A9"),
        other_session,
        later,
        without("session"),
        without("expires"),
        without("signature"),
    ] {
        server.visitor().get(&changed).await.assert_error(401, "unauthorized");
        bob.get(&changed).await.assert_error(404, "not_found");
        assert_eq!(ada.get(&changed).await.assert_status(200).body, b"0123456789", "{changed}");
    }
    server.visitor().get(&url).await.assert_status(200);
}

#[apply(api_test)]
async fn the_url_is_invalid_after_the_session_has_ended() {
    let (server, ada, of_ada) = server_with_media().await;
    let twin = ada.twin();
    ada.sign_out().await.assert_status(200);
    for client in [&server.visitor(), &twin] {
        client.get(&of_ada).await.assert_error(401, "unauthorized");
    }
    // A later session of the same user does not need the signature.
    twin.sign_in(ADA).await.assert_status(200);
    twin.get(&of_ada).await.assert_status(200);
    server.visitor().get(&of_ada).await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn the_url_is_invalid_after_the_project_is_deleted_even_if_its_title_is_reused() {
    let (server, ada, of_ada) = server_with_media().await;
    ada.delete("/project/delete/a").await.assert_status(200);
    server.visitor().get(&of_ada).await.assert_error(404, "not_found");
    ada.save_media("a", "audio/mpeg", b"another").await;
    server.visitor().get(&of_ada).await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn the_url_is_invalid_after_the_account_is_removed() {
    let (server, ada, of_ada) = server_with_media().await;
    ada.remove_account().await.assert_status(200);
    server.visitor().get(&of_ada).await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn media_is_downloaded_streamed_and_read_by_its_title() {
    let (server, ada, _) = server_with_media().await;
    let download = ada.get("/media/download/a").await.assert_status(200);
    assert_eq!(download.body, b"0123456789");
    let disposition = download.header("content-disposition").unwrap();
    assert_eq!(disposition, "attachment; filename=\"a.mp3\"; filename*=UTF-8''a.mp3");
    let read = ada.get("/project/media/a").await.assert_status(200);
    assert!(read.header("content-disposition").unwrap().starts_with("inline;"));

    let stream = ada.get("/media/stream/a").await.assert_status(200).json();
    let url = stream["streamURL"].as_str().unwrap().strip_prefix(&server.origin()).unwrap().to_owned();
    assert_eq!(server.visitor().get(&url).await.assert_status(200).body, b"0123456789");

    ada.save_project("none").await;
    for path in ["/media/download", "/media/stream", "/project/media"] {
        ada.get(&format!("{path}/none")).await.assert_error(404, "not_found");
        ada.get(&format!("{path}/unknown")).await.assert_error(404, "not_found");
        server.visitor().get(&format!("{path}/a")).await.assert_error(401, "unauthorized");
    }
}

#[apply(api_test)]
async fn with_a_missing_parameter_the_url_needs_its_owners_cookies() {
    let (server, ada, url) = server_with_media().await;
    let bob = server.signed_in("bob@example.org").await;
    let (bare, _) = url.split_once('?').unwrap();
    let parameter = |name: &str| {
        let at = url.find(name).unwrap();
        &url[at..url[at..].find('&').map_or(url.len(), |length| at + length)]
    };
    for broken in [
        bare.to_owned(),
        url.replace(parameter("session="), "session=x"),
        url.replace(parameter("expires="), "expires=soon"),
        url.replace(parameter("expires="), "expires=99999999999999999999"),
        url.replace(parameter("signature="), "s=x"),
    ] {
        server.visitor().get(&broken).await.assert_error(401, "unauthorized");
        assert_eq!(ada.get(&broken).await.assert_status(200).body, b"0123456789", "{broken}");
        bob.get(&broken).await.assert_error(404, "not_found");
        server.advance(TTL);
        ada.get(&broken).await.assert_status(200).assert_refreshes();
        bob.get(&broken).await.assert_error(404, "not_found");
    }
    server.visitor().get("/media/x").await.assert_error(401, "unauthorized");
}
