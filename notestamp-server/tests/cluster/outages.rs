//! While MongoDB or the bucket is unavailable, in any way, clients soon get a response that tells them to retry, and no
//! completed change is lost; when the backend is back, the servers recover by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use notestamp_server::config::REQUEST_TIME_MAX;
use reqwest::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::alone;
use super::bucket::{Prefix, S3Server};
use super::deployment::{Deployment, Places};
use super::http::{Rules, SLACK};
use super::mongodb::{ReplicaSet, fresh_database};
use super::relay::{Relay, Way};

const SERVERS: usize = 3;
const ACCOUNTS: u64 = 3;

/// The deadline of a response while the bucket is unavailable.
pub const BUCKET_TIME_MAX: Duration = Duration::from_secs(8);

/// The deadline of a response while the stores are slow; one more second for each megabyte.
const SLOW_TIME_MAX: Duration = Duration::from_secs(8 + 9);

/// The timeout for a server to notice that a backend is unavailable or available again.
pub const NOTICE_TIME_MAX: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGOD and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn no_acknowledged_save_is_lost_while_mongodb_nodes_fail() {
    let _alone = alone().await;
    let set = ReplicaSet::start(3).await;
    let deployment = Deployment::start(Places { records: set.url(), ..Places::fresh() }, SERVERS);
    let work = Work::start(&deployment, REQUEST_TIME_MAX);
    work.goes_on().await;

    set.step_down().await;
    work.goes_on().await;

    let killed = set.primary(&[]).await;
    set.kill(killed);
    set.primary(&[killed]).await;
    work.goes_on().await;
    set.restart(killed);
    work.goes_on().await;

    let stopped = set.primary(&[]).await;
    set.signal(stopped, "STOP");
    set.primary(&[stopped]).await;
    work.goes_on().await;
    // The stopped node still considers itself the primary.
    set.signal(stopped, "CONT");
    work.goes_on().await;

    let primary = set.primary(&[]).await;
    let others: Vec<_> = (0..3).filter(|node| *node != primary).collect();
    others.iter().for_each(|other| set.kill(*other));
    work.is_unavailable().await;
    others.iter().for_each(|other| set.restart(*other));
    work.is_back().await;
    work.goes_on().await;

    work.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGOD and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn while_mongodb_is_slow_clients_get_503_and_no_acknowledged_save_is_lost() {
    let _alone = alone().await;
    let (set, relay) = ReplicaSet::behind_relay().await;
    let deployment = Deployment::start(Places { records: set.url(), ..Places::fresh() }, SERVERS);
    let work = Work::start(&deployment, SLOW_TIME_MAX);
    work.goes_on().await;
    relay.set(Way::Slow(Duration::from_secs(1)));
    work.is_noticed().await;
    relay.set(Way::Open);
    work.goes_on().await;
    work.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_WEED"]
async fn no_acknowledged_save_is_lost_while_the_bucket_fails() {
    let _alone = alone().await;
    let s3 = S3Server::start().await;
    let relay = Relay::to(&s3.endpoint()).await;
    let prefix = Prefix::fresh(&s3.endpoint());
    let places = Places { records: fresh_database(), prefix, endpoint: relay.endpoint() };
    let deployment = Deployment::start(places, SERVERS);
    let work = Work::start(&deployment, BUCKET_TIME_MAX);
    work.goes_on().await;

    for way in [Way::Closed, Way::Failing] {
        relay.set(way);
        work.is_unavailable().await;
        relay.set(Way::Open);
        work.is_back().await;
        work.goes_on().await;
    }
    relay.set(Way::Slow(Duration::from_millis(500)));
    work.goes_on().await;
    relay.set(Way::Open);
    work.goes_on().await;

    s3.kill();
    work.is_unavailable().await;
    s3.restart();
    work.is_back().await;
    work.goes_on().await;

    s3.signal("STOP");
    work.is_unavailable().await;
    s3.signal("CONT");
    work.is_back().await;
    work.goes_on().await;

    work.finish().await;
}

/// Accounts in continuous use, and servers whose state is polled.
struct Work {
    deployment: Arc<Deployment>,
    rules: Arc<Rules>,
    done: CancellationToken,
    /// How many responses each account has received.
    steps: Vec<Arc<AtomicUsize>>,
    accounts: Vec<JoinHandle<Account>>,
    watch: JoinHandle<()>,
}

impl Work {
    fn start(deployment: &Arc<Deployment>, unavailable_time_max: Duration) -> Self {
        let rules =
            Arc::new(Rules { unavailable_time_max: Some(unavailable_time_max + SLACK), ..Rules::default() });
        let (done, mut steps, mut accounts) = (CancellationToken::new(), Vec::new(), Vec::new());
        for n in 0..ACCOUNTS {
            let mut account = Account::new(deployment, &rules, &format!("somebody-{n}"), n);
            let (mine, done) = (Arc::new(AtomicUsize::new(0)), done.clone());
            steps.push(mine.clone());
            accounts.push(tokio::spawn(async move {
                while !done.is_cancelled() {
                    match account.step().await {
                        Ok(()) => drop(mine.fetch_add(1, Ordering::Relaxed)),
                        // Retries like a client with `Retry-After`, but sooner.
                        Err(_) => sleep(Duration::from_millis(50)).await,
                    }
                }
                account
            }));
        }
        let watch = tokio::spawn(stays_well(deployment.clone(), done.clone()));
        Self { deployment: deployment.clone(), rules, done, steps, accounts, watch }
    }

    /// Waits until each account has received enough responses to requests that began after this call.
    async fn goes_on(&self) {
        let enough = 3;
        for steps in &self.steps {
            let begun = steps.load(Ordering::Relaxed);
            self.wait(async || steps.load(Ordering::Relaxed) >= begun + enough).await;
        }
        self.is_back().await;
    }

    /// Waits until a request has received 503.
    async fn is_noticed(&self) {
        let begun = self.rules.unavailable.load(Ordering::Relaxed);
        self.wait(async || self.rules.unavailable.load(Ordering::Relaxed) >= begun + 5).await;
    }

    /// Waits until a request has received 503, and no server is ready.
    async fn is_unavailable(&self) {
        self.is_noticed().await;
        self.are_ready(StatusCode::SERVICE_UNAVAILABLE).await;
    }

    /// Waits until all servers are ready.
    async fn is_back(&self) {
        self.are_ready(StatusCode::OK).await;
    }

    async fn are_ready(&self, status: StatusCode) {
        for url in self.deployment.urls() {
            self.wait(async || {
                let response = reqwest::get(format!("{url}/readyz")).await.unwrap();
                assert!(
                    response.status() == StatusCode::OK || response.headers().contains_key("retry-after")
                );
                response.status() == status
            })
            .await;
        }
    }

    async fn wait(&self, condition: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < NOTICE_TIME_MAX, "nothing changes");
            // A failure of these tasks is the one to report.
            assert!(!self.accounts.iter().any(|account| account.is_finished()), "an account has stopped");
            assert!(!self.watch.is_finished(), "a server is not well");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asserts that exactly the acknowledged data exists, and that it is readable and correct.
    async fn finish(self) {
        self.done.cancel();
        self.watch.await.unwrap();
        let accounts = join_all(self.accounts).await.into_iter().map(Result::unwrap);
        join_all(accounts.map(|mut account| async move { account.verify().await })).await;
        self.deployment.stop();
        self.deployment.places.assert_nothing_is_left_over().await;
        self.deployment.places.ledger().await.drop().await;
    }
}

/// Asserts, until it is cancelled, that every process stays alive, whatever the state of its stores.
async fn stays_well(deployment: Arc<Deployment>, done: CancellationToken) {
    while !done.is_cancelled() {
        for url in deployment.urls() {
            let response = timeout(SLACK, reqwest::get(format!("{url}/healthz"))).await;
            assert_eq!(response.expect("the server responds at once").unwrap().status(), StatusCode::OK);
        }
        sleep(Duration::from_millis(100)).await;
    }
}
