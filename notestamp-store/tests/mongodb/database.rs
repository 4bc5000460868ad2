//! A database of its own for each test, on the server that `NOTESTAMP_TEST_MONGODB_URL` names.

use std::time::Duration;

use mongodb::Client;
use mongodb::options::ClientOptions;
use notestamp_store::records::MongoDbRecords;
use notestamp_store::{ObjectId, OsRandom, Timestamp};

/// A test's database; dropping this drops the database.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl TestDatabase {
    /// A database with a unique name; opening the store creates it.
    pub(crate) fn new() -> Self {
        let server = std::env::var("NOTESTAMP_TEST_MONGODB_URL").expect("NOTESTAMP_TEST_MONGODB_URL is set");
        let name = unique_name();
        Self { url: with_database(&server, &name), name }
    }

    pub(crate) async fn open(&self) -> MongoDbRecords {
        MongoDbRecords::open(&self.url).await.expect("the server is there")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // `drop` cannot wait for the test's own runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                connect(&url).await.database(&name).drop().await.expect("the database can be dropped");
            });
        });
        // If the test has failed already, its own failure is the one to report.
        if dropping.join().is_err() && !std::thread::panicking() {
            panic!("the database {} is left over", self.name);
        }
    }
}

pub(crate) async fn connect(url: &str) -> Client {
    let mut options = ClientOptions::parse(url).await.expect("the URL can be read");
    options.server_selection_timeout = Some(Duration::from_secs(10));
    Client::with_options(options).expect("the options are good")
}

fn unique_name() -> String {
    format!("notestamp_test_{}", ObjectId::generate(Timestamp::from_millis(0), &OsRandom))
}

/// The URL of the database `name` on the server of this URL.
fn with_database(server: &str, name: &str) -> String {
    let (hosts, options) = server.split_once('?').unwrap_or((server, ""));
    let (scheme, hosts) = hosts.split_once("://").expect("the URL has a scheme");
    let hosts = hosts.split('/').next().expect("a split has a first part");
    format!("{scheme}://{hosts}/{name}?{options}")
}
