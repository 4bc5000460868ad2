//! Several server processes over the same stores.

use std::fs;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notestamp_store::records::MongoDbRecords;
use notestamp_store::{
    BlobStore, BlobUrl, CheckReport, Clock, Durability, ManualClock, ObjectKind, Store, StoreSettings,
    SystemClock,
};
use tempfile::TempDir;

use super::bucket::Prefix;
use super::generated::Numbers;
use super::ledger::Ledger;
use super::mongodb::fresh_database;
use super::server::{Server, try_start_with};
use super::variable;

pub const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Settings of the sweep without a grace period.
const SETTINGS: [&str; 8] = [
    "--sweep-every",
    "200ms",
    "--sweep-grace",
    "0s",
    "--sign-in-failures",
    "off",
    "--media-delivery",
    "redirect",
];

/// A short lifetime, so that access tokens expire often.
pub const ACCESS_TTL: &str = "2s";

/// The locations of the stores.
pub struct Places {
    pub records: String,
    pub prefix: Prefix,
    /// The endpoint at which the servers reach the bucket.
    pub endpoint: String,
}

pub struct Deployment {
    pub places: Places,
    servers: Mutex<Vec<Server>>,
    logs: TempDir,
    settings: Vec<String>,
    log_filter: &'static str,
}

impl Deployment {
    /// Starts this many servers.
    pub fn start(places: Places, count: usize) -> Arc<Self> {
        Self::start_with(places, count, ACCESS_TTL, "warn")
    }

    /// The same, with this lifetime of access tokens and this filter of the log.
    pub fn start_with(
        places: Places,
        count: usize,
        access_ttl: &'static str,
        log_filter: &'static str,
    ) -> Arc<Self> {
        let stores = [
            ("--metadata", places.records.clone()),
            ("--notes", places.prefix.url("notes", &places.endpoint)),
            ("--media", places.prefix.url("media", &places.endpoint)),
            ("--access-ttl", access_ttl.to_owned()),
        ];
        let stores = stores.into_iter().flat_map(|(flag, url)| [flag.to_owned(), url]);
        let settings = stores.chain(SETTINGS.map(str::to_owned)).collect();
        let logs = tempfile::tempdir().unwrap();
        let deployment = Self { places, servers: Mutex::default(), logs, settings, log_filter };
        deployment.resume(count);
        Arc::new(deployment)
    }

    /// Starts this many servers again after a stop.
    pub fn resume(&self, count: usize) {
        self.servers.lock().unwrap().extend((0..count).map(|n| self.run(n)));
    }

    /// Stops the servers gracefully.
    pub fn stop(&self) {
        for server in self.servers.lock().unwrap().drain(..) {
            assert!(server.stop().success());
        }
    }

    /// Kills a server with SIGKILL, and starts another one in its place.
    pub fn kill(&self, n: usize) {
        self.servers.lock().unwrap()[n].signal("KILL");
        let another = self.run(n);
        self.servers.lock().unwrap()[n] = another;
    }

    pub fn urls(&self) -> Vec<String> {
        self.servers.lock().unwrap().iter().map(|server| server.url.clone()).collect()
    }

    pub fn any(&self, numbers: &mut Numbers) -> String {
        let servers = self.servers.lock().unwrap();
        servers[numbers.below(servers.len())].url.clone()
    }

    /// The logs of all servers.
    pub fn log(&self) -> String {
        let logs = fs::read_dir(self.logs.path()).unwrap();
        logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect()
    }

    /// Tries to start a server that must not start; returns its output.
    pub fn try_start(&self) -> Output {
        try_start_with(&self.settings, &self.variables())
    }

    fn run(&self, n: usize) -> Server {
        Server::start_logging(&self.settings, &self.variables(), &self.logs.path().join(n.to_string()))
    }

    fn variables(&self) -> [(&str, &str); 2] {
        [("NOTESTAMP_SIGNING_KEY", KEY), ("RUST_LOG", self.log_filter)]
    }
}

impl Drop for Deployment {
    /// Prints the logs of the servers if the test has failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

impl Places {
    /// New stores, on the services that all tests share.
    pub fn fresh() -> Self {
        let endpoint = variable("NOTESTAMP_TEST_S3_ENDPOINT");
        Self { records: fresh_database(), prefix: Prefix::fresh(&endpoint), endpoint }
    }

    pub async fn ledger(&self) -> Ledger<'_> {
        Ledger::open(&self.records, &self.prefix).await
    }

    /// Sweeps after all grace periods, and compares the remaining objects with the ledger.
    pub async fn assert_nothing_is_left_over(&self) {
        let records = MongoDbRecords::open(&self.records).await.unwrap();
        let blobs = async |kind, store| {
            let url = BlobUrl::parse(&self.prefix.url(store, &self.endpoint)).unwrap();
            BlobStore::open(kind, &url, Durability::Full).await.unwrap()
        };
        let (notes, media) =
            (blobs(ObjectKind::Notes, "notes").await, blobs(ObjectKind::Media, "media").await);
        let settings = StoreSettings { sweep_grace: Duration::ZERO, ..StoreSettings::default() };
        let clock = ManualClock::new(SystemClock.now());
        let upload_time_max = settings.upload_time_max;
        let clock = Arc::new(clock);
        let store = Store::builder(Arc::new(records), notes, media).settings(settings).clock(clock.clone());
        let store = store.open().await.unwrap();
        // The clock has agreed with itself for long enough.
        clock.advance(2 * upload_time_max);
        store.sweep().await.unwrap();
        clock.advance(2 * upload_time_max);
        let swept = store.sweep().await.unwrap();
        assert_eq!(swept.failed, 0);
        assert_eq!(store.check().await.unwrap(), CheckReport::default());
        store.close().await.unwrap();
        self.ledger().await.assert_at_rest().await;
    }
}
