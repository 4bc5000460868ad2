//! A prefix of a bucket for one test, inspected from outside; and an S3 server for one test, which it may kill.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use futures_util::TryStreamExt;
use notestamp_store::{Clock, ObjectId, OsRandom, SystemClock};
use object_store::ObjectStore;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use tempfile::TempDir;

use super::variable;

pub struct Prefix {
    s3: AmazonS3,
    bucket: String,
    prefix: String,
}

impl Prefix {
    /// A new prefix of the bucket at this endpoint.
    pub fn fresh(endpoint: &str) -> Self {
        let bucket = variable("NOTESTAMP_TEST_S3_BUCKET");
        let prefix = format!("test/{}", ObjectId::generate(SystemClock.now(), &OsRandom));
        let builder = AmazonS3Builder::from_env().with_bucket_name(&bucket).with_endpoint(endpoint);
        let s3 = builder.with_allow_http(true).build().unwrap();
        Self { s3, bucket, prefix }
    }

    /// The URL of the store with this name, if the bucket is reached at this endpoint.
    pub fn url(&self, store: &str, endpoint: &str) -> String {
        format!("s3://{}/{}/{store}?endpoint={endpoint}&path_style=true", self.bucket, self.prefix)
    }

    /// All objects under the prefix: their paths and sizes.
    pub async fn list(&self) -> BTreeMap<String, u64> {
        let prefix = Path::from(self.prefix.as_str());
        let listing = self.s3.list(Some(&prefix)).map_ok(|object| {
            let path = object.location.as_ref().strip_prefix(&self.prefix).unwrap();
            (path.trim_start_matches('/').to_owned(), object.size)
        });
        let mut found: BTreeMap<_, _> = listing.try_collect().await.unwrap();
        // The files with the store's id are not objects of the ledger.
        found.retain(|path, _| !path.ends_with(".store-id"));
        found
    }

    /// Multipart uploads that were neither completed nor aborted: the XML of the service, if there are any.
    pub async fn unfinished_uploads(&self) -> Vec<String> {
        let query = SignedUrlOptions::new().with_query([("uploads", "")]);
        let url =
            self.s3.signed_url_opts(Method::GET, &Path::default(), Duration::from_secs(60), &query).await;
        let response = reqwest::get(url.unwrap()).await.unwrap().error_for_status().unwrap();
        let listing = response.text().await.unwrap();
        assert!(listing.contains("ListMultipartUploadsResult"), "{listing}");
        let uploads = listing.split("<Upload>").skip(1);
        uploads.filter(|upload| upload.contains(&self.prefix)).map(str::to_owned).collect()
    }
}

/// An S3 server; `NOTESTAMP_TEST_WEED` is the path of the program. It is killed when this value is dropped.
pub struct S3Server {
    ports: Vec<u16>,
    folder: TempDir,
    process: Mutex<Child>,
}

impl S3Server {
    /// Starts a server that has the bucket.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listeners: Vec<_> = (0..8).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let identity = serde_json::json!({
            "name": "test",
            "credentials": [{
                "accessKey": variable("AWS_ACCESS_KEY_ID"),
                "secretKey": variable("AWS_SECRET_ACCESS_KEY"),
            }],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        });
        let identities = serde_json::json!({ "identities": [identity] });
        fs::write(folder.path().join("s3.json"), identities.to_string()).unwrap();
        let process = Mutex::new(run(&folder, &ports));
        let server = Self { ports, folder, process };
        server.has_its_bucket().await;
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[6])
    }

    /// Kills the process with SIGKILL.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let id = self.process.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Starts it again after it was killed, with the data that it had.
    pub fn restart(&self) {
        *self.process.lock().unwrap() = run(&self.folder, &self.ports);
    }

    /// Creates the bucket as soon as the server is able to, and waits until an object can be written to it: the first
    /// write takes seconds.
    async fn has_its_bucket(&self) {
        let bucket = variable("NOTESTAMP_TEST_S3_BUCKET");
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_endpoint(self.endpoint());
        let s3 = builder.with_allow_http(true).build().unwrap();
        for path in [Path::default(), Path::from("probe")] {
            can_be_put(&s3, &path).await;
        }
    }
}

/// Puts an empty object, or creates the bucket, as soon as the server is able to.
async fn can_be_put(s3: &AmazonS3, path: &Path) {
    let http = reqwest::Client::new();
    for _ in 0..600 {
        let url = s3.signed_url(Method::PUT, path, Duration::from_secs(60)).await.unwrap();
        if http.put(url).send().await.is_ok_and(|response| response.status().is_success()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the S3 server does not start");
}

fn run(folder: &TempDir, ports: &[u16]) -> Child {
    let path = |name: &str| folder.path().join(name).display().to_string();
    let port = |name: &str, number: usize| format!("-{name}={}", ports[number]);
    let mut command = Command::new(variable("NOTESTAMP_TEST_WEED"));
    command.args(["server", &format!("-dir={}", path("")), "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]);
    command.args([port("master.port", 0), port("master.port.grpc", 1)]);
    command.args([port("volume.port", 2), port("volume.port.grpc", 3)]);
    command.args([port("filer.port", 4), port("filer.port.grpc", 5)]);
    command.args([port("s3.port", 6), port("s3.port.grpc", 7), format!("-s3.config={}", path("s3.json"))]);
    // Iceberg and Lance would listen on fixed ports.
    command.args(["-master.volumeSizeLimitMB=64", "-volume.max=50", "-filer", "-s3"]);
    command.args(["-s3.port.iceberg=0", "-s3.port.lance=0"]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let mut process = self.process.lock().unwrap();
        drop(process.kill());
        drop(process.wait());
    }
}
