//! Damaged records in the database of a server: no other record suffers, and the operator learns of them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use super::client::Client;
use super::generated::{file, pieces};
use super::server::{Server, TIMEOUT};

/// A data folder, and the log of the servers that run on it.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self) -> Server {
        // Without a trash, the bytes of a deleted project are unreferenced at once.
        let sweep = ["--sweep-every", "1s", "--sweep-grace", "0s", "--trash", "off"];
        let settings = ["--metrics-listen", "127.0.0.1:0"].into_iter().chain(sweep);
        let mut settings: Vec<_> = settings.map(str::to_owned).collect();
        settings.extend(["--data".to_owned(), self.data().to_str().unwrap().to_owned()]);
        Server::start_logging(&settings, &[("NOTESTAMP_LOG_FORMAT", "json")], &self.log_file())
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// How many damaged records of a kind the log says were omitted.
    fn logged(&self, kind: &str) -> usize {
        let log = fs::read_to_string(self.log_file()).unwrap();
        let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_one = |event: &Value| {
            event["message"] == "a damaged record is omitted"
                && event["level"] == "ERROR"
                && event["record"] == kind
        };
        events.filter(is_one).count()
    }

    /// Executes statements on the database of a stopped server, past all that the schema demands.
    fn damage(&self, statements: &[&str]) {
        let database = Connection::open(self.data().join("notestamp.sqlite")).unwrap();
        database.pragma_update(None, "ignore_check_constraints", true).unwrap();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        for statement in statements {
            assert_eq!(database.execute(statement, ()).unwrap(), 1, "{statement}");
        }
    }

    fn media_files(&self) -> usize {
        let folders = fs::read_dir(self.data().join("media")).unwrap().map(|entry| entry.unwrap().path());
        folders.filter_map(|folder| fs::read_dir(folder).ok()).map(Iterator::count).sum()
    }
}

/// The value of a metric of one label.
async fn metric(server: &Server, name: &str, label: &str) -> u64 {
    let text = reqwest::get(server.metrics_url()).await.unwrap().text().await.unwrap();
    let start = format!("notestamp_{name}_total{{{label}}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&start));
    value.unwrap_or_else(|| panic!("no {start} in {text}")).parse().unwrap()
}

async fn omitted(server: &Server, kind: &str) -> u64 {
    metric(server, "damaged_records_omitted", &format!("record=\"{kind}\"")).await
}

async fn refused(server: &Server) -> u64 {
    metric(server, "http_errors", "code=\"damaged\"").await
}

async fn json(client: &Client, server: &Server, path: &str) -> (u16, Value) {
    let response = client.fetch(&format!("{}{path}", server.url)).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// Four ways in which a project cannot be read: the title, and the statement that damages the project of that title.
const DAMAGED: [(&str, &str); 4] = [
    ("extra", "UPDATE projects SET extra = 'no JSON' WHERE title = 'extra'"),
    ("digest", "UPDATE projects SET media_digest = x'00' WHERE title = 'digest'"),
    ("revision", "UPDATE projects SET revision = -1 WHERE title = 'revision'"),
    ("label", "UPDATE projects SET label = CAST(x'ff' AS TEXT) WHERE title = 'label'"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_projects_are_omitted_from_sign_in_and_lists_refused_alone_counted_and_logged() {
    let place = Place::new();
    let server = place.start();
    let ada = Client::register(&server.url, "ada").await;
    for title in ["a"].into_iter().chain(DAMAGED.map(|(title, _)| title)).chain(["c"]) {
        ada.save(title, "notes", Some(pieces(&file(1_000)))).await.unwrap();
    }
    let mut sources: Vec<String> = Vec::new();
    for project in ada.list().await {
        if !["a", "c"].contains(&project.title.as_str()) {
            sources.push(project.src.strip_prefix(&server.url).unwrap().to_owned());
        }
    }
    assert!(server.stop().success());
    place.damage(&DAMAGED.map(|(_, statement)| statement));

    let server = place.start();
    assert_eq!((omitted(&server, "project").await, refused(&server).await), (0, 0));
    let ada = ada.at(&server.url).sign_in_again().await.unwrap();
    assert_eq!(omitted(&server, "project").await, 4, "the response to a sign-in lists the projects");
    let titles = |list: &Value| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|project| project["title"].as_str().unwrap().to_owned()).collect()
    };
    let (status, home) = json(&ada, &server, "/home/list").await;
    assert_eq!((status, titles(&home)), (200, vec!["c".to_owned(), "a".to_owned()]));
    assert_eq!(omitted(&server, "project").await, 8);
    let (status, project) = json(&ada, &server, "/project/list").await;
    assert_eq!((status, titles(&project["projects"])), (200, vec!["c".to_owned(), "a".to_owned()]));
    assert_eq!(omitted(&server, "project").await, 12);
    assert_eq!(place.logged("project"), 12);

    let mut paths = sources;
    for (title, _) in DAMAGED {
        paths.extend(["/home/open?name=", "/home/stream-media?name="].map(|path| format!("{path}{title}")));
        let segment =
            ["home/media-file", "home/stream-audio", "project/get", "project/notes", "project/media"];
        paths.extend(segment.map(|path| format!("/{path}/{title}")));
        paths.extend(["media/download", "media/stream"].map(|path| format!("/{path}/{title}")));
    }
    for path in &paths {
        let (status, body) = json(&ada, &server, path).await;
        assert_eq!((status, &body["code"]), (500, &"damaged".into()), "{path}");
        assert!(body["requestId"].is_string() && !body.to_string().contains("sqlite"), "{path}: {body}");
    }
    assert_eq!(refused(&server).await, paths.len() as u64);

    // The other projects are unchanged, and can be changed.
    assert_eq!(ada.open("a").await, "notes");
    ada.save("a", "new", None::<futures_util::stream::Empty<bytes::Bytes>>).await.unwrap();
    assert_eq!(ada.open("a").await, "new");
    assert!(ada.delete("c").await.unwrap());
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_records_of_a_removed_account_stop_no_sweep_and_are_counted_and_logged() {
    let place = Place::new();
    let server = place.start();
    let ada = Client::register(&server.url, "ada").await;
    let bob = Client::register(&server.url, "bob").await;
    for (client, count) in [(&ada, 3), (&bob, 2)] {
        for n in 0..count {
            let bytes = file(1_000 + n);
            client.save(&format!("{n}"), "notes", Some(pieces(&bytes))).await.unwrap();
        }
    }
    assert_eq!(place.media_files(), 5);
    assert!(server.stop().success());
    // The references of the first project cannot be read at all, so the sweep can only pass over it.
    let of_ada = "(SELECT id FROM users WHERE email = 'ada@example.org')";
    place.damage(&[
        &format!("UPDATE projects SET notes = x'00' WHERE title = '0' AND owner = {of_ada}"),
        &format!("UPDATE projects SET extra = 'no JSON' WHERE title = '1' AND owner = {of_ada}"),
    ]);

    let server = place.start();
    for removed in [&ada, &bob] {
        assert_eq!(removed.at(&server.url).remove().await, 200);
    }
    let swept = async {
        while place.media_files() > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, swept).await.expect("the sweep goes on behind the damaged project");
    let before = omitted(&server, "project").await;
    assert!(before > 0 && place.logged("project") > 0);

    // Each later sweep goes to its end, too.
    let eve = Client::register(&server.url, "eve").await;
    eve.save("0", "notes", Some(pieces(&file(2_000)))).await.unwrap();
    assert!(eve.delete("0").await.unwrap());
    let swept = async {
        while place.media_files() > 1 || omitted(&server, "project").await == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, swept).await.expect("the next sweep deletes what is unreferenced");
    assert_eq!(refused(&server).await, 0);
    assert!(server.stop().success());
}

/// A long list is sent in chunks: the first projects, and then the others, by their ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_whose_id_is_damaged_is_omitted_from_a_long_list() {
    let place = Place::new();
    let server = place.start();
    let ada = Client::register(&server.url, "ada").await;
    for n in 0..70 {
        ada.save(&format!("{n}"), "notes", None::<futures_util::stream::Empty<bytes::Bytes>>).await.unwrap();
    }
    assert!(server.stop().success());
    // One of the first in the list, and one of the others.
    place.damage(&[
        "UPDATE projects SET id = x'00' WHERE title = '3'",
        "UPDATE projects SET id = x'01' WHERE title = '66'",
    ]);

    let server = place.start();
    let ada = ada.at(&server.url).sign_in_again().await.unwrap();
    assert_eq!(omitted(&server, "project").await, 2, "the response to a sign-in lists the projects");
    assert_eq!(ada.list().await.len(), 68);
    let (status, list) = json(&ada, &server, "/project/list").await;
    assert_eq!((status, list["projects"].as_array().unwrap().len()), (200, 68));
    let (status, page) = json(&ada, &server, "/home/list?limit=69").await;
    assert_eq!((status, page.as_array().unwrap().len()), (200, 68));
    ada.save("another", "notes", None::<futures_util::stream::Empty<bytes::Bytes>>).await.unwrap();
    assert!(server.stop().success());
}
