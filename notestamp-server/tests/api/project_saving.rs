use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, ServerResponse, Upload, digest};

const OCTETS: Option<&str> = Some("application/octet-stream");

/// A save as the client's form sends it.
fn upload(metadata: Value, notes: &str) -> Upload {
    let form = Upload::empty().part("notesFile", Some("notes.json"), Some("application/json"), notes);
    form.text("metadata", metadata.to_string())
}

async fn save(client: &Client, upload: Upload) -> ServerResponse {
    client.save_at("/project/save", upload).await
}

async fn get(client: &Client, title: &str) -> Value {
    client.get(&format!("/project/get/{title}")).await.assert_status(200).json()
}

#[apply(api_test)]
async fn a_save_returns_the_same_as_get_without_the_notes() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let metadata = json!({"title": "a", "type": "audio", "custom": {"speed": 1.5}});
    let saved = save(&ada, upload(metadata, "[1]").media(b"media")).await.assert_status(200).json();
    let mut got = get(&ada, "a").await;
    assert_eq!(got.as_object_mut().unwrap().remove("notes"), Some(json!("[1]")));
    assert_eq!(saved, json!({ "metadata": got }));
    assert_eq!(got["custom"], json!({"speed": 1.5}));
    assert_eq!((&got["revision"], &got["mediaDigest"]), (&json!(1), &json!(digest(b"media"))));
    for key in ["title", "type", "label", "src", "mimetype", "lastModified"] {
        assert!(got[key].is_string(), "{key}");
    }
}

#[apply(api_test)]
async fn parts_come_in_any_order() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, order) in [
        ["mediaFile", "notesFile", "metadata"],
        ["metadata", "notesFile", "mediaFile"],
        ["notesFile", "metadata", "mediaFile"],
    ]
    .iter()
    .enumerate()
    {
        let title = format!("p{at}");
        let echoed = json!({"title": title, "notes": "[\"old\"]"});
        let form = upload(echoed, "[\"new\"]").media(title.as_bytes()).in_order(order);
        save(&ada, form).await.assert_status(200);
        assert_eq!(get(&ada, &title).await["notes"], "[\"new\"]");
        let media = ada.get(&format!("/project/media/{title}")).await.assert_status(200);
        assert_eq!(media.body, title.as_bytes());
    }
}

#[apply(api_test)]
async fn notes_in_the_metadata_are_used_only_without_a_notes_file() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let metadata = |notes: Value| json!({"title": "a", "notes": notes}).to_string();
    let form = |notes: Value| Upload::empty().text("metadata", metadata(notes));
    for (form, expected) in [
        (form(json!("[1]")), "[1]"),
        (form(json!("[2]")).text("notesFile", "null"), "[2]"),
        (form(json!("[3]")).text("notesFile", "undefined"), "[3]"),
        (form(json!("[4]")).text("notesFile", ""), "[4]"),
        (form(json!("[5]")).part("notesFile", Some(""), OCTETS, ""), "[5]"),
        (form(json!([{"text": "not a text"}])), r#"[{"text":"not a text"}]"#),
        (form(json!("[\"old\"]")).part("notesFile", Some("blob"), OCTETS, "[6]"), "[6]"),
        (form(json!("[\"old\"]")).part("notesFile", Some("blob"), OCTETS, "null"), "null"),
        (form(json!("[\"old\"]")).text("notesFile", "[7]"), "[7]"),
        (form(Value::Null).part("notesFile", Some("blob"), OCTETS, "[8]"), "[8]"),
    ] {
        save(&ada, form).await.assert_status(200);
        assert_eq!(get(&ada, "a").await["notes"], expected);
    }
    for form in [
        form(Value::Null),
        Upload::empty().text("metadata", r#"{"title":"a"}"#),
        form(json!("[1]")).part("notesFile", Some("notes.json"), OCTETS, ""),
        form(json!("[1]")).part("notesFile", Some("notes.json"), OCTETS, "no JSON"),
        form(json!("no JSON")),
        Upload::empty().part("notesFile", Some("notes.json"), OCTETS, "[]"),
        Upload::empty().text("metadata", r#"{"title":"a"}"#).text("content", "[]"),
    ] {
        save(&ada, form).await.assert_error(400, "bad_request");
    }
    assert_eq!(get(&ada, "a").await["notes"], "[8]");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn notes_are_returned_byte_for_byte() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for notes in ["[ 1.0,\n 1e400 ]", r#"["\ud800 \u0041"]"#, "{\"b\":1,\"a\":2,\"b\":3}", "\"é 🎧\""] {
        save(&ada, upload(json!({"title": "a"}), notes)).await.assert_status(200);
        let got = ada.get("/project/get/a").await.assert_status(200);
        assert_eq!(got.json()["notes"], notes);
        let read = ada.get("/project/notes/a").await.assert_status(200);
        assert_eq!((read.text().as_str(), read.header("content-type")), (notes, Some("application/json")));
        assert_eq!(read.header("etag"), got.header("etag"));
        assert_eq!(ada.open("a").await.json()["content"], notes);
    }
    ada.get("/project/notes/unknown").await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn the_response_of_get_can_be_echoed_repeatedly() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let first = json!({"title": "a", "type": "audio", "mimetype": "audio/mpeg", "custom": [1]});
    save(&ada, upload(first, "[0]").media(b"media")).await.assert_status(200);
    for round in 1..4 {
        let echoed = get(&ada, "a").await;
        let form = upload(echoed.clone(), &format!("[{round}]")).text("mediaFile", "null");
        save(&ada, form).await.assert_status(200);
        let got = get(&ada, "a").await;
        assert_eq!((&got["notes"], &got["revision"]), (&json!(format!("[{round}]")), &json!(round + 1)));
        for key in ["id", "type", "mimetype", "custom", "lastModified", "mediaDigest", "mediaSize"] {
            assert_eq!(got[key], echoed[key], "{key}");
        }
    }
    assert_eq!(ada.usage().await, (1, 5 + 3));
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_stale_revision_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let form = |notes| upload(json!({"title": "a"}), notes);
    save(&ada, form("[0]").header("if-match", "*")).await.assert_error(412, "precondition_failed");
    save(&ada, form("[1]").header("if-none-match", "*")).await.assert_status(200);
    save(&ada, form("[0]").header("if-none-match", "*")).await.assert_error(412, "precondition_failed");
    let seen = ada.get("/project/get/a").await.header("etag").unwrap().to_owned();
    assert_eq!(seen, "\"1\"");
    save(&ada, form("[2]").header("if-match", &seen)).await.assert_status(200);
    let refused = save(&ada, form("[0]").header("if-match", &seen)).await;
    assert_eq!(refused.assert_error(412, "precondition_failed").header("etag"), Some("\"2\""));
    assert_eq!(get(&ada, "a").await["notes"], "[2]");
}

#[apply(api_test)]
async fn a_digest_is_verified_and_can_replace_stored_media() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    let form = |title: &str, of: &[u8]| upload(json!({"title": title}), "[]").text("mediaDigest", digest(of));
    save(&ada, form("a", b"other").media(b"media")).await.assert_error(400, "digest_mismatch");
    save(&ada, form("a", b"media")).await.assert_error(409, "media_needed");
    save(&ada, form("a", b"media").media(b"media")).await.assert_status(200);
    save(&ada, form("b", b"media").text("mediaFile", "null")).await.assert_status(200);
    save(&bob, form("b", b"media")).await.assert_error(409, "media_needed");
    assert_eq!(ada.get("/project/media/b").await.assert_status(200).body, b"media");
    assert_eq!(ada.usage().await, (2, 5 + 2 * 2));
}

#[apply(api_test)]
async fn a_malformed_form_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let refused = ada.post_json("/project/save", &json!({"metadata": {"title": "a"}, "notes": "[]"})).await;
    refused.assert_error(415, "unsupported_media_type");
    let stranger = server.visitor();
    save(&stranger, upload(json!({"title": "a"}), "[]")).await.assert_error(401, "unauthorized");
    assert_eq!(ada.titles().await, [""; 0]);
}

#[apply(api_test)]
async fn a_missing_part_has_the_clients_name_in_the_message() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let without_notes = || Upload::empty().text("metadata", r#"{"title": "a"}"#);
    for (path, message) in [("/home/upload", "content is missing"), ("/project/save", "notesFile is missing")]
    {
        let response = ada.save_at(path, without_notes()).await.assert_error(400, "bad_request");
        assert_eq!(response.json()["message"], message);
    }
}
