//! What the tests share: a server for each test, and clients that act like users.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notestamp_server::App;
use notestamp_server::config::Config;
use notestamp_store::{CheckReport, Clock as _, Digest, ManualClock, Store, Timestamp};
use reqwest::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::stores::Stores;

/// The time at which every test begins.
pub const START: &str = "2026-01-01T00:00:00.000Z";
/// The account that tests use by default.
pub const ADA: &str = "ada@example.org";
/// The password of every account.
pub const PASSWORD: &str = "seventeen otters in a canoe";
/// An origin that is allowed by default.
pub const CLIENT_ORIGIN: &str = "http://localhost:3000";
/// The names of the session's cookies.
pub const ACCESS: &str = "__Host-accessToken";
pub const REFRESH: &str = "__Host-refreshToken";
/// The name of the cookie that tells a browser that has signed in before.
pub const DEVICE: &str = "__Host-deviceToken";
/// The deadline of every response, even in a storm of requests on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A server that ends with its test, and a clock that stands still.
pub struct TestServer<S> {
    address: SocketAddr,
    clock: Arc<ManualClock>,
    store: Store,
    config: Config,
    running: Running,
    http: reqwest::Client,
    stores: Arc<S>,
}

/// A running server, and how to stop it.
struct Running {
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::io::Result<()>>,
}

impl<S: Stores> TestServer<S> {
    pub async fn spawn() -> Self {
        Self::spawn_with(|_| {}).await
    }

    /// Starts a server with other settings.
    pub async fn spawn_with(change: impl FnOnce(&mut Config)) -> Self {
        let stores = S::fresh();
        let mut config = stores.config();
        change(&mut config);
        let clock = Arc::new(ManualClock::new(Timestamp::parse_iso8601(START).unwrap()));
        let app = App::build_at(config.clone(), clock.clone()).await.unwrap();
        Self::run(app, config, clock, Arc::new(stores))
    }

    /// A server over a store that the test has built, with that clock.
    pub async fn spawn_over(store: Store, clock: Arc<ManualClock>) -> Self {
        let stores = S::fresh();
        let config = stores.config();
        let app = App::build_over(store, config.clone(), clock.clone()).await.unwrap();
        Self::run(app, config, clock, Arc::new(stores))
    }

    fn run(app: App, config: Config, clock: Arc<ManualClock>, stores: Arc<S>) -> Self {
        let address = app.addresses().next().unwrap();
        let store = app.store().clone();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(app.run(async {
            // Clients may live longer than the test's handle to the server.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        }));
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .unwrap();
        let running = Running { stop, done };
        Self { address, clock, store, config, running, http, stores }
    }

    /// Another server over the same stores; only for stores that several servers can open.
    pub async fn sibling(&self) -> Self {
        self.sibling_with(|_| {}).await
    }

    /// Starts a server with other settings.
    pub async fn sibling_with(&self, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = self.config.clone();
        change(&mut config);
        let app = if S::ARE_SHARED {
            App::build_at(config.clone(), self.clock.clone()).await
        } else {
            App::build_over(self.store.clone(), config.clone(), self.clock.clone()).await
        };
        Self::run(app.unwrap(), config, self.clock.clone(), self.stores.clone())
    }

    /// Stops the server and starts it again.
    pub async fn restarted(self) -> Self {
        let Self { clock, config, running, stores, .. } = self;
        drop((self.store, self.http));
        running.stop.send(()).unwrap();
        running.done.await.unwrap().unwrap();
        let app = App::build_at(config.clone(), clock.clone()).await.unwrap();
        Self::run(app, config, clock, stores)
    }

    /// The stores of the server.
    pub fn stores(&self) -> &S {
        &self.stores
    }

    /// Stops the server; its stores stay.
    pub async fn stop(self) -> Arc<S> {
        let Self { running, stores, store, http, .. } = self;
        drop((store, http));
        running.stop.send(()).unwrap();
        running.done.await.unwrap().unwrap();
        stores
    }

    /// The store that it serves.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// A client without cookies.
    pub fn visitor(&self) -> Client {
        Client { address: self.address, http: self.http.clone(), cookies: Mutex::default() }
    }

    /// A client with a new account, signed in.
    pub async fn signed_in(&self, email: &str) -> Client {
        let client = self.visitor();
        client.register(email).await.assert_status(201);
        client.sign_in(email).await.assert_status(200);
        client
    }

    /// Ada, signed in.
    pub async fn ada(&self) -> Client {
        self.signed_in(ADA).await
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// Sets the civil clock forward by this time.
    pub fn set_clock_ahead(&self, by: Duration) {
        self.clock.step_to(self.clock.now().after(by));
    }

    /// Sets the civil clock back by this time.
    pub fn set_clock_back(&self, by: Duration) {
        self.clock.step_to(self.clock.now().before(by));
    }

    /// Sets the clock past every grace period of the sweep. Objects of a removed account have their grace period from
    /// the time of its purge, so the purge is completed first.
    pub async fn let_the_sweep_catch_up(&self) {
        self.store.sweep().await.unwrap();
        self.advance(Duration::from_secs(24 * 60 * 60));
    }

    /// `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Asserts that the stores hold exactly what the projects refer to. The server may still be sweeping: what its sweep
    /// has doomed and not yet deleted is no leak, so this looks again for a while.
    pub async fn assert_nothing_leaks(&self) {
        for attempts_left in (0..50).rev() {
            self.store.sweep().await.unwrap();
            let report = self.store.check().await.unwrap();
            if report == CheckReport::default() {
                return;
            }
            assert!(attempts_left > 0 && report.findings.is_empty(), "{report:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends bytes as they are, and reads the response until the server closes the connection.
    pub async fn send_raw(&self, request: impl AsRef<[u8]>) -> ServerResponse {
        let is_head = request.as_ref().starts_with(b"HEAD ");
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_ref()).await.unwrap();
            // Half-closing the connection ends a body that is shorter than announced.
            stream.shutdown().await.unwrap();
            let mut response = Vec::new();
            stream.read_to_end(&mut response).await.unwrap();
            response
        };
        let bytes = tokio::time::timeout(TIMEOUT, exchange)
            .await
            .expect("the server responds and closes the connection");
        let response = ServerResponse::parse(&bytes);
        response.assert_is_one_of_ours(is_head);
        response
    }
}

/// A client that keeps cookies as a browser does. They are `Secure`, so an HTTP library would not send them to
/// `http://127.0.0.1`, as browsers do.
pub struct Client {
    address: SocketAddr,
    http: reqwest::Client,
    cookies: Mutex<BTreeMap<String, String>>,
}

impl Client {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request with the cookies, and keeps those that the response sets.
    pub async fn send(&self, request: RequestBuilder) -> ServerResponse {
        self.send_built(request.build().unwrap()).await
    }

    /// The same, for a request that was changed after it was built.
    pub async fn send_built(&self, mut request: reqwest::Request) -> ServerResponse {
        if let Some(cookies) = self.cookie_header()
            && !request.headers().contains_key(COOKIE)
        {
            request.headers_mut().insert(COOKIE, HeaderValue::from_str(&cookies).unwrap());
        }
        let is_head = request.method() == Method::HEAD;
        let response = self.http.execute(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let response = ServerResponse { status, headers, body: response.bytes().await.unwrap().into() };
        response.assert_is_one_of_ours(is_head);
        self.keep_cookies(&response);
        response
    }

    /// Applies the cookies that a response sets.
    pub fn keep_cookies(&self, response: &ServerResponse) {
        let mut cookies = self.cookies.lock().unwrap();
        for (name, cookie) in response.cookies() {
            match cookie.value.as_str() {
                "" => cookies.remove(&name),
                value => cookies.insert(name, value.to_owned()),
            };
        }
    }

    pub async fn get(&self, path: &str) -> ServerResponse {
        self.send(self.request(Method::GET, path)).await
    }

    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> ServerResponse {
        let request = self.request(Method::GET, path);
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Sends a GET with the cookies, and reads no more than the head of the response.
    pub async fn begin_get(&self, path: &str) -> reqwest::Response {
        let request = self.request(Method::GET, path);
        request.header(COOKIE, self.cookie_header().unwrap_or_default()).send().await.unwrap()
    }

    pub async fn head(&self, path: &str) -> ServerResponse {
        self.send(self.request(Method::HEAD, path)).await
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> ServerResponse {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Posts a body of any content type.
    pub async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> ServerResponse {
        self.send(self.request(Method::POST, path).header(CONTENT_TYPE, content_type).body(body)).await
    }

    pub async fn delete(&self, path: &str) -> ServerResponse {
        self.delete_with(path, &[]).await
    }

    pub async fn delete_with(&self, path: &str, headers: &[(&str, &str)]) -> ServerResponse {
        let request = self.request(Method::DELETE, path);
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Sends the head of a request and waits until the server asks for the body, which it does after authentication.
    pub async fn hold(&self, path: &str, content_type: &str, body: Vec<u8>) -> HeldRequest {
        let cookies = self.cookie_header().unwrap_or_default();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nCookie: {cookies}\r\nContent-Type: {content_type}\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
            self.address,
            body.len(),
        );
        let held = async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
            let mut asked = [0; CONTINUE.len()];
            stream.read_exact(&mut asked).await.unwrap();
            assert_eq!(asked, *CONTINUE);
            stream
        };
        let stream = tokio::time::timeout(TIMEOUT, held).await.expect("the server asks for the body");
        HeldRequest { stream, body }
    }

    pub async fn register(&self, email: &str) -> ServerResponse {
        self.post_json("/auth/register", &credentials(email)).await
    }

    pub async fn sign_in(&self, email: &str) -> ServerResponse {
        self.post_json("/auth/signin", &credentials(email)).await
    }

    pub async fn sign_out(&self) -> ServerResponse {
        self.delete("/auth/signout").await
    }

    pub async fn remove_account(&self) -> ServerResponse {
        self.delete("/auth/remove").await
    }

    pub async fn save(&self, upload: Upload) -> ServerResponse {
        self.save_at("/home/upload", upload).await
    }

    /// Saves in another dialect.
    pub async fn save_at(&self, path: &str, upload: Upload) -> ServerResponse {
        self.send(upload.into_request(self, path)).await
    }

    /// Saves a project with some notes and no media.
    pub async fn save_project(&self, title: &str) {
        self.save(Upload::of(title)).await.assert_status(200);
    }

    /// Saves a project with media of that type; returns its metadata.
    pub async fn save_media(&self, title: &str, mimetype: &str, bytes: &[u8]) -> Value {
        let upload = Upload::with_metadata(json!({"title": title, "mimetype": mimetype})).media(bytes);
        let directory = self.save(upload).await.assert_status(200).json();
        find(&directory, title)
    }

    pub async fn open(&self, title: &str) -> ServerResponse {
        self.get(&format!("/home/open?{}", query(&[("name", title)]))).await
    }

    pub async fn delete_project(&self, title: &str) -> ServerResponse {
        self.delete(&format!("/home/delete?{}", query(&[("name", title)]))).await
    }

    /// Reads at a path with these parameters.
    pub async fn get_at(&self, path: &str, parameters: &[(&str, &str)]) -> ServerResponse {
        self.get(&format!("{path}?{}", query(parameters))).await
    }

    /// Posts nothing to a path with these parameters.
    pub async fn post_at(&self, path: &str, parameters: &[(&str, &str)]) -> ServerResponse {
        self.send(self.request(Method::POST, &format!("{path}?{}", query(parameters)))).await
    }

    /// Deletes at a path with these parameters.
    pub async fn delete_at(&self, path: &str, parameters: &[(&str, &str)]) -> ServerResponse {
        self.delete(&format!("{path}?{}", query(parameters))).await
    }

    /// The usage of the account that the server tells.
    pub async fn whole_usage(&self) -> Value {
        self.get("/auth/user").await.assert_status(200).json()["usage"].clone()
    }

    /// Lists with these parameters.
    pub async fn list(&self, parameters: &[(&str, &str)]) -> ServerResponse {
        self.get(&format!("/home/list?{}", query(parameters))).await
    }

    /// The titles of all projects, the latest save first.
    pub async fn titles(&self) -> Vec<String> {
        titles(&self.get("/home/list").await.assert_status(200).json())
    }

    pub async fn usage(&self) -> (u64, u64) {
        let account = self.get("/auth/user").await.assert_status(200).json();
        (account["usage"]["projects"].as_u64().unwrap(), account["usage"]["bytes"].as_u64().unwrap())
    }

    /// The value of a cookie of this client.
    #[track_caller]
    pub fn cookie(&self, name: &str) -> String {
        self.cookies.lock().unwrap().get(name).expect("it has this cookie").clone()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    pub fn drop_cookie(&self, name: &str) {
        self.cookies.lock().unwrap().remove(name);
    }

    /// Another client with the same cookies: another tab, or an attacker.
    pub fn twin(&self) -> Self {
        let cookies = Mutex::new(self.cookies.lock().unwrap().clone());
        Self { address: self.address, http: self.http.clone(), cookies }
    }

    /// The same client at another server.
    pub fn at<S>(&self, server: &TestServer<S>) -> Self {
        Self { address: server.address, http: server.http.clone(), ..self.twin() }
    }

    /// The `Cookie` header that it sends.
    pub fn cookie_header(&self) -> Option<String> {
        let cookies = self.cookies.lock().unwrap();
        let pairs: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

/// A request whose head has arrived, and whose body has not.
pub struct HeldRequest {
    stream: TcpStream,
    body: Vec<u8>,
}

impl HeldRequest {
    /// Sends the first half of what is left of the body.
    pub async fn send_half(&mut self) {
        let rest = self.body.split_off(self.body.len() / 2);
        self.stream.write_all(&self.body).await.unwrap();
        self.body = rest;
    }

    /// Sends the rest of the body, and reads the response.
    pub async fn finish(mut self) -> ServerResponse {
        let exchange = async {
            self.stream.write_all(&self.body).await.unwrap();
            let mut response = Vec::new();
            self.stream.read_to_end(&mut response).await.unwrap();
            response
        };
        let bytes = tokio::time::timeout(TIMEOUT, exchange).await.expect("the server responds");
        let response = ServerResponse::parse(&bytes);
        response.assert_is_one_of_ours(false);
        response
    }
}

/// What a client sends to register or to sign in.
pub fn credentials(email: &str) -> Value {
    json!({"username": email, "password": PASSWORD})
}

/// A query string.
pub fn query(parameters: &[(&str, &str)]) -> String {
    serde_urlencoded::to_string(parameters).unwrap()
}

/// One path segment, everything but letters and digits percent-encoded.
pub fn segment(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

/// The titles in a directory.
#[track_caller]
pub fn titles(directory: &Value) -> Vec<String> {
    let projects = directory.as_array().expect("a directory is an array");
    projects.iter().map(|project| project["title"].as_str().unwrap().to_owned()).collect()
}

/// The metadata of a project in a directory.
#[track_caller]
pub fn find(directory: &Value, title: &str) -> Value {
    let mut projects = directory.as_array().expect("a directory is an array").iter();
    projects.find(|project| project["title"] == title).expect("the project is listed").clone()
}

/// A save as the client's form sends it, part by part.
pub struct Upload {
    parts: Vec<FormPart>,
    headers: HeaderMap,
}

struct FormPart {
    name: String,
    /// The headers between the boundary and the bytes.
    head: Vec<u8>,
    bytes: Vec<u8>,
}

impl Upload {
    /// What separates the parts.
    pub const BOUNDARY: &str = "----a-boundary";

    /// A form without parts.
    pub fn empty() -> Self {
        Self { parts: Vec::new(), headers: HeaderMap::new() }
    }

    /// A project with this title, some notes, and no media.
    pub fn of(title: &str) -> Self {
        Self::with_metadata(json!({ "title": title }))
    }

    /// A project with this metadata, some notes, and no media.
    pub fn with_metadata(metadata: Value) -> Self {
        Self::empty().text("metadata", metadata.to_string()).text("content", r#"[{"text":"Hello"}]"#)
    }

    /// Adds a text part, or replaces the one of that name.
    pub fn text(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.parts.retain(|part| part.name != name);
        self.also_text(name, value)
    }

    /// Adds a text part, whether or not there is one of that name.
    pub fn also_text(self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.part(name, None, None, value)
    }

    /// Other notes.
    pub fn notes(self, notes: impl Into<Vec<u8>>) -> Self {
        self.text("content", notes)
    }

    /// Adds a media file.
    pub fn media(self, bytes: &[u8]) -> Self {
        self.part("mediaFile", Some("recording.bin"), Some("application/octet-stream"), bytes)
    }

    /// Adds a part.
    pub fn part(
        self,
        name: &str,
        file_name: Option<&str>,
        content_type: Option<&str>,
        bytes: impl Into<Vec<u8>>,
    ) -> Self {
        let mut head = format!("Content-Disposition: form-data; name=\"{name}\"");
        if let Some(file_name) = file_name {
            head += &format!("; filename=\"{file_name}\"");
        }
        if let Some(content_type) = content_type {
            head += &format!("\r\nContent-Type: {content_type}");
        }
        self.part_with_head(name, head, bytes)
    }

    /// Adds a part with these headers, which may be malformed; the name is for [`in_order`](Self::in_order) only.
    pub fn part_with_head(mut self, name: &str, head: impl Into<Vec<u8>>, bytes: impl Into<Vec<u8>>) -> Self {
        self.parts.push(FormPart { name: name.to_owned(), head: head.into(), bytes: bytes.into() });
        self
    }

    /// The parts in the order of these names.
    pub fn in_order(mut self, names: &[&str]) -> Self {
        self.parts.sort_by_key(|part| names.iter().position(|name| part.name == *name));
        self
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        self
    }

    /// The form as it goes over the wire.
    pub fn into_body(self) -> Vec<u8> {
        let mut body = Vec::new();
        for part in self.parts {
            body.extend_from_slice(format!("--{}\r\n", Self::BOUNDARY).as_bytes());
            body.extend_from_slice(&part.head);
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(&part.bytes);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{}--\r\n", Self::BOUNDARY).as_bytes());
        body
    }

    /// The content type of the form.
    pub fn content_type() -> String {
        format!("multipart/form-data; boundary={}", Self::BOUNDARY)
    }

    /// The request, with a `Content-Length`.
    pub fn into_request(mut self, client: &Client, path: &str) -> RequestBuilder {
        let headers = std::mem::take(&mut self.headers);
        client
            .request(Method::POST, path)
            .header(CONTENT_TYPE, Self::content_type())
            .headers(headers)
            .body(self.into_body())
    }
}

/// A body without a `Content-Length`.
pub fn chunked(bytes: Vec<u8>) -> reqwest::Body {
    let chunks: Vec<_> =
        bytes.chunks(64 * 1024).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    reqwest::Body::wrap_stream(futures_util::stream::iter(chunks))
}

/// A cookie that a response sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetCookie {
    pub value: String,
    /// The attributes as they are written, sorted; without `Expires`, which old browsers need and others ignore.
    pub attributes: Vec<String>,
}

/// A response of the server.
#[derive(Clone, Debug)]
pub struct ServerResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl ServerResponse {
    /// Parses the bytes of a response from a closed connection.
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("the response has a head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap().parse().unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(':').unwrap();
            let value = HeaderValue::from_str(value.trim()).unwrap();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        Self { status, headers, body: bytes[end + 4..].to_vec() }
    }

    /// Asserts what holds for every response.
    #[track_caller]
    fn assert_is_one_of_ours(&self, is_head: bool) {
        // A full storage is not a failure of the server, nor is a request that other requests leave no memory for, nor a
        // restore.
        let is_busy = self.status == 503 && ["busy", "restoring"].iter().any(|it| self.json()["code"] == *it);
        assert!(self.status < 500 || self.status == 507 || is_busy, "{self:?}");
        let is_preflight = self.status == 204;
        let is_below_the_application = self.headers.get("x-request-id").is_none();
        if is_preflight || (is_below_the_application && matches!(self.status, 400 | 414 | 431)) {
            return;
        }
        let challenge = (self.status == 401).then_some("Cookie realm=\"notestamp\"");
        assert_eq!(self.header("www-authenticate"), challenge, "{self:?}");
        let id = self.header("x-request-id").expect("every response names its request");
        assert_eq!(self.header("x-content-type-options"), Some("nosniff"));
        let vary: Vec<_> = self.headers.get_all("vary").iter().collect();
        assert!(vary.iter().any(|value| *value == "Origin"), "{vary:?}");
        assert!(self.header("location").is_none(), "nothing is redirected");
        if self.status >= 400 && !is_head {
            assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
            let error = self.json();
            let fields: Vec<_> = error.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(fields, ["code", "message", "requestId"], "{error}");
            assert_eq!(error["requestId"], id, "{error}");
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        }
    }

    #[track_caller]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    #[track_caller]
    pub fn assert_error(self, status: u16, code: &str) -> Self {
        let response = self.assert_status(status);
        assert_eq!(response.json()["code"], code, "{}", response.text());
        response
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The one value of a header.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values: Vec<_> = self.headers.get_all(name).iter().collect();
        assert!(values.len() <= 1, "{name}: {values:?}");
        values.first().map(|value| value.to_str().unwrap())
    }

    /// The cookies that it sets, by name.
    #[track_caller]
    pub fn cookies(&self) -> BTreeMap<String, SetCookie> {
        let mut cookies = BTreeMap::new();
        for header in self.headers.get_all(SET_COOKIE) {
            let mut pieces = header.to_str().unwrap().split("; ");
            let (name, value) = pieces.next().unwrap().split_once('=').unwrap();
            let mut attributes: Vec<_> =
                pieces.filter(|piece| !piece.starts_with("Expires=")).map(str::to_owned).collect();
            attributes.sort();
            let cookie = SetCookie { value: value.to_owned(), attributes };
            assert!(cookies.insert(name.to_owned(), cookie).is_none(), "{name} is set twice");
        }
        cookies
    }

    /// Asserts that it removes both cookies, in the form that browsers require.
    #[track_caller]
    pub fn assert_deletes_cookies(&self) {
        let attributes = ["HttpOnly", "Max-Age=0", "Path=/", "SameSite=Lax", "Secure"];
        let gone = SetCookie { value: String::new(), attributes: attributes.map(str::to_owned).into() };
        let expected = [ACCESS, REFRESH].map(|name| (name.to_owned(), gone.clone()));
        assert_eq!(self.cookies(), expected.into());
    }

    /// Asserts that it sets both cookies, as a refresh does.
    #[track_caller]
    pub fn assert_refreshes(&self) {
        let set = self.cookies();
        let names: Vec<_> = set.keys().map(String::as_str).collect();
        assert_eq!(names, [ACCESS, REFRESH], "{}", self.text());
        assert!(set.values().all(|cookie| !cookie.value.is_empty()));
    }

    /// Asserts that it sets the cookies of a new session and the device cookie.
    #[track_caller]
    pub fn assert_signs_in(&self) {
        let set = self.cookies();
        let names: Vec<_> = set.keys().map(String::as_str).collect();
        assert_eq!(names, [ACCESS, DEVICE, REFRESH], "{}", self.text());
    }

    #[track_caller]
    pub fn assert_sets_no_cookie(&self) {
        assert!(self.cookies().is_empty(), "{:?}", self.cookies());
    }
}
