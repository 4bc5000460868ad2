use super::TestServer;
use crate::harness::{Client, Upload};

/// A save on these conditions: the status, and the tag of the project as it is after that.
async fn save_if(client: &Client, title: &str, conditions: &[(&'static str, &str)]) -> (u16, Option<String>) {
    let upload = Upload::of(title).notes("[2]");
    let upload = conditions.iter().fold(upload, |upload, (name, value)| upload.header(name, value));
    let answer = client.save(upload).await;
    if answer.status == 412 {
        answer.clone().assert_error(412, "precondition_failed");
    }
    (answer.status, answer.header("etag").map(str::to_owned))
}

fn saved(revision: &str) -> (u16, Option<String>) {
    (200, Some(revision.to_owned()))
}

fn stale(revision: &str) -> (u16, Option<String>) {
    (412, Some(revision.to_owned()))
}

#[apply(api_test)]
async fn without_a_condition_the_last_write_wins() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for revision in 1..4 {
        let tag = format!("\"{revision}\"");
        assert_eq!(save_if(&ada, "a", &[]).await, saved(&tag));
        assert_eq!(ada.open("a").await.header("etag"), Some(tag.as_str()));
    }
}

#[apply(api_test)]
async fn a_save_of_the_current_revision_goes_and_a_stale_one_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\"")]).await, saved("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\"")]).await, stale("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\", \"2\"")]).await, saved("\"3\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\""), ("if-match", "\"3\"")]).await, saved("\"4\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "*")]).await, saved("\"5\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "W/\"5\"")]).await, stale("\"5\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"other\"")]).await, stale("\"5\""));
}

#[apply(api_test)]
async fn a_condition_on_a_project_that_is_not_there_is_not_met() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    for value in ["*", "\"1\"", "\"0\""] {
        assert_eq!(save_if(&ada, "a", &[("if-match", value)]).await, (412, None));
    }
    assert!(ada.titles().await.is_empty());
}

#[apply(api_test)]
async fn a_save_that_must_create_is_refused_where_the_project_exists() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "*")]).await, saved("\"1\""));
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "*")]).await, stale("\"1\""));
    ada.delete_project("a").await.assert_status(200);
    // Another project: nobody who has read the first one can take it for that.
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "*")]).await, saved("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\"")]).await, stale("\"2\""));
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "\"7\", \"8\"")]).await, saved("\"3\""));
    assert_eq!(save_if(&ada, "a", &[("if-none-match", "W/\"3\"")]).await, stale("\"3\""));
}

#[apply(api_test)]
async fn both_conditions_must_be_met() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    assert_eq!(save_if(&ada, "a", &[("if-match", "\"1\""), ("if-none-match", "*")]).await, stale("\"1\""));
    assert_eq!(
        save_if(&ada, "a", &[("if-match", "\"1\""), ("if-none-match", "\"9\"")]).await,
        saved("\"2\"")
    );
}

#[apply(api_test)]
async fn a_condition_that_cannot_be_read_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    for value in ["1", "\"1", "", "\"1\" \"2\"", "*, \"1\"", ","] {
        for name in ["if-match", "if-none-match"] {
            assert_eq!(save_if(&ada, "a", &[(name, value)]).await.0, 400, "{name}: {value}");
        }
    }
    assert_eq!(ada.open("a").await.header("etag"), Some("\"1\""));
}

#[apply(api_test)]
async fn a_refused_save_leaves_the_project_as_it_was() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save(Upload::of("a").notes("[1]")).await.assert_status(200);
    let stale = Upload::of("a").notes("[2]").media(b"media").header("if-match", "\"7\"");
    ada.save(stale).await.assert_error(412, "precondition_failed");
    let opened = ada.open("a").await.json();
    assert_eq!(opened["content"], "[1]");
    assert!(opened["metadata"].get("mediaDigest").is_none());
    server.assert_nothing_leaks().await;
}

#[apply(api_test)]
async fn of_two_saves_of_one_revision_one_is_refused() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    let save = || save_if(&ada, "a", &[("if-match", "\"1\"")]);
    let (a, b, c) = tokio::join!(save(), save(), save());
    let mut statuses = [a.0, b.0, c.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412]);
}
