//! Requests as each generation of the client sends them, recorded, and replayed in every order of generations.

use serde_json::Value;

use super::TestServer;
use crate::harness::{Answer, Client, query, segment};

/// The title in all of them: what a path, a query and a form each would spell differently.
const TITLE: &str = "Lecture 1 – “intro”/50%";
const MEDIA: &[u8] = b"the bytes of a recording";
const FIRST: &str = r#"[{"type":"stamped-item","children":[{"text":"first"}],"label":"0:01","value":1}]"#;
const SECOND: &str = r#"[{"type":"stamped-item","children":[{"text":"second"}],"label":"0:02","value":2}]"#;

const HOME_JSON: &str = include_str!("recorded/home_json_2023.http");
const HOME_FIRST: &str = include_str!("recorded/home_first_save_2024.http");
const HOME_AGAIN: &str = include_str!("recorded/home_save_again_2024.http");
const PROJECT_FIRST: &str = include_str!("recorded/project_first_save.http");
const PROJECT_AGAIN: &str = include_str!("recorded/project_save_again.http");
const PROJECT_IN_METADATA: &str = include_str!("recorded/project_notes_in_metadata.http");

/// Sends a recorded request on behalf of this client.
async fn replay(server: &TestServer, client: &Client, recorded: &str) -> Answer {
    let (head, body) = recorded.split_once("\n\n").expect("a request has a head");
    let body = body.replace('\n', "\r\n");
    let head = head
        .replace('\n', "\r\n")
        .replace("{host}", "localhost:8000")
        .replace("{cookies}", &client.cookie_header().unwrap())
        .replace("{length}", &body.len().to_string());
    server.send_raw(format!("{head}\r\n\r\n{body}")).await
}

/// What each dialect opens: the notes, and the bytes of the media.
async fn opened(client: &Client) -> [(Value, Option<Vec<u8>>); 2] {
    let home = client.open(TITLE).await.assert_status(200).json();
    let project = client.get(&format!("/project/get/{}", segment(TITLE))).await.assert_status(200).json();
    let media = async |path: &str| {
        let answer = client.get(&format!("{path}/{}", segment(TITLE))).await;
        (answer.status != 404).then(|| answer.assert_status(200).body)
    };
    [
        (home["content"].clone(), media("/home/media-file").await),
        (project["notes"].clone(), media("/project/media").await),
    ]
}

#[apply(api_test)]
async fn whatever_one_generation_saves_opens_in_both_dialects() {
    for (recorded, notes, has_media) in [
        (HOME_JSON, FIRST, false),
        (HOME_FIRST, FIRST, true),
        (PROJECT_FIRST, FIRST, true),
        (PROJECT_IN_METADATA, SECOND, false),
    ] {
        let server = TestServer::spawn().await;
        let ada = server.ada().await;
        replay(&server, &ada, recorded).await.assert_status(200);
        let expected = (Value::from(notes), has_media.then(|| MEDIA.to_vec()));
        assert_eq!(opened(&ada).await, [expected.clone(), expected], "{recorded}");
        server.assert_nothing_leaks().await;
    }
}

#[apply(api_test)]
async fn saving_again_in_any_dialect_never_loses_the_media_and_echoed_notes_never_win() {
    for first in [HOME_FIRST, PROJECT_FIRST] {
        for again in [HOME_AGAIN, PROJECT_AGAIN, PROJECT_IN_METADATA] {
            let server = TestServer::spawn().await;
            let ada = server.ada().await;
            replay(&server, &ada, first).await.assert_status(200);
            replay(&server, &ada, again).await.assert_status(200);
            let expected = (Value::from(SECOND), Some(MEDIA.to_vec()));
            assert_eq!(opened(&ada).await, [expected.clone(), expected], "{first}{again}");
            assert_eq!(ada.usage().await, (1, (MEDIA.len() + SECOND.len()) as u64));
        }
    }
}

#[apply(api_test)]
async fn media_can_come_later_and_in_the_other_dialect() {
    for (first, later) in [(HOME_JSON, PROJECT_FIRST), (PROJECT_IN_METADATA, HOME_FIRST)] {
        let server = TestServer::spawn().await;
        let ada = server.ada().await;
        replay(&server, &ada, first).await.assert_status(200);
        replay(&server, &ada, later).await.assert_status(200);
        let expected = (Value::from(FIRST), Some(MEDIA.to_vec()));
        assert_eq!(opened(&ada).await, [expected.clone(), expected]);
    }
}

#[apply(api_test)]
async fn a_recorded_save_answers_its_page_and_metadata_of_texts() {
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    let answer = replay(&server, &ada, PROJECT_FIRST).await.assert_status(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:5173"));
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    let metadata = answer.json()["metadata"].clone();
    for key in ["title", "type", "label", "src", "mimetype", "lastModified"] {
        assert!(metadata[key].is_string(), "{key} of {metadata}");
    }
    assert!(metadata["src"].as_str().unwrap().starts_with("http://localhost:8000/media/"), "{metadata}");

    let deleted = ada.delete(&format!("/home/delete?{}", query(&[("name", TITLE)]))).await.assert_status(200);
    assert_eq!(deleted.json(), serde_json::json!([]));
    ada.get(&format!("/project/get/{}", segment(TITLE))).await.assert_error(404, "not_found");
}
