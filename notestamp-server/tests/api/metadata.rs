use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, START, Upload, digest, find};

/// Saves this metadata; returns the metadata of the response.
async fn saved(client: &Client, metadata: Value) -> Value {
    let title = metadata["title"].as_str().expect("it has a title").to_owned();
    let directory = client.save(Upload::with_metadata(metadata)).await.assert_status(200).json();
    let listed = find(&directory, &title);
    assert_eq!(client.open(&title).await.assert_status(200).json()["metadata"], listed);
    listed
}

/// The same, from its JSON text.
async fn save_text(client: &Client, metadata: &str) -> crate::harness::ServerResponse {
    client.save(Upload::of("").text("metadata", metadata)).await
}

#[apply(api_test)]
async fn missing_keys_are_empty_texts() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let mut metadata = saved(&ada, json!({"title": "a"})).await;
    assert!(metadata["id"].take().is_string());
    let expected = json!({
        "title": "a", "type": "", "label": "", "src": "", "mimetype": "", "lastModified": START,
        "id": null, "revision": 1,
    });
    assert_eq!(metadata, expected);
}

#[apply(api_test)]
async fn known_keys_are_returned_as_sent() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let sent = json!({
        "title": "a", "type": "youtube", "label": "YouTube é \u{7}\n🎧",
        "src": "https://www.youtube.com/watch&v=dQw4w9WgXcQ", "mimetype": "Video/YouTube; x=\"y\"",
        "lastModified": "2024-03-01T12:00:00.000Z",
    });
    let metadata = saved(&ada, sent.clone()).await;
    for (name, value) in sent.as_object().unwrap() {
        assert_eq!(metadata[name], *value, "{name}");
    }
}

#[apply(api_test)]
async fn null_is_an_empty_text() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let sent = json!({
        "title": "a", "type": null, "label": null, "src": null, "mimetype": null, "lastModified": null,
    });
    let metadata = saved(&ada, sent).await;
    for name in ["type", "label", "src", "mimetype"] {
        assert_eq!(metadata[name], "", "{name}");
    }
    assert_eq!(metadata["lastModified"], START);
    save_text(&ada, r#"{"title": null}"#).await.assert_error(400, "bad_request");
}

#[apply(api_test)]
async fn a_known_key_that_is_not_a_text_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for name in ["title", "type", "label", "src", "mimetype"] {
        for value in ["7", "true", "[]", "{}"] {
            let metadata = format!(r#"{{"title": "a", "{name}": {value}}}"#);
            save_text(&ada, &metadata).await.assert_error(400, "bad_request");
        }
    }
}

#[apply(api_test)]
async fn metadata_that_is_not_a_json_object_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for metadata in
        ["", "null", "[]", "\"text\"", "7", "{", "{\"title\": \"a\"} x", "undefined", "[object Object]"]
    {
        save_text(&ada, metadata).await.assert_error(400, "bad_request");
    }
    let not_utf8 = b"{\"title\": \"\xff\"}".to_vec();
    ada.save(Upload::of("").text("metadata", not_utf8)).await.assert_error(400, "bad_request");
    save_text(&ada, r#"{"title": "\ud800"}"#).await.assert_error(400, "bad_request");
}

#[apply(api_test)]
async fn the_last_of_duplicate_keys_wins() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let text = r#"{"title": "b", "tempo": 1, "title": "a", "type": "x", "tempo": 2, "type": "y"}"#;
    let directory = save_text(&ada, text).await.assert_status(200).json();
    let metadata = find(&directory, "a");
    assert_eq!((&metadata["type"], &metadata["tempo"]), (&json!("y"), &json!(2)));
    let text = r#"{"title": "c", "type": "x", "type": null}"#;
    let directory = save_text(&ada, text).await.assert_status(200).json();
    assert_eq!(find(&directory, "c")["type"], "");
}

#[apply(api_test)]
async fn unknown_keys_are_kept_as_they_were_sent() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let text =
        r#"{"title": "a", "tempo": 1e400, "deep": {"b": [1.10, null], "a": ""}, "": "\ud800", "é": true}"#;
    save_text(&ada, text).await.assert_status(200);
    for path in ["/home/list", "/home/open?name=a"] {
        let response = ada.get(path).await.assert_status(200).text();
        for kept in
            [r#""tempo":1e400"#, r#""deep":{"b": [1.10, null], "a": ""}"#, r#""":"\ud800""#, r#""é":true"#]
        {
            assert!(response.contains(kept), "{kept}: {response}");
        }
    }
    let replaced = saved(&ada, json!({"title": "a", "other": 1})).await;
    assert_eq!((replaced.get("tempo"), &replaced["other"]), (None, &json!(1)));
}

#[apply(api_test)]
async fn keys_that_responses_add_are_ignored_in_requests() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let first = saved(&ada, json!({"title": "a"})).await;
    let forged = json!({
        "title": "a", "id": "forged", "revision": 70, "mediaDigest": digest(b"x"), "mediaSize": "many",
    });
    let second = saved(&ada, forged).await;
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["revision"], 2);
    assert!(second.get("mediaDigest").is_none() && second.get("mediaSize").is_none());
}

#[apply(api_test)]
async fn an_echo_of_a_response_changes_only_the_revision() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let mut first = ada.save_media("a", "audio/mpeg", b"media").await;
    let second = saved(&ada, first.clone()).await;
    first["revision"] = json!(2);
    assert_eq!(first, second);
}

#[apply(api_test)]
async fn notes_in_metadata_are_never_stored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let metadata = saved(&ada, json!({"title": "a", "notes": "x".repeat(100_000)})).await;
    assert!(metadata.get("notes").is_none());
    assert!(!ada.open("a").await.text().contains("xxx"));
}

#[apply(api_test)]
async fn link_is_an_old_name_of_src() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let metadata = saved(&ada, json!({"title": "a", "link": "https://a.example"})).await;
    assert_eq!((&metadata["src"], metadata.get("link")), (&json!("https://a.example"), None));
    let both = json!({"title": "b", "link": "https://a.example", "src": "https://b.example"});
    assert_eq!(saved(&ada, both).await["src"], "https://b.example");
}

#[apply(api_test)]
async fn a_title_of_1_to_255_code_points_is_accepted() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["a".repeat(255), "🎧".repeat(255), "é".repeat(255)] {
        saved(&ada, json!({ "title": title })).await;
    }
    for title in [String::new(), "a".repeat(256), "🎧".repeat(256), "a".repeat(10_000)] {
        ada.save(Upload::of(&title)).await.assert_error(400, "bad_request");
    }
    ada.save(Upload::with_metadata(json!({"type": "audio"}))).await.assert_error(400, "bad_request");
}

#[apply(api_test)]
async fn a_title_is_counted_and_kept_in_normal_form_c() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let decomposed = "e\u{301}".repeat(255);
    let directory = ada.save(Upload::of(&decomposed)).await.assert_status(200).json();
    assert_eq!(find(&directory, &"é".repeat(255))["revision"], 1);
    ada.save(Upload::of(&"é".repeat(255))).await.assert_status(200);
    assert_eq!(ada.open(&decomposed).await.assert_status(200).json()["metadata"]["revision"], 2);
    assert_eq!(ada.titles().await.len(), 1);
}

#[apply(api_test)]
async fn a_title_may_contain_a_tab_and_no_other_control_character() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    saved(&ada, json!({"title": "a\tb"})).await;
    for control in (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32).filter(|c| *c != '\t') {
        ada.save(Upload::of(&format!("a{control}b"))).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn a_valid_last_modified_is_kept() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for time in [
        "2024-03-01T12:00:00.000Z",
        "2024-03-01T12:00:00Z",
        "2024-03-01T12:00:00.123456+05:30",
        "2024-03-01T12:00",
        "2024-03-01",
        "20240301T120000Z",
        "1969-12-31T23:59:59Z",
    ] {
        let metadata = saved(&ada, json!({"title": "a", "lastModified": time})).await;
        assert_eq!(metadata["lastModified"], time);
    }
}

#[apply(api_test)]
async fn an_invalid_last_modified_is_replaced_by_the_servers_time() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for time in [
        json!(""),
        json!("yesterday"),
        json!("1.3.2024"),
        json!("2024-13-01T00:00:00Z"),
        json!("Fri Mar 01 2024"),
        json!(1_709_294_400_000_u64),
        json!({}),
        json!([]),
        json!("9".repeat(5_000)),
    ] {
        let metadata = saved(&ada, json!({"title": "a", "lastModified": time})).await;
        assert_eq!(metadata["lastModified"], START, "{time}");
    }
}

#[apply(api_test)]
async fn src_of_up_to_2_kib_is_kept_verbatim() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for src in [
        "https://www.youtube.com/watch&v=dQw4w9WgXcQ",
        "javascript:alert(1)",
        "no URL at all",
        " https://a.example/%zz ",
        "blob:http://localhost:3000/7e9c",
        &"x".repeat(2_048),
        &"é".repeat(1_024),
    ] {
        assert_eq!(saved(&ada, json!({"title": "a", "src": src})).await["src"], src);
    }
    for src in ["x".repeat(2_049), "é".repeat(1_024) + "x"] {
        let upload = Upload::with_metadata(json!({"title": "a", "src": src}));
        ada.save(upload).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn src_of_media_is_an_absolute_url_that_serves_it() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["a", "..", "a/b?c#d", "🎧"] {
        let project = ada.save_media(title, "audio/mpeg", b"media").await;
        let (src, id) = (project["src"].as_str().unwrap(), project["id"].as_str().unwrap());
        let path = src.strip_prefix(&server.origin()).expect("src is on the host that was used");
        assert_eq!(path, format!("/home/media/{id}"));
        for path in
            [path.to_owned(), format!("{path}/"), format!("{path}/a.mp3"), format!("{path}/a/b%ff?x=y")]
        {
            assert_eq!(ada.get(&path).await.assert_status(200).body, b"media", "{path}");
        }
    }
}

#[apply(api_test)]
async fn src_of_media_is_on_the_host_that_the_client_used() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    let id = project["id"].as_str().unwrap();
    for host in ["localhost:8080", "notes.example", "[::1]:8000"] {
        let expected = format!("http://{host}/home/media/{id}");
        let listed = ada.get_with("/home/list", &[("host", host)]).await.assert_status(200).json();
        assert_eq!(find(&listed, "a")["src"], expected);
        let opened = ada.get_with("/home/open?name=a", &[("host", host)]).await.assert_status(200).json();
        assert_eq!(opened["metadata"]["src"], expected);
        let saved = ada.save(Upload::of("b").header("host", host)).await.assert_status(200).json();
        assert_eq!(find(&saved, "a")["src"], expected);
    }
}

#[apply(api_test)]
async fn src_of_media_is_on_the_public_url_if_it_is_set() {
    let server = TestServer::spawn_with(|config| {
        let url = notestamp_server::config::PublicUrl::parse("https://notes.example/api/");
        config.listen.public_url = Some(url.unwrap());
    })
    .await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    let expected = format!("https://notes.example/api/home/media/{}", project["id"].as_str().unwrap());
    assert_eq!(project["src"], expected);
}

#[apply(api_test)]
async fn src_that_is_sent_for_media_is_ignored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    for src in ["https://evil.example/", &"x".repeat(3_000), ""] {
        assert_eq!(saved(&ada, json!({"title": "a", "src": src})).await["src"], project["src"]);
    }
    let upload = Upload::with_metadata(json!({"title": "b", "src": "x".repeat(3_000)})).media(b"media");
    ada.save(upload).await.assert_status(200);
}

#[apply(api_test)]
async fn a_project_without_media_and_src_has_an_empty_src() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let metadata = saved(&ada, json!({"title": "a", "type": "audio"})).await;
    assert_eq!(metadata["src"], "");
    ada.get("/home/media-file/a").await.assert_error(404, "not_found");
}

#[apply(api_test)]
async fn metadata_has_the_digest_and_the_size_of_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    assert_eq!((&project["mediaDigest"], &project["mediaSize"]), (&json!(digest(b"media")), &json!(5)));
}

#[apply(api_test)]
async fn metadata_of_16_kib_is_kept_and_more_is_too_large() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let of = |bytes: usize| Upload::with_metadata(json!({"title": "a", "custom": "x".repeat(bytes)}));
    ada.save(of(16_000)).await.assert_status(200);
    for bytes in [16 << 10, 17_000, 1 << 20] {
        ada.save(of(bytes).media(b"media")).await.assert_error(413, "too_large");
    }
    let label = json!({"title": "a", "label": "x".repeat(16 << 10)});
    ada.save(Upload::with_metadata(label)).await.assert_error(413, "too_large");
    let many: serde_json::Map<_, _> = (0..5_000).map(|at| (at.to_string(), json!(0))).collect();
    let response = ada.save(Upload::with_metadata(many.into())).await;
    assert!(matches!(response.status, 400 | 413));
    assert_eq!(ada.open("a").await.json()["metadata"]["revision"], 1);
    assert!(ada.usage().await.0 == 1);
}

#[apply(api_test)]
async fn keys_that_are_not_stored_do_not_count() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media").await;
    let echo = json!({
        "title": "a", "custom": "x".repeat(15_000), "notes": "n".repeat(500_000), "src": "s".repeat(20_000),
        "id": "i".repeat(20_000),
    });
    ada.save(Upload::with_metadata(echo)).await.assert_status(200);
}

#[apply(api_test)]
async fn an_overridden_duplicate_key_may_have_any_type() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let text =
        r#"{"title": ["a"], "type": 5, "src": {}, "title": "a", "type": "b", "src": "https://a.example"}"#;
    let body = format!(r#"{{"content": [], "metadata": 5, "metadata": {text}}}"#);
    for response in [save_text(&ada, text).await, ada.post("/home/upload", "application/json", body).await] {
        let metadata = find(&response.assert_status(200).json(), "a");
        assert_eq!((&metadata["type"], &metadata["src"]), (&json!("b"), &json!("https://a.example")));
    }
    let text = r#"{"title": "a", "type": "b", "type": 5}"#;
    save_text(&ada, text).await.assert_error(400, "bad_request");
}

#[apply(api_test)]
async fn last_modified_of_any_precision_is_kept_and_an_invalid_date_is_not() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for time in [
        "2024",
        "2024-03",
        "2024-W01",
        "2024-061",
        "2024-03-01T03Z",
        "2024-03-01T24:00:00Z",
        "2024-03-01T03:04:05,5Z",
    ] {
        let metadata = saved(&ada, json!({"title": "a", "lastModified": time})).await;
        assert_eq!(metadata["lastModified"], time);
    }
    for time in ["2024-1-2", "2024-03-01T3:04:05Z", "20240301T03:04:05Z", "2024-03-01T24:00:01Z"] {
        let metadata = saved(&ada, json!({"title": "a", "lastModified": time})).await;
        assert_eq!(metadata["lastModified"], START, "{time}");
    }
}
