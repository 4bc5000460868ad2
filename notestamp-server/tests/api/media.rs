use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, ServerResponse, digest};

const BYTES: &[u8; 10] = b"0123456789";

async fn of_type(client: &Client, title: &str, mimetype: &str) -> ServerResponse {
    client.save_media(title, mimetype, BYTES).await;
    client.get(&format!("/home/media-file/{title}")).await.assert_status(200)
}

/// All URLs of the media of the project with this title, which needs no encoding.
fn ways(project: &Value) -> [String; 4] {
    let (id, title) = (project["id"].as_str().unwrap(), project["title"].as_str().unwrap());
    [
        format!("/home/media/{id}"),
        format!("/home/media-file/{title}"),
        format!("/home/stream-audio/{title}"),
        format!("/home/stream-media?name={title}"),
    ]
}

#[apply(api_test)]
async fn every_route_has_the_same_response() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", BYTES).await;
    for way in ways(&project) {
        let response = ada.get(&way).await.assert_status(200);
        assert_eq!(response.body, BYTES);
        for (name, value) in [
            ("content-type", "audio/mpeg"),
            ("content-length", "10"),
            ("accept-ranges", "bytes"),
            ("etag", &format!("\"{}\"", digest(BYTES))),
            ("content-disposition", "inline; filename=\"a.mp3\"; filename*=UTF-8''a.mp3"),
            ("x-content-type-options", "nosniff"),
            ("content-security-policy", "sandbox allow-same-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{way}: {name}");
        }
        assert!(response.header("cache-control").unwrap().split(", ").any(|it| it == "private"));
        assert_eq!(response.header("content-encoding"), None);
        assert_eq!(response.header("content-range"), None);
    }
}

#[apply(api_test)]
async fn a_head_has_the_response_of_a_get_without_the_bytes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", BYTES).await;
    for way in ways(&project) {
        let (get, head) = (ada.get(&way).await, ada.head(&way).await.assert_status(200));
        assert!(head.body.is_empty());
        for (name, value) in &get.headers {
            if !["date", "x-request-id"].contains(&name.as_str()) {
                assert_eq!(head.headers.get(name), Some(value), "{way}: {name}");
            }
        }
        // Ranges are of GET only (RFC 9110, 14.2).
        let ranged = ada.request(reqwest::Method::HEAD, &way).header("range", "bytes=2-3");
        let ranged = ada.send(ranged).await.assert_status(200);
        assert_eq!(ranged.header("content-length"), Some("10"));
    }
}

async fn assert_range(client: &Client, range: &str, content_range: &str, bytes: &[u8]) {
    let response = client.get_with("/home/media-file/a", &[("range", range)]).await.assert_status(206);
    assert_eq!(response.header("content-range"), Some(content_range), "{range}");
    assert_eq!(response.header("content-length"), Some(bytes.len().to_string().as_str()), "{range}");
    assert_eq!(response.header("accept-ranges"), Some("bytes"), "{range}");
    assert_eq!(response.header("etag"), Some(format!("\"{}\"", digest(BYTES)).as_str()), "{range}");
    assert_eq!(response.header("content-type"), Some("audio/mpeg"), "{range}");
    assert_eq!(response.body, bytes, "{range}");
}

#[apply(api_test)]
async fn a_range_returns_its_bytes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    assert_range(&ada, "bytes=0-", "bytes 0-9/10", BYTES).await;
    assert_range(&ada, "bytes=4-", "bytes 4-9/10", b"456789").await;
    assert_range(&ada, "bytes=0-0", "bytes 0-0/10", b"0").await;
    assert_range(&ada, "bytes=2-4", "bytes 2-4/10", b"234").await;
    assert_range(&ada, "bytes=9-", "bytes 9-9/10", b"9").await;
    assert_range(&ada, "Bytes=2-4", "bytes 2-4/10", b"234").await;
}

#[apply(api_test)]
async fn a_suffix_returns_the_last_bytes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    assert_range(&ada, "bytes=-3", "bytes 7-9/10", b"789").await;
    assert_range(&ada, "bytes=-10", "bytes 0-9/10", BYTES).await;
    assert_range(&ada, "bytes=-99999999999999999999999", "bytes 0-9/10", BYTES).await;
}

#[apply(api_test)]
async fn an_end_beyond_the_file_is_clamped() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    assert_range(&ada, "bytes=8-100", "bytes 8-9/10", b"89").await;
    assert_range(&ada, "bytes=0-18446744073709551615", "bytes 0-9/10", BYTES).await;
    assert_range(&ada, "bytes=1-99999999999999999999999", "bytes 1-9/10", b"123456789").await;
}

#[apply(api_test)]
async fn a_range_without_a_byte_is_not_satisfiable() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    for range in ["bytes=10-", "bytes=10-20", "bytes=99999999999999999999999-", "bytes=-0"] {
        let response = ada.get_with("/home/media-file/a", &[("range", range)]).await;
        let response = response.assert_error(416, "range_not_satisfiable");
        assert_eq!(response.header("content-range"), Some("bytes */10"), "{range}");
    }
}

#[apply(api_test)]
async fn several_or_malformed_ranges_return_the_whole() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    let hundreds = format!("bytes={}", vec!["0-"; 1_000].join(","));
    for range in [
        "bytes=0-1,3-4",
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "items=0-1",
        "0-1",
        "",
        "bytes=1--2",
        &hundreds,
    ] {
        let response = ada.get_with("/home/media-file/a", &[("range", range)]).await.assert_status(200);
        assert_eq!(
            (response.header("content-length"), response.body.as_slice()),
            (Some("10"), &BYTES[..]),
            "{range}"
        );
        assert_eq!(response.header("content-range"), None);
    }
    let twice = ada.get_with("/home/media-file/a", &[("range", "bytes=0-1"), ("range", "bytes=2-3")]).await;
    assert_eq!(twice.assert_status(200).body, BYTES);
}

#[apply(api_test)]
async fn if_range_of_another_tag_returns_the_whole() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    let tag = format!("\"{}\"", digest(BYTES));
    let get = async |if_range: &str| {
        ada.get_with("/home/media-file/a", &[("range", "bytes=2-3"), ("if-range", if_range)]).await.status
    };
    assert_eq!(get(&tag).await, 206);
    for other in ["\"other\"", &format!("W/{tag}"), "Fri, 01 Mar 2024 12:00:00 GMT", "nonsense", "", "*"] {
        assert_eq!(get(other).await, 200, "{other}");
    }
}

#[apply(api_test)]
async fn current_media_is_not_sent_again() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", BYTES).await;
    let tag = format!("\"{}\"", digest(BYTES));
    let get = async |headers: &[(&str, &str)]| ada.get_with("/home/media-file/a", headers).await;
    for known in [tag.clone(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".to_owned()] {
        let response = get(&[("if-none-match", &known)]).await.assert_status(304);
        assert!(response.body.is_empty());
        assert_eq!(response.header("etag"), Some(tag.as_str()));
        assert!(response.header("cache-control").unwrap().contains("private"));
        assert_eq!(response.header("content-type"), None);
        assert!(matches!(response.header("content-length"), None | Some("10")), "RFC 9110, 8.6");
        get(&[("if-none-match", &known), ("range", "bytes=99-")]).await.assert_status(304);
    }
    for other in ["\"other\"", "nonsense", ""] {
        get(&[("if-none-match", other)]).await.assert_status(200);
    }
    let head = ada.request(reqwest::Method::HEAD, "/home/media-file/a").header("if-none-match", tag);
    ada.send(head).await.assert_status(304);
}

#[apply(api_test)]
async fn empty_media_is_served() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"").await;
    let get = async |range: &str| ada.get_with("/home/media-file/a", &[("range", range)]).await;
    let whole = ada.get("/home/media-file/a").await.assert_status(200);
    assert_eq!((whole.header("content-length"), whole.body.len()), (Some("0"), 0));
    let response = get("bytes=0-").await.assert_error(416, "range_not_satisfiable");
    assert_eq!(response.header("content-range"), Some("bytes */0"));
    get("bytes=-5").await.assert_status(200);
}

#[apply(api_test)]
async fn media_larger_than_any_buffer_is_served_whole_and_in_parts() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let project = ada.save_media("a", "video/mp4", &bytes).await;
    assert_eq!(project["mediaDigest"], json!(digest(&bytes)));
    assert!(ada.get("/home/media-file/a").await.assert_status(200).body == bytes);
    let (first, last) = (262_143, 7_340_033);
    let range = format!("bytes={first}-{last}");
    let part = ada.get_with("/home/media-file/a", &[("range", &range)]).await.assert_status(206);
    assert!(part.body == bytes[first..=last]);
}

#[apply(api_test)]
async fn media_is_never_compressed() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let bytes = vec![b'a'; 100_000];
    ada.save_media("a", "audio/mpeg", &bytes).await;
    for encodings in ["gzip", "br, gzip, deflate, zstd", "*", "identity;q=0, gzip"] {
        let response = ada.get_with("/home/media-file/a", &[("accept-encoding", encodings)]).await;
        let response = response.assert_status(200);
        assert_eq!(response.header("content-encoding"), None);
        assert!(response.body == bytes);
    }
}

#[apply(api_test)]
async fn types_that_browsers_show_safely_are_shown() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, (mimetype, served)) in [
        ("audio/mpeg", "audio/mpeg"),
        ("Audio/WAV; codecs=1", "audio/wav; codecs=1"),
        ("audio/unheard-of", "audio/unheard-of"),
        ("video/mp4", "video/mp4"),
        ("application/pdf", "application/pdf"),
        ("image/png", "image/png"),
    ]
    .into_iter()
    .enumerate()
    {
        let response = of_type(&ada, &format!("p{at}"), mimetype).await;
        assert_eq!(response.header("content-type"), Some(served));
        assert!(response.header("content-disposition").unwrap().starts_with("inline;"), "{mimetype}");
    }
}

#[apply(api_test)]
async fn only_audio_and_video_play_in_a_tab() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, (mimetype, expected)) in [
        ("audio/mpeg", "sandbox allow-same-origin"),
        ("Video/WebM;codecs=vp9", "sandbox allow-same-origin"),
        ("application/pdf", "sandbox"),
        ("image/png", "sandbox"),
        ("image/svg+xml", "sandbox"),
        ("audio/x+xml", "sandbox"),
        ("text/html", "sandbox"),
        ("", "sandbox"),
    ]
    .into_iter()
    .enumerate()
    {
        let response = of_type(&ada, &format!("p{at}"), mimetype).await;
        assert_eq!(response.header("content-security-policy"), Some(expected), "{mimetype}");
    }
}

#[apply(api_test)]
async fn all_other_types_are_attachments() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, mimetype) in [
        "",
        "no media type",
        "application/octet-stream",
        "text/html",
        "text/html; charset=utf-8",
        "image/svg+xml",
        "audio/x+xml",
        "video/x+XML;a=b",
        "audio/wav;,text/html",
        "application/xhtml+xml",
        "text/javascript",
        "text/css",
        "application/pdf/html",
        "audio/mpeg\r\nSet-Cookie: a=b",
        "audio /mpeg",
        "audio/é",
    ]
    .into_iter()
    .enumerate()
    {
        let response = of_type(&ada, &format!("p{at}"), mimetype).await;
        assert_eq!(response.header("content-type"), Some("application/octet-stream"), "{mimetype}");
        assert!(response.header("content-disposition").unwrap().starts_with("attachment;"), "{mimetype}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("content-security-policy"), Some("sandbox"));
        response.assert_sets_no_cookie();
    }
}

#[apply(api_test)]
async fn a_project_without_stored_media_has_no_bytes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    let project = ada.open("a").await.json()["metadata"].clone();
    for way in ways(&project) {
        ada.get(&way).await.assert_error(404, "not_found");
        ada.head(&way).await.assert_status(404);
    }
}

#[apply(api_test)]
async fn an_invalid_id_is_not_found() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let unknown = "0".repeat(32);
    for id in ["x", "a", "..%2F..", "%00", "\u{ff}", &unknown, "00000000-0000-7000-8000-000000000000"] {
        ada.get(&format!("/home/media/{id}")).await.assert_error(404, "not_found");
        ada.get(&format!("/home/media/{id}/name.mp3")).await.assert_error(404, "not_found");
    }
    ada.get("/home/media/").await.assert_error(404, "not_found");
    ada.get("/home/media").await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn the_parameters_of_a_media_type_are_served_and_kept() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (title, saved, served) in [
        ("a", "audio/webm;codecs=opus", "audio/webm;codecs=opus"),
        ("b", "Video/MP4; codecs=\"avc1.42E01E, mp4a.40.2\"", "video/mp4; codecs=\"avc1.42E01E, mp4a.40.2\""),
        ("c", "audio/webm ; codecs=opus", "audio/webm; codecs=opus"),
        ("d", "video/webm;codecs=vp8,opus", "video/webm;codecs=\"vp8,opus\""),
        ("e", "text/html;charset=utf-8", "application/octet-stream"),
        ("f", "audio/webm;codecs=opus\r\nx-evil: 1", "application/octet-stream"),
        ("g", "audio/wav;,text/html", "application/octet-stream"),
        ("h", "audio/wav,text/html", "application/octet-stream"),
        ("i", "audio/wav;codecs", "application/octet-stream"),
    ] {
        let response = of_type(&ada, title, saved).await;
        assert_eq!((response.header("content-type"), response.header("x-evil")), (Some(served), None));
        assert_eq!(ada.open(title).await.json()["metadata"]["mimetype"], saved);
    }
}

#[apply(api_test)]
async fn media_that_fails_a_precondition_is_not_sent() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", BYTES).await;
    let (tag, other) = (format!("\"{}\"", digest(BYTES)), format!("\"{}\"", digest(b"other")));
    for way in ways(&project) {
        let get = async |headers: &[(&str, &str)]| ada.get_with(&way, headers).await;
        for stale in [other.as_str(), "\"x\"", &format!("W/{tag}"), &format!("{other}, W/{tag}")] {
            for more in [
                ("accept", "*/*"),
                ("range", "bytes=2-3"),
                ("range", "bytes=99-"),
                ("if-none-match", "*"),
                ("if-range", &tag),
            ] {
                let response =
                    get(&[("if-match", stale), more]).await.assert_error(412, "precondition_failed");
                assert_eq!(response.header("etag"), Some(tag.as_str()), "{stale} {more:?}");
                assert_eq!(response.header("content-range"), None);
            }
            let head = ada.request(reqwest::Method::HEAD, &way).header("if-match", stale);
            assert_eq!(ada.send(head).await.assert_status(412).header("etag"), Some(tag.as_str()));
        }
        for good in [tag.as_str(), "*", &format!("{other} , {tag}")] {
            get(&[("if-match", good)]).await.assert_status(200);
            get(&[("if-match", good), ("range", "bytes=2-3")]).await.assert_status(206);
            get(&[("if-match", good), ("range", "bytes=99-")]).await.assert_status(416);
            get(&[("if-match", good), ("if-none-match", &tag)]).await.assert_status(304);
            let head = ada.request(reqwest::Method::HEAD, &way).header("if-match", good);
            ada.send(head).await.assert_status(200);
        }
        get(&[("if-match", "nonsense")]).await.assert_error(400, "bad_request");
        // No response has a `Last-Modified` header.
        get(&[("if-unmodified-since", "Fri, 01 Mar 1996 12:00:00 GMT")]).await.assert_status(200);
        get(&[("if-modified-since", "Fri, 01 Mar 2996 12:00:00 GMT")]).await.assert_status(200);
    }
    ada.save_project("none").await;
    ada.get_with("/home/media-file/none", &[("if-match", "\"x\"")]).await.assert_error(404, "not_found");
}
