//! Somebody who uses a server over HTTP.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use notestamp_store::{Digest, Hasher};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, Response, StatusCode};
use serde_json::{Value, json};

/// An account, signed in.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    cookies: String,
}

/// A project as it was listed.
#[derive(Debug)]
pub struct Listed {
    pub title: String,
    pub src: String,
    pub media: Option<Digest>,
}

/// The connection broke: nobody knows what came of the request.
#[derive(Debug)]
pub struct Broken;

impl Client {
    /// Registers an account and signs in.
    pub async fn register(url: &str, name: &str) -> Self {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(300)).build().unwrap();
        let credentials =
            json!({ "username": format!("{name}@example.org"), "password": "correct horse battery staple" });
        for (path, status) in [("register", StatusCode::CREATED), ("signin", StatusCode::OK)] {
            let answer = http.post(format!("{url}/auth/{path}")).json(&credentials).send().await.unwrap();
            assert_eq!(answer.status(), status);
            if path == "signin" {
                let set = answer.headers().get_all("set-cookie").iter();
                let pairs = set.map(|cookie| cookie.to_str().unwrap().split(';').next().unwrap());
                let cookies = pairs.collect::<Vec<_>>().join("; ");
                return Self { http, url: url.to_owned(), cookies };
            }
        }
        unreachable!("it has signed in")
    }

    /// The same account, after the server has moved.
    pub fn at(&self, url: &str) -> Self {
        Self { url: url.to_owned(), ..self.clone() }
    }

    /// Saves a project, with media as it comes.
    pub async fn save(
        &self,
        title: &str,
        notes: &str,
        media: Option<impl Stream<Item = Bytes> + Send + 'static>,
    ) -> Result<(), Broken> {
        let form = match media {
            Some(media) => {
                let body = Body::wrap_stream(media.map(Ok::<_, Infallible>));
                Form::new().part("mediaFile", Part::stream(body).file_name("media"))
            }
            None => Form::new().text("mediaFile", "null"),
        };
        let form = form.text("content", json!(notes).to_string());
        let form = form.text("metadata", json!({ "title": title, "mimetype": "audio/mpeg" }).to_string());
        let sent = self.request(Method::POST, "/home/upload").multipart(form).send().await;
        whole(sent, StatusCode::OK).await.map(drop)
    }

    /// Deletes a project; whether it was there.
    pub async fn delete(&self, title: &str) -> Result<bool, Broken> {
        let sent = self.request(Method::DELETE, "/home/delete").query(&[("name", title)]).send().await;
        let answer = sent.map_err(|_| Broken)?;
        let found = answer.status() != StatusCode::NOT_FOUND;
        let expected = if found { StatusCode::OK } else { StatusCode::NOT_FOUND };
        whole(Ok(answer), expected).await.map(|_| found)
    }

    pub async fn list(&self) -> Vec<Listed> {
        let answer = self.request(Method::GET, "/home/list").send().await;
        let projects: Vec<Value> =
            serde_json::from_slice(&whole(answer, StatusCode::OK).await.unwrap()).unwrap();
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
        let answer = self.http.get(&project.src).header("cookie", &self.cookies).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let (mut bytes, mut hasher) = (answer.bytes_stream(), Hasher::new());
        while let Some(chunk) = bytes.next().await {
            hasher.update(&chunk.unwrap());
        }
        hasher.finish()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).header("cookie", &self.cookies)
    }
}

/// The body of an answer that came whole.
async fn whole(answer: reqwest::Result<Response>, expected: StatusCode) -> Result<Bytes, Broken> {
    let answer = answer.map_err(|_| Broken)?;
    let status = answer.status();
    let body = answer.bytes().await.map_err(|_| Broken)?;
    assert_eq!(status, expected, "{}", String::from_utf8_lossy(&body));
    Ok(body)
}
