//! Every valid title can be encoded in every path. An HTTP library would resolve `%2E%2E` as the parent folder, so
//! these requests are written by hand.

use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, ServerResponse, Upload, query, segment, titles};

/// A text that no title contains.
const OTHER: &str = "Q";

async fn send(server: &TestServer, client: &Client, method: &str, path: &str, title: &str) -> ServerResponse {
    let cookies = client.cookie_header().unwrap();
    let request = format!(
        "{method} {path}{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {cookies}\r\n\r\n",
        segment(title)
    );
    server.send_raw(request).await
}

fn every_title() -> Vec<String> {
    let mut titles: Vec<String> = [
        "..",
        ".",
        "/",
        "a/b",
        "../../etc/passwd",
        "%",
        "%2F",
        "%2e%2e",
        "100%",
        "?",
        "#",
        "a?b#c",
        "&",
        "=",
        "+",
        "a b",
        " ",
        " a ",
        "\t",
        "\\",
        "a/b\\c",
        "\"",
        "'",
        "“a” 'b' \"c\"",
        "<b>",
        ";",
        ":",
        "//",
        "null",
        "undefined",
        "é",
        "“Ω”",
        "日本語",
        "🎧",
        "👩‍👩‍👧",
        "\u{202e}x",
        "\u{feff}",
        "get",
        "list",
        "save",
        "~",
        "*",
    ]
    .map(str::to_owned)
    .into();
    titles.push("x".repeat(255));
    titles.push("🎧".repeat(255));
    titles
}

#[apply(api_test)]
async fn every_title_that_home_saves_works_in_every_route_of_both_dialects() {
    let (server, ada) = server_with_another_project().await;
    for title in every_title() {
        assert_is_free(&server, &ada, &title).await;
        let form = Upload::with_metadata(json!({ "title": title })).notes("[1]").media(title.as_bytes());
        let directory = ada.save(form).await.assert_status(200).json();
        assert_eq!(directory[0]["title"], title.as_str());
        assert_works(&server, &ada, &title).await;

        let deleted = ada.delete_project(&title).await.assert_status(200);
        assert_eq!(titles(&deleted.json()), [OTHER], "{title:?}");
        assert_is_free(&server, &ada, &title).await;
    }
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn every_title_that_project_saves_works_in_every_route_of_both_dialects() {
    let (server, ada) = server_with_another_project().await;
    for title in every_title() {
        assert_is_free(&server, &ada, &title).await;
        let form = Upload::empty()
            .part("mediaFile", Some("blob"), Some("application/octet-stream"), title.as_bytes())
            .part("notesFile", Some("blob"), Some("application/octet-stream"), "[1]")
            .text("metadata", json!({ "title": title }).to_string());
        let saved = ada.save_at("/project/save", form).await.assert_status(200).json();
        assert_eq!(saved["metadata"]["title"], title.as_str());
        assert_works(&server, &ada, &title).await;

        let deleted = send(&server, &ada, "DELETE", "/project/delete/", &title).await.assert_status(200);
        assert_eq!(titles(&deleted.json()["directory"]), [OTHER], "{title:?}");
        assert_is_free(&server, &ada, &title).await;
    }
    server.let_the_sweep_catch_up().await;
    server.assert_nothing_leaks().await;
}

async fn server_with_another_project() -> (TestServer, Client) {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let older = json!({"title": OTHER, "lastModified": "2025-01-01T00:00:00.000Z"});
    ada.save(Upload::with_metadata(older)).await.assert_status(200);
    (server, ada)
}

/// Asserts that there is no project of this title.
async fn assert_is_free(server: &TestServer, client: &Client, title: &str) {
    let taken = send(server, client, "GET", "/project/duplicate/", title).await.assert_status(200);
    assert_eq!(taken.json(), json!({"isDuplicate": false}), "{title:?}");
    send(server, client, "GET", "/project/get/", title).await.assert_error(404, "not_found");
    client.open(title).await.assert_error(404, "not_found");
}

/// Asserts that every operation finds this project, whose media is its title.
async fn assert_works(server: &TestServer, client: &Client, title: &str) {
    let opened = client.open(title).await.assert_status(200).json();
    assert_eq!((&opened["metadata"]["title"], &opened["content"]), (&json!(title), &json!("[1]")));
    let got = send(server, client, "GET", "/project/get/", title).await.assert_status(200).json();
    assert_eq!((&got["title"], &got["notes"]), (&json!(title), &json!("[1]")));
    let notes = send(server, client, "GET", "/project/notes/", title).await.assert_status(200);
    assert_eq!(notes.text(), "[1]");
    let taken = send(server, client, "GET", "/project/duplicate/", title).await.assert_status(200);
    assert_eq!(taken.json(), json!({"isDuplicate": true}), "{title:?}");

    for (parameters, expected) in [(&[][..], &[title, OTHER][..]), (&[("search", title)], &[title])] {
        let listed = client.list(parameters).await.assert_status(200).json();
        assert_eq!(titles(&listed), expected);
    }
    for (parameters, expected) in
        [(&[][..], &[title, OTHER][..]), (&[("pageParam", "0"), ("searchParam", title)], &[title])]
    {
        let listed = client.get(&format!("/project/list?{}", query(parameters))).await.assert_status(200);
        assert_eq!(titles(&listed.json()["projects"]), expected);
    }

    for path in ["/project/media/", "/media/download/", "/home/media-file/", "/home/stream-audio/"] {
        let media = send(server, client, "GET", path, title).await.assert_status(200);
        assert_eq!(media.body, title.as_bytes(), "{path}{title:?}");
    }
    let by_query = client.get(&format!("/home/stream-media?{}", query(&[("name", title)]))).await;
    assert_eq!(by_query.assert_status(200).body, title.as_bytes());
    let stream = send(server, client, "GET", "/media/stream/", title).await.assert_status(200).json();
    for url in [&opened["metadata"]["src"], &got["src"], &stream["streamURL"]] {
        // These URLs begin with the host of the request, which differs here.
        let path = url.as_str().unwrap().splitn(4, '/').last().unwrap();
        let media = client.get(&format!("/{path}")).await.assert_status(200);
        assert_eq!(media.body, title.as_bytes(), "{url}");
    }
}

#[apply(api_test)]
async fn spellings_of_one_title_are_one_project() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("Café").await;
    let got = send(&server, &ada, "GET", "/project/get/", "Cafe\u{301}").await.assert_status(200).json();
    assert_eq!(got["title"], "Café");
    let other_case = send(&server, &ada, "GET", "/project/duplicate/", "café").await.assert_status(200);
    assert_eq!(other_case.json(), json!({"isDuplicate": false}));
}

#[apply(api_test)]
async fn an_invalid_title_is_not_found() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["\0", "\n", "\u{7f}", &"x".repeat(256)] {
        for path in
            ["/project/get/", "/project/notes/", "/project/media/", "/media/download/", "/media/stream/"]
        {
            send(&server, &ada, "GET", path, title).await.assert_error(404, "not_found");
        }
        send(&server, &ada, "DELETE", "/project/delete/", title).await.assert_error(404, "not_found");
        let taken = send(&server, &ada, "GET", "/project/duplicate/", title).await.assert_status(200);
        assert_eq!(taken.json(), json!({"isDuplicate": false}));
    }
    let unnamed: Value = ada.get("/project/get/").await.assert_status(404).json();
    assert_eq!(unnamed["code"], "not_found");
}

#[apply(api_test)]
async fn nobody_else_sees_a_title() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    ada.save_media("a", "audio/mpeg", b"media").await;
    for path in ["/project/get/", "/project/notes/", "/project/media/", "/media/download/", "/media/stream/"]
    {
        send(&server, &bob, "GET", path, "a").await.assert_error(404, "not_found");
    }
    send(&server, &bob, "DELETE", "/project/delete/", "a").await.assert_error(404, "not_found");
    let taken = send(&server, &bob, "GET", "/project/duplicate/", "a").await.assert_status(200);
    assert_eq!(taken.json(), json!({"isDuplicate": false}));
    assert_eq!(ada.titles().await, ["a"]);
}
