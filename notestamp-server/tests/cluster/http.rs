//! A client with cookies that uses any server, and the assertions on each response.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{COOKIE, RETRY_AFTER, SET_COOKIE};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

pub const ACCESS: &str = "__Host-accessToken";
pub const REFRESH: &str = "__Host-refreshToken";

/// The extra time beyond a timeout that a loaded machine may need.
pub const SLACK: Duration = Duration::from_secs(4);

/// The failures that a test allows, and those that have happened.
#[derive(Debug, Default)]
pub struct Rules {
    /// The time within which a server must return 503; absent if the stores must be available.
    pub unavailable_time_max: Option<Duration>,
    /// Whether servers are killed.
    pub servers_die: bool,
    pub responses: AtomicUsize,
    pub unavailable: AtomicUsize,
    pub broken: AtomicUsize,
    /// In milliseconds.
    pub slowest_unavailable: AtomicUsize,
    /// Secret values, which must not appear in responses to other clients.
    pub cookies: Mutex<BTreeSet<String>>,
    /// The bodies of error responses.
    pub refusals: Mutex<Vec<Bytes>>,
}

/// A request without a usable response: its outcome is unknown.
#[derive(Debug)]
pub struct NoResponse;

#[derive(Clone)]
pub struct Browser {
    http: reqwest::Client,
    rules: Arc<Rules>,
    pub cookies: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct ServerResponse {
    pub status: u16,
    pub body: Bytes,
}

impl Browser {
    pub fn new(rules: &Arc<Rules>) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build().unwrap();
        Self { http, rules: rules.clone(), cookies: BTreeMap::new() }
    }

    /// The same, without some of its cookies.
    pub fn without(&self, name: &str) -> Self {
        let mut other = self.clone();
        other.cookies.remove(name);
        other
    }

    pub fn request(&self, method: Method, url: String) -> RequestBuilder {
        self.http.request(method, url)
    }

    pub async fn get(&mut self, url: String) -> Result<ServerResponse, NoResponse> {
        self.send(self.request(Method::GET, url)).await
    }

    /// Whether it has a cookie of a session.
    pub fn is_signed_in(&self) -> bool {
        [ACCESS, REFRESH].iter().any(|name| self.cookies.contains_key(*name))
    }

    /// Sends a request with the cookies, and keeps those that the response sets.
    pub async fn send(&mut self, request: RequestBuilder) -> Result<ServerResponse, NoResponse> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = request.header(COOKIE, cookies.join("; "));
        let (begun, rules) = (Instant::now(), self.rules.clone());
        let sent = request.send().await;
        let took = begun.elapsed();
        let response = sent.or_else(|error| rules.broken(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = match response.bytes().await {
            Ok(body) => body,
            // A download that has begun can only be interrupted.
            Err(_) if rules.unavailable_time_max.is_some() => return Err(NoResponse),
            Err(error) => return rules.broken(&error),
        };
        if !status.is_success() {
            rules.refusals.lock().unwrap().push(body.clone());
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let limit =
                rules.unavailable_time_max.unwrap_or_else(|| panic!("nothing may be unavailable: {body:?}"));
            assert!(headers.contains_key(RETRY_AFTER));
            assert!(took < limit, "it took {took:?} to say that it cannot be done now");
            rules.unavailable.fetch_add(1, Ordering::Relaxed);
            rules.slowest_unavailable.fetch_max(took.as_millis() as usize, Ordering::Relaxed);
            return Err(NoResponse);
        }
        assert!(!status.is_server_error(), "{status}: {body:?}");
        rules.responses.fetch_add(1, Ordering::Relaxed);
        for cookie in headers.get_all(SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => self.cookies.remove(name),
                value => {
                    rules.cookies.lock().unwrap().insert(value.to_owned());
                    self.cookies.insert(name.to_owned(), value.to_owned())
                }
            };
        }
        Ok(ServerResponse { status: status.as_u16(), body })
    }
}

impl Rules {
    fn broken<T>(&self, error: &reqwest::Error) -> Result<T, NoResponse> {
        assert!(self.servers_die && !error.is_timeout(), "{error:?}");
        self.broken.fetch_add(1, Ordering::Relaxed);
        Err(NoResponse)
    }
}

impl ServerResponse {
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn assert_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}
