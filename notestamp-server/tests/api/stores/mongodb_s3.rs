//! Stores on MongoDB and S3 servers, which `scripts/services start` starts.

use std::env;
use std::time::Duration;

use mongodb::Client;
use mongodb::options::ClientOptions;
use notestamp_server::config::Config;
use notestamp_store::{ObjectId, OsRandom, Timestamp};

use super::{Stores, parse};
use crate::token::KEY;

/// A database and a prefix in a bucket, on the servers that `NOTESTAMP_TEST_MONGODB_URL` and
/// `NOTESTAMP_TEST_S3_ENDPOINT` name. The objects in the bucket are deleted with the S3 server.
pub struct MongoDbS3 {
    /// The name of both.
    name: String,
}

impl MongoDbS3 {
    /// The URL of the database.
    fn database(&self) -> String {
        let server = variable("NOTESTAMP_TEST_MONGODB_URL");
        let (hosts, options) = server.split_once('?').unwrap_or((&server, ""));
        let (scheme, hosts) = hosts.split_once("://").unwrap();
        let hosts = hosts.split('/').next().unwrap();
        format!("{scheme}://{hosts}/{}?{options}", self.name)
    }

    /// The URL of a blob store.
    fn bucket(&self, of: &str) -> String {
        let bucket = variable("NOTESTAMP_TEST_S3_BUCKET");
        let endpoint = variable("NOTESTAMP_TEST_S3_ENDPOINT");
        format!("s3://{bucket}/{}/{of}?endpoint={endpoint}&path_style=true", self.name)
    }
}

impl Stores for MongoDbS3 {
    const ARE_SHARED: bool = true;

    fn fresh() -> Self {
        let id = ObjectId::generate(Timestamp::from_millis(0), &OsRandom);
        Self { name: format!("notestamp_api_test_{id}") }
    }

    fn config(&self) -> Config {
        let [notes, media] = ["notes", "media"].map(|of| self.bucket(of));
        let urls = [("--metadata", self.database()), ("--notes", notes), ("--media", media)];
        let arguments = urls.map(|(flag, url)| format!("{flag}={url}").into());
        parse(arguments, [("NOTESTAMP_SIGNING_KEY".into(), KEY.into())])
    }
}

impl Drop for MongoDbS3 {
    fn drop(&mut self) {
        let (url, name) = (self.database(), self.name.clone());
        // `drop` cannot wait for the test's own runtime.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let mut options = ClientOptions::parse(url).await.unwrap();
                options.server_selection_timeout = Some(Duration::from_secs(10));
                let client = Client::with_options(options).unwrap();
                client.database(&name).drop().await.unwrap();
            });
        });
        // If the test has already failed, its own failure is the one to report.
        if dropping.join().is_err() && !std::thread::panicking() {
            panic!("the database {} is left over", self.name);
        }
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is needed"))
}
