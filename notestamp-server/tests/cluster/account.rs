//! A random user of one account at all servers, with a model of every outcome that is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use notestamp_store::Digest;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::deployment::Deployment;
use super::generated::{Numbers, file, pieces};
use super::http::{ACCESS, Browser, NoResponse, REFRESH, Rules, ServerResponse};

/// The media that all accounts save: small files, and one of two parts.
const FILES: [usize; 6] = [0, 10, 50_000, 50_001, 1_500_000, 9_000_000];

const TITLES: usize = 5;
const SESSIONS_MAX: usize = 3;

/// The deadline for recovery from any fault: by default MongoDB aborts an abandoned transaction after a minute.
const RECOVERY_TIME_MAX: Duration = Duration::from_secs(120);

type Outcome<T = ()> = Result<T, NoResponse>;

pub struct Account {
    deployment: Arc<Deployment>,
    rules: Arc<Rules>,
    numbers: Numbers,
    email: String,
    passwords: Passwords,
    /// The signed-in sessions.
    sessions: Vec<Browser>,
    /// The possible states of each project, by what is known; `None` among them means absent.
    known: BTreeMap<String, Vec<Option<Content>>>,
    /// The media that the account has had, and so has in its history or in the trash.
    had: BTreeSet<(Digest, u64)>,
    /// Whether a request without a response may still take effect.
    in_doubt: bool,
    /// A counter in the notes, so that no two notes are equal.
    count: u64,
}

/// The password that the account has, and the one that it may have instead.
#[derive(Clone, Debug)]
struct Passwords {
    now: String,
    perhaps: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Content {
    notes: String,
    media: Option<(Digest, u64)>,
    /// Absent if the save had no response.
    revision: Option<u64>,
}

/// The media of a save.
enum Brought {
    Nothing,
    Bytes(Bytes),
    BytesAndDigest(Bytes),
    Digest(Digest, u64),
}

impl Account {
    pub fn new(deployment: &Arc<Deployment>, rules: &Arc<Rules>, name: &str, seed: u64) -> Self {
        Self {
            deployment: deployment.clone(),
            rules: rules.clone(),
            numbers: Numbers(seed),
            email: format!("{name}@example.org"),
            passwords: Passwords { now: "correct horse battery staple".to_owned(), perhaps: None },
            sessions: Vec::new(),
            known: BTreeMap::new(),
            had: BTreeSet::new(),
            in_doubt: false,
            count: 0,
        }
    }

    /// Performs a random operation.
    pub async fn step(&mut self) -> Outcome {
        if self.sessions.is_empty() {
            return self.sign_in().await;
        }
        if self.in_doubt {
            self.settle().await?;
        }
        match self.numbers.below(100) {
            0..40 => self.save().await,
            40..55 => self.delete().await,
            55..62 => self.verify_list().await,
            62..70 => self.open().await,
            70..78 => self.download().await,
            78..83 => self.verify_usage().await,
            83..86 => self.sign_in().await,
            86..90 => self.sign_out().await,
            90..94 => self.refresh_in_many_tabs().await,
            94..96 => self.replay().await,
            96..98 => self.change_password().await,
            _ => self.remove().await,
        }
    }

    /// Repeats until all requests succeed: asserts that everything is in a possible state, and readable.
    pub async fn verify(&mut self) {
        let verify = async { while self.verify_once().await.is_err() {} };
        timeout(RECOVERY_TIME_MAX, verify).await.expect("it recovers");
    }

    async fn verify_once(&mut self) -> Outcome {
        while self.sessions.is_empty() {
            self.sign_in().await?;
        }
        self.settle().await?;
        self.verify_list().await?;
        self.verify_usage().await?;
        for title in self.titles() {
            self.open_titled(&title).await?;
            self.download_titled(&title).await?;
        }
        Ok(())
    }

    /// Removes the account.
    pub async fn leave(&mut self) {
        while self.sessions.is_empty() {
            self.sign_in().await.unwrap();
        }
        let mut session = self.any_session();
        let request = session.request(Method::DELETE, self.any() + "/auth/remove");
        session.send(request).await.unwrap().assert_status(200);
    }

    async fn save(&mut self) -> Outcome {
        let title = self.any_title();
        let before = self.content(&title);
        self.remember_media();
        self.count += 1;
        let notes =
            json!(format!("{} {}", self.count, "words ".repeat(self.numbers.below(2_000)))).to_string();
        let bytes = bytes_of(FILES[self.numbers.below(FILES.len())]);
        let brought = match self.numbers.below(10) {
            0..2 => Brought::Nothing,
            2..6 => Brought::Bytes(bytes),
            6..8 => Brought::BytesAndDigest(bytes),
            _ => Brought::Digest(Digest::of(&bytes), bytes.len() as u64),
        };
        let media = brought.media();
        let has_bytes = media.is_some_and(|media| self.had.contains(&media))
            || self.known.values().flatten().flatten().any(|content| content.media == media);
        let needed = matches!(brought, Brought::Digest(..)) && !has_bytes;

        let kept = before.as_ref().and_then(|before| before.media);
        // A new project begins after all that have been deleted.
        let revision = before.as_ref().and_then(|before| Some(before.revision? + 1));
        let after = Content { notes, media: media.or(kept), revision };
        let mut session = self.any_session();
        let request = self.save_request(&session, &title, &after.notes, &brought);
        let response = session.send(request).await;
        let response = self.keep(session, response);
        let response = match response {
            Ok(response) if needed => {
                response.assert_status(409);
                return Ok(());
            }
            Ok(response) => response.assert_status(200).json(),
            Err(no_response) => {
                let after = Content { revision: None, ..after };
                self.known.insert(title, vec![before, Some(after)]);
                self.in_doubt = true;
                return Err(no_response);
            }
        };
        let metadata = if response.is_array() { &response[0] } else { &response["metadata"] };
        assert_eq!(metadata["title"], title.as_str());
        let found = Content { revision: metadata["revision"].as_u64(), ..after.clone() };
        assert!(
            after.revision.is_none() || after.revision == found.revision,
            "{title}: {metadata} is not {after:?}"
        );
        assert_eq!(media_of(metadata), after.media, "{title}");
        if let Some(directory) = response.as_array() {
            assert_eq!(directory.len(), self.titles().len() + usize::from(before.is_none()), "{title}");
        }
        self.known.insert(title, vec![Some(found)]);
        Ok(())
    }

    /// Deletes a project, in either dialect.
    fn save_request(
        &mut self,
        session: &Browser,
        title: &str,
        notes: &str,
        brought: &Brought,
    ) -> RequestBuilder {
        let mut form = Form::new();
        if let Brought::Bytes(bytes) | Brought::BytesAndDigest(bytes) = brought {
            let pieces = futures_util::StreamExt::map(pieces(bytes), Ok::<_, std::convert::Infallible>);
            form = form.part("mediaFile", Part::stream(Body::wrap_stream(pieces)).file_name("media"));
        }
        if let (Brought::BytesAndDigest(_) | Brought::Digest(..), Some((digest, _))) =
            (brought, brought.media())
        {
            form = form.text("mediaDigest", digest.to_string());
        }
        let metadata = json!({ "title": title, "mimetype": "audio/mpeg" }).to_string();
        let (path, form) = match self.numbers.below(2) {
            0 => ("/home/upload", form.text("content", notes.to_owned())),
            _ => ("/project/save", form.part("notesFile", Part::text(notes.to_owned()).file_name("notes"))),
        };
        session.request(Method::POST, self.any() + path).multipart(form.text("metadata", metadata))
    }

    async fn delete(&mut self) -> Outcome {
        let title = self.any_title();
        let before = self.content(&title);
        self.remember_media();
        let mut session = self.any_session();
        let request = match self.numbers.below(2) {
            0 => session.request(Method::DELETE, self.any() + "/home/delete").query(&[("name", &title)]),
            _ => session.request(Method::DELETE, format!("{}/project/delete/{title}", self.any())),
        };
        let response = session.send(request).await;
        match self.keep(session, response) {
            Ok(response) => {
                response.assert_status(if before.is_some() { 200 } else { 404 });
                self.known.insert(title, vec![None]);
                Ok(())
            }
            Err(no_response) => {
                if before.is_some() {
                    self.known.insert(title, vec![before, None]);
                }
                self.in_doubt = true;
                Err(no_response)
            }
        }
    }

    /// Remembers the media of all projects whose content is certain: a save that replaces it keeps it in the history, and
    /// a deletion in the trash.
    fn remember_media(&mut self) {
        let certain = self.known.values().filter(|contents| contents.len() == 1).flatten().flatten();
        self.had.extend(certain.filter_map(|content| content.media));
    }

    /// Completes one more write: by then every transaction of an earlier request without a response has ended. After
    /// that, reads show the final state.
    async fn settle(&mut self) -> Outcome {
        if self.in_doubt {
            let title = "settled".to_owned();
            let states = self.known.entry(title.clone()).or_insert_with(|| vec![None]);
            self.count += 1;
            let notes = json!(format!("{} settled", self.count)).to_string();
            let settled = Content { notes: notes.clone(), media: None, revision: None };
            states.push(Some(settled.clone()));
            let mut session = self.any_session();
            let request = self.save_request(&session, &title, &notes, &Brought::Nothing);
            let response = session.send(request).await;
            self.keep(session, response)?.assert_status(200);
            self.known.insert(title, vec![Some(settled)]);
        }
        let listed = self.list().await?;
        self.adopt(listed);
        for title in self.titles() {
            if self.known[&title].len() > 1 {
                self.open_titled(&title).await?;
            }
        }
        self.in_doubt = false;
        Ok(())
    }

    async fn verify_list(&mut self) -> Outcome {
        let listed = self.list().await?;
        self.adopt(listed);
        Ok(())
    }

    /// The metadata of all projects.
    async fn list(&mut self) -> Outcome<Vec<Value>> {
        let mut session = self.any_session();
        let response = match self.numbers.below(2) {
            0 => session.get(self.any() + "/home/list").await,
            _ => session.get(self.any() + "/project/list").await,
        };
        let response = self.keep(session, response)?.assert_status(200).json();
        let projects = if response.is_array() { response } else { response["projects"].clone() };
        Ok(serde_json::from_value(projects).unwrap())
    }

    /// Asserts that a listing is possible, and removes the states that contradict it.
    fn adopt(&mut self, listed: Vec<Value>) {
        let mut listed: BTreeMap<_, _> = listed
            .into_iter()
            .map(|project| (project["title"].as_str().unwrap().to_owned(), project))
            .collect();
        for (title, states) in &mut self.known {
            let found = listed.remove(title);
            let before = states.clone();
            states.retain(|state| match (state, &found) {
                (None, None) => true,
                (Some(state), Some(found)) => {
                    let revision = found["revision"].as_u64();
                    state.media == media_of(found) && (state.revision.is_none() || state.revision == revision)
                }
                _ => false,
            });
            assert!(!states.is_empty(), "{}: {title} is {found:?}, and may be {before:?}", self.email);
        }
        assert!(listed.is_empty(), "{}: no acknowledged save created {listed:?}", self.email);
    }

    async fn open(&mut self) -> Outcome {
        let title = self.any_title();
        self.open_titled(&title).await
    }

    /// Asserts that the notes are possible, and removes the states that contradict them.
    async fn open_titled(&mut self, title: &str) -> Outcome {
        let mut session = self.any_session();
        let response = match self.numbers.below(2) {
            0 => session.get(format!("{}/home/open?name={title}", self.any())).await,
            _ => session.get(format!("{}/project/get/{title}", self.any())).await,
        };
        let response = self.keep(session, response)?;
        let states = self.known.get_mut(title).unwrap();
        let before = states.clone();
        if response.status == 404 {
            states.retain(Option::is_none);
        } else {
            let opened = response.assert_status(200).json();
            let notes = opened["content"].as_str().or(opened["notes"].as_str()).unwrap().to_owned();
            states.retain(|state| state.as_ref().is_some_and(|state| state.notes == notes));
        }
        assert!(!states.is_empty(), "{}: {title} may be {before:?}, and is not", self.email);
        states.truncate(1);
        Ok(())
    }

    async fn download(&mut self) -> Outcome {
        let title = self.any_title();
        self.download_titled(&title).await
    }

    async fn download_titled(&mut self, title: &str) -> Outcome {
        let mut session = self.any_session();
        let path = ["/project/media", "/media/download", "/home/media-file"][self.numbers.below(3)];
        let response = session.get(format!("{}{path}/{title}", self.any())).await;
        let response = self.keep(session, response)?;
        match self.content(title).and_then(|content| content.media) {
            Some(media) => {
                let bytes = response.assert_status(200).body;
                assert_eq!((Digest::of(&bytes), bytes.len() as u64), media, "{title}");
            }
            None => drop(response.assert_status(404)),
        }
        Ok(())
    }

    async fn verify_usage(&mut self) -> Outcome {
        let mut session = self.any_session();
        let response = session.get(self.any() + "/auth/user").await;
        let user = self.keep(session, response)?.assert_status(200).json();
        let contents: Vec<_> = self.known.keys().filter_map(|title| self.content(title)).collect();
        let media: BTreeMap<_, _> = contents.iter().filter_map(|content| content.media).collect();
        let bytes = contents.iter().map(|content| content.notes.len() as u64).sum::<u64>()
            + media.values().sum::<u64>();
        let usage = &user["usage"];
        assert_eq!(usage["projects"], contents.len(), "{}: {usage}", self.email);
        assert_eq!(usage["bytes"], bytes, "{}: {usage}", self.email);
        Ok(())
    }

    /// Signs in once more; registers if there is no account.
    async fn sign_in(&mut self) -> Outcome {
        let mut session = Browser::new(&self.rules);
        let candidates = [Some(self.passwords.now.clone()), self.passwords.perhaps.clone()];
        for password in candidates.into_iter().flatten() {
            let credentials = json!({ "username": self.email, "password": password });
            let request = session.request(Method::POST, self.any() + "/auth/signin").json(&credentials);
            let response = session.send(request).await?;
            if response.status == 200 {
                self.passwords = Passwords { now: password, perhaps: None };
                self.sessions.truncate(SESSIONS_MAX - 1);
                self.sessions.push(session);
                return Ok(());
            }
            response.assert_status(401);
        }
        // A password can only have changed from the first to the second, so there is no account.
        assert!(self.sessions.is_empty(), "{} is signed in, and cannot sign in", self.email);
        self.known.clear();
        self.had.clear();
        self.passwords.perhaps = None;
        let credentials = json!({ "username": self.email, "password": self.passwords.now });
        let request = session.request(Method::POST, self.any() + "/auth/register").json(&credentials);
        let response = session.send(request).await?;
        // An attempt without a response may have created it.
        assert!(matches!(response.status, 201 | 409), "{response:?}");
        Ok(())
    }

    async fn sign_out(&mut self) -> Outcome {
        let chosen = self.numbers.below(self.sessions.len());
        let mut session = self.sessions.remove(chosen);
        let old = session.clone();
        let request = match self.numbers.below(2) {
            0 => session.request(Method::DELETE, self.any() + "/auth/signout"),
            _ => session.request(Method::POST, self.any() + "/auth/logout"),
        };
        session.send(request).await?.assert_status(200);
        assert!(!session.is_signed_in());
        self.assert_out(&[old]).await
    }

    /// Changes the password: the account has a new session, and all others have ended.
    async fn change_password(&mut self) -> Outcome {
        self.count += 1;
        let new = format!("correct horse battery {}", self.count);
        let olds = std::mem::take(&mut self.sessions);
        let mut session = olds[0].clone();
        let change = json!({ "current": self.passwords.now, "new": new });
        self.passwords.perhaps = Some(new.clone());
        session
            .send(session.request(Method::POST, self.any() + "/auth/password").json(&change))
            .await?
            .assert_status(200);
        self.passwords = Passwords { now: new, perhaps: None };
        self.sessions.push(session);
        self.assert_out(&olds).await
    }

    async fn remove(&mut self) -> Outcome {
        let olds = std::mem::take(&mut self.sessions);
        let mut session = olds[0].clone();
        session.send(session.request(Method::DELETE, self.any() + "/auth/remove")).await?.assert_status(200);
        self.known.clear();
        self.had.clear();
        self.in_doubt = false;
        self.assert_out(&olds).await?;
        // The old cookies do not authenticate for a new account with the same address either.
        self.sign_in().await?;
        self.assert_out(&olds).await
    }

    /// Asserts that every server refuses copies of these cookies: both together, and each alone.
    async fn assert_out(&mut self, olds: &[Browser]) -> Outcome {
        for old in olds {
            for url in self.deployment.urls() {
                for mut thief in [old.clone(), old.without(ACCESS), old.without(REFRESH)] {
                    thief.get(format!("{url}/home/list")).await?.assert_status(401);
                }
            }
        }
        Ok(())
    }

    /// Sends concurrent requests with the same expired access token to several servers: they get one successor.
    async fn refresh_in_many_tabs(&mut self) -> Outcome {
        let chosen = self.numbers.below(self.sessions.len());
        let tab = self.sessions[chosen].without(ACCESS);
        let urls = self.deployment.urls();
        let responses = join_all(urls.iter().cycle().take(2 * urls.len()).map(|url| {
            let mut tab = tab.clone();
            async move {
                tab.get(format!("{url}/auth/user")).await?.assert_status(200);
                Ok::<_, NoResponse>(tab)
            }
        }));
        let refreshed: Vec<_> = responses.await.into_iter().flatten().collect();
        for tab in &refreshed {
            assert_eq!(tab.cookies[REFRESH], refreshed[0].cookies[REFRESH], "one successor");
            assert_ne!(tab.cookies[REFRESH], self.sessions[chosen].cookies[REFRESH]);
        }
        let one = refreshed.into_iter().next().ok_or(NoResponse)?;
        self.sessions[chosen] = one;
        Ok(())
    }

    /// Uses a copied refresh token at another server: soon after its rotation, and two generations later.
    async fn replay(&mut self) -> Outcome {
        let chosen = self.numbers.below(self.sessions.len());
        let thief = self.sessions.remove(chosen).without(ACCESS);
        let refresh = async |session: &Browser, url: String| {
            let mut session = session.without(ACCESS);
            let response = session.get(url + "/auth/user").await?;
            Ok::<_, NoResponse>((response.status, session))
        };
        let (status, victim) = refresh(&thief, self.any()).await?;
        assert_eq!(status, 200);
        let (status, soon) = refresh(&thief, self.any()).await?;
        assert_eq!((status, &soon.cookies[REFRESH]), (200, &victim.cookies[REFRESH]));
        let (status, victim) = refresh(&victim, self.any()).await?;
        assert_eq!(status, 200);
        let (status, _) = refresh(&thief, self.any()).await?;
        assert_eq!(status, 401);
        self.assert_out(&[thief, soon, victim]).await
    }

    /// Stores the session's new cookies. Asserts that an open session is never refused.
    fn keep(&mut self, session: Browser, response: Outcome<ServerResponse>) -> Outcome<ServerResponse> {
        if let Ok(response) = &response {
            assert_ne!(response.status, 401, "{} has been signed out", self.email);
        }
        // A session has no stable id here, so the used session is removed from the list and added again.
        self.sessions.push(session);
        response
    }

    fn any(&mut self) -> String {
        self.deployment.any(&mut self.numbers)
    }

    /// Takes a session out of the list; after its use it is [stored again](Self::keep).
    fn any_session(&mut self) -> Browser {
        let chosen = self.numbers.below(self.sessions.len());
        self.sessions.remove(chosen)
    }

    fn any_title(&mut self) -> String {
        let title = format!("title-{}", self.numbers.below(TITLES));
        self.known.entry(title.clone()).or_insert_with(|| vec![None]);
        title
    }

    /// The state of a project, if it is known.
    fn content(&self, title: &str) -> Option<Content> {
        let states = self.known.get(title).map_or(&[None][..], Vec::as_slice);
        let [state] = states else { panic!("{title} has been settled: {states:?}") };
        state.clone()
    }

    /// A title of a project that exists or may exist.
    fn titles(&self) -> Vec<String> {
        let there = self.known.iter().filter(|(_, states)| states.iter().any(Option::is_some));
        there.map(|(title, _)| title.clone()).collect()
    }
}

impl Brought {
    fn media(&self) -> Option<(Digest, u64)> {
        match self {
            Self::Nothing => None,
            Self::Bytes(bytes) | Self::BytesAndDigest(bytes) => Some((Digest::of(bytes), bytes.len() as u64)),
            Self::Digest(digest, size) => Some((*digest, *size)),
        }
    }
}

fn media_of(metadata: &Value) -> Option<(Digest, u64)> {
    let digest = metadata["mediaDigest"].as_str()?.parse().unwrap();
    Some((digest, metadata["mediaSize"].as_u64().unwrap()))
}

/// A file of this size, generated only once.
fn bytes_of(size: usize) -> Bytes {
    static MADE: OnceLock<BTreeMap<usize, Bytes>> = OnceLock::new();
    MADE.get_or_init(|| FILES.into_iter().map(|size| (size, file(size))).collect())[&size].clone()
}
