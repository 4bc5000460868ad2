//! The parts of a form, distinguished by their headers: a part with media is stored or refused, never ignored.

use serde_json::json;

use super::TestServer;
use crate::harness::{Client, Upload};

/// The two operations that accept forms, each with its name of the part with the notes.
const SAVES: [(&str, &str); 2] = [("/home/upload", "content"), ("/project/save", "notesFile")];

/// A save without media.
fn form(notes: &str, title: &str) -> Upload {
    Upload::empty().text("metadata", json!({ "title": title }).to_string()).text(notes, "[1]")
}

/// The media of the project with this title, which needs no encoding; absent if it has none.
async fn media(client: &Client, title: &str) -> Option<Vec<u8>> {
    let response = client.get(&format!("/home/media-file/{title}")).await;
    (response.status != 404).then(|| response.assert_status(200).body)
}

/// Saves with a media part of this head and these bytes, through both operations, before and after the other parts.
/// Asserts that the outcome is the same each time, and returns it: the media, or the status and code of a refusal.
async fn save(client: &Client, head: &[u8], bytes: &[u8]) -> Outcome {
    let mut outcomes = Vec::new();
    for (path, notes) in SAVES {
        for order in [&["mediaFile"][..], &["metadata", notes, "mediaFile"]] {
            let upload = form(notes, "a").part_with_head("mediaFile", head, bytes).in_order(order);
            let response = client.save_at(path, upload).await;
            outcomes.push(match response.status {
                200 => Outcome::Saved(media(client, "a").await),
                status => Outcome::Refused(status, response.json()["code"].as_str().unwrap().to_owned()),
            });
            match response.status {
                200 => drop(client.delete_project("a").await.assert_status(200)),
                _ => assert!(client.titles().await.is_empty(), "a save that is refused changes nothing"),
            }
        }
    }
    let head = String::from_utf8_lossy(head);
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{head}: {outcomes:?}");
    outcomes.swap_remove(0)
}

#[derive(PartialEq, Debug)]
enum Outcome {
    Saved(Option<Vec<u8>>),
    Refused(u16, String),
}

fn stored(bytes: &[u8]) -> Outcome {
    Outcome::Saved(Some(bytes.to_vec()))
}

fn refused(code: &str) -> Outcome {
    Outcome::Refused(400, code.to_owned())
}

#[apply(api_test)]
async fn a_part_with_a_file_name_of_any_kind_is_the_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for file_name in [
        &b"; filename=\"x.mp3\""[..],
        b"; filename=x.mp3",
        b"; FILENAME = \"x.mp3\"",
        b"; filename=\"\xfc.mp3\"",
        b"; filename=\xfc.mp3",
        b"; filename=\"\x01\x7f\n.mp3\"",
        b"; filename=\"C:\\dir\\\"",
        b"; filename=\"\\\"",
        b"; filename=\"..\\..\\a.wav\"",
        b"; filename=\"../../etc/passwd\"",
        b"; filename=\"a\\\"b;c=d.mp3\"",
        b"; filename=\"a\"b.mp3\"",
        b"; filename=\"without an end",
        b"; filename=\"%E2%82%AC%22%0D%0A.mp3\"",
        "; filename=\"na\u{ef}ve \u{1f3a7}.mp3\"".as_bytes(),
        b"; filename*=utf-8''x.mp3",
        b"; filename*=UTF-8'de'%E2%82%AC.mp3",
        b"; filename*=nonsense",
        b"; filename*0=\"long \"; filename*1=\"name.mp3\"",
        b"; filename*0*=utf-8''%E2; filename*1*=%82%AC.mp3",
        b"; filename=\"\"; filename*=utf-8''x.mp3",
        b"; filename=\"a.mp3\"\r\nContent-Type: text/plain",
        b"; filename=\"a.mp3\"\r\nContent-Type: text/plain; charset=utf-8",
        b";\r\n filename=\"folded.mp3\"",
    ] {
        let head = [b"Content-Disposition: form-data; name=\"mediaFile\"", file_name].concat();
        let what = String::from_utf8_lossy(&head);
        assert_eq!(save(&ada, &head, b"bytes").await, stored(b"bytes"), "{what}");
        // The content of the file does not matter either.
        assert_eq!(save(&ada, &head, b"null").await, stored(b"null"), "{what}");
    }
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn headers_of_any_spelling_and_order_are_read() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for head in [
        "CONTENT-DISPOSITION: FORM-DATA; NAME=\"mediaFile\"; FILENAME=\"X.MP3\"",
        "content-disposition:form-data;name=mediaFile;filename=x.mp3",
        "Content-Type: audio/mpeg\r\nContent-Disposition: form-data; filename=\"x.mp3\"; name=\"mediaFile\"",
        "Content-Length: 5\r\nX-Other: \u{fc}\r\ncontent-type: audio/mpeg\r\nContent-disposition: form-data; name=\"mediaFile\"",
        "Content-Disposition: form-data; name=\"mediaFile\"; filename=\"x\"\r\nContent-Transfer-Encoding: Binary",
    ] {
        assert_eq!(save(&ada, head.as_bytes(), b"bytes").await, stored(b"bytes"), "{head}");
    }
}

#[apply(api_test)]
async fn a_part_with_a_media_type_and_no_file_name_is_the_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for content_type in
        ["audio/mpeg", "application/octet-stream", "text/html", "Audio/WAV ; codecs=1", "audio"]
    {
        let head =
            format!("Content-Disposition: form-data; name=\"mediaFile\"\r\nContent-Type: {content_type}");
        assert_eq!(save(&ada, head.as_bytes(), b"bytes").await, stored(b"bytes"), "{content_type}");
    }
}

#[apply(api_test)]
async fn a_file_without_bytes_is_the_media_only_if_it_has_a_name() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let of = |rest: &str| format!("Content-Disposition: form-data; name=\"mediaFile\"{rest}");
    for (rest, empty) in [
        ("; filename=\"silence.wav\"", stored(b"")),
        ("; filename=\"\"", Outcome::Saved(None)),
        ("; filename=\"\"\r\nContent-Type: application/octet-stream", Outcome::Saved(None)),
        ("; filename*=utf-8''", Outcome::Saved(None)),
        ("\r\nContent-Type: audio/mpeg", Outcome::Saved(None)),
    ] {
        assert_eq!(save(&ada, of(rest).as_bytes(), b"").await, empty, "{rest}");
        assert_eq!(save(&ada, of(rest).as_bytes(), b"bytes").await, stored(b"bytes"), "{rest}");
    }
}

#[apply(api_test)]
async fn a_text_instead_of_the_media_means_no_media_or_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for content_type in ["", "\r\nContent-Type: text/plain", "\r\nContent-Type: TEXT/PLAIN;charset=UTF-8"] {
        let head = format!("Content-Disposition: form-data; name=\"mediaFile\"{content_type}");
        for text in ["", "null", "undefined"] {
            let outcome = save(&ada, head.as_bytes(), text.as_bytes()).await;
            assert_eq!(outcome, Outcome::Saved(None), "{head}: {text}");
        }
        let long = "null".repeat(100_000);
        for text in ["NULL", "nullnull", "[object Object]", "0", "bytes", "\u{0}", &long] {
            let outcome = save(&ada, head.as_bytes(), text.as_bytes()).await;
            assert_eq!(outcome, refused("media_unreadable"), "{head}: {text:.20}");
        }
        assert_eq!(save(&ada, head.as_bytes(), b"\xff\xfb\x90").await, refused("media_unreadable"));
    }
}

#[apply(api_test)]
async fn an_ambiguous_part_header_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for head in [
        "Content-Type: audio/mpeg",
        "Content-Disposition: form-data; filename=\"x.mp3\"",
        "Content-Disposition: form-data; name=\"mediaFile\" filename=\"x.mp3\"",
        "Content-Disposition: form-data; name=\"mediaFile; filename=\"x.mp3\"",
        "Content-Disposition: form-data; name=\"mediaFile\"; name=\"other\"; filename=\"x.mp3\"",
        "Content-Disposition: form-data; name=\"mediaFile\"\r\nContent-Disposition: form-data; name=\"other\"",
        "Content-Disposition: form-data; name=\"mediaFile\"\r\nContent-Type: audio/mpeg\r\nContent-Type: text/plain",
        "Content-Disposition form-data; name=\"mediaFile\"; filename=\"x.mp3\"",
        "Content-Disposition: form-data; name=\"mediaFile\"; filename=\"x\"\r\nContent-Transfer-Encoding: base64",
    ] {
        assert_eq!(save(&ada, head.as_bytes(), b"bytes").await, refused("bad_request"), "{head}");
    }
    let long =
        format!("Content-Disposition: form-data; name=\"mediaFile\"; filename=\"{}\"", "x".repeat(20_000));
    assert_eq!(save(&ada, long.as_bytes(), b"bytes").await, refused("bad_request"));
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn notes_and_metadata_are_used_with_any_part_headers() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (path, notes) in SAVES {
        for rest in [
            "",
            "; filename=\"\"",
            "; filename=\"blob\"",
            "; filename=\"C:\\dir\\\"",
            "; filename*=utf-8''x.json",
            "\r\nContent-Type: application/json",
            "\r\nContent-Type: text/plain ; charset=utf-8",
        ] {
            let head = |name: &str| format!("Content-Disposition: form-data; name=\"{name}\"{rest}");
            let upload = Upload::empty().part_with_head(notes, head(notes), "[7]").part_with_head(
                "metadata",
                head("metadata"),
                r#"{"title":"a"}"#,
            );
            ada.save_at(path, upload).await.assert_status(200);
            assert_eq!(ada.open("a").await.assert_status(200).json()["content"], "[7]", "{path}: {rest}");
            ada.delete_project("a").await.assert_status(200);
            // A text that is not JSON is refused, and not treated as absent.
            let broken = form(notes, "a").text(notes, "").part_with_head("x", head("x"), "y");
            ada.save_at(path, broken).await.assert_error(400, "bad_request");
        }
    }
}

#[apply(api_test)]
async fn null_as_a_notes_file_is_notes_and_as_a_text_is_absent() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let save = async |rest: &str, bytes: &str| {
        let head = format!("Content-Disposition: form-data; name=\"notesFile\"{rest}");
        let metadata = json!({"title": "a", "notes": "[\"echoed\"]"}).to_string();
        let upload = Upload::empty().text("metadata", metadata).part_with_head("notesFile", head, bytes);
        ada.save_at("/project/save", upload).await.assert_status(200);
        ada.open("a").await.assert_status(200).json()["content"].as_str().unwrap().to_owned()
    };
    for (rest, bytes, expected) in [
        ("; filename=\"notes.json\"", "null", "null"),
        ("; filename*=utf-8''n.json", "null", "null"),
        ("\r\nContent-Type: application/json", "null", "null"),
        ("; filename=\"\"", "", "[\"echoed\"]"),
        ("", "", "[\"echoed\"]"),
        ("", "null", "[\"echoed\"]"),
        ("", "undefined", "[\"echoed\"]"),
        ("\r\nContent-Type: text/plain", "null", "[\"echoed\"]"),
        ("", "[2]", "[2]"),
    ] {
        assert_eq!(save(rest, bytes).await, expected, "{rest}: {bytes}");
    }
}

#[apply(api_test)]
async fn two_parts_of_one_name_and_more_than_32_parts_are_refused_in_both_dialects() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (path, notes) in SAVES {
        let with = |extra: usize| (0..extra).fold(form(notes, "a"), |it, at| it.text(&format!("x{at}"), "x"));
        ada.save_at(path, with(31)).await.assert_error(400, "bad_request");
        for name in ["mediaFile", "metadata", notes, "mediaDigest"] {
            let head = format!("Content-Disposition: form-data; name={name}");
            let twice = (0..2).fold(Upload::empty(), |it, _| it.part_with_head(name, head.as_str(), ""));
            ada.save_at(path, twice).await.assert_error(400, "bad_request");
        }
        // In any spelling.
        let again = "Content-Disposition: form-data; filename*=utf-8''x; NAME=mediaFile";
        let twice = form(notes, "a").media(b"one").part_with_head("mediaFile", again, "two");
        ada.save_at(path, twice).await.assert_error(400, "bad_request");
        assert!(ada.titles().await.is_empty());
        ada.save_at(path, with(30)).await.assert_status(200);
        ada.delete_project("a").await.assert_status(200);
    }
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn media_in_a_json_or_urlencoded_body_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let wrapped = |media: &str| {
        [
            format!(r#"{{"metadata": {{"title": "a"}}, "content": "[]", "mediaFile": {media}}}"#),
            format!(r#"{{"title": "a", "stmp": "[]", "mediaFile": {media}}}"#),
        ]
    };
    for media in ["null", "\"\"", "\"null\"", "\"undefined\""] {
        for body in wrapped(media) {
            ada.post("/home/upload", "application/json", body).await.assert_status(200);
        }
    }
    for media in ["{}", "\"data:audio/wav;base64,UklGRg==\"", "[1, 2]", "0", "false"] {
        for body in wrapped(media) {
            let response = ada.post("/home/upload", "application/json", body).await;
            response.assert_error(400, "media_unreadable");
        }
    }
    let urlencoded = "application/x-www-form-urlencoded";
    for (media, status) in [("", 200), ("null", 200), ("undefined", 200), ("%5Bobject+File%5D", 400)] {
        let body = format!("title=a&stmp=[]&mediaFile={media}");
        ada.post("/home/upload", urlencoded, body).await.assert_status(status);
    }
    let metadata = ada.open("a").await.json()["metadata"].clone();
    assert!(metadata.get("mediaFile").is_none(), "{metadata}");
}
