use std::time::Duration;

use notestamp_server::config::ProjectListEntries;
use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{Client, ServerResponse, Upload, query, titles};

async fn save(client: &Client, title: &str, kind: &str, last_modified: &str) {
    let metadata = json!({"title": title, "type": kind, "lastModified": last_modified});
    client.save(Upload::with_metadata(metadata)).await.assert_status(200);
}

async fn list(client: &Client, parameters: &[(&str, &str)]) -> ServerResponse {
    client.get(&format!("/project/list?{}", query(parameters))).await
}

async fn listed(client: &Client, parameters: &[(&str, &str)]) -> (Vec<String>, Value) {
    let response = list(client, parameters).await.assert_status(200).json();
    (titles(&response["projects"]), response["nextOffset"].clone())
}

#[apply(api_test)]
async fn without_parameters_all_are_listed() {
    let server = TestServer::spawn().await;
    let (ada, bob) = (server.ada().await, server.signed_in("bob@example.org").await);
    bob.save_project("bob's").await;
    assert_eq!(
        ada.get("/project/list").await.assert_status(200).json(),
        json!({"projects": [], "nextOffset": null})
    );
    for at in 0..45 {
        ada.save_project(&format!("p{at}")).await;
    }
    let all = ada.get("/project/list").await.assert_status(200).json();
    assert_eq!((titles(&all["projects"]), &all["nextOffset"]), (ada.titles().await, &Value::Null));
}

#[apply(api_test)]
async fn a_page_has_twenty_projects() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for at in 0..40 {
        save(&ada, &format!("p{at:02}"), "audio", &format!("2024-01-01T00:00:{at:02}.000Z")).await;
    }
    let names = |range: std::ops::Range<usize>| range.rev().map(|at| format!("p{at:02}")).collect::<Vec<_>>();
    let client_sends =
        |page| [("pageParam", page), ("searchParam", ""), ("columnFilters", "[]"), ("sorting", "[]")];
    assert_eq!(listed(&ada, &client_sends("0")).await, (names(20..40), json!(20)));
    assert_eq!(listed(&ada, &client_sends("20")).await, (names(0..20), Value::Null));
    assert_eq!(listed(&ada, &client_sends("40")).await, (vec![], Value::Null));
    assert_eq!(listed(&ada, &client_sends("7")).await, (names(13..33), json!(27)));
    assert_eq!(listed(&ada, &client_sends("18446744073709551615")).await, (vec![], Value::Null));
    for wrong in ["-1", "1.5", "x"] {
        list(&ada, &client_sends(wrong)).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn a_page_is_searched_filtered_and_sorted_like_in_the_client() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    // In another order than they were modified in.
    save(&ada, "Song of 100%", "audio", "2024-01-02T00:00:00.000Z").await;
    save(&ada, "song", "pdf", "2024-01-03T00:00:00.000Z").await;
    save(&ada, "Songs", "pdf", "2024-01-01T00:00:00.000Z").await;
    let audio = r#"[{"id":"type","value":"audio"}]"#;
    let pdf = r#"[{"id":"type","value":"pdf"}]"#;
    let (up, down) = (r#"[{"id":"lastModified","desc":false}]"#, r#"[{"id":"lastModified","desc":true}]"#);
    for (search, filters, sorting, expected) in [
        ("", "[]", "[]", vec!["song", "Song of 100%", "Songs"]),
        ("", "[]", down, vec!["song", "Song of 100%", "Songs"]),
        ("", "[]", up, vec!["Songs", "Song of 100%", "song"]),
        ("Song", "[]", up, vec!["Songs", "Song of 100%"]),
        ("song", "[]", up, vec!["song"]),
        ("0%", "[]", up, vec!["Song of 100%"]),
        ("%g", "[]", up, vec![]),
        ("", audio, up, vec!["Song of 100%"]),
        ("", pdf, up, vec!["Songs", "song"]),
        ("ongs", pdf, down, vec!["Songs"]),
        (
            "",
            r#"[{"id":"title","value":"x"}]"#,
            r#"[{"id":"title","desc":false}]"#,
            vec!["song", "Song of 100%", "Songs"],
        ),
    ] {
        let parameters =
            [("pageParam", "0"), ("searchParam", search), ("columnFilters", filters), ("sorting", sorting)];
        let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(listed(&ada, &parameters).await, (expected, Value::Null), "{parameters:?}");
    }
    for wrong in [("columnFilters", "{"), ("sorting", "{"), ("columnFilters", r#"[{"id":"type","value":1}]"#)]
    {
        list(&ada, &[wrong]).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn clients_of_late_2024_get_titles() {
    let server =
        TestServer::spawn_with(|config| config.responses.project_list = ProjectListEntries::Titles).await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    ada.save_project("b/%").await;
    let all = json!({"projects": ["b/%", "a"], "nextOffset": null});
    assert_eq!(ada.get("/project/list").await.assert_status(200).json(), all);
    let deleted = ada.delete("/project/delete/a").await.assert_status(200).json();
    assert_eq!(deleted["directory"][0]["title"], "b/%");
}

#[apply(api_test)]
async fn every_entry_has_a_url_that_reads_its_media() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"media of a").await;
    ada.save_media("b", "audio/mpeg", b"media of b").await;
    let src = json!({"title": "c", "src": "https://www.youtube.com/watch&v=x"});
    ada.save(Upload::with_metadata(src)).await.assert_status(200);
    server.advance(Duration::from_secs(60));
    let all = ada.get("/project/list").await.assert_status(200).json();
    assert_eq!(all["projects"][0]["src"], "https://www.youtube.com/watch&v=x");
    for (at, expected) in [(1, b"media of b"), (2, b"media of a")] {
        let src = all["projects"][at]["src"].as_str().unwrap();
        let path = src.strip_prefix(&server.origin()).unwrap();
        assert_eq!(server.visitor().get(path).await.assert_status(200).body, expected);
    }
}

#[apply(api_test)]
async fn paging_while_others_save_and_delete_neither_skips_nor_repeats() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let at = |n: usize| format!("2024-01-01T00:{:02}:{:02}.000Z", n / 60, n % 60);
    for n in 0..90 {
        save(&ada, &format!("p{n:02}"), "audio", &at(n)).await;
    }
    for (sorting, newest_first) in
        [("[]", true), (r#"[{"id":"lastModified","desc":false}]"#, false), ("[]", true)]
    {
        let mut untouched = Vec::new();
        let mut offset = json!(0);
        while let Some(page) = offset.as_u64() {
            let (titles, next) =
                listed(&ada, &[("pageParam", &page.to_string()), ("sorting", sorting)]).await;
            untouched.extend(titles.into_iter().filter(|title| title.starts_with('p')));
            assert!(next.is_null() || next == json!(page + 20), "{next}");
            // Before, after and within the page: in each order one of these changes moves the following projects.
            for (n, title) in ["first", "last", "middle", "other"].into_iter().enumerate() {
                save(&ada, title, "audio", &at([0, 3_599, 1_800, 45][n])).await;
            }
            for title in ["first", "last"].into_iter().filter(|_| page % 40 == 0) {
                ada.delete(&format!("/project/delete/{title}")).await.assert_status(200);
            }
            offset = next;
        }
        let mut expected: Vec<_> = (0..90).map(|n| format!("p{n:02}")).collect();
        if newest_first {
            expected.reverse();
        }
        assert_eq!(untouched, expected);
    }
}

#[apply(api_test)]
async fn a_page_belongs_to_its_own_search() {
    let server = TestServer::spawn().await;
    let (ada, tab) = (server.ada().await, server.visitor());
    tab.sign_in(crate::harness::ADA).await.assert_status(200);
    for n in 0..45 {
        save(&ada, &format!("p{n:02}"), "audio", &format!("2024-01-01T00:00:{n:02}.000Z")).await;
    }
    let names = |range: std::ops::Range<usize>| range.rev().map(|at| format!("p{at:02}")).collect::<Vec<_>>();
    let first = [("pageParam", "0"), ("searchParam", "")];
    let (second, searched) =
        ([("pageParam", "20"), ("searchParam", "")], [("pageParam", "20"), ("searchParam", "p")]);
    assert_eq!(listed(&ada, &first).await.0, names(25..45));
    ada.delete("/project/delete/p44").await.assert_status(200);
    // This search continues where its first page ended; the others have no first page yet, so they use the offset.
    assert_eq!(listed(&ada, &second).await.0, names(5..25));
    assert_eq!(listed(&ada, &searched).await.0, names(4..24));
    assert_eq!(listed(&tab, &second).await.0, names(4..24));
    // A first page starts again at the beginning.
    assert_eq!(listed(&ada, &first).await.0, names(24..44));
    assert_eq!(listed(&ada, &second).await.0, names(4..24));
}

#[apply(api_test)]
async fn every_src_of_the_list_is_an_absolute_url_or_empty_and_all_others_are_verbatim() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for (src, listed) in [
        ("", ""),
        ("https://www.youtube.com/watch&v=x", "https://www.youtube.com/watch&v=x"),
        ("http://localhost:8080/home/stream-audio/x", "http://localhost:8080/home/stream-audio/x"),
        ("blob:http://localhost:3000/7e9c", "blob:http://localhost:3000/7e9c"),
        ("youtube.com/watch?v=x", "https://youtube.com/watch?v=x"),
        ("www.youtube.com", "https://www.youtube.com"),
        ("//youtu.be/x", "https:////youtu.be/x"),
        ("undefined", ""),
        ("null", ""),
        ("/home/stream-audio", ""),
        ("dQw4w9WgXcQ", ""),
        ("76979871", ""),
        ("a.b c/x", ""),
        ("http://", ""),
        ("?v=x.y", ""),
        (" ", ""),
    ] {
        let upload = || Upload::with_metadata(json!({"title": "a", "src": src}));
        let directory = ada.save(upload()).await.assert_status(200).json();
        assert_eq!(directory[0]["src"], src);
        for parameters in [&[][..], &[("pageParam", "0")]] {
            let page = list(&ada, parameters).await.assert_status(200).json();
            assert_eq!(page["projects"][0]["src"], listed, "{src}");
        }
        assert_eq!(ada.get("/project/get/a").await.assert_status(200).json()["src"], src);
        assert_eq!(ada.open("a").await.assert_status(200).json()["metadata"]["src"], src);
        ada.save_project("b").await;
        let left = ada.delete("/project/delete/b").await.assert_status(200).json();
        assert_eq!(left["directory"][0]["src"], src);
    }
}
