//! A server for one test, which may stop it. `NOTESTAMP_TEST_MONGOD` is the path of the program.

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
    /// Starts a standalone server.
    pub(crate) async fn standalone() -> Self {
        let server = Self::spawn(&[]);
        server.command(doc! { "ping": 1 }).await;
        server
    }

    /// Starts a replica set that is not initiated.
    pub(crate) async fn uninitiated() -> Self {
        let server = Self::spawn(&["--replSet", "rs0", "--setParameter", "enableTestCommands=1"]);
        server.command(doc! { "hello": 1 }).await;
        server
    }

    /// Starts a replica set of one node, initiated.
    pub(crate) async fn replica_set() -> Self {
        let server = Self::uninitiated().await;
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

    /// Sends the process a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Makes the next commands of this name fail or wait as `how` says, this many times.
    ///
    /// <https://github.com/mongodb/mongo/wiki/The-%22failCommand%22-fail-point>
    pub(crate) async fn disturb(&self, command: &str, times: i32, how: Document) -> Disturbance<'_> {
        let mut data = how;
        data.insert("failCommands", [command]);
        let response = self
            .command(doc! { "configureFailPoint": "failCommand", "mode": { "times": times }, "data": data })
            .await;
        Disturbance { server: self, entered_before: response.get_i32("count").unwrap() }
    }

    /// Runs a command on this node, whatever its state.
    pub(crate) async fn command(&self, command: Document) -> Document {
        let mut options = ClientOptions::parse(self.url()).await.unwrap();
        options.direct_connection = Some(true);
        options.server_selection_timeout = Some(Duration::from_secs(30));
        let admin = Client::with_options(options).unwrap().database("admin");
        admin.run_command(command).await.unwrap()
    }
}

/// A fail point that is set: commands fail or wait.
pub(crate) struct Disturbance<'a> {
    server: &'a Mongod,
    entered_before: i32,
}

impl Disturbance<'_> {
    /// Waits until the first of these commands has reached the server.
    pub(crate) async fn has_begun(&self) {
        let times = self.entered_before + 1;
        let wait = doc! { "waitForFailPoint": "failCommand", "timesEntered": times, "maxTimeMS": 30_000 };
        self.server.command(wait).await;
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
