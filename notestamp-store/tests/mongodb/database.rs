//! A database of its own for each test, on the server that `NOTESTAMP_TEST_MONGODB_URL` names.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mongodb::Client;
use mongodb::options::ClientOptions;
use notestamp_store::metadata::MongoDbMetadata;
use notestamp_store::{ObjectId, OsRandom, Timestamp};

/// Is dropped with all that is in it when this is.
pub(crate) struct TestDatabase {
    pub(crate) name: String,
    pub(crate) url: String,
}

impl TestDatabase {
    /// One that nobody else has; it comes to be when it is opened.
    pub(crate) fn new() -> Self {
        let server = std::env::var("NOTESTAMP_TEST_MONGODB_URL").expect("NOTESTAMP_TEST_MONGODB_URL is set");
        let name = unique_name();
        Self { url: with_database(&server, &name), name }
    }

    pub(crate) async fn open(&self) -> MongoDbMetadata {
        MongoDbMetadata::open(&self.url).await.expect("the server is there")
    }

    /// Past the store, to see or to spoil what it keeps.
    pub(crate) async fn client(&self) -> mongodb::Database {
        connect(&self.url).await.database(&self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // A test's own runtime cannot be waited for in a drop.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                connect(&url).await.database(&name).drop().await.expect("the database can be dropped");
            });
        });
        // In a test that has failed already, its own failure is what counts.
        if dropping.join().is_err() && !std::thread::panicking() {
            panic!("the database {} is left over", self.name);
        }
    }
}

async fn connect(url: &str) -> Client {
    let mut options = ClientOptions::parse(url).await.expect("the URL can be read");
    options.server_selection_timeout = Some(Duration::from_secs(10));
    Client::with_options(options).expect("the options are good")
}

fn unique_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let random = ObjectId::generate(Timestamp::from_millis(0), &OsRandom).to_string();
    format!("notestamp_test_{}_{}", &random[16..], COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The URL of a database on the server of this URL.
fn with_database(server: &str, name: &str) -> String {
    let (hosts, options) = server.split_once('?').unwrap_or((server, ""));
    let (scheme, hosts) = hosts.split_once("://").expect("the URL has a scheme");
    let hosts = hosts.split('/').next().expect("a split has a first part");
    format!("{scheme}://{hosts}/{name}?{options}")
}
