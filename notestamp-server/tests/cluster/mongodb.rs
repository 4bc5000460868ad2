//! A database for one test; or a replica set for one test, which may kill it. `NOTESTAMP_TEST_MONGOD` is the path of
//! the program.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use notestamp_store::{Clock, ObjectId, OsRandom, SystemClock};
use tempfile::{NamedTempFile, TempDir};
use tokio::time::sleep;

use super::relay::Relay;
use super::variable;

/// The URL of a new database on the server of `NOTESTAMP_TEST_MONGODB_URL`.
pub fn fresh_database() -> String {
    let server = variable("NOTESTAMP_TEST_MONGODB_URL");
    let (hosts, options) = server.split_once('?').unwrap_or((&server, ""));
    let (scheme, hosts) = hosts.split_once("://").unwrap();
    let hosts = hosts.split('/').next().unwrap();
    format!(
        "{scheme}://{hosts}/notestamp_test_{}?{options}",
        ObjectId::generate(SystemClock.now(), &OsRandom)
    )
}

/// A replica set. Its nodes are killed when this value is dropped.
pub struct ReplicaSet {
    nodes: Vec<Node>,
    /// The addresses of the nodes for clients.
    hosts: Vec<String>,
    credentials: Option<Credentials>,
    /// The key with which the nodes authenticate to each other, if the set has access control.
    _key: Option<NamedTempFile>,
}

struct Node {
    port: u16,
    data: TempDir,
    options: Vec<String>,
    process: Mutex<Child>,
}

/// The user of a server with access control.
#[derive(Clone)]
pub struct Credentials {
    pub user: &'static str,
    pub password: &'static str,
}

/// How long a node waits for the primary before it calls an election; ten seconds by default.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(1_500);

impl ReplicaSet {
    /// Starts a replica set, and waits for its primary.
    pub async fn start(count: usize) -> Self {
        let set = Self::of((0..count).map(|_| Node::start(Vec::new())).collect());
        set.initiate().await;
        set
    }

    /// A replica set of one node, which clients reach only through this relay.
    pub async fn behind_relay() -> (Self, Relay) {
        let mut set = Self::of(vec![Node::start(Vec::new())]);
        let relay = Relay::to(&set.nodes[0].address()).await;
        set.hosts = vec![relay.address().to_string()];
        set.initiate().await;
        (set, relay)
    }

    fn of(nodes: Vec<Node>) -> Self {
        let hosts = nodes.iter().map(Node::address).collect();
        Self { nodes, hosts, credentials: None, _key: None }
    }

    /// A replica set of one node with access control.
    pub async fn with_access_control(credentials: Credentials) -> Self {
        let key = NamedTempFile::new().unwrap();
        std::fs::write(key.path(), "a key that the nodes of one set share").unwrap();
        let options = ["--auth", "--keyFile", key.path().to_str().unwrap()].map(str::to_owned);
        let mut set = Self::of(vec![Node::start(options.to_vec())]);
        set._key = Some(key);
        set.initiate().await;
        let role = doc! { "role": "root", "db": "admin" };
        let user = doc! { "createUser": credentials.user, "pwd": credentials.password, "roles": [role] };
        set.command(0, user).await.unwrap();
        set.credentials = Some(credentials);
        set
    }

    async fn initiate(&self) {
        let members = (0_i32..).zip(&self.hosts);
        let members = members.map(|(id, host)| doc! { "_id": id, "host": host }).collect::<Vec<_>>();
        let timeout = i32::try_from(ELECTION_TIMEOUT.as_millis()).unwrap();
        let settings = doc! { "electionTimeoutMillis": timeout, "heartbeatIntervalMillis": 500 };
        let config = doc! { "_id": "rs0", "members": members, "settings": settings };
        let mut tries = 0;
        while let Err(refused) = self.command(0, doc! { "replSetInitiate": config.clone() }).await {
            // Repeated until all nodes listen.
            assert!(tries < 300, "{refused:?}");
            tries += 1;
            sleep(Duration::from_millis(100)).await;
        }
        self.primary(&[]).await;
    }

    pub fn url(&self) -> String {
        let user = self.credentials.as_ref().map(|it| format!("{}:{}@", it.user, it.password));
        let options = if user.is_some() { "&authSource=admin" } else { "" };
        format!(
            "mongodb://{}{}/notestamp?replicaSet=rs0{options}",
            user.unwrap_or_default(),
            self.hosts.join(",")
        )
    }

    /// Waits for a primary other than these nodes.
    pub async fn primary(&self, others: &[usize]) -> usize {
        for _ in 0..600 {
            for node in (0..self.nodes.len()).filter(|node| !others.contains(node)) {
                let hello = self.command(node, doc! { "hello": 1 }).await;
                if hello.is_ok_and(|hello| hello.get_bool("isWritablePrimary").unwrap()) {
                    return node;
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        panic!("there is no primary");
    }

    /// Makes the primary step down.
    pub async fn step_down(&self) {
        let primary = self.primary(&[]).await;
        let step_down = doc! { "replSetStepDown": 5, "secondaryCatchUpPeriodSecs": 2 };
        while self.command(primary, step_down.clone()).await.is_err() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, node: usize, name: &str) {
        let id = self.nodes[node].process.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Kills a node with SIGKILL.
    pub fn kill(&self, node: usize) {
        self.signal(node, "KILL");
        self.nodes[node].process.lock().unwrap().wait().unwrap();
    }

    /// Starts a node again after it was killed, with the data that it had.
    pub fn restart(&self, node: usize) {
        let node = &self.nodes[node];
        *node.process.lock().unwrap() = run(node.port, &node.data, &node.options);
    }

    /// Runs a command on this node, whatever its state.
    async fn command(&self, node: usize, command: Document) -> mongodb::error::Result<Document> {
        let url = format!("mongodb://{}", self.nodes[node].address());
        let mut options = ClientOptions::parse(url).await.unwrap();
        options.direct_connection = Some(true);
        options.server_selection_timeout = Some(Duration::from_secs(10));
        let client = Client::with_options(options).unwrap();
        client.database("admin").run_command(command).await
    }
}

impl Node {
    fn start(options: Vec<String>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self { process: Mutex::new(run(port, &data, &options)), port, data, options }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn run(port: u16, data: &TempDir, options: &[String]) -> Child {
    let mut command = Command::new(variable("NOTESTAMP_TEST_MONGOD"));
    command.args(["--bind_ip", "127.0.0.1", "--replSet", "rs0", "--wiredTigerCacheSizeGB", "0.25"]);
    command.args(["--port", &port.to_string(), "--dbpath"]).arg(data.path()).args(options);
    command.stdout(Stdio::null()).spawn().unwrap()
}

impl Drop for ReplicaSet {
    fn drop(&mut self) {
        for node in &self.nodes {
            let mut process = node.process.lock().unwrap();
            drop(process.kill());
            drop(process.wait());
        }
    }
}
