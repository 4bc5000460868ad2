use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use notestamp_store::Email;
use reqwest::Method;
use serde_json::json;

use super::TestServer;
use crate::harness::{Client, HeldRequest, PASSWORD, Upload, chunked};

async fn tight() -> TestServer {
    TestServer::spawn_with(|config| {
        config.limits.notes_bytes_max = 1_000;
        config.limits.media_bytes_max = 100_000;
    })
    .await
}

/// Sends an upload without a `Content-Length`.
async fn save_chunked(client: &Client, upload: Upload) -> crate::harness::ServerResponse {
    let request = client.request(Method::POST, "/home/upload").header("content-type", Upload::content_type());
    client.send(request.body(chunked(upload.into_body()))).await
}

fn notes_of(bytes: usize) -> String {
    format!("[{}]", " ".repeat(bytes - 2))
}

#[apply(api_test)]
async fn notes_are_saved_up_to_their_limit() {
    let server = tight().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes(notes_of(1_000))).await.assert_status(200);
    save_chunked(&ada, Upload::of("a").notes(notes_of(1_000))).await.assert_status(200);
    for bytes in [1_001, 5_000, 500_000] {
        ada.save(Upload::of("b").notes(notes_of(bytes))).await.assert_error(413, "too_large");
        let media_first = Upload::of("b").notes(notes_of(bytes)).media(b"media").in_order(&["mediaFile"]);
        save_chunked(&ada, media_first).await.assert_error(413, "too_large");
    }
    assert_eq!(ada.titles().await, ["a"]);
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn notes_of_any_kind_of_body_have_the_same_limit() {
    let server = tight().await;
    let ada = server.ada().await;
    for (bytes, status) in [(1_000, 200), (1_001, 413), (3_000, 413), (500_000, 413)] {
        let text = json!({"title": "a", "stmp": notes_of(bytes)});
        assert_eq!(ada.post_json("/home/upload", &text).await.status, status, "{bytes}");
        let value = format!(r#"{{"title": "a", "stmp": {}}}"#, notes_of(bytes));
        assert_eq!(ada.post("/home/upload", "application/json", value).await.status, status, "{bytes}");
        let form = serde_urlencoded::to_string([("title", "a"), ("stmp", &notes_of(bytes))]).unwrap();
        let response = ada.post("/home/upload", "application/x-www-form-urlencoded", form).await;
        assert_eq!(response.status, status, "{bytes}");
    }
}

#[apply(api_test)]
async fn media_is_saved_up_to_its_limit() {
    let server = tight().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").media(&[1; 100_000])).await.assert_status(200);
    save_chunked(&ada, Upload::of("b").media(&[2; 100_000])).await.assert_status(200);
    for bytes in [100_001, 150_000, 3_000_000] {
        let media = vec![7; bytes];
        ada.save(Upload::of("c").media(&media)).await.assert_error(413, "too_large");
        save_chunked(&ada, Upload::of("c").media(&media)).await.assert_error(413, "too_large");
        let media_first = Upload::of("c").media(&media).in_order(&["mediaFile"]);
        save_chunked(&ada, media_first).await.assert_error(413, "too_large");
    }
    assert_eq!(ada.titles().await, ["b", "a"]);
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn an_unknown_part_counts_toward_the_limit_of_the_body() {
    let server = tight().await;
    let ada = server.ada().await;
    let huge = || Upload::of("a").part("other", Some("x"), None, vec![b'x'; 2_000_000]);
    ada.save(huge()).await.assert_error(413, "too_large");
    save_chunked(&ada, huge()).await.assert_error(413, "too_large");
}

#[apply(api_test)]
async fn the_media_limit_applies_before_the_metadata_arrives() {
    let server = tight().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").media(b"first")).await.assert_status(200);
    ada.save(Upload::of("a").media(&[7; 100_001])).await.assert_error(413, "too_large");
}

#[apply(api_test)]
async fn other_bodies_are_read_up_to_64_kib() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    let padded = |bytes: usize| {
        let body = json!({"username": "a", "password": PASSWORD}).to_string();
        body + &" ".repeat(bytes - 60)
    };
    for path in ["/auth/register", "/auth/signin", "/auth/login"] {
        for content_type in ["application/json", "application/x-www-form-urlencoded", &Upload::content_type()]
        {
            let body = padded(70_000);
            visitor.post(path, content_type, body.clone()).await.assert_error(413, "too_large");
            visitor.post(path, content_type, chunked(body.into())).await.assert_error(413, "too_large");
        }
        let response = visitor.post(path, "application/json", padded(60_000)).await;
        assert!(matches!(response.status, 400 | 401), "{response:?}");
    }
}

#[apply(api_test)]
async fn a_wrong_content_length_does_not_raise_a_limit() {
    let server = tight().await;
    let ada = server.ada().await;
    let head = format!(
        "POST /home/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: {}\r\nContent-Type: {}\r\n",
        ada.cookie_header().unwrap(),
        Upload::content_type(),
    );
    let announced = format!("{head}Content-Length: 99999999999999\r\n\r\n--");
    server.send_raw(announced).await.assert_error(413, "too_large");
    for length in ["-1", "x", "1, 2", "18446744073709551616"] {
        server.send_raw(format!("{head}Content-Length: {length}\r\n\r\n")).await.assert_status(400);
    }
}

#[apply(api_test)]
async fn with_expect_100_continue_a_refusal_comes_before_the_body() {
    let server = tight().await;
    let request = format!(
        "POST /home/upload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n\
         Content-Type: {}\r\nContent-Length: 50000\r\n\r\n",
        Upload::content_type(),
    );
    server.send_raw(request).await.assert_error(401, "unauthorized");
}

#[apply(api_test)]
async fn a_client_that_sends_all_before_reading_gets_an_early_refusal() {
    let server = TestServer::spawn().await;
    let visitor = server.visitor();
    for _ in 0..5 {
        let upload = Upload::of("a").media(&vec![7; 4 << 20]);
        visitor.save(upload).await.assert_error(401, "unauthorized");
    }
}

#[apply(api_test)]
async fn a_quota_counts_distinct_media_and_current_notes_and_records() {
    // The record of each project costs 1 KiB, and 27 bytes for its metadata.
    let quota = 1_000 + 2 * (1_024 + 27);
    let server = TestServer::spawn_with(|config| config.limits.quota_bytes = Some(quota)).await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes("[1]").media(&[7; 900])).await.assert_status(200);
    ada.save(Upload::of("b").notes("[1]").media(&[7; 900])).await.assert_status(200);
    let more = || Upload::of("c").notes("[1]").media(&[8; 900]);
    refused_for_space(&ada, more()).await;
    refused_for_space(&ada, Upload::of("b").notes(notes_of(200))).await;
    assert_eq!(ada.usage().await, (2, 906));
    server.assert_nothing_leaks().await;
    ada.delete_project("a").await.assert_status(200);
    ada.delete_project("b").await.assert_status(200);
    ada.save(more()).await.assert_status(200);
}

#[apply(api_test)]
async fn an_upload_beyond_the_quota_is_cut_off_while_it_arrives() {
    let server = TestServer::spawn_with(|config| config.limits.quota_bytes = Some(100_000)).await;
    let ada = server.ada().await;
    for path in ["/home/upload", "/project/save"] {
        let mut body = Upload::of("a").media(&[7; 300_000]).in_order(&["mediaFile"]).into_body();
        body.truncate(200_000);
        // The rest of the body never comes.
        let body = stream::once(async { Ok::<_, std::io::Error>(body) }).chain(stream::pending());
        let response = ada.post(path, &Upload::content_type(), reqwest::Body::wrap_stream(body)).await;
        response.assert_error(507, "quota_exceeded");
    }
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn of_three_exports_at_once_one_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    // More than fits into the buffers of a connection.
    ada.save(Upload::of("song").media(&vec![7; 24 << 20])).await.assert_status(200);
    let mut held = vec![ada.begin_get("/auth/export").await, ada.begin_get("/auth/export?all=true").await];
    let refused = ada.get("/auth/export").await.assert_error(429, "too_many_requests");
    assert!(refused.headers.contains_key("retry-after"));
    server.signed_in("bob@example.org").await.get("/auth/export").await.assert_status(200);
    ada.save_project("a").await;
    held.pop();
    ada.get("/auth/export").await.assert_status(200);
}

#[apply(api_test)]
async fn of_nine_uploads_at_once_one_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let bodies = || {
        let notes = Upload::of("a").part("notesFile", Some("notes"), Some("application/json"), "[1]");
        let json = json!({"metadata": {"title": "a"}, "content": "[1]"}).to_string().into_bytes();
        [
            ("/home/upload", Upload::content_type(), Upload::of("a").into_body()),
            ("/project/save", Upload::content_type(), notes.into_body()),
            ("/home/upload", "application/json".to_owned(), json),
            ("/home/upload", "application/x-www-form-urlencoded".to_owned(), b"title=a&stmp=[1]".to_vec()),
        ]
    };
    let mut held = Vec::new();
    for (path, content_type, body) in bodies().into_iter().chain(bodies()) {
        held.push(ada.hold(path, &content_type, body).await);
    }
    let refused = join_all(bodies().map(|(path, content_type, body)| {
        let ada = &ada;
        async move { ada.post(path, &content_type, body).await }
    }));
    for refused in refused.await {
        let refused = refused.assert_error(429, "too_many_requests");
        assert!(refused.headers.contains_key("retry-after"));
    }
    server.signed_in("bob@example.org").await.save_project("a").await;

    // One place is free after an upload that succeeds, and one after an upload whose client goes away.
    held.pop().unwrap().finish().await.assert_status(200);
    ada.save_project("a").await;
    held.push(ada.hold("/home/upload", &Upload::content_type(), Upload::of("a").into_body()).await);
    drop(held.pop());
    ada.save_project("a").await;
    for upload in held {
        upload.finish().await.assert_status(200);
    }
}

#[apply(api_test_in_threads)]
async fn a_slow_upload_gives_way_when_others_need_its_memory() {
    // An address may hold half of this, an account a quarter.
    let server = TestServer::spawn_with(|config| config.limits.memory_bytes_max = 16 << 20).await;
    let mut slow = Vec::new();
    for email in ["ada@example.org", "bob@example.org"] {
        let client = server.signed_in(email).await;
        let body = Upload::of("a").notes(notes_of(7_500_000)).into_body();
        let mut upload = client.hold("/home/upload", &Upload::content_type(), body).await;
        upload.send_half().await;
        slow.push(upload);
    }
    while server.store().memory().bytes_held() < 7_400_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let carol = server.signed_in("carol@example.org").await;
    carol.save(Upload::of("a").notes(notes_of(3_500_000))).await.assert_status(200);

    // Each of them may still end before the other.
    let responses = join_all(slow.into_iter().map(HeldRequest::finish)).await;
    let mut statuses: Vec<_> = responses.iter().map(|response| response.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
}

#[apply(api_test)]
async fn an_account_has_no_more_projects_than_it_may() {
    let server = TestServer::spawn_with(|config| config.limits.projects_max = 2).await;
    let ada = server.ada().await;
    for title in ["a", "b"] {
        ada.save_project(title).await;
    }
    let upload = |title| Upload::of(title).part("notesFile", Some("notes"), Some("application/json"), "[1]");
    for path in ["/home/upload", "/project/save"] {
        ada.save_at(path, upload("c")).await.assert_error(507, "too_many_projects");
        ada.save_at(path, upload("b")).await.assert_status(200);
    }
    assert_eq!(ada.titles().await, ["b", "a"]);
    server.assert_nothing_leaks().await;

    server.signed_in("bob@example.org").await.save_project("c").await;
    ada.delete_project("a").await.assert_status(200);
    ada.save_project("c").await;
}

#[apply(api_test)]
async fn a_sign_in_beyond_100_open_sessions_ends_the_least_recently_used() {
    let server = TestServer::spawn().await;
    let first = server.ada().await;
    server.advance(Duration::from_secs(1));
    let second = server.visitor();
    second.sign_in("ada@example.org").await.assert_status(200);
    let email = Email::parse("ada@example.org").unwrap();
    let ada = server.store().find_account_by_email(&email).await.unwrap().unwrap();
    for _ in 2..100 {
        server.advance(Duration::from_secs(1));
        server.store().start_session(&ada, "many").await.unwrap().unwrap();
    }
    let open = async |client: &Client| {
        let sessions = client.get("/auth/sessions").await.assert_status(200).json();
        sessions.as_array().unwrap().len()
    };
    assert_eq!(open(&first).await, 100);

    // The request above was the latest use of the first session, so the second one ends.
    let last = server.visitor();
    last.sign_in("ada@example.org").await.assert_status(200);
    assert_eq!(open(&last).await, 100);
    second.get("/auth/user").await.assert_error(401, "unauthorized");
    first.get("/auth/user").await.assert_status(200);
}

/// 507 is the only 5xx status that is caused by the client.
async fn refused_for_space(client: &Client, upload: Upload) {
    client.save(upload).await.assert_error(507, "quota_exceeded");
}
