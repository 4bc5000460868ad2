//! A client of a server, over HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use notestamp_store::{Digest, Hasher};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

/// An account, signed in.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    name: String,
    cookies: String,
}

/// A project as it was listed.
#[derive(Debug)]
pub struct Listed {
    pub title: String,
    pub src: String,
    pub media: Option<Digest>,
}

/// The connection broke: the outcome of the request is unknown.
#[derive(Debug)]
pub struct Broken;

impl Client {
    /// Registers an account and signs in.
    pub async fn register(url: &str, name: &str) -> Self {
        assert_eq!(Self::try_register(url, name).await, (201, String::new()));
        let nobody =
            Self { http: http(), url: url.to_owned(), name: name.to_owned(), cookies: String::new() };
        nobody.sign_in_again().await.unwrap()
    }

    /// Registers an account; the status, and the code of an error.
    pub async fn try_register(url: &str, name: &str) -> (u16, String) {
        let sent = http().post(format!("{url}/auth/register")).json(&credentials(name)).send().await;
        status_and_code(sent.unwrap()).await
    }

    /// Signs in to the same account, for another session.
    ///
    /// # Errors
    /// The status, if it is not 200.
    pub async fn sign_in_again(&self) -> Result<Self, StatusCode> {
        let sent =
            self.http.post(format!("{}/auth/signin", self.url)).json(&credentials(&self.name)).send().await;
        let response = sent.unwrap();
        if response.status() != StatusCode::OK {
            return Err(response.status());
        }
        let set = response.headers().get_all("set-cookie").iter();
        let pairs = set.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
        Ok(Self { cookies: pairs.collect::<Vec<_>>().join("; "), ..self.clone() })
    }

    /// Signs out; the status.
    pub async fn sign_out(&self) -> u16 {
        self.request(Method::DELETE, "/auth/signout").send().await.unwrap().status().as_u16()
    }

    /// Removes the account; the status.
    pub async fn remove(&self) -> u16 {
        self.request(Method::DELETE, "/auth/remove").send().await.unwrap().status().as_u16()
    }

    /// The same session, without its access token.
    pub fn with_refresh_token_only(&self) -> Self {
        let refresh = self.cookies.split("; ").find(|cookie| cookie.contains("refreshToken=")).unwrap();
        Self { cookies: refresh.to_owned(), ..self.clone() }
    }

    /// Sends a GET request; returns the status, and the number of cookies in the response.
    pub async fn get(&self, path: &str) -> (u16, usize) {
        let response = self.request(Method::GET, path).send().await.unwrap();
        (response.status().as_u16(), response.headers().get_all("set-cookie").iter().count())
    }

    /// The same account, after the server has moved.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// The same account with its own connections.
    pub fn with_new_connections(&self) -> Self {
        Self { http: http(), ..self.clone() }
    }

    /// Sends a GET request to a URL.
    pub async fn fetch(&self, url: &str) -> reqwest::Result<Response> {
        self.http.get(url).header("cookie", &self.cookies).send().await
    }

    /// Saves a project, with media as a stream.
    pub async fn save(
        &self,
        title: &str,
        notes: &str,
        media: Option<impl Stream<Item = Bytes> + Send + 'static>,
    ) -> Result<(), Broken> {
        whole(self.send_save(title, notes, media).await, StatusCode::OK).await.map(drop)
    }

    /// Saves a project that may be refused; the status, and the code of an error.
    pub async fn try_save(
        &self,
        title: &str,
        media: Option<impl Stream<Item = Bytes> + Send + 'static>,
    ) -> (u16, String) {
        status_and_code(self.send_save(title, "notes", media).await.unwrap()).await
    }

    async fn send_save(
        &self,
        title: &str,
        notes: &str,
        media: Option<impl Stream<Item = Bytes> + Send + 'static>,
    ) -> reqwest::Result<Response> {
        let form = match media {
            Some(media) => {
                let body = Body::wrap_stream(media.map(Ok::<_, Infallible>));
                Form::new().part("mediaFile", Part::stream(body).file_name("media"))
            }
            None => Form::new().text("mediaFile", "null"),
        };
        let form = form.text("content", json!(notes).to_string());
        let form = form.text("metadata", json!({ "title": title, "mimetype": "audio/mpeg" }).to_string());
        self.request(Method::POST, "/home/upload").multipart(form).send().await
    }

    /// Saves a project as one JSON body; the status. `notes` is a JSON text. A server that refuses the body early may
    /// break the connection: that counts as 503.
    pub async fn save_as_json(&self, title: &str, notes: &str) -> u16 {
        let body = json!({ "metadata": { "title": title }, "content": notes });
        let sent = self.request(Method::POST, "/home/upload").json(&body).send().await;
        sent.map_or(503, |response| response.status().as_u16())
    }

    /// Asks for a project on a connection of its own, and reads nothing of the response.
    pub async fn open_without_reading(&self, title: &str) -> TcpStream {
        let address: SocketAddr = self.url.strip_prefix("http://").unwrap().parse().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut connection = socket.connect(address).await.unwrap();
        let cookies = &self.cookies;
        let head =
            format!("GET /home/open?name={title} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookies}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
    }

    /// Deletes a project; whether it was there.
    pub async fn delete(&self, title: &str) -> Result<bool, Broken> {
        let sent = self.request(Method::DELETE, "/home/delete").query(&[("name", title)]).send().await;
        let response = sent.map_err(|_| Broken)?;
        let found = response.status() != StatusCode::NOT_FOUND;
        let expected = if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
        whole(Ok(response), expected).await.map(|_| found)
    }

    pub async fn list(&self) -> Vec<Listed> {
        let response = self.request(Method::GET, "/home/list").send().await;
        let projects: Vec<Value> =
            serde_json::from_slice(&whole(response, StatusCode::OK).await.unwrap()).unwrap();
        let listed = projects.iter().map(|project| Listed {
            title: project["title"].as_str().unwrap().to_owned(),
            src: project["src"].as_str().unwrap().to_owned(),
            media: project["mediaDigest"].as_str().map(|digest| digest.parse().unwrap()),
        });
        listed.collect()
    }

    /// The notes of a project.
    pub async fn open(&self, title: &str) -> String {
        let sent = self.request(Method::GET, "/home/open").query(&[("name", title)]).send().await;
        let opened: Value = serde_json::from_slice(&whole(sent, StatusCode::OK).await.unwrap()).unwrap();
        serde_json::from_str(opened["content"].as_str().unwrap()).unwrap()
    }

    /// The digest and the size of a project's media, read to its end.
    pub async fn download(&self, project: &Listed) -> (Digest, u64) {
        let response = self.fetch(&project.src).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let (mut bytes, mut hasher) = (response.bytes_stream(), Hasher::new());
        while let Some(chunk) = bytes.next().await {
            hasher.update(&chunk.unwrap());
        }
        hasher.finish()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).header("cookie", &self.cookies)
    }
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().timeout(Duration::from_secs(300)).build().unwrap()
}

fn credentials(name: &str) -> Value {
    json!({ "username": format!("{name}@example.org"), "password": "correct horse battery staple" })
}

async fn status_and_code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// The body of a complete response.
async fn whole(response: reqwest::Result<Response>, expected: StatusCode) -> Result<Bytes, Broken> {
    let response = response.map_err(|_| Broken)?;
    let status = response.status();
    let body = response.bytes().await.map_err(|_| Broken)?;
    assert_eq!(status, expected, "{}", String::from_utf8_lossy(&body));
    Ok(body)
}
