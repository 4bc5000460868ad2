//! The content of the log, for operators and for programs that read it.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notestamp_server::config::{PublicUrl, SignInFailures};
use reqwest::Method;
use reqwest::header::HOST;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::harness::{self, ADA, Client, credentials};
use crate::stores::Memory;

type TestServer = harness::TestServer<Memory>;

/// The log of this thread, in which the server runs too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start(as_json: bool) -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
        let filter = tracing_subscriber::EnvFilter::new("warn,notestamp_server=info,notestamp_store=info");
        let registry = tracing_subscriber::registry().with(filter);
        let guard = if as_json {
            tracing::subscriber::set_default(registry.with(layer.json().flatten_event(true)))
        } else {
            tracing::subscriber::set_default(registry.with(layer))
        };
        (log, guard)
    }

    /// Removes all lines from the log, and returns those that contain this text.
    fn take(&self, part: &str) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }
}

async fn guess(client: &Client, name: &str) {
    let wrong = json!({"username": name, "password": "a wrong guess"});
    client.post_json("/auth/signin", &wrong).await.assert_error(401, "bad_credentials");
}

#[tokio::test]
async fn a_failed_sign_in_names_the_address_and_the_reason_and_not_the_account() {
    let (log, _guard) = Log::start(true);
    let server = TestServer::spawn().await;
    let ada = server.ada().await;
    log.take("");
    guess(&ada, ADA).await;
    guess(&ada, "nobody@example.org").await;
    guess(&ada, &"x".repeat(300)).await;
    let change = json!({"current": "a wrong guess", "new": "eighteen otters in a canoe"});
    ada.post_json("/auth/password", &change).await.assert_error(401, "bad_credentials");
    let lines = log.take("");
    let events: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let reasons: Vec<_> = events.iter().map(|event| event["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["wrong password", "unknown account", "unknown account", "wrong current password"]);
    for (line, event) in lines.iter().zip(&events) {
        assert!(line.contains(r#""message":"sign-in failed","address":"127.0.0.1""#), "{line}");
        assert_eq!(event["level"], "INFO");
        assert!(!line.contains("example.org") && !line.contains("xxx") && !line.contains("guess"), "{line}");
    }
}

#[tokio::test]
async fn a_failed_sign_in_is_one_line_of_text() {
    let (log, _guard) = Log::start(false);
    let server = TestServer::spawn().await;
    guess(&server.visitor(), ADA).await;
    let lines = log.take("");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].ends_with(r#"sign-in failed address=127.0.0.1 reason="wrong password""#)
            || lines[0].ends_with(r#"sign-in failed address=127.0.0.1 reason="unknown account""#),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_storm_of_throttled_sign_ins_is_one_line_a_second() {
    let (log, _guard) = Log::start(true);
    let server = TestServer::spawn_with(|config| {
        config.limits.sign_in_failures = SignInFailures::parse("2/15m").unwrap();
    })
    .await;
    let client = server.visitor();
    guess(&client, ADA).await;
    guess(&client, ADA).await;
    for _ in 0..3 {
        log.take("");
        for _ in 0..10 {
            client.sign_in(ADA).await.assert_error(429, "too_many_requests");
        }
        let lines = log.take("sign-in throttled");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(r#""message":"sign-in throttled","address":"127.0.0.1""#), "{lines:?}");
        assert!(!lines[0].contains("example.org"), "{lines:?}");
        server.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn headers_of_an_untrusted_proxy_cause_a_warning_at_most_once_an_hour() {
    let (log, _guard) = Log::start(true);
    let names = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "forwarded"];
    for name in names {
        let server = TestServer::spawn().await;
        let client = server.visitor();
        client.get("/healthz").await;
        assert_eq!(log.take("--trusted-proxy"), [""; 0]);
        for _ in 0..3 {
            client.get_with("/healthz", &[(name, "for=192.0.2.1")]).await;
        }
        let lines = log.take("--trusted-proxy");
        assert_eq!(lines.len(), 1, "{name}: {lines:?}");
        assert!(
            lines[0].contains(r#""level":"WARN""#) && lines[0].contains(r#""peer":"127.0.0.1""#),
            "{lines:?}"
        );
    }

    let trusted = "127.0.0.0/8".parse().unwrap();
    let server = TestServer::spawn_with(|config| config.listen.trusted_proxies = vec![trusted]).await;
    server.visitor().get_with("/healthz", &[(names[0], "192.0.2.1")]).await;
    assert_eq!(log.take("--trusted-proxy"), [""; 0]);
}

#[tokio::test]
async fn cookies_that_browsers_reject_cause_a_warning_at_most_once_an_hour() {
    let (log, _guard) = Log::start(true);
    let warnings = async |server: &TestServer, host: &str| {
        log.take("");
        for _ in 0..2 {
            let client = server.visitor();
            let request = client.request(Method::POST, "/auth/signin").header(HOST, host);
            client.send(request.json(&credentials(ADA))).await.assert_status(200);
        }
        log.take("Secure cookies").len()
    };
    let registered = async |server: TestServer| {
        server.visitor().register(ADA).await.assert_status(201);
        server
    };
    let server = registered(TestServer::spawn().await).await;
    for near in ["localhost:8080", "notes.localhost", "127.0.0.1", "[::1]:8080"] {
        assert_eq!(warnings(&server, near).await, 0, "{near}");
    }
    assert_eq!(warnings(&server, "notes.example.org").await, 1);
    assert_eq!(warnings(&server, "192.0.2.1:8080").await, 0, "not again so soon");

    let insecure = registered(TestServer::spawn_with(|config| config.cookies.insecure = true).await).await;
    assert_eq!(warnings(&insecure, "notes.example.org").await, 0);
    let public = |url: &str| Some(PublicUrl::parse(url).unwrap());
    let https =
        TestServer::spawn_with(|config| config.listen.public_url = public("https://notes.example.org"));
    assert_eq!(warnings(&registered(https.await).await, "notes.example.org").await, 0);
    let plain =
        TestServer::spawn_with(|config| config.listen.public_url = public("http://notes.example.org"));
    assert_eq!(warnings(&registered(plain.await).await, "127.0.0.1").await, 1);
}
