use super::TestServer;
use crate::harness::{Upload, find, query, segment};

/// Titles that paths, queries, logs or browsers often handle wrongly.
const ODD_TITLES: [&str; 32] = [
    "a/b",
    "/",
    "//",
    ".",
    "..",
    "../..",
    "a/../b",
    "%",
    "%2F",
    "%2f",
    "%00",
    "%ff",
    "a b",
    " ",
    " a ",
    "+",
    "a+b",
    "a&b=c",
    "#",
    "?",
    "?name=x",
    ";",
    "\"",
    "'",
    "\\",
    "<script>",
    "null",
    "undefined",
    "🎧",
    "日本語",
    "a\tb",
    "\u{202e}evil",
];

#[apply(api_test)]
async fn opening_returns_metadata_and_content_and_the_revision() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for revision in 1..=3 {
        let notes = format!("[{revision}]");
        let saved = ada.save(Upload::of("a").notes(notes.clone())).await.assert_status(200).json();
        let response = ada.open("a").await.assert_status(200);
        assert_eq!(response.header("etag"), Some(format!("\"{revision}\"").as_str()));
        assert_eq!(response.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.json(), serde_json::json!({"metadata": find(&saved, "a"), "content": notes}));
    }
}

#[apply(api_test)]
async fn unusual_titles_are_opened_streamed_and_deleted() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ODD_TITLES {
        ada.save_media(title, "audio/mpeg", title.as_bytes()).await;
    }
    assert_eq!(ada.titles().await, ODD_TITLES.iter().rev().copied().collect::<Vec<_>>());
    for title in ODD_TITLES {
        let opened = ada.open(title).await.assert_status(200).json();
        assert_eq!(opened["metadata"]["title"], title);
        let name = query(&[("name", title)]);
        let streamed = ada.get(&format!("/home/stream-media?{name}")).await.assert_status(200);
        assert_eq!(streamed.body, title.as_bytes());
        for route in ["media-file", "stream-audio"] {
            // A URL library would resolve the dots before they are sent, even encoded ones.
            let request = format!(
                "GET /home/{route}/{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\n\r\n",
                segment(title),
                ada.cookie_header().unwrap(),
            );
            let response = server.send_raw(request).await.assert_status(200);
            assert_eq!(response.body, title.as_bytes(), "{title:?}");
            assert!(response.header("content-disposition").unwrap().is_ascii());
        }
    }
    for title in ODD_TITLES {
        ada.delete_project(title).await.assert_status(200);
        ada.open(title).await.assert_error(404, "not_found");
    }
    assert!(ada.titles().await.is_empty());
}

#[apply(api_test)]
async fn titles_that_differ_in_letter_case_or_spaces_are_two() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let titles = ["a", "A", " a", "a ", "ä", "ﬁ", "fi", "ß", "ss"];
    for title in titles {
        ada.save(Upload::of(title).notes(format!("{title:?}"))).await.assert_status(200);
    }
    for title in titles {
        assert_eq!(ada.open(title).await.assert_status(200).json()["content"], format!("{title:?}"));
    }
}

#[apply(api_test)]
async fn a_title_is_found_in_any_normal_form() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("Cafe\u{301}").await;
    for title in ["Cafe\u{301}", "Caf\u{e9}"] {
        assert_eq!(ada.open(title).await.assert_status(200).json()["metadata"]["title"], "Caf\u{e9}");
    }
}

#[apply(api_test)]
async fn an_unknown_project_is_not_found() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let long = "a".repeat(5_000);
    for title in ["unknown", "a\nb", "\u{0}", &long, "\u{fffd}"] {
        ada.open(title).await.assert_error(404, "not_found");
        ada.delete_project(title).await.assert_error(404, "not_found");
        let name = query(&[("name", title)]);
        ada.get(&format!("/home/stream-media?{name}")).await.assert_error(404, "not_found");
        ada.get(&format!("/home/media-file/{}", segment(title))).await.assert_error(404, "not_found");
    }
}

#[apply(api_test)]
async fn a_missing_name_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for query in ["", "?", "?name", "?name=", "?title=a"] {
        ada.get(&format!("/home/open{query}")).await.assert_error(400, "bad_request");
        ada.get(&format!("/home/stream-media{query}")).await.assert_error(400, "bad_request");
        ada.delete(&format!("/home/delete{query}")).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn a_name_that_is_not_utf8_is_not_found() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("\u{fffd}").await;
    ada.get("/home/open?name=%ff").await.assert_error(400, "bad_request");
    ada.get("/home/stream-media?name=%ff").await.assert_error(400, "bad_request");
    ada.get("/home/media-file/%ff").await.assert_error(400, "bad_request");
    ada.delete("/home/delete?name=%ff").await.assert_error(400, "bad_request");
    assert_eq!(ada.titles().await.len(), 1);
}

#[apply(api_test)]
async fn projects_of_others_are_not_found() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    let project = ada.save_media("a", "audio/mpeg", b"media").await;
    bob.open("a").await.assert_error(404, "not_found");
    bob.delete_project("a").await.assert_error(404, "not_found");
    bob.get("/home/media-file/a").await.assert_error(404, "not_found");
    bob.get("/home/stream-media?name=a").await.assert_error(404, "not_found");
    let by_id = format!("/home/media/{}", project["id"].as_str().unwrap());
    bob.get(&by_id).await.assert_error(404, "not_found");
    assert_eq!(bob.list(&[]).await.json(), serde_json::json!([]));
    bob.save_project("a").await;
    assert_eq!(ada.open("a").await.json()["metadata"]["revision"], 1);
}
