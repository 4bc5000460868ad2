//! What holds for every operation: the operations are read from the OpenAPI document, so that none can be left out.

use std::time::Duration;

use reqwest::multipart::Form;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use crate::harness::{ACCESS, CLIENT_ORIGIN, Client, PASSWORD, ServerResponse, TestServer, titles};
use crate::stores::Memory;

const FOREIGN_ORIGIN: &str = "https://foreign.example";
const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
/// A name that is neither a title nor an id of any project.
const UNKNOWN: &str = "00000000000000000000000000000000";

/// An operation of the API description.
struct Operation {
    id: String,
    method: Method,
    path: String,
    queries: Vec<String>,
    needs_session: bool,
    takes_body: bool,
    takes_json: bool,
    statuses: Vec<u16>,
}

impl Operation {
    /// Asserts that its response sets new tokens, or no cookies if the request has a body, which may take long to
    /// arrive.
    #[track_caller]
    fn assert_refreshes_if_it_is_quick(&self, response: &ServerResponse) {
        if self.takes_body {
            response.assert_sets_no_cookie();
        } else {
            response.assert_refreshes();
        }
    }

    fn all() -> Vec<Self> {
        let description: Value =
            serde_json::from_str(include_str!("../../../openapi/notestamp.json")).unwrap();
        let mut operations = Vec::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations.push(Self::new(path, method, operation));
            }
        }
        assert!(operations.len() >= 20, "the description is complete");
        operations
    }

    fn new(path: &str, method: &str, described: &Value) -> Self {
        let empty = Vec::new();
        let parameters = described["parameters"].as_array().unwrap_or(&empty).iter();
        let queries = parameters.filter(|it| it["in"] == "query");
        // A project's `id` may stand for its `name`. Without its `id`, `purgeTrash` purges all.
        let named = |it: &&Value| it["name"] == "name" || described["operationId"] == "purgeTrash";
        let required = queries.filter(|it| it["required"] == true || named(it));
        Self {
            id: described["operationId"].as_str().unwrap().to_owned(),
            method: method.to_uppercase().parse().unwrap(),
            path: path.to_owned(),
            queries: required.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect(),
            needs_session: described["security"].as_array().is_some_and(|schemes| !schemes.is_empty()),
            takes_body: described["requestBody"].is_object(),
            takes_json: described["requestBody"]["content"]
                .as_object()
                .is_some_and(|types| types.keys().any(|it| it.starts_with("application/json"))),
            statuses: described["responses"]
                .as_object()
                .unwrap()
                .keys()
                .map(|key| key.parse().unwrap())
                .collect(),
        }
    }

    fn changes_state(&self) -> bool {
        self.method != Method::GET
    }

    /// The method and path, with these values for the title and the id.
    fn target(&self, title: &str, id: &str) -> String {
        let mut target = self.path.replace("{title}", title).replace("{id}", id);
        assert!(!target.contains('{'), "{}: say what to put into {target}", self.id);
        for (index, name) in self.queries.iter().enumerate() {
            let value = match name.as_str() {
                "id" => id,
                "revision" => "1",
                _ => title,
            };
            target += &format!("{}{name}={value}", if index == 0 { '?' } else { '&' });
        }
        target
    }

    /// A request that succeeds, from a page of an allowed origin.
    fn good(&self, fixture: &Fixture) -> RequestBuilder {
        let id = match self.path.as_str() {
            path if path.contains("session") => &fixture.other_session,
            path if path.contains("trash") => &fixture.trashed,
            _ => &fixture.project,
        };
        // Only the server can make a signed URL.
        let is_granted = self.id == "readGrantedMedia";
        let target = if is_granted { fixture.granted.clone() } else { self.target("a", id) };
        let request = fixture.ada.request(self.method.clone(), &target);
        let request = request.header("origin", CLIENT_ORIGIN);
        if self.takes_body { request.multipart(fixture.form(self)) } else { request }
    }
}

/// An account with a project, another in the trash, and two sessions: enough for every operation.
struct Fixture {
    ada: Client,
    email: String,
    project: String,
    trashed: String,
    /// The path and query of the signed URL of its media.
    granted: String,
    other_session: String,
}

impl Fixture {
    async fn of(server: &TestServer<Memory>, operation: &Operation) -> Self {
        let email = format!("{}@example.org", operation.id.to_lowercase());
        let other = server.signed_in(&email).await;
        let ada = server.visitor();
        ada.sign_in(&email).await.assert_status(200);
        // First, so that its revision is 1.
        let project = ada.save_media("a", "audio/mpeg", b"0123456789").await;
        let trashed = ada.save_media("z", "audio/mpeg", b"z").await;
        ada.delete_project("z").await.assert_status(200);
        let sessions = other.get("/auth/sessions").await.assert_status(200).json();
        let mut sessions = sessions.as_array().unwrap().iter();
        let other_session = sessions.find(|session| session["current"] == true).unwrap();
        let metadata = ada.get("/project/get/a").await.assert_status(200).json();
        let granted = metadata["src"].as_str().unwrap().split_once("/media/").unwrap().1;
        Self {
            granted: format!("/media/{granted}"),
            project: project["id"].as_str().unwrap().to_owned(),
            trashed: trashed["id"].as_str().unwrap().to_owned(),
            other_session: other_session["id"].as_str().unwrap().to_owned(),
            ada,
            email,
        }
    }

    /// One form with the fields of all operations; each operation reads only its own fields.
    fn form(&self, operation: &Operation) -> Form {
        let newcomer = format!("new-{}", self.email);
        Form::new()
            .text("username", if operation.id == "register" { newcomer } else { self.email.clone() })
            .text("password", PASSWORD)
            .text("current", PASSWORD)
            .text("new", "eighteen otters in a canoe")
            .text("metadata", r#"{"title":"b"}"#)
            .text("content", "[]")
            .text("notesFile", "[]")
    }

    /// Asserts that nothing has changed.
    async fn assert_untouched(&self, operation: &Operation) {
        let id = &operation.id;
        assert_eq!(self.ada.titles().await, ["a"], "{id}");
        let trash = self.ada.get("/home/trash").await.assert_status(200).json();
        assert_eq!(titles(&trash), ["z"], "{id}");
        let sessions = self.ada.get("/auth/sessions").await.assert_status(200).json();
        assert_eq!(sessions.as_array().unwrap().len(), 2, "{id}");
        self.ada.twin().sign_in(&self.email).await.assert_status(200);
    }
}

/// Asserts the headers that every response carries.
#[track_caller]
fn assert_guarded(response: &ServerResponse, what: &str) {
    let present = |name: &str| response.header(name).unwrap_or_else(|| panic!("{what}: no {name}"));
    assert_eq!(present("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(present("referrer-policy"), "no-referrer", "{what}");
    let content_security = present("content-security-policy");
    // Without `allow-scripts`, so no response can run scripts.
    let is_closed = matches!(content_security, "sandbox" | "sandbox allow-same-origin")
        || content_security.starts_with("default-src 'none'");
    assert!(is_closed, "{what}: {content_security}");
    let cache = present("cache-control");
    assert!(cache == "no-store" || cache.starts_with("private"), "{what}: {cache}");
    assert!(present("x-request-id").len() >= 16, "{what}");
}

/// Asserts that a page of an allowed origin can read it.
#[track_caller]
fn assert_readable(response: &ServerResponse, what: &str) {
    assert_eq!(response.header("access-control-allow-origin"), Some(CLIENT_ORIGIN), "{what}");
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"), "{what}");
    assert!(response.header("access-control-expose-headers").is_some(), "{what}");
    assert_guarded(response, what);
}

#[tokio::test]
async fn each_operation_succeeds_and_its_response_has_the_common_headers() {
    let server = TestServer::<Memory>::spawn().await;
    for operation in Operation::all() {
        let fixture = Fixture::of(&server, &operation).await;
        let response = fixture.ada.send(operation.good(&fixture)).await;
        assert!((200..300).contains(&response.status), "{}: {}", operation.id, response.text());
        assert!(operation.statuses.contains(&response.status), "{}: {}", operation.id, response.status);
        assert_readable(&response, &operation.id);
    }
}

#[tokio::test]
async fn each_operation_with_a_session_refreshes_it_and_is_401_without_one() {
    let server = TestServer::<Memory>::spawn().await;
    let mut count = 0;
    for operation in Operation::all().iter().filter(|operation| operation.needs_session) {
        let (fixture, id) = (Fixture::of(&server, operation).await, &operation.id);
        assert!(operation.statuses.contains(&401), "{id}");
        let nobody = Fixture { ada: server.visitor(), ..fixture };
        let response = nobody.ada.send(operation.good(&nobody)).await.assert_error(401, "unauthorized");
        response.assert_sets_no_cookie();
        assert_readable(&response, id);

        let fixture = Fixture { ada: server.visitor(), ..nobody };
        fixture.ada.sign_in(&fixture.email).await.assert_status(200);
        server.advance(ACCESS_TTL);
        let response = fixture.ada.send(operation.good(&fixture)).await;
        assert!((200..300).contains(&response.status), "{id}: {}", response.text());
        match id.as_str() {
            "removeAccount" => response.assert_deletes_cookies(),
            "changePassword" => response.assert_signs_in(),
            _ => operation.assert_refreshes_if_it_is_quick(&response),
        }
        count += 1;
    }
    assert!(count >= 12, "{count}");
}

#[tokio::test]
async fn each_failing_operation_with_a_session_refreshes_it_too() {
    let server = TestServer::<Memory>::spawn().await;
    for operation in Operation::all().iter().filter(|operation| operation.needs_session) {
        let (fixture, id) = (Fixture::of(&server, operation).await, &operation.id);
        let request = |target: &str| {
            let request = fixture.ada.request(operation.method.clone(), target);
            request.header("origin", CLIENT_ORIGIN)
        };
        let mut failures = Vec::new();
        if operation.statuses.contains(&404) {
            failures.push((404, request(&operation.target(UNKNOWN, UNKNOWN))));
        }
        if !operation.queries.is_empty() && id != "purgeTrash" {
            failures.push((400, request(&operation.path)));
        }
        if operation.takes_body {
            let target = operation.target("a", &fixture.project);
            failures.push((415, request(&target).header("content-type", "text/plain").body("x")));
            let broken = request(&target).header("content-type", "application/json").body("{");
            failures.push((if operation.takes_json { 400 } else { 415 }, broken));
        }
        if operation.statuses.contains(&416) {
            let target = operation.target("a", &fixture.project);
            failures.push((416, request(&target).header("range", "bytes=10-")));
            failures.push((206, request(&target).header("range", "bytes=2-")));
        }
        for (status, failing) in failures {
            server.advance(ACCESS_TTL);
            let response = fixture.ada.send(failing).await;
            assert_eq!(response.status, status, "{id}: {}", response.text());
            operation.assert_refreshes_if_it_is_quick(&response);
            assert_readable(&response, id);
        }
    }
}

#[tokio::test]
async fn each_changing_operation_refuses_foreign_pages_without_effect() {
    let server = TestServer::<Memory>::spawn().await;
    for operation in Operation::all().iter().filter(|operation| operation.changes_state()) {
        let (fixture, id) = (Fixture::of(&server, operation).await, &operation.id);
        assert!(operation.statuses.contains(&403), "{id}");
        // The access token has expired, so a refresh would be visible.
        fixture.ada.drop_cookie(ACCESS);
        for (header, value) in
            [("origin", FOREIGN_ORIGIN), ("origin", "null"), ("sec-fetch-site", "cross-site")]
        {
            let mut request = operation.good(&fixture).build().unwrap();
            request.headers_mut().remove("origin");
            request.headers_mut().insert(header, value.parse().unwrap());
            let response = fixture.ada.send_built(request).await.assert_error(403, "forbidden_origin");
            assert_guarded(&response, id);
            response.assert_sets_no_cookie();
            assert_eq!(response.header("access-control-allow-origin"), None, "{id}");
        }
        fixture.assert_untouched(operation).await;
    }
}

#[tokio::test]
async fn each_reading_operation_is_unreadable_for_foreign_pages() {
    let server = TestServer::<Memory>::spawn().await;
    for operation in Operation::all().iter().filter(|operation| !operation.changes_state()) {
        let fixture = Fixture::of(&server, operation).await;
        let mut request = operation.good(&fixture).build().unwrap();
        request.headers_mut().insert("origin", FOREIGN_ORIGIN.parse().unwrap());
        let response = fixture.ada.send_built(request).await.assert_status(200);
        assert_eq!(response.header("access-control-allow-origin"), None, "{}", operation.id);
        assert_guarded(&response, &operation.id);
    }
}

#[tokio::test]
async fn each_path_has_the_common_headers_on_404_and_405_and_413() {
    let server = TestServer::<Memory>::spawn_with(|config| {
        config.limits.media_bytes_max = 1024;
        config.limits.notes_bytes_max = 1024;
    })
    .await;
    let visitor = server.visitor();
    let ada = server.ada().await;
    for operation in Operation::all() {
        let target = operation.target("a", UNKNOWN);
        let id = &operation.id;
        for method in [Method::PUT, Method::PATCH] {
            let request = visitor.request(method, &target).header("origin", CLIENT_ORIGIN);
            let response = visitor.send(request).await.assert_error(405, "method_not_allowed");
            let allowed = response.header("allow").expect("it says which").to_owned();
            assert!(allowed.split(", ").any(|it| it == operation.method.as_str()), "{id}: {allowed}");
            assert_readable(&response, id);
        }
        let beyond = format!("{}/further/down/there", operation.path.replace(['{', '}'], ""));
        let request = visitor.request(operation.method.clone(), &beyond).header("origin", CLIENT_ORIGIN);
        let response = visitor.send(request).await;
        // What follows a project's id in the path of its media is a file name.
        if !beyond.starts_with("/home/media/") {
            assert_eq!(response.status, 404, "{id}");
        }
        assert_readable(&response, id);
        if operation.takes_body {
            let request = ada.request(operation.method.clone(), &target).header("origin", CLIENT_ORIGIN);
            let request = if operation.takes_json {
                request.header("content-type", "application/json").body(vec![b' '; 512 * 1024])
            } else {
                request.multipart(Form::new().text("notesFile", " ".repeat(512 * 1024)))
            };
            let response = ada.send(request).await.assert_error(413, "too_large");
            assert_readable(&response, id);
        }
    }
}
