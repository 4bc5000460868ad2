//! A server of a test's own, which it may stop; the program is the one that `NOTESTAMP_TEST_MONGOD` names.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use tempfile::TempDir;

pub(crate) struct Mongod {
    process: Child,
    port: u16,
    _data: TempDir,
}

impl Mongod {
    /// One that is no replica set.
    pub(crate) async fn standalone() -> Self {
        let server = Self::spawn(&[]);
        server.command(doc! { "ping": 1 }).await;
        server
    }

    /// A replica set of one node, which takes writes.
    pub(crate) async fn replica_set() -> Self {
        let server = Self::spawn(&["--replSet", "rs0"]);
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{}", server.port) };
        server.command(doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } }).await;
        server
    }

    fn spawn(options: &[&str]) -> Self {
        let program = std::env::var_os("NOTESTAMP_TEST_MONGOD").expect("NOTESTAMP_TEST_MONGOD is set");
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new(program)
            .args(["--bind_ip", "127.0.0.1", "--wiredTigerCacheSizeGB", "0.25", "--port", &port.to_string()])
            .arg("--dbpath")
            .arg(data.path())
            .args(options)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, port, _data: data }
    }

    pub(crate) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/notestamp_test", self.port)
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Runs a command, on this node whatever state it is in.
    async fn command(&self, command: Document) {
        let mut options = ClientOptions::parse(self.url()).await.unwrap();
        options.direct_connection = Some(true);
        options.server_selection_timeout = Some(Duration::from_secs(30));
        let admin = Client::with_options(options).unwrap().database("admin");
        admin.run_command(command).await.unwrap();
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
