//! Recorded requests of each generation of the client: replayed one by one in every order of generations, and as whole
//! visits, where each response must contain what its client reads.

use notestamp_server::config::ProjectListEntries;
use serde_json::{Value, json};

use super::TestServer;
use crate::harness::{ADA, Client, ServerResponse, segment, titles};

/// The title in all of them: a path, a query and a form each encode it differently.
const TITLE: &str = "Lecture 1 – “intro”/50%";
const MEDIA: &[u8] = b"the bytes of a recording";
const FIRST: &str = r#"[{"type":"stamped-item","children":[{"text":"first"}],"label":"0:01","value":1}]"#;
const SECOND: &str = r#"[{"type":"stamped-item","children":[{"text":"second"}],"label":"0:02","value":2}]"#;
const LINK: &str = "https://www.youtube.com/watch?v=M7lc1UVf-VE";
/// The fields of a project that all clients since 2024 know.
const KEYS: [&str; 6] = ["title", "label", "type", "src", "mimetype", "lastModified"];

macro_rules! recorded {
    ($($name:ident = $file:literal;)*) => {
        $(const $name: &str = include_str!(concat!("recorded/", $file, ".http"));)*
    };
}

recorded! {
    HOME_REGISTER = "home_register";
    HOME_SIGN_IN = "home_sign_in";
    HOME_JSON_2023 = "home_json_2023";
    HOME_JSON_EARLY_2024 = "home_json_early_2024";
    HOME_FIRST = "home_first_save_2024";
    HOME_RECORDER = "home_recorder_save_2024";
    HOME_AGAIN = "home_save_again_2024";
    HOME_OPEN = "home_open";
    HOME_MEDIA_FILE = "home_media_file";
    HOME_PLAY = "home_play";
    HOME_DELETE = "home_delete";
    HOME_SIGN_OUT = "home_sign_out";

    PROJECT_REGISTER = "project_register";
    PROJECT_LOG_IN = "project_log_in";
    PROJECT_USER = "project_user";
    PROJECT_LIST = "project_list";
    PROJECT_LIST_PAGE = "project_list_page";
    PROJECT_FIRST = "project_first_save";
    PROJECT_AGAIN_2024 = "project_save_again_2024";
    PROJECT_AGAIN = "project_save_again";
    PROJECT_IN_METADATA = "project_notes_in_metadata";
    PROJECT_GET = "project_get";
    PROJECT_PLAY_2024 = "project_play_2024";
    PROJECT_FETCH_MEDIA = "project_fetch_media";
    PROJECT_DELETE = "project_delete";
    PROJECT_LOG_OUT = "project_log_out";
}

/// Sends a recorded request on behalf of this client, as a browser would.
async fn replay(server: &TestServer, client: &Client, recorded: &str) -> ServerResponse {
    replay_with(server, client, recorded, "", "").await
}

/// The same, for a request that contains values of an earlier response.
async fn replay_with(
    server: &TestServer,
    client: &Client,
    recorded: &str,
    name: &str,
    value: &str,
) -> ServerResponse {
    let recorded = recorded.trim_end().replace(&format!("{{{name}}}"), value);
    let (head, body) = recorded.split_once("\n\n").unwrap_or((&recorded, ""));
    preflight(server, head).await;
    let body = body.replace('\n', "\r\n");
    let head = head
        .replace('\n', "\r\n")
        .replace("{cookies}", &client.cookie_header().unwrap_or_default())
        .replace("{length}", &body.len().to_string());
    let response = server.send_raw(format!("{head}\r\n\r\n{body}")).await;
    assert_readable(&response, head.split("\r\n"));
    client.keep_cookies(&response);
    response
}

/// Sends the preflight that a browser would send first, if it would.
async fn preflight(server: &TestServer, head: &str) {
    let (first_line, headers) = head.split_once('\n').unwrap();
    let (method, target) = first_line.split_once(' ').unwrap();
    let has_json = head.contains("\nContent-Type: application/json");
    if method != "DELETE" && !has_json {
        return;
    }
    let asked = if has_json { "Access-Control-Request-Headers: content-type\r\n" } else { "" };
    let origin = headers.lines().find(|line| line.starts_with("Origin: ")).unwrap();
    let response = server
        .send_raw(format!(
            "OPTIONS {target}\r\nHost: localhost:8080\r\nConnection: close\r\n{origin}\r\n\
             Access-Control-Request-Method: {method}\r\n{asked}\r\n"
        ))
        .await;
    assert!(matches!(response.status, 200 | 204), "{response:?}");
    assert_readable(&response, [origin]);
    assert!(response.header("access-control-allow-methods").unwrap().contains(method), "{response:?}");
    assert!(
        response.header("access-control-allow-headers").unwrap().contains("content-type"),
        "{response:?}"
    );
}

/// Asserts that the browser lets the page read it.
#[track_caller]
fn assert_readable<'a>(response: &ServerResponse, headers: impl IntoIterator<Item = &'a str>) {
    if let Some(origin) = headers.into_iter().find_map(|line| line.strip_prefix("Origin: ")) {
        assert_eq!(response.header("access-control-allow-origin"), Some(origin));
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    }
}

/// Saves the opened project again, and echoes the same fields as this generation of clients.
async fn save_again(server: &TestServer, client: &Client, recorded: &str) -> ServerResponse {
    let metadata = if recorded == HOME_AGAIN {
        let mut metadata =
            replay(server, client, HOME_OPEN).await.assert_status(200).json()["metadata"].take();
        metadata["src"] = json!("");
        metadata
    } else {
        let mut project = replay(server, client, PROJECT_GET).await.assert_status(200).json();
        if recorded == PROJECT_AGAIN {
            // Today's client drops unknown fields.
            project.as_object_mut().unwrap().retain(|key, _| KEYS.contains(&key.as_str()));
        }
        project
    };
    replay_with(server, client, recorded, "metadata", &metadata.to_string()).await
}

/// The path and query of the URL of media at that address.
#[track_caller]
fn path_at<'a>(address: &str, src: &'a Value) -> &'a str {
    src.as_str().unwrap().strip_prefix(address).unwrap_or_else(|| panic!("{src} is at {address}"))
}

/// The notes and the bytes of the media, as each dialect returns them.
async fn opened(client: &Client) -> [(Value, Option<Vec<u8>>); 2] {
    let home = client.open(TITLE).await.assert_status(200).json();
    let project = client.get(&format!("/project/get/{}", segment(TITLE))).await.assert_status(200).json();
    let media = async |path: &str| {
        let response = client.get(&format!("{path}/{}", segment(TITLE))).await;
        (response.status != 404).then(|| response.assert_status(200).body)
    };
    [
        (home["content"].clone(), media("/home/media-file").await),
        (project["notes"].clone(), media("/project/media").await),
    ]
}

#[apply(api_test)]
async fn a_project_of_any_generation_opens_in_both_dialects() {
    for (recorded, notes, has_media) in [
        (HOME_JSON_2023, FIRST, false),
        (HOME_JSON_EARLY_2024, FIRST, false),
        (HOME_FIRST, FIRST, true),
        (HOME_RECORDER, FIRST, true),
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
async fn saving_again_in_any_dialect_keeps_the_media_and_ignores_echoed_notes() {
    for first in [HOME_FIRST, HOME_RECORDER, PROJECT_FIRST] {
        for again in [HOME_AGAIN, PROJECT_AGAIN_2024, PROJECT_AGAIN, PROJECT_IN_METADATA] {
            let server = TestServer::spawn().await;
            let ada = server.ada().await;
            replay(&server, &ada, first).await.assert_status(200);
            save_again(&server, &ada, again).await.assert_status(200);
            let expected = (Value::from(SECOND), Some(MEDIA.to_vec()));
            assert_eq!(opened(&ada).await, [expected.clone(), expected], "{first}{again}");
            assert_eq!(ada.usage().await, (1, (MEDIA.len() + SECOND.len()) as u64));
        }
    }
}

#[apply(api_test)]
async fn media_can_be_added_later_in_the_other_dialect() {
    for (first, later) in [(HOME_JSON_2023, PROJECT_FIRST), (PROJECT_IN_METADATA, HOME_FIRST)] {
        let server = TestServer::spawn().await;
        let ada = server.ada().await;
        replay(&server, &ada, first).await.assert_status(200);
        replay(&server, &ada, later).await.assert_status(200);
        let expected = (Value::from(FIRST), Some(MEDIA.to_vec()));
        assert_eq!(opened(&ada).await, [expected.clone(), expected]);
    }
}

#[apply(api_test)]
async fn a_client_of_early_2024_reads_what_it_saved() {
    let server = TestServer::spawn().await;
    let ada = visit_home(&server).await;
    let directory = replay(&server, &ada, HOME_JSON_EARLY_2024).await.assert_status(200).json();
    assert_eq!(titles(&directory), [TITLE]);

    let opened = replay(&server, &ada, HOME_OPEN).await.assert_status(200).json();
    assert_eq!(opened["content"], FIRST);
    assert_eq!((&opened["metadata"]["type"], &opened["metadata"]["src"]), (&json!("youtube"), &json!(LINK)));
    leave_home(&server, &ada).await;
}

#[apply(api_test)]
async fn a_client_of_march_2024_opens_shows_and_plays_what_it_saved() {
    for (first, media_type) in [(HOME_FIRST, "audio/mpeg"), (HOME_RECORDER, "audio/webm;codecs=opus")] {
        let server = TestServer::spawn().await;
        let ada = visit_home(&server).await;
        let directory = replay(&server, &ada, first).await.assert_status(200).json();
        assert_eq!(titles(&directory), [TITLE]);

        let directory = save_again(&server, &ada, HOME_AGAIN).await.assert_status(200).json();
        assert_eq!(titles(&directory), [TITLE]);
        let opened = replay(&server, &ada, HOME_OPEN).await.assert_status(200).json();
        assert_eq!(opened["content"], SECOND);
        // The player's properties.
        let metadata = &opened["metadata"];
        let label = (&metadata["label"], &metadata["type"], &metadata["mimetype"]);
        assert_eq!(label, (&json!("Audio Player"), &json!("audio"), &json!(media_type)));

        let shown = replay(&server, &ada, HOME_MEDIA_FILE).await.assert_status(200);
        assert_eq!((shown.body.as_slice(), shown.header("content-type")), (MEDIA, Some(media_type)));
        let src = path_at("http://localhost:8080", &metadata["src"]);
        assert_plays(&replay_with(&server, &ada, HOME_PLAY, "src", src).await);
        leave_home(&server, &ada).await;
    }
}

#[apply(api_test)]
async fn clients_of_late_2024_list_titles_and_play_what_they_saved() {
    let server =
        TestServer::spawn_with(|config| config.responses.project_list = ProjectListEntries::Titles).await;
    let ada = visit_project(&server).await;
    let list = replay(&server, &ada, PROJECT_LIST).await.assert_status(200).json();
    assert_eq!(list["projects"], json!([]));
    let saved = replay(&server, &ada, PROJECT_FIRST).await.assert_status(200).json();
    assert_eq!(saved["metadata"]["title"], TITLE);
    let list = replay(&server, &ada, PROJECT_LIST).await.assert_status(200).json();
    // React shows these values unchanged.
    assert_eq!(list["projects"], json!([TITLE]));

    save_again(&server, &ada, PROJECT_AGAIN_2024).await.assert_status(200).json();
    let project = replay(&server, &ada, PROJECT_GET).await.assert_status(200).json();
    assert_eq!(project["notes"], SECOND);
    assert_is_a_project(&project);
    let shown = replay(&server, &ada, HOME_MEDIA_FILE).await.assert_status(200);
    assert_eq!(shown.body, MEDIA);
    let src = path_at("http://localhost:8000", &project["src"]);
    assert_plays(&replay_with(&server, &ada, PROJECT_PLAY_2024, "src", src).await);
    leave_project(&server, &ada).await;
}

#[apply(api_test)]
async fn todays_client_lists_projects_and_fetches_media_without_credentials() {
    let server = TestServer::spawn().await;
    let ada = visit_project(&server).await;
    let list = replay(&server, &ada, PROJECT_LIST).await.assert_status(200).json();
    assert_eq!(list, json!({"projects": [], "nextOffset": null}));
    replay(&server, &ada, PROJECT_FIRST).await.assert_status(200).json();
    let saved = save_again(&server, &ada, PROJECT_AGAIN).await.assert_status(200).json();
    assert_is_a_project(&saved["metadata"]);

    for recorded in [PROJECT_LIST, PROJECT_LIST_PAGE] {
        let list = replay(&server, &ada, recorded).await.assert_status(200).json();
        assert_eq!(list["nextOffset"], Value::Null);
        assert_eq!(titles(&list["projects"]), [TITLE], "{recorded}");
        assert_is_a_project(&list["projects"][0]);
    }
    let project = replay(&server, &ada, PROJECT_GET).await.assert_status(200).json();
    assert_eq!(project["notes"], SECOND);
    assert_is_a_project(&project);
    let src = path_at("http://localhost:8000", &project["src"]);
    let media = replay_with(&server, &server.visitor(), PROJECT_FETCH_MEDIA, "src", src).await;
    let media = media.assert_status(200);
    assert_eq!((media.body.as_slice(), media.header("content-type")), (MEDIA, Some("audio/mpeg")));
    leave_project(&server, &ada).await;
}

#[apply(api_test)]
async fn a_refusal_can_be_read_by_the_page_of_each_dialect() {
    let server = TestServer::spawn().await;
    let nobody = server.visitor();
    for recorded in [HOME_SIGN_IN, PROJECT_LOG_IN] {
        replay(&server, &nobody, recorded).await.assert_error(401, "bad_credentials");
    }
    for recorded in [
        HOME_JSON_EARLY_2024,
        HOME_FIRST,
        HOME_OPEN,
        HOME_MEDIA_FILE,
        HOME_DELETE,
        PROJECT_USER,
        PROJECT_LIST,
        PROJECT_FIRST,
        PROJECT_GET,
        PROJECT_DELETE,
    ] {
        replay(&server, &nobody, recorded).await.assert_error(401, "unauthorized");
    }
    let ada = server.ada().await;
    for recorded in [HOME_REGISTER, PROJECT_REGISTER] {
        replay(&server, &nobody, recorded).await.assert_error(409, "email_taken");
    }
    for recorded in [HOME_OPEN, HOME_MEDIA_FILE, HOME_DELETE, PROJECT_GET, PROJECT_DELETE] {
        replay(&server, &ada, recorded).await.assert_error(404, "not_found");
    }
}

/// Registers and signs in, as clients of `/home` do.
async fn visit_home(server: &TestServer) -> Client {
    let ada = server.visitor();
    // Sent without credentials: a cookie would be lost.
    replay(server, &ada, HOME_REGISTER).await.assert_status(201).assert_sets_no_cookie();
    let response = replay(server, &ada, HOME_SIGN_IN).await.assert_status(200).json();
    assert_eq!(response, json!({"email": ADA, "directory": []}));
    ada
}

/// Deletes the project and signs out, as clients of `/home` do.
async fn leave_home(server: &TestServer, ada: &Client) {
    assert_eq!(replay(server, ada, HOME_DELETE).await.assert_status(200).json(), json!([]));
    replay(server, ada, HOME_SIGN_OUT).await.assert_status(200).assert_deletes_cookies();
    replay(server, ada, HOME_OPEN).await.assert_error(401, "unauthorized");
}

/// Registers, logs in and asks who that is, as clients of `/project` do: they parse each response.
async fn visit_project(server: &TestServer) -> Client {
    let ada = server.visitor();
    let registered = replay(server, &ada, PROJECT_REGISTER).await.assert_status(201);
    registered.assert_sets_no_cookie();
    assert!(registered.json().is_object());
    assert!(replay(server, &ada, PROJECT_LOG_IN).await.assert_status(200).json().is_object());
    let user = replay(server, &ada, PROJECT_USER).await.assert_status(200).json();
    assert_eq!(user["email"], ADA);
    ada
}

/// Deletes the project and logs out, as clients of `/project` do.
async fn leave_project(server: &TestServer, ada: &Client) {
    assert!(replay(server, ada, PROJECT_DELETE).await.assert_status(200).json().is_object());
    let left = replay(server, ada, PROJECT_LOG_OUT).await.assert_status(200);
    left.assert_deletes_cookies();
    assert!(left.json().is_object());
    replay(server, ada, PROJECT_USER).await.assert_error(401, "unauthorized");
}

/// Asserts that today's client accepts it as a project, and that earlier clients can pass it to a player.
#[track_caller]
fn assert_is_a_project(metadata: &Value) {
    for key in KEYS {
        assert!(metadata[key].is_string(), "{key} of {metadata}");
    }
    assert!(metadata["src"].as_str().unwrap().starts_with("http://localhost:8000/media/"), "{metadata}");
}

/// Asserts that an `audio` element can play it and seek in it.
#[track_caller]
fn assert_plays(response: &ServerResponse) {
    assert_eq!((response.status, response.body.as_slice()), (206, MEDIA), "{response:?}");
    assert_eq!(response.header("content-range"), Some("bytes 0-23/24"));
    assert_eq!(response.header("content-encoding"), None);
    assert!(response.header("content-type").unwrap().starts_with("audio/"), "{response:?}");
}
