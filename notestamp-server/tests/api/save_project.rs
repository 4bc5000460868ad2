use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, Upload, digest, find, titles};

const URLENCODED: &str = "application/x-www-form-urlencoded";

/// Every order of three things.
const ORDERS: [[&str; 3]; 6] = [
    ["mediaFile", "content", "metadata"],
    ["mediaFile", "metadata", "content"],
    ["content", "mediaFile", "metadata"],
    ["content", "metadata", "mediaFile"],
    ["metadata", "mediaFile", "content"],
    ["metadata", "content", "mediaFile"],
];

async fn content(client: &Client, title: &str) -> String {
    let opened = client.open(title).await.assert_status(200).json();
    opened["content"].as_str().expect("content is a text").to_owned()
}

async fn metadata(client: &Client, title: &str) -> Value {
    client.open(title).await.assert_status(200).json()["metadata"].clone()
}

async fn media(client: &Client, title: &str) -> Option<Vec<u8>> {
    let response = client.get(&format!("/home/media-file/{title}")).await;
    (response.status != 404).then(|| response.assert_status(200).body)
}

#[apply(api_test)]
async fn saving_returns_the_directory_latest_save_first() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (saved, expected) in
        [("a", vec!["a"]), ("b", vec!["b", "a"]), ("c", vec!["c", "b", "a"]), ("a", vec!["a", "c", "b"])]
    {
        let directory = ada.save(Upload::of(saved)).await.assert_status(200).json();
        assert_eq!(titles(&directory), expected);
        assert_eq!(directory, ada.get("/home/list").await.json());
    }
}

#[apply(api_test)]
async fn parts_come_in_any_order() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, order) in ORDERS.iter().enumerate() {
        let title = format!("p{at}");
        let upload = Upload::of(&title).notes("[1]").media(title.as_bytes()).in_order(order);
        ada.save(upload).await.assert_status(200);
        assert_eq!(content(&ada, &title).await, "[1]");
        assert_eq!(media(&ada, &title).await.unwrap(), title.as_bytes());
    }
}

#[apply(api_test)]
async fn the_content_type_of_the_file_is_ignored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let upload = Upload::with_metadata(json!({"title": "a", "mimetype": "audio/mpeg"}));
    let html = Some("text/html");
    ada.save(upload.part("mediaFile", Some("a.html"), html, "<script>")).await.assert_status(200);
    let response = ada.get("/home/media-file/a").await.assert_status(200);
    assert_eq!(response.header("content-type"), Some("audio/mpeg"));
}

#[apply(api_test)]
async fn unknown_parts_are_ignored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let upload = Upload::of("a").text("stamps", "7").part("thumbnail", Some("a.png"), Some("image/png"), "x");
    ada.save(upload).await.assert_status(200);
    assert_eq!(media(&ada, "a").await, None);
}

#[apply(api_test)]
async fn two_parts_of_one_name_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for upload in [
        Upload::of("a").also_text("metadata", r#"{"title":"b"}"#),
        Upload::of("a").also_text("content", "[]"),
        Upload::of("a").media(b"one").media(b"two"),
        Upload::of("a").also_text("mediaFile", "null").media(b"two"),
        Upload::of("a").also_text("other", "1").also_text("other", "2"),
    ] {
        ada.save(upload).await.assert_error(400, "bad_request");
    }
    assert!(ada.titles().await.is_empty());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn more_than_32_parts_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let with = |extra: usize| (0..extra).fold(Upload::of("a"), |it, at| it.text(&format!("x{at}"), "x"));
    ada.save(with(30)).await.assert_status(200);
    ada.save(with(31)).await.assert_error(400, "bad_request");
}

#[apply(api_test)]
async fn a_missing_part_is_refused_and_nothing_is_stored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for upload in [
        Upload::empty(),
        Upload::empty().media(b"media"),
        Upload::empty().media(b"media").text("content", "[]"),
        Upload::empty().media(b"media").text("metadata", r#"{"title":"a"}"#),
    ] {
        ada.save(upload).await.assert_error(400, "bad_request");
    }
    for (content_type, body) in [
        ("application/json", r#"{"metadata":{"title":"a"}}"#),
        ("application/json", r#"{"content":"[]"}"#),
        ("application/json", r#"{"title":"a"}"#),
        ("application/json", r#"{"stmp":"[]"}"#),
        ("application/json", "{}"),
        ("application/json", ""),
        (URLENCODED, "title=a"),
        (URLENCODED, "stmp=[]"),
        (URLENCODED, ""),
    ] {
        ada.post("/home/upload", content_type, body).await.assert_error(400, "bad_request");
    }
    assert!(ada.titles().await.is_empty());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn json_bodies_of_older_clients_save() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, body) in [
        json!({"metadata": {"title": "p0", "type": "audio"}, "content": "[1]"}),
        json!({"metadata": "{\"title\": \"p1\", \"type\": \"audio\"}", "content": "[1]"}),
        json!({"metadata": {"title": "p2", "type": "audio"}, "content": [1]}),
        json!({"title": "p3", "type": "audio", "stmp": "[1]"}),
        json!({"title": "p4", "type": "audio", "stmp": [1]}),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = ada.post_json("/home/upload", &body).await.assert_status(200).json();
        let title = format!("p{at}");
        assert_eq!(find(&directory, &title)["type"], "audio", "{body}");
        assert_eq!(content(&ada, &title).await, "[1]", "{body}");
        assert!(metadata(&ada, &title).await.get("stmp").is_none());
    }
}

#[apply(api_test)]
async fn urlencoded_bodies_of_older_clients_save() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let form = |fields: &[(&str, &str)]| serde_urlencoded::to_string(fields).unwrap();
    let metadata = r#"{"title": "p0", "type": "audio"}"#;
    for (at, body) in [
        form(&[("metadata", metadata), ("content", "[1]")]),
        form(&[("title", "p1"), ("type", "audio"), ("stmp", "[1]")]),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = ada.post("/home/upload", URLENCODED, body).await.assert_status(200).json();
        let title = format!("p{at}");
        assert_eq!(find(&directory, &title)["type"], "audio");
        assert_eq!(content(&ada, &title).await, "[1]");
    }
}

#[apply(api_test)]
async fn json_and_urlencoded_bodies_may_refer_to_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").media(b"media")).await.assert_status(200);
    let digest = digest(b"media");
    let body = json!({"metadata": {"title": "b"}, "content": "[]", "mediaDigest": digest});
    ada.post_json("/home/upload", &body).await.assert_status(200);
    let form = format!("title=c&stmp=[]&mediaDigest={digest}");
    ada.post("/home/upload", URLENCODED, form).await.assert_status(200);
    for title in ["b", "c"] {
        assert_eq!(media(&ada, title).await.unwrap(), b"media");
    }
}

#[apply(api_test)]
async fn a_body_of_another_type_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let body = r#"{"title":"a","stmp":"[]"}"#;
    for content_type in
        ["text/plain", "application/octet-stream", "multipart/mixed; boundary=x", "nonsense", ""]
    {
        let response = ada.post("/home/upload", content_type, body).await;
        response.assert_error(415, "unsupported_media_type");
    }
    let without = ada.request(reqwest::Method::POST, "/home/upload").body(body);
    ada.send(without).await.assert_error(415, "unsupported_media_type");
}

#[apply(api_test)]
async fn a_malformed_form_is_refused_and_nothing_is_stored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let whole = Upload::of("a").media(b"media").into_body();
    for content_type in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        &format!("multipart/form-data; boundary={}", "b".repeat(71)),
    ] {
        ada.post("/home/upload", content_type, whole.clone()).await.assert_error(400, "bad_request");
    }
    for end in [0, 10, 60, whole.len() / 2, whole.len() - 60, whole.len() - 5] {
        let cut = whole[..end].to_vec();
        ada.post("/home/upload", &Upload::content_type(), cut).await.assert_error(400, "bad_request");
    }
    let nameless =
        format!("--{0}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{0}--\r\n", Upload::BOUNDARY);
    ada.post("/home/upload", &Upload::content_type(), nameless).await.assert_error(400, "bad_request");
    let headless = format!("--{0}\r\n\r\nx\r\n--{0}--\r\n", Upload::BOUNDARY);
    ada.post("/home/upload", &Upload::content_type(), headless).await.assert_error(400, "bad_request");
    let endless = format!("--{}\r\nX: {}", Upload::BOUNDARY, "x".repeat(100_000));
    ada.post("/home/upload", &Upload::content_type(), endless).await.assert_error(400, "bad_request");
    assert!(ada.titles().await.is_empty());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn an_incomplete_body_is_refused_and_nothing_is_stored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let body = Upload::of("a").media(&[7; 300_000]).in_order(&ORDERS[0]).into_body();
    let head = |length: &str| {
        format!(
            "POST /home/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\n\
             Content-Type: {}\r\n{length}\r\n\r\n",
            ada.cookie_header().unwrap(),
            Upload::content_type(),
        )
    };
    for end in [0, 100, 200_000, body.len() - 5] {
        let mut request = head(&format!("Content-Length: {}", body.len())).into_bytes();
        request.extend_from_slice(&body[..end]);
        server.send_raw(request).await.assert_error(400, "bad_request");
    }
    let mut request = head("Transfer-Encoding: chunked").into_bytes();
    request.extend_from_slice(b"ffff\r\n");
    request.extend_from_slice(&body[..1000]);
    server.send_raw(request).await.assert_error(400, "bad_request");
    assert!(ada.titles().await.is_empty());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn notes_are_returned_byte_for_byte() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for notes in [
        "[]",
        "{}",
        "\"\"",
        "null",
        "0",
        " [ 1 ,\t2\r\n] ",
        r#"{"a":1,"a":2}"#,
        r#"["\ud800","\udfff\ud800"]"#,
        "[1e400,-1E+999,0.10000000000000000000000001,123456789012345678901234567890]",
        r#"["\u0000","\u00e9","é","e\u0301","é","🎧","\/"]"#,
        r#"[{"text":"</script>","at":1.50}]"#,
    ] {
        ada.save(Upload::of("a").notes(notes)).await.assert_status(200);
        assert_eq!(content(&ada, "a").await, notes);
        let escaped = json!({"title": "b", "stmp": notes});
        ada.post_json("/home/upload", &escaped).await.assert_status(200);
        assert_eq!(content(&ada, "b").await, notes);
        let form = serde_urlencoded::to_string([("title", "c"), ("stmp", notes)]).unwrap();
        ada.post("/home/upload", URLENCODED, form).await.assert_status(200);
        assert_eq!(content(&ada, "c").await, notes);
    }
}

#[apply(api_test)]
async fn notes_in_a_json_body_are_returned_as_they_were_written() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for notes in [r#"["\ud800"]"#, "[1e400]", r#"{"b" : 1, "a":  [ ], "b":2}"#, "7"] {
        let body = format!(r#"{{"metadata": {{"title": "a"}}, "content": {notes}}}"#);
        ada.post("/home/upload", "application/json", body).await.assert_status(200);
        assert_eq!(content(&ada, "a").await, notes);
    }
}

#[apply(api_test)]
async fn notes_that_are_not_json_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for notes in
        ["", " ", "{", "[1,]", "{'a':1}", "undefined", "NaN", "[1] [2]", "\u{feff}[]", "\"a\nb\"", "[01]"]
    {
        ada.save(Upload::of("a").notes(notes).media(b"media")).await.assert_error(400, "bad_request");
    }
    for bytes in [&b"\"\xff\""[..], b"\"\xed\xa0\x80\"", b"\xff\xfe[\0]\0"] {
        ada.save(Upload::of("a").notes(bytes)).await.assert_error(400, "bad_request");
    }
    let body = json!({"title": "a", "stmp": "not json"});
    ada.post_json("/home/upload", &body).await.assert_error(400, "bad_request");
    assert!(ada.titles().await.is_empty());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn notes_nest_1000_levels_deep_and_no_deeper() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let objects = |levels: usize| r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels);
    for notes in [nested(1_000), objects(1_000)] {
        ada.save(Upload::of("a").notes(notes.clone())).await.assert_status(200);
        assert_eq!(content(&ada, "a").await, notes);
        let body = format!(r#"{{"metadata": {{"title": "b"}}, "content": {notes}}}"#);
        ada.post("/home/upload", "application/json", body).await.assert_status(200);
        assert_eq!(content(&ada, "b").await, notes);
    }
    for notes in [nested(1_001), objects(1_001), nested(1_000_000), "[".repeat(1_000_000)] {
        ada.save(Upload::of("c").notes(notes.clone())).await.assert_error(400, "bad_request");
        let body = format!(r#"{{"metadata": {{"title": "c"}}, "content": {notes}}}"#);
        ada.post("/home/upload", "application/json", body).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn without_a_history_another_file_for_a_project_that_has_media_is_refused_and_changes_nothing() {
    let server = TestServer::spawn_with(|config| config.retention.history = None).await;
    let ada = server.ada().await;
    let first = ada.save_media("a", "audio/mpeg", b"first").await;
    let described = || Upload::with_metadata(json!({"title": "a", "mimetype": "video/mp4", "label": "new"}));
    let other = digest(b"second");
    for (path, upload) in [
        ("/home/upload", described().media(b"second")),
        ("/home/upload", described().text("mediaDigest", other.as_str())),
        ("/home/upload", described().media(b"second").text("mediaDigest", other.as_str())),
        ("/project/save", described().part("notesFile", Some("n.json"), None, "[2]").media(b"second")),
    ] {
        ada.save_at(path, upload).await.assert_error(409, "media_differs");
        assert_eq!(metadata(&ada, "a").await, first);
        assert_eq!(content(&ada, "a").await, r#"[{"text":"Hello"}]"#);
    }
    let response = ada.get("/home/media-file/a").await.assert_status(200);
    assert_eq!(
        (response.header("content-type"), response.body.as_slice()),
        (Some("audio/mpeg"), &b"first"[..])
    );
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn the_same_file_again_changes_nothing_about_the_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let first = ada.save_media("a", "audio/mpeg", b"first").await;
    let second = ada.save_media("a", "video/mp4", b"first").await;
    assert_eq!(second["revision"], 2);
    for unchanged in ["mimetype", "mediaDigest", "mediaSize", "src", "id"] {
        assert_eq!(first[unchanged], second[unchanged], "{unchanged}");
    }
    assert_eq!(media(&ada, "a").await.unwrap(), b"first");
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_save_without_media_keeps_the_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let first = ada.save_media("a", "audio/mpeg", b"first").await;
    let without = Upload::with_metadata(json!({"title": "a", "mimetype": "video/mp4"})).notes("[2]");
    ada.save(without).await.assert_status(200);
    assert_eq!(media(&ada, "a").await.unwrap(), b"first");
    let kept = metadata(&ada, "a").await;
    for key in ["src", "mimetype", "mediaDigest"] {
        assert_eq!(kept[key], first[key], "{key}");
    }
}

#[apply(api_test)]
async fn a_project_without_media_accepts_a_file() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let before =
        Upload::with_metadata(json!({"title": "a", "src": "https://example.org", "mimetype": "x/y"}));
    ada.save(before).await.assert_status(200);
    let saved = ada.save_media("a", "audio/mpeg", b"late").await;
    assert_eq!((&saved["mimetype"], &saved["revision"]), (&json!("audio/mpeg"), &json!(2)));
    assert_eq!(media(&ada, "a").await.unwrap(), b"late");
}

#[apply(api_test)]
async fn a_digest_that_matches_the_file_is_accepted_in_any_letter_case() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (at, digits) in [digest(b"media"), digest(b"media").to_uppercase(), String::new()].iter().enumerate()
    {
        for order in ["mediaFile", "mediaDigest"] {
            let title = format!("p{at}{order}");
            let upload = Upload::of(&title).media(b"media").text("mediaDigest", digits.as_str());
            ada.save(upload.in_order(&[order])).await.assert_status(200);
            assert_eq!(metadata(&ada, &title).await["mediaDigest"], digest(b"media"));
        }
    }
}

#[apply(api_test)]
async fn a_digest_that_does_not_match_the_file_stores_nothing() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let wrong = digest(b"something else");
    for order in ["mediaFile", "mediaDigest"] {
        let upload = Upload::of("a").media(b"media").text("mediaDigest", wrong.as_str());
        ada.save(upload.in_order(&[order])).await.assert_error(400, "digest_mismatch");
    }
    assert!(ada.titles().await.is_empty());
    assert_eq!(ada.usage().await, (0, 0));
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_malformed_digest_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let (short, long) = ("0".repeat(63), "0".repeat(65));
    for digits in ["nonsense", &short, &long, &"g".repeat(64), &"é".repeat(32)] {
        ada.save(Upload::of("a").text("mediaDigest", digits)).await.assert_error(400, "bad_request");
        let body = json!({"metadata": {"title": "a"}, "content": "[]", "mediaDigest": digits});
        ada.post_json("/home/upload", &body).await.assert_error(400, "bad_request");
    }
    let body = json!({"metadata": {"title": "a"}, "content": "[]", "mediaDigest": 7});
    ada.post_json("/home/upload", &body).await.assert_error(400, "bad_request");
}

#[apply(api_test)]
async fn a_digest_alone_refers_to_media_that_the_user_has() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    let refer = |title: &str| Upload::of(title).text("mediaDigest", digest(b"media").to_uppercase());
    ada.save(refer("b")).await.assert_status(200);
    assert_eq!(media(&ada, "b").await.unwrap(), b"media");
    ada.delete("/home/delete?name=a&permanently=true").await.assert_status(200);
    assert_eq!(media(&ada, "b").await.unwrap(), b"media");
}

#[apply(api_test)]
async fn a_digest_of_media_that_the_user_does_not_have_is_refused_the_same_way_if_others_have_it() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    bob.save(Upload::of("his").media(b"his media")).await.assert_status(200);
    let mut responses = Vec::new();
    for digest in [digest(b"his media"), digest(b"nobody's media")] {
        let upload = Upload::of("a").text("mediaDigest", digest);
        let response = ada.save(upload).await.assert_error(409, "media_needed");
        let mut error = response.json();
        error["requestId"].take();
        responses.push(error);
    }
    assert_eq!(responses[0], responses[1]);
    assert!(ada.titles().await.is_empty());
}

#[apply(api_test)]
async fn a_digest_is_verified_for_a_project_with_media_too() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    let other = digest(b"other");
    let mismatch = Upload::of("a").media(b"media").text("mediaDigest", other.as_str());
    ada.save(mismatch).await.assert_error(400, "digest_mismatch");
    ada.save(Upload::of("a").text("mediaDigest", digest(b"media"))).await.assert_status(200);
    assert_eq!(media(&ada, "a").await.unwrap(), b"media");
}

#[apply(api_test)]
async fn equal_media_of_two_accounts_is_separate() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    for client in [&ada, &bob] {
        client.save(Upload::of("same").media(b"media")).await.assert_status(200);
    }
    ada.remove_account().await.assert_status(200);
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
    assert_eq!(media(&bob, "same").await.unwrap(), b"media");
}

#[apply(api_test)]
async fn concurrent_saves_of_one_new_title_create_one_project() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let save = |at: usize| ada.save(Upload::of("a").notes(format!("[{at}]")).media(b"the same media"));
    let (a, b, c, d) = tokio::join!(save(0), save(1), save(2), save(3));
    for response in [a, b, c, d] {
        response.assert_status(200);
    }
    assert_eq!(ada.titles().await, ["a"]);
    assert_eq!(metadata(&ada, "a").await["revision"], 4);
    assert_eq!(media(&ada, "a").await.unwrap(), b"the same media");
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn a_form_that_is_not_utf_8_is_not_saved() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for body in [
        &b"title=%ff&stmp=[]"[..],
        b"title=\xff&stmp=[]",
        b"title=a&label=%c3%28&stmp=[]",
        b"title=a&stmp=[%22%ff%22]",
        b"title=a&stmp=[]&%ff=x",
    ] {
        let response = ada.post("/home/upload", URLENCODED, body.to_vec()).await;
        response.assert_error(400, "bad_request");
    }
    assert_eq!(ada.titles().await, [] as [&str; 0]);
}
