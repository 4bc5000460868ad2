//! Shows what notestamp is in the first five minutes: fills a server with an account, five projects with real media, a
//! history and a trash, and opens the example page.
//!
//! ```sh
//! cargo run -p notestamp-examples --bin tour            # starts a server of its own, until Ctrl-C
//! cargo run -p notestamp-examples --bin tour -- URL     # fills the server at this URL
//! ```

use std::error::Error;
use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::{Command, Stdio};

use notestamp_server::App;
use notestamp_server::config::{self, Invocation};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const PASSWORD: &str = "correct horse battery staple";

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(url) = std::env::args().nth(1) {
        let email = fill(url.trim_end_matches('/')).await?;
        println!("sign in at {url} as {email} with the password: {PASSWORD}");
        return Ok(());
    }
    // The data is deleted at the end.
    let folder = tempfile::tempdir()?;
    let app = App::build(configuration(&folder)?).await?;
    let address = app.addresses().next().ok_or("the server has an address")?;
    // Browsers treat `localhost` as secure, so they keep the cookies.
    let url = format!("http://localhost:{}", address.port());
    let server = tokio::spawn(async move {
        app.run(async {
            // Without a handler for Ctrl-C, the process ends anyway.
            let _ = tokio::signal::ctrl_c().await;
        })
        .await
    });
    let email = fill(&url).await?;
    println!("\nOpen {url}, and sign in as {email} with the password: {PASSWORD}");
    println!("The API is documented at {url}/docs. Ctrl-C ends the server and deletes its data.");
    if std::io::stdout().is_terminal() {
        open_in_browser(&url);
    }
    server.await??;
    Ok(())
}

/// A server on a free port that keeps its data in this folder, and serves the example page.
fn configuration(folder: &TempDir) -> Result<config::Config> {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
    let data = folder.path().join("data");
    let words: [OsString; 7] = [
        "tour".into(),
        "--listen".into(),
        "127.0.0.1:0".into(),
        "--data".into(),
        data.into(),
        "--site".into(),
        site.into(),
    ];
    match config::parse(words, [])? {
        Invocation::Serve(config) => Ok(*config),
        other => Err(format!("these arguments serve: {other:?}").into()),
    }
}

/// Opens a page in the browser of the desktop, if there is one.
fn open_in_browser(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let _ = Command::new(program).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
}

/// Fills the server with a new account; returns its email address.
async fn fill(url: &str) -> Result<String> {
    let media = Path::new(env!("CARGO_MANIFEST_DIR")).join("media");
    let recording = std::fs::read(media.join("recording.mp3"))?;
    let document = std::fs::read(media.join("document.pdf"))?;
    let notes: Value = serde_json::from_slice(&std::fs::read(media.join("notes.json"))?)?;

    let account = Account::register(url).await?;
    println!("registered {}", account.email);
    let lecture =
        Project { title: "A first lecture", kind: "audio", label: "Audio player", mimetype: "audio/mpeg" };
    account.save(&lecture, Some(&recording), &line(0, "The lecturer begins.")).await?;
    account
        .save(&lecture, None, &json!([stamped(0, "The lecturer begins."), stamped(4, "The first point.")]))
        .await?;
    account.save(&lecture, None, &notes).await?;
    let again = Project { title: "The same lecture, for the exam", ..lecture };
    account.save(&again, Some(&recording), &line(6, "Learn this part by heart.")).await?;
    let handout =
        Project { title: "The handout", kind: "pdf", label: "PDF viewer", mimetype: "application/pdf" };
    account.save(&handout, Some(&document), &line(2, "The summary is on page 2.")).await?;
    let tones = |title| Project { title, kind: "audio", label: "Audio player", mimetype: "audio/wav" };
    let chord =
        [stamped(0, "The root: A, 440 Hz."), stamped(1, "The third: C sharp."), stamped(2, "The fifth: E.")];
    account
        .save(&tones("Ear training: a chord"), Some(&wav(&[440.0, 554.37, 659.26])), &json!(chord))
        .await?;
    let octave = [stamped(0, "A, 220 Hz."), stamped(1, "The same note, an octave higher.")];
    account.save(&tones("Ear training: an octave"), Some(&wav(&[220.0, 440.0])), &json!(octave)).await?;

    let draft = tones("Ear training: a draft");
    account.save(&draft, Some(&wav(&[300.0])), &line(0, "Not in tune.")).await?;
    account.delete(draft.title).await?;

    let versions = account.get("/home/history", &[("name", lecture.title)]).await?;
    let usage = account.get("/auth/user", &[]).await?["usage"].take();
    println!(
        "{} projects with {} bytes; equal recordings are stored once",
        usage["projects"], usage["bytes"]
    );
    println!("\"{}\" has {} versions", lecture.title, versions.as_array().map_or(0, Vec::len));
    println!(
        "\"{}\" is in the trash",
        account.get("/home/trash", &[]).await?[0]["title"].as_str().unwrap_or_default()
    );
    Ok(account.email)
}

/// One line of notes, stamped with a second of the recording, or with a page.
fn stamped(value: u32, text: &str) -> Value {
    let label = format!("0:{value:02}");
    let text = json!({ "text": text });
    let item = json!({ "type": "stamped-item", "label": label, "value": value, "children": [text] });
    json!({ "type": "paragraph", "children": [item] })
}

/// Notes of one line.
fn line(value: u32, text: &str) -> Value {
    json!([stamped(value, text)])
}

/// A recording of tones of one second each: a WAV file with 16-bit samples of one channel.
fn wav(frequencies: &[f64]) -> Vec<u8> {
    const RATE: u32 = 16_000;
    let seconds =
        frequencies.iter().flat_map(|frequency| (0..RATE).map(move |at| (frequency, f64::from(at))));
    let samples = seconds.flat_map(|(frequency, at)| {
        let wave = (std::f64::consts::TAU * frequency * at / f64::from(RATE)).sin();
        // A tone that begins and ends softly, so that no click is heard.
        let volume = (at / 800.0).min((f64::from(RATE) - at) / 800.0).min(1.0);
        #[expect(clippy::cast_possible_truncation, reason = "the product is between -12,000 and 12,000")]
        let sample = (12_000.0 * volume * wave) as i16;
        sample.to_le_bytes()
    });
    let samples: Vec<u8> = samples.collect();
    let size = u32::try_from(samples.len()).expect("a few seconds are short");
    let mut file = Vec::with_capacity(44 + samples.len());
    file.extend(b"RIFF");
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, one channel.
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend((RATE * 2).to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples);
    file
}

/// What the client says of a project.
#[derive(Clone, Copy)]
struct Project {
    title: &'static str,
    kind: &'static str,
    label: &'static str,
    mimetype: &'static str,
}

/// An account of the server, signed in.
struct Account {
    http: Client,
    url: String,
    email: String,
    cookies: String,
}

impl Account {
    /// Registers an account that is new in each run, and signs in.
    async fn register(url: &str) -> Result<Self> {
        let http = Client::new();
        let number = std::time::UNIX_EPOCH.elapsed()?.as_millis();
        let email = format!("tour-{number}@example.org");
        let credentials = json!({ "username": email, "password": PASSWORD });
        checked(http.post(format!("{url}/auth/register")).json(&credentials)).await?;
        let response = checked(http.post(format!("{url}/auth/signin")).json(&credentials)).await?;
        let set = response.headers().get_all(SET_COOKIE).iter();
        let pairs = set.filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
        let cookies = pairs.collect::<Vec<_>>().join("; ");
        Ok(Self { http, url: url.to_owned(), email, cookies })
    }

    /// Saves a project as the notestamp client does: the media, then the notes, then the metadata.
    async fn save(&self, project: &Project, media: Option<&[u8]>, notes: &Value) -> Result<()> {
        let Project { title, kind, label, mimetype } = project;
        let metadata = json!({ "title": title, "type": kind, "label": label, "mimetype": mimetype });
        let mut form = Form::new();
        if let Some(media) = media {
            form = form.part("mediaFile", Part::bytes(media.to_vec()).file_name("media"));
        }
        let form = form.text("content", notes.to_string()).text("metadata", metadata.to_string());
        checked(self.with_cookies(self.http.post(format!("{}/home/upload", self.url)).multipart(form)))
            .await?;
        println!("saved \"{title}\"");
        Ok(())
    }

    async fn delete(&self, title: &str) -> Result<()> {
        let request = self.http.delete(format!("{}/home/delete", self.url)).query(&[("name", title)]);
        checked(self.with_cookies(request)).await?;
        Ok(())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value> {
        let request = self.http.get(format!("{}{path}", self.url)).query(query);
        Ok(checked(self.with_cookies(request)).await?.json().await?)
    }

    fn with_cookies(&self, request: RequestBuilder) -> RequestBuilder {
        request.header(COOKIE, &self.cookies)
    }
}

/// Sends a request; an error with the server's reason if it is refused.
async fn checked(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(format!("{status}: {}", response.text().await?).into())
}
