use serde_json::json;

use super::TestServer;
use crate::harness::{Client, Upload, titles};

/// Saves projects of these titles, types and times, one after the other.
async fn save_all(client: &Client, projects: &[(&str, &str, &str)]) {
    for (title, kind, time) in projects {
        let metadata = json!({"title": title, "type": kind, "lastModified": time});
        client.save(Upload::with_metadata(metadata)).await.assert_status(200);
    }
}

async fn listed(client: &Client, parameters: &[(&str, &str)]) -> Vec<String> {
    titles(&client.list(parameters).await.assert_status(200).json())
}

const PROJECTS: [(&str, &str, &str); 5] = [
    ("b", "audio", "2024-01-03"),
    ("Änderung", "pdf", "2024-01-01"),
    ("A", "audio", "2024-01-05"),
    ("c", "youtube", "2024-01-02"),
    ("a", "Audio", "2024-01-04"),
];

/// The path of the next page, as `Link` names it.
#[track_caller]
fn next_page(link: &str, origin: &str) -> String {
    let url = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect(link);
    url.strip_prefix(origin).expect("it is on the host that was used").to_owned()
}

#[apply(api_test)]
async fn a_list_is_complete_and_latest_save_first() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(&ada, &PROJECTS).await;
    let response = ada.list(&[]).await.assert_status(200);
    assert_eq!(titles(&response.json()), ["a", "c", "A", "Änderung", "b"]);
    assert_eq!(response.header("link"), None);
    ada.save_project("Änderung").await;
    assert_eq!(listed(&ada, &[]).await, ["Änderung", "a", "c", "A", "b"]);
}

#[apply(api_test)]
async fn a_search_is_literal_and_ignores_letter_case_in_all_scripts() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["Straße", "ÉTUDE", "Привет", "50% off", "a_b", "a.*b", "\\", "\"quoted\""] {
        ada.save_project(title).await;
    }
    for (search, found) in [
        ("strasse", "Straße"),
        ("RASS", "Straße"),
        ("étu", "ÉTUDE"),
        ("e\u{301}tude", "ÉTUDE"),
        ("ПРИВ", "Привет"),
        ("0%", "50% off"),
        ("_", "a_b"),
        (".*", "a.*b"),
        ("\\", "\\"),
        ("\"q", "\"quoted\""),
    ] {
        assert_eq!(listed(&ada, &[("search", search)]).await, [found], "{search}");
    }
    for search in ["a%b", "nothing", "^", "S\u{0}", "étude "] {
        assert!(listed(&ada, &[("search", search)]).await.is_empty(), "{search}");
    }
    assert_eq!(listed(&ada, &[("search", "")]).await.len(), 8, "an empty search finds all");
}

#[apply(api_test)]
async fn a_type_is_compared_exactly() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(&ada, &PROJECTS).await;
    assert_eq!(listed(&ada, &[("type", "audio")]).await, ["A", "b"]);
    assert_eq!(listed(&ada, &[("type", "Audio")]).await, ["a"]);
    assert!(listed(&ada, &[("type", "aud")]).await.is_empty());
    assert_eq!(listed(&ada, &[("type", "audio"), ("search", "B")]).await, ["b"]);
}

#[apply(api_test)]
async fn a_list_has_the_requested_order() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(&ada, &PROJECTS).await;
    let by_time = ["A", "a", "b", "c", "Änderung"];
    let by_title = ["A", "a", "b", "c", "Änderung"];
    let reversed = |titles: [&'static str; 5]| titles.into_iter().rev().collect::<Vec<_>>();
    assert_eq!(listed(&ada, &[("sort", "lastModified")]).await, by_time);
    assert_eq!(listed(&ada, &[("sort", "lastModified"), ("order", "desc")]).await, by_time);
    assert_eq!(listed(&ada, &[("sort", "lastModified"), ("order", "asc")]).await, reversed(by_time));
    assert_eq!(listed(&ada, &[("sort", "title")]).await, by_title);
    assert_eq!(listed(&ada, &[("sort", "title"), ("order", "asc")]).await, by_title);
    assert_eq!(listed(&ada, &[("sort", "title"), ("order", "desc")]).await, reversed(by_title));
    assert_eq!(listed(&ada, &[("order", "asc")]).await, ["b", "Änderung", "A", "c", "a"]);
}

#[apply(api_test)]
async fn last_modified_is_sorted_as_a_time_not_as_a_text() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(
        &ada,
        &[
            ("second", "", "2024-01-01T12:00:00Z"),
            ("third", "", "2024-01-01T12:30:00-01:00"),
            ("first", "", "2024-01-01T13:30:00+02:00"),
        ],
    )
    .await;
    let parameters = [("sort", "lastModified"), ("order", "asc")];
    assert_eq!(listed(&ada, &parameters).await, ["first", "second", "third"]);
}

#[apply(api_test)]
async fn following_the_pages_lists_all_projects_in_every_order() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(&ada, &PROJECTS).await;
    for filter in [&[][..], &[("search", "a")], &[("type", "audio")], &[("search", "ä"), ("type", "pdf")]] {
        for sort in [&[][..], &[("sort", "title")], &[("sort", "lastModified")]] {
            for order in [&[][..], &[("order", "asc")], &[("order", "desc")]] {
                let parameters = [filter, sort, order].concat();
                let all = listed(&ada, &parameters).await;
                for limit in ["1", "2", "4", "5", "1000"] {
                    let first = [&parameters[..], &[("limit", limit)]].concat();
                    let mut path = format!("/home/list?{}", crate::harness::query(&first));
                    let mut walked = Vec::new();
                    loop {
                        let response = ada.get(&path).await.assert_status(200);
                        let page = titles(&response.json());
                        assert!(page.len() <= limit.parse().unwrap());
                        walked.extend(page);
                        match response.header("link") {
                            Some(link) => path = next_page(link, &server.origin()),
                            None => break,
                        }
                        assert!(walked.len() < all.len(), "{path}: a next page is not empty");
                    }
                    assert_eq!(walked, all, "{first:?}");
                }
            }
        }
    }
}

#[apply(api_test)]
async fn a_full_last_page_has_no_link() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(&ada, &PROJECTS).await;
    assert_eq!(ada.list(&[("limit", "5")]).await.assert_status(200).header("link"), None);
    assert!(ada.list(&[("limit", "4")]).await.assert_status(200).header("link").is_some());
}

#[apply(api_test)]
async fn the_next_page_keeps_the_parameters_of_any_text() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let odd = "a&b=c #ä🎧\"<>%";
    for title in [format!("{odd}1"), format!("{odd}2"), "other".to_owned()] {
        ada.save(Upload::with_metadata(json!({"title": title, "type": odd}))).await.assert_status(200);
    }
    let first = ada.list(&[("search", odd), ("type", odd), ("sort", "title"), ("limit", "1")]).await;
    let next = ada.get(&next_page(first.header("link").unwrap(), &server.origin())).await.assert_status(200);
    assert_eq!(titles(&next.json()), [format!("{odd}2")]);
    assert_eq!(next.header("link"), None);
}

#[apply(api_test)]
async fn the_longest_title_can_end_a_page() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for title in ["🎧".repeat(255), "🎨".repeat(255)] {
        ada.save_project(&title).await;
    }
    let first = ada.list(&[("sort", "title"), ("limit", "1")]).await.assert_status(200);
    let next = ada.get(&next_page(first.header("link").unwrap(), &server.origin())).await.assert_status(200);
    assert_eq!(titles(&next.json()), ["🎨".repeat(255)]);
}

#[apply(api_test)]
async fn no_page_skips_or_repeats_while_others_are_saved_and_deleted() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for sort in ["title", "lastModified"] {
        save_all(&ada, &PROJECTS).await;
        let all = listed(&ada, &[("sort", sort)]).await;
        let first = ada.list(&[("sort", sort), ("limit", "2")]).await.assert_status(200);
        // One before the cursor, and the one at the cursor itself.
        ada.save(Upload::with_metadata(json!({"title": "0", "lastModified": "2025"})))
            .await
            .assert_status(200);
        ada.delete_project(&all[1]).await.assert_status(200);
        let next = ada.get(&next_page(first.header("link").unwrap(), &server.origin())).await;
        assert_eq!(titles(&next.assert_status(200).json()), all[2..4], "{sort}");
    }
    save_all(&ada, &PROJECTS).await;
    let all = listed(&ada, &[]).await;
    let first = ada.list(&[("limit", "2")]).await.assert_status(200);
    ada.save_project(&all[0]).await;
    ada.delete_project(&all[1]).await.assert_status(200);
    let next = ada.get(&next_page(first.header("link").unwrap(), &server.origin())).await;
    assert_eq!(titles(&next.assert_status(200).json()), all[2..4]);
}

#[apply(api_test)]
async fn invalid_parameters_are_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    save_all(&ada, &PROJECTS).await;
    let title_cursor = {
        let page = ada.list(&[("sort", "title"), ("limit", "1")]).await;
        let next = next_page(page.header("link").unwrap(), &server.origin());
        let query = next.split_once('?').unwrap().1;
        let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
        pairs.into_iter().find(|(name, _)| name == "cursor").unwrap().1
    };
    for parameters in [
        &[("limit", "")][..],
        &[("limit", "0")],
        &[("limit", "1001")],
        &[("limit", "-1")],
        &[("limit", "1.5")],
        &[("limit", "many")],
        &[("limit", "99999999999999999999999")],
        &[("sort", "")],
        &[("sort", "size")],
        &[("sort", "TITLE")],
        &[("order", "")],
        &[("order", "up")],
        &[("cursor", "")],
        &[("cursor", "nonsense")],
        &[("cursor", "s")],
        &[("cursor", "s-1")],
        &[("cursor", "🎧")],
        &[("cursor", "t\u{0}")],
        &[("cursor", "m1.x"), ("sort", "lastModified")],
        &[("cursor", &title_cursor)],
        &[("cursor", &title_cursor), ("sort", "lastModified")],
    ] {
        ada.list(parameters).await.assert_error(400, "bad_request");
    }
}

#[apply(api_test)]
async fn unknown_parameters_are_ignored() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    assert_eq!(listed(&ada, &[("page", "7"), ("_", "1")]).await, ["a"]);
}
