//! A random load at all servers, while any of them is killed: no reference is dangling, equal media is stored once,
//! each object in the bucket has a row in the ledger, and acknowledged changes are durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use notestamp_server::config::REQUEST_TIME_MAX;
use tokio::task::JoinHandle;

use super::account::Account;
use super::alone;
use super::deployment::{Deployment, Places};
use super::generated::Numbers;
use super::http::{Rules, SLACK};

const SERVERS: usize = 3;
const ACCOUNTS: u64 = 5;
const STEPS: usize = 90;
const STEPS_AMONG_KILLS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn the_bucket_always_contains_the_objects_of_the_ledger_and_of_the_projects() {
    let _alone = alone().await;
    let deployment = Deployment::start(Places::fresh(), SERVERS);
    let working = start_work(&deployment, &Arc::new(Rules::default()), STEPS);
    let ledger = deployment.places.ledger().await;
    let mut checked = 0;
    while !working.iter().all(|task| task.is_finished()) {
        ledger.assert_sound().await;
        checked += 1;
    }
    let mut accounts: Vec<_> = join_all(working).await.into_iter().map(Result::unwrap).collect();
    assert!(checked > 10, "checked only {checked} times");

    deployment.stop();
    assert_eq!(deployment.places.prefix.unfinished_uploads().await, Vec::<String>::new());
    deployment.places.assert_nothing_is_left_over().await;

    deployment.resume(1);
    for account in &mut accounts {
        account.leave().await;
    }
    deployment.stop();
    deployment.places.assert_nothing_is_left_over().await;
    ledger.assert_empty().await;
    ledger.drop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL and NOTESTAMP_TEST_S3_ENDPOINT"]
async fn after_the_kill_of_any_server_exactly_the_acknowledged_changes_remain() {
    let _alone = alone().await;
    let deployment = Deployment::start(Places::fresh(), SERVERS);
    let rules = Arc::new(Rules {
        servers_die: true,
        // If a server was killed in the middle of a save, the others end its transaction, so that its account is no
        // longer locked.
        unavailable_time_max: Some(REQUEST_TIME_MAX + SLACK),
        ..Rules::default()
    });
    let working = start_work(&deployment, &rules, STEPS_AMONG_KILLS);
    let ledger = deployment.places.ledger().await;
    let mut numbers = Numbers(7);
    while !working.iter().all(|task| task.is_finished()) {
        // The moment of the kill is random.
        let enough = rules.responses.load(Ordering::Relaxed) + 10 + numbers.below(20);
        while rules.responses.load(Ordering::Relaxed) < enough
            && !working.iter().all(|task| task.is_finished())
        {
            tokio::time::sleep(Duration::from_micros(200 + numbers.below(2_000) as u64)).await;
        }
        let (deployment, n) = (deployment.clone(), numbers.below(SERVERS));
        tokio::task::spawn_blocking(move || deployment.kill(n)).await.unwrap();
        ledger.assert_sound().await;
    }
    join_all(working).await.into_iter().for_each(|account| drop(account.unwrap()));
    assert!(rules.broken.load(Ordering::Relaxed) > 10, "too few requests were interrupted");

    deployment.stop();
    deployment.places.assert_nothing_is_left_over().await;
    ledger.drop().await;
}

/// Uses accounts at all servers for a number of steps, and verifies their state.
fn start_work(deployment: &Arc<Deployment>, rules: &Arc<Rules>, steps: usize) -> Vec<JoinHandle<Account>> {
    let accounts = (0..ACCOUNTS).map(|n| Account::new(deployment, rules, &format!("somebody-{n}"), n));
    let work = accounts.map(|mut account| {
        tokio::spawn(async move {
            for step in 1..=steps {
                // The next step finds the outcome of a request that had no response.
                let _ = account.step().await;
                if step.is_multiple_of(steps / 3) {
                    account.verify().await;
                }
            }
            account
        })
    });
    work.collect()
}
