//! Moving in from the original backend: a real MongoDB and a real bucket, filled as the original has filled them.
#![cfg(all(feature = "mongodb", feature = "s3"))]

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;

use mongodb::Client;
use mongodb::bson::{Bson, Document, doc, oid::ObjectId as Oid};
use notestamp_store::{Clock, ObjectId, OsRandom, SystemClock};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use serde_json::{Value, json};

use super::server::{PROGRAM, Server, tool};
use super::tools::lines;

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is set: scripts/services start"))
}

/// A source: a new database, and a new prefix in the bucket.
struct Source {
    users: mongodb::Collection<Document>,
    mongodb: String,
    bucket: AmazonS3,
    prefix: String,
}

impl Source {
    async fn new() -> Self {
        let id = ObjectId::generate(SystemClock.now(), &OsRandom);
        let server = variable("NOTESTAMP_TEST_MONGODB_URL");
        let (host, options) = server
            .split_once('?')
            .map_or((&*server, String::new()), |(host, rest)| (host, format!("?{rest}")));
        let hosts = host.trim_start_matches("mongodb://").split('/').next().unwrap();
        let database = format!("legacy_{id}");
        let mongodb = format!("mongodb://{hosts}/{database}{options}");
        let client = Client::with_uri_str(&mongodb).await.unwrap();
        let bucket = AmazonS3Builder::from_env()
            .with_bucket_name(variable("NOTESTAMP_TEST_S3_BUCKET"))
            .with_endpoint(variable("NOTESTAMP_TEST_S3_ENDPOINT"))
            .with_virtual_hosted_style_request(false)
            .with_allow_http(true);
        let prefix = format!("legacy/{id}");
        Self {
            users: client.database(&database).collection("users"),
            mongodb,
            bucket: bucket.build().unwrap(),
            prefix,
        }
    }

    async fn add_user(&self, id: &str, email: &str, password: &str, documents: impl Into<Bson>) {
        let user = doc! {
            "_id": Oid::parse_str(id).unwrap(), "email": email, "password": password, "salt": "unused",
            "documents": documents, "__v": 0,
        };
        self.users.insert_one(user).await.unwrap();
    }

    async fn put(&self, key: &str, bytes: &'static [u8]) {
        let key = Key::parse(format!("{}/{key}", self.prefix)).unwrap();
        self.bucket.put(&key, bytes.into()).await.unwrap();
    }

    /// Imports it; the findings by their names and subjects, the summary, and the exit code.
    fn import(&self, data: &Path) -> (BTreeMap<(String, String), bool>, Value, Option<i32>) {
        let bucket = format!(
            "s3://{}/{}?endpoint={}&path_style=true",
            variable("NOTESTAMP_TEST_S3_BUCKET"),
            self.prefix,
            variable("NOTESTAMP_TEST_S3_ENDPOINT")
        );
        let mut command = Command::new(PROGRAM);
        command.args(["import-legacy", "--mongodb", &self.mongodb, "--bucket", &bucket, "--data"]).arg(data);
        for name in ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "REGION"] {
            let name = format!("AWS_{name}");
            command.env(format!("NOTESTAMP_LEGACY_{name}"), variable(&name)).env_remove(name);
        }
        let output = command.env("RUST_LOG", "error").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let summary = lines.pop().unwrap_or_else(|| panic!("{said}"))["summary"].clone();
        let of = |line: &Value, key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let findings = lines.iter().filter(|line| line["finding"].is_string()).map(|line| {
            let subject = [of(line, "title"), of(line, "object"), of(line, "owner")];
            let subject = subject.into_iter().find(|text| !text.is_empty()).unwrap();
            ((of(line, "finding"), subject), line["repaired"] == true)
        });
        (findings.collect(), summary, output.status.code())
    }
}

const ADA: &str = "65f000000000000000000001";
const BOB: &str = "65f000000000000000000002";
const ADA_TOO: &str = "65f000000000000000000003";
const NOBODY: &str = "65f000000000000000000004";

/// The bcrypt hash of `abc`, made with the lowest cost.
fn hash_of_abc() -> String {
    bcrypt::hash("abc", 4).unwrap()
}

async fn filled() -> Source {
    let source = Source::new().await;
    let project = |title: &str, kind: &str, mimetype: &str| {
        doc! { "title": title, "type": kind, "label": "L", "src": "http://localhost:8080/home/stream-audio", "mimetype": mimetype }
    };
    let ada = vec![
        Bson::from(project("Lecture", "audio", "audio/webm")),
        project("Cafe\u{301}", "audio", "audio/mp3").into(),
        project("Caf\u{e9}", "text", "").into(),
        project("scan", "pdf", "application/pdf").into(),
        project("scan.pdf", "text", "").into(),
        project("old", "audio", "").into(),
        project("bare", "audio", "audio/wav").into(),
        project("broken", "text", "").into(),
        project("lost notes", "text", "").into(),
        project("lost media", "audio", "audio/wav").into(),
        doc! { "title": "", "type": "audio" }.into(),
    ];
    source.add_user(ADA, "Ada@Example.org", &hash_of_abc(), ada).await;
    source.add_user(BOB, "bob@example.org", "plain text", Bson::Null).await;
    source
        .add_user(ADA_TOO, "ada@example.org", &hash_of_abc(), vec![Bson::from(project("other", "a", ""))])
        .await;
    source.add_user(NOBODY, "no address", &hash_of_abc(), Bson::Array(Vec::new())).await;
    for (key, bytes) in [
        ("Lecture.stmp", &b"[\"lecture\"]"[..]),
        ("Lecture.webm", b"webm"),
        ("Cafe\u{301}.stmp", b"1"),
        ("Cafe\u{301}.mp3", b"mp3"),
        ("Caf\u{e9}.stmp", b"2"),
        ("scan.stmp", b"3"),
        ("scan.pdf.stmp", b"4"),
        ("scan.application", b"no media"),
        ("old", b"5"),
        ("old.undefined", b"undefined"),
        ("bare.stmp", b"6"),
        ("bare", b"bare"),
        ("broken.stmp", b"{\"unfinished"),
        ("lost media.stmp", b"7"),
    ] {
        source.put(&format!("{ADA}/{key}"), bytes).await;
    }
    source.put("65f0000000000000000000ff/gone.stmp", b"1").await;
    source
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn accounts_move_in_with_their_passwords_and_what_is_broken_is_reported() {
    let (source, place) = (filled().await, tempfile::tempdir().unwrap());
    let data = place.path().join("data");
    let server = Server::start(&data, &[]);
    let (findings, summary, code) = source.import(&data);
    let expected = [
        (("colliding address", ADA_TOO), false),
        (("colliding title", "Cafe\u{301}"), true),
        (("invalid address", NOBODY), false),
        (("invalid project", ADA), false),
        (("missing media", "lost media"), false),
        (("missing media", "scan"), false),
        (("missing notes", "lost notes"), false),
        (("orphan", "65f0000000000000000000ff/gone.stmp"), true),
        (("orphan", &format!("{ADA}/scan.application")), true),
        (("unreadable hash", BOB), false),
        (("unreadable notes", "broken"), true),
    ];
    let expected = expected.map(|((name, what), settled)| ((name.to_owned(), what.to_owned()), settled));
    assert_eq!(findings, BTreeMap::from(expected));
    assert_eq!(
        (&summary["accounts"], &summary["projects"], code),
        (&2.into(), &9.into(), Some(1)),
        "{summary}"
    );

    let http = reqwest::Client::new();
    let sign_in = async |password: &str| {
        let credentials = json!({ "username": "ada@example.org", "password": password });
        http.post(format!("{}/auth/signin", server.url)).json(&credentials).send().await.unwrap()
    };
    assert_eq!(sign_in("abd").await.status(), 401);
    let signed_in = sign_in("abc").await;
    assert_eq!(signed_in.status(), 200);
    let cookies: Vec<_> =
        signed_in.headers().get_all("set-cookie").iter().map(|it| it.to_str().unwrap()).collect();
    let cookies: Vec<_> = cookies.iter().map(|cookie| cookie.split(';').next().unwrap().to_owned()).collect();
    let cookies = cookies.join("; ");
    let directory: Value = signed_in.json::<Value>().await.unwrap()["directory"].take();
    let titles: Vec<_> =
        directory.as_array().unwrap().iter().map(|it| it["title"].as_str().unwrap()).collect();
    let order =
        ["Lecture", "Caf\u{e9} (2)", "Caf\u{e9}", "scan", "scan.pdf", "old", "bare", "broken", "lost media"];
    assert_eq!(titles, order);
    for (index, size) in
        [(0, Some(4)), (1, Some(3)), (2, None), (3, None), (4, None), (5, Some(9)), (6, Some(4)), (8, None)]
    {
        assert_eq!(directory[index]["mediaSize"].as_u64(), size, "{}", titles[index]);
    }
    let open = |title: &str| {
        http.get(format!("{}/home/open", server.url))
            .query(&[("name", title)])
            .header("cookie", &cookies)
            .send()
    };
    let opened: Value = open("broken").await.unwrap().json().await.unwrap();
    assert_eq!(opened["content"], r#""{\"unfinished""#);
    // The hash is one of Argon2id now.
    assert_eq!(sign_in("abc").await.status(), 200);
    let delete = http.delete(format!("{}/home/delete?name=old", server.url)).header("cookie", &cookies);
    assert_eq!(delete.send().await.unwrap().status(), 200);
    assert!(tool(&data, &["account", "remove", "bob@example.org", "--yes"], "").status.success());
    assert!(server.stop().success());

    source.put(&format!("{ADA}/lost notes.stmp"), b"8").await;
    source.put(&format!("{ADA}/lost media.wav"), b"found").await;
    let (findings, summary, _) = source.import(&data);
    assert_eq!(
        (&summary["accounts"], &summary["projects"], &summary["known"]),
        (&0.into(), &1.into(), &9.into())
    );
    assert!(!findings.keys().any(|(_, what)| what.starts_with("lost") || what == BOB), "{findings:?}");
    let accounts = lines(&tool(&data, &["account", "list"], ""));
    assert_eq!(accounts.len(), 2, "{accounts:?}");
    assert_eq!(accounts[0]["account"]["projects"], 9, "one is deleted, one is new");
    // Nothing has changed in the source.
    assert_eq!(source.users.count_documents(doc! {}).await.unwrap(), 4);
    let folder = Key::parse(format!("{}/{ADA}", source.prefix)).unwrap();
    let listed = source.bucket.list_with_delimiter(Some(&folder)).await;
    assert_eq!(listed.unwrap().objects.len(), 16);
}
