//! Signing out also stops requests that have begun before: they change nothing, and return no data of the account.

use std::time::Duration;

use serde_json::json;

use super::TestServer;
use crate::harness::{ADA, Client, HeldRequest, PASSWORD, Upload};

const NEW_PASSWORD: &str = "eighteen otters in a canoe";

/// How the session of a held request ends.
#[derive(Clone, Copy, Debug)]
enum End {
    SignedOut,
    EndedElsewhere,
    PasswordChanged,
    AccountRemoved,
    Expired,
}

const ENDS: [End; 5] =
    [End::SignedOut, End::EndedElsewhere, End::PasswordChanged, End::AccountRemoved, End::Expired];

impl End {
    /// Ends the session of one client, by it or by another session of its account.
    async fn of(self, server: &TestServer, client: &Client, elsewhere: &Client) {
        let ended = match self {
            Self::SignedOut => client.twin().sign_out().await,
            Self::EndedElsewhere => {
                let sessions = client.get("/auth/sessions").await.assert_status(200).json();
                let is_current = |it: &&serde_json::Value| it["current"] == true;
                let current = sessions.as_array().unwrap().iter().find(is_current).unwrap();
                elsewhere.delete(&format!("/auth/sessions/{}", current["id"].as_str().unwrap())).await
            }
            Self::PasswordChanged => {
                let change = json!({"current": PASSWORD, "new": NEW_PASSWORD});
                elsewhere.post_json("/auth/password", &change).await
            }
            Self::AccountRemoved => elsewhere.remove_account().await,
            Self::Expired => return server.advance(SESSION_MAX),
        };
        ended.assert_status(200);
    }
}

const SESSION_MAX: Duration = Duration::from_secs(60 * 60);

struct Scene {
    server: TestServer,
    ada: Client,
    elsewhere: Client,
}

impl Scene {
    /// Two sessions of one account, which has one project.
    async fn new() -> Self {
        let server = TestServer::spawn_with(|config| config.tokens.session_max = SESSION_MAX).await;
        let ada = server.ada().await;
        let elsewhere = server.visitor();
        elsewhere.sign_in(ADA).await.assert_status(200);
        ada.save(Upload::of("a").notes(r#"["before"]"#)).await.assert_status(200);
        Self { server, ada, elsewhere }
    }

    /// The only project and the list of the account's projects; absent if the account does not exist.
    async fn state(&self, end: End) -> Option<(String, (u64, u64))> {
        let password = if matches!(end, End::PasswordChanged) { NEW_PASSWORD } else { PASSWORD };
        let credentials = json!({"username": ADA, "password": password});
        let visitor = self.server.visitor();
        let signed_in = visitor.post_json("/auth/signin", &credentials).await;
        if matches!(end, End::AccountRemoved) {
            signed_in.assert_error(401, "bad_credentials");
            return None;
        }
        signed_in.assert_status(200);
        assert_eq!(visitor.titles().await, ["a"]);
        let opened = visitor.open("a").await.assert_status(200).json();
        Some((opened["content"].as_str().unwrap().to_owned(), visitor.usage().await))
    }
}

async fn hold_upload(client: &Client, path: &str, upload: Upload) -> HeldRequest {
    client.hold(path, &Upload::content_type(), upload.into_body()).await
}

#[apply(api_test)]
async fn an_upload_whose_session_ends_meanwhile_is_refused_and_changes_nothing() {
    for end in ENDS {
        for (path, notes) in [("/home/upload", "content"), ("/project/save", "notesFile")] {
            let scene = Scene::new().await;
            let media = vec![7; 300_000];
            let upload = Upload::empty()
                .media(&media)
                .part(notes, (notes == "notesFile").then_some("n.json"), None, r#"["after"]"#)
                .text("metadata", json!({"title": "a"}).to_string());
            let mut held = hold_upload(&scene.ada, path, upload).await;
            held.send_half().await;
            end.of(&scene.server, &scene.ada, &scene.elsewhere).await;
            let response = held.finish().await.assert_error(401, "unauthorized");
            response.assert_sets_no_cookie();
            let kept = scene.state(end).await;
            assert!(kept.is_none_or(|kept| kept == (r#"["before"]"#.to_owned(), (1, 10))), "{end:?}");
            scene.server.let_the_sweep_catch_up().await;
            scene.server.assert_nothing_leaks().await;
        }
    }
}

#[apply(api_test)]
async fn a_held_save_without_a_form_by_an_ended_session_is_refused() {
    let scene = Scene::new().await;
    let body = json!({"title": "a", "stmp": "[]"}).to_string().into_bytes();
    let held = scene.ada.hold("/home/upload", "application/json", body).await;
    End::SignedOut.of(&scene.server, &scene.ada, &scene.elsewhere).await;
    held.finish().await.assert_error(401, "unauthorized");
    assert_eq!(scene.state(End::SignedOut).await.unwrap().0, r#"["before"]"#);
}

#[apply(api_test)]
async fn a_password_change_whose_session_ends_meanwhile_is_refused() {
    for end in ENDS {
        let scene = Scene::new().await;
        for current in [PASSWORD, "not the password at all"] {
            let client = scene.server.visitor();
            let signed_in = client.sign_in(ADA).await;
            if signed_in.status != 200 {
                // The first round has removed the account or changed its password.
                break;
            }
            let change = json!({"current": current, "new": "nineteen otters in a canoe"});
            let body = change.to_string().into_bytes();
            let held = client.hold("/auth/password", "application/json", body).await;
            end.of(&scene.server, &client, &scene.elsewhere).await;
            let response = held.finish().await.assert_error(401, "unauthorized");
            response.assert_sets_no_cookie();
            if matches!(end, End::Expired) {
                break;
            }
        }
        scene.state(end).await;
    }
}

#[apply(api_test)]
async fn a_held_upload_of_an_open_session_is_saved() {
    let scene = Scene::new().await;
    let upload = Upload::of("a").notes(r#"["after"]"#).media(b"song");
    let mut held = hold_upload(&scene.ada, "/home/upload", upload).await;
    held.send_half().await;
    // The end of another session does not end this one.
    scene.elsewhere.sign_out().await.assert_status(200);
    held.finish().await.assert_status(200);
    assert_eq!(scene.state(End::SignedOut).await.unwrap().0, r#"["after"]"#);
}

/// More than fits into the buffers of a connection.
const MEDIA_BYTES: usize = 24 << 20;

/// How old the last check of the session may be while media is sent.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Begins to read the media of Ada, by her cookies and by a URL that needs none.
async fn begin_streams(scene: &Scene) -> [reqwest::Response; 2] {
    scene.ada.save(Upload::of("song").media(&vec![7; MEDIA_BYTES])).await.assert_status(200);
    let granted = scene.ada.get("/media/stream/song").await.assert_status(200).json();
    let granted = granted["streamURL"].as_str().unwrap().strip_prefix(&scene.server.origin()).unwrap();
    let mut streams =
        [scene.ada.begin_get("/home/media-file/song").await, scene.server.visitor().begin_get(granted).await];
    for stream in &mut streams {
        assert_eq!((stream.status().as_u16(), stream.content_length()), (200, Some(MEDIA_BYTES as u64)));
        assert!(stream.chunk().await.unwrap().is_some());
    }
    streams
}

#[apply(api_test)]
async fn a_media_stream_whose_session_ends_is_cut_before_its_end() {
    for end in ENDS {
        let scene = Scene::new().await;
        let streams = begin_streams(&scene).await;
        end.of(&scene.server, &scene.ada, &scene.elsewhere).await;
        scene.server.advance(CHECK_EVERY);
        for stream in streams {
            assert_cut(stream, end).await;
        }
    }
}

/// Asserts that a response breaks off before all bytes of the media have come.
async fn assert_cut(mut stream: reqwest::Response, end: End) {
    let mut bytes = 0;
    let cut = loop {
        match stream.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut, "the client must not take {bytes} bytes for all of the media");
    assert!(bytes < MEDIA_BYTES, "{end:?}");
}

#[apply(api_test)]
async fn an_export_whose_session_ends_is_cut_before_its_end() {
    for end in [End::SignedOut, End::AccountRemoved] {
        let scene = Scene::new().await;
        scene.ada.save(Upload::of("song").media(&vec![7; MEDIA_BYTES])).await.assert_status(200);
        let mut stream = scene.ada.begin_get("/auth/export").await;
        assert_eq!(stream.status().as_u16(), 200);
        assert!(stream.chunk().await.unwrap().is_some());
        end.of(&scene.server, &scene.ada, &scene.elsewhere).await;
        scene.server.advance(CHECK_EVERY);
        assert_cut(stream, end).await;
    }
}

#[apply(api_test)]
async fn a_media_stream_of_an_open_session_goes_on_however_long_it_takes() {
    let scene = Scene::new().await;
    let streams = begin_streams(&scene).await;
    // What ends another session does not end this one.
    scene.elsewhere.sign_out().await.assert_status(200);
    for mut stream in streams {
        let mut bytes = 0;
        while let Some(chunk) = stream.chunk().await.unwrap() {
            scene.server.advance(Duration::from_millis(1));
            bytes += chunk.len();
        }
        assert!(bytes > MEDIA_BYTES / 2);
        scene.server.advance(CHECK_EVERY);
    }
}
