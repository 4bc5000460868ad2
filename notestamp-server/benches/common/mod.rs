//! A server in this process, and one account.

use std::net::SocketAddr;
use std::time::Duration;

use notestamp_server::App;
use notestamp_server::config::{Config, SignInFailures};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::json;

pub const EMAIL: &str = "ada@example.org";
pub const PASSWORD: &str = "seventeen otters in a canoe";

pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

pub struct Server {
    address: SocketAddr,
    http: reqwest::Client,
}

impl Server {
    /// A server with all stores in memory, and an account without a limit of failed sign-ins.
    pub async fn spawn() -> Outcome<Self> {
        let mut config = Config::for_testing();
        config.limits.sign_in_failures = SignInFailures::Unlimited;
        let app = App::build(config).await?;
        let address = app.addresses().next().expect("it listens");
        tokio::spawn(app.run(std::future::pending()));
        let server = Self { address, http: reqwest::Client::builder().no_proxy().build()? };
        let credentials = json!({"username": EMAIL, "password": PASSWORD});
        server.request(Method::POST, "/auth/register").json(&credentials).send().await?.error_for_status()?;
        Ok(server)
    }

    /// The same server for another client, with its own connections.
    pub fn apart(&self) -> Outcome<Self> {
        Ok(Self { address: self.address, http: reqwest::Client::builder().no_proxy().build()? })
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> reqwest::Result<Response> {
        let credentials = json!({"username": email, "password": password});
        self.request(Method::POST, "/auth/signin").json(&credentials).send().await
    }
}

/// The quantile: this part of all values is not greater than it.
pub fn quantile(values: &[Duration], part: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1]
}
