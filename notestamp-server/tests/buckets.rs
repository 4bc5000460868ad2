//! A server whose media is in a bucket: redirects of players, and responses while the bucket is unavailable.
//!
//! `scripts/services start` starts an S3 server, and prints the environment variables with which these tests find it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use notestamp_server::App;
use notestamp_server::config::{Config, MediaDelivery};
use notestamp_store::{BlobUrl, Clock, ObjectId, OsRandom, SystemClock};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;

/// The deadline of a response while the bucket does not respond.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(10);

const PLAYER: (&str, &str) = ("sec-fetch-dest", "audio");

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_player_is_redirected_to_the_bucket_with_all_headers() {
    let user = User::of(MediaDelivery::Redirect, &fresh_bucket(&endpoint())).await;
    let src = user.save_media("Søng", "audio/mpeg", b"0123456789").await;
    let redirect = user.get(&src, &[PLAYER]).await;
    assert_eq!(redirect.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(redirect.headers()["cache-control"], "no-store");

    // As a browser would: without the cookies of the server.
    let location = redirect.headers()["location"].to_str().unwrap();
    let range = Client::new().get(location).header("range", "bytes=2-").send().await.unwrap();
    assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range.headers()["content-type"], "audio/mpeg");
    let disposition = range.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.starts_with("inline") && disposition.contains("S%C3%B8ng.mp3"), "{disposition}");
    assert_eq!(range.bytes().await.unwrap(), "23456789");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn an_unsafe_media_type_is_an_attachment_in_the_bucket_too() {
    let user = User::of(MediaDelivery::Redirect, &fresh_bucket(&endpoint())).await;
    let src = user.save_media("page", "text/html", b"<script>").await;
    let redirect = user.get(&src, &[PLAYER]).await;
    let page = reqwest::get(redirect.headers()["location"].to_str().unwrap()).await.unwrap();
    assert_eq!(page.headers()["content-type"], "application/octet-stream");
    assert!(page.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn all_requests_except_those_of_players_get_the_bytes_from_the_server() {
    let user = User::of(MediaDelivery::Redirect, &fresh_bucket(&endpoint())).await;
    let src = user.save_media("title", "audio/mpeg", b"0123456789").await;
    for headers in [&[][..], &[("sec-fetch-dest", "empty")], &[PLAYER, ("sec-fetch-mode", "cors")]] {
        let response = user.get(&src, headers).await;
        assert_eq!(response.status(), StatusCode::OK, "{headers:?}");
        assert_eq!(response.bytes().await.unwrap(), "0123456789");
    }
    let head = user.request(Method::HEAD, &src, &[PLAYER, ("range", "bytes=2-3")]).await;
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()["content-length"], "10");

    let proxied = User::of(MediaDelivery::Proxy, &fresh_bucket(&endpoint())).await;
    let src = proxied.save_media("title", "audio/mpeg", b"0123456789").await;
    assert_eq!(proxied.get(&src, &[PLAYER]).await.status(), StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn another_user_is_not_redirected_to_the_bucket() {
    let user = User::of(MediaDelivery::Redirect, &fresh_bucket(&endpoint())).await;
    let src = user.save_media("title", "audio/mpeg", b"0123456789").await;

    let nobody = User { client: Client::new(), ..user.clone() };
    assert_eq!(nobody.get(&src, &[PLAYER]).await.status(), StatusCode::UNAUTHORIZED);
    let other = user.another().await;
    assert_eq!(other.get(&src, &[PLAYER]).await.status(), StatusCode::NOT_FOUND);
    user.request(Method::DELETE, "/auth/signout", &[]).await;
    assert_eq!(user.get(&src, &[PLAYER]).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn with_a_store_that_cannot_presign_the_server_sends_the_bytes() {
    let user = User::of(MediaDelivery::Redirect, "memory:///").await;
    let src = user.save_media("title", "audio/mpeg", b"0123456789").await;
    assert_eq!(user.get(&src, &[PLAYER]).await.status(), StatusCode::OK);
}

/// Uses real time, because the response must reach a waiting client.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn while_the_bucket_does_not_respond_requests_get_503_with_retry_after() {
    let (address, silence) = relay("").await;
    let user = User::of(MediaDelivery::Proxy, &fresh_bucket(&format!("http://{address}"))).await;
    let src = user.save_media("title", "audio/mpeg", b"0123456789").await;

    silence.send_replace(true);
    let begun = Instant::now();
    let (small, large) = (b"small".as_slice(), vec![7; 20 << 20]);
    let (read, save, large_save) =
        tokio::join!(user.get(&src, &[]), user.save("other", small), user.save("large", &large));
    assert!(begun.elapsed() < REQUEST_TIME_MAX, "{:?}", begun.elapsed());
    for response in [read, save, large_save] {
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
    }

    silence.send_replace(false);
    assert_eq!(user.get(&src, &[]).await.bytes().await.unwrap(), "0123456789");
    assert_eq!(user.save("other", small).await.status(), StatusCode::OK);
}

/// Uses real time for the same reason.
#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_bucket_that_stalls_during_an_upload_is_detected_soon() {
    // At a part after the first, and at the end.
    for request in ["?partNumber=2&", "?uploadId="] {
        let (address, silence) = relay(request).await;
        let user = User::of(MediaDelivery::Proxy, &fresh_bucket(&format!("http://{address}"))).await;
        let large = vec![7; 20 << 20];
        let saving = user.save("large", &large);
        let fell_silent = async {
            silence.subscribe().wait_for(|silent| *silent).await.expect("the sender is in reach");
            Instant::now()
        };
        let (response, begun) = tokio::join!(saving, fell_silent);
        assert!(begun.elapsed() < REQUEST_TIME_MAX, "{request}: {:?}", begun.elapsed());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{request}");
        assert!(response.headers().contains_key("retry-after"));
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is needed"))
}

fn endpoint() -> String {
    variable("NOTESTAMP_TEST_S3_ENDPOINT")
}

fn fresh_bucket(endpoint: &str) -> String {
    let prefix = ObjectId::generate(SystemClock.now(), &OsRandom);
    format!("s3://{}/test/{prefix}?endpoint={endpoint}&path_style=true", variable("NOTESTAMP_TEST_S3_BUCKET"))
}

/// The address of a relay to the S3 server that stops passing bytes on, on command or after a given request.
async fn relay(last_request: &'static str) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let target = endpoint().trim_start_matches("http://").to_owned();
    let silence = watch::Sender::new(false);
    let silencer = silence.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let (target, silencer) = (target.clone(), silencer.clone());
            let mut is_silent = silencer.subscribe();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(target).await.expect("the S3 server is there");
                let (mut requests, mut responses) = (from.split(), to.split());
                let relayed = async {
                    tokio::select! {
                        () = copy_requests(&mut requests.0, &mut responses.1, last_request, &silencer) => {}
                        _ = copy(&mut responses.0, &mut requests.1) => {}
                    }
                };
                tokio::select! {
                    biased;
                    silent = is_silent.wait_for(|silent| *silent) => drop(silent),
                    () = relayed => return,
                }
                // The connection stays open and silent until the test ends.
                let _ = is_silent.wait_for(|silent| !*silent).await;
            });
        }
    });
    (address, silence)
}

/// Passes requests on until the connection ends, or a request of the given kind arrives.
async fn copy_requests(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    last: &str,
    silence: &watch::Sender<bool>,
) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let piece = &bytes[..count];
        if !last.is_empty() && piece.windows(last.len()).any(|window| window == last.as_bytes()) {
            silence.send_replace(true);
        }
        if to.write_all(piece).await.is_err() {
            return;
        }
    }
}

/// A signed-in client of a server.
#[derive(Clone)]
struct User {
    address: SocketAddr,
    client: Client,
}

impl User {
    /// The first user of a new server.
    async fn of(media_delivery: MediaDelivery, media: &str) -> Self {
        let mut config = Config::for_testing();
        config.responses.media_delivery = media_delivery;
        config.storage.media = BlobUrl::parse(media).expect("it is a URL");
        let app = App::build(config).await.expect("it starts");
        let address = app.addresses().next().expect("it listens");
        tokio::spawn(app.run(std::future::pending()));
        Self::at(address, "first@example.org").await
    }

    /// Another user of the same server.
    async fn another(&self) -> Self {
        Self::at(self.address, "second@example.org").await
    }

    async fn at(address: SocketAddr, email: &str) -> Self {
        let url = |path: &str| format!("http://{address}{path}");
        let credentials = [("username", email), ("password", "correct horse battery staple")];
        let client = Client::new();
        let registered = client.post(url("/auth/register")).form(&credentials).send().await.unwrap();
        assert_eq!(registered.status(), StatusCode::CREATED);
        let signed_in = client.post(url("/auth/signin")).form(&credentials).send().await.unwrap();
        assert_eq!(signed_in.status(), StatusCode::OK);
        let set_cookies = signed_in.headers().get_all("set-cookie").iter();
        let cookies = set_cookies.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        let cookie = HeaderValue::from_str(&cookies.collect::<Vec<_>>().join("; ")).unwrap();
        let headers = HeaderMap::from_iter([(HeaderName::from_static("cookie"), cookie)]);
        let client = Client::builder().default_headers(headers).redirect(Policy::none()).build().unwrap();
        Self { address, client }
    }

    async fn save(&self, title: &str, media: &[u8]) -> Response {
        self.save_as(title, "audio/mpeg", media).await
    }

    async fn save_as(&self, title: &str, media_type: &str, media: &[u8]) -> Response {
        let metadata = format!(r#"{{"title": "{title}", "mimetype": "{media_type}"}}"#);
        let form = Form::new()
            .part("mediaFile", Part::bytes(media.to_vec()).file_name("file"))
            .text("content", "{}")
            .text("metadata", metadata);
        let url = format!("http://{}/home/upload", self.address);
        self.client.post(url).multipart(form).send().await.unwrap()
    }

    /// Saves a project; returns the path of its media.
    async fn save_media(&self, title: &str, media_type: &str, media: &[u8]) -> String {
        let saved = self.save_as(title, media_type, media).await;
        assert_eq!(saved.status(), StatusCode::OK);
        let directory: serde_json::Value = saved.json().await.unwrap();
        let src = directory[0]["src"].as_str().expect("media has a URL");
        src.strip_prefix(&format!("http://{}", self.address)).expect("it is the server's").to_owned()
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.request(Method::GET, path, headers).await
    }

    async fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap()
    }
}
