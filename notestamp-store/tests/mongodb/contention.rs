//! Many saves of one account at once, through several processes: they take turns instead of aborting each other.

use std::sync::Arc;

use futures_util::future::join_all;
use mongodb::bson::doc;
use notestamp_store::Namespace;
use notestamp_store::records::{MongoDbRecords, ProjectStore, SaveOutcome};
use tokio::time::Instant;

use crate::fixture::{account, save};
use crate::server::Mongod;

const PROCESSES: usize = 3;
const SAVES: usize = 12;

/// A handle shares nothing with the others: it is to them what another process is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NOTESTAMP_TEST_MONGOD"]
async fn saves_of_one_account_through_three_processes_seldom_conflict() {
    let server = Mongod::replica_set().await;
    let opened =
        (0..PROCESSES).map(|_| async { Arc::new(MongoDbRecords::open(&server.url()).await.unwrap()) });
    let processes = join_all(opened).await;
    let ada = account(&*processes[0], "ada").await;
    let mut commits = Vec::new();
    for n in 0..PROCESSES * SAVES {
        let process = Arc::clone(&processes[n % PROCESSES]);
        let title = format!("title {}", n % 10);
        commits.push((save(&*process, ada, &title, None, Namespace::Owner(ada)).await.unwrap(), process));
    }
    let aborted_before = aborted(&server).await;

    let start = Instant::now();
    let saves = commits.into_iter().map(|(commit, process)| {
        tokio::spawn(async move {
            let saved = process.commit_save(&commit).await;
            assert!(matches!(saved, Ok(SaveOutcome::Saved { .. })), "{saved:?}");
        })
    });
    for saved in join_all(saves.collect::<Vec<_>>()).await {
        saved.unwrap();
    }
    let aborted = aborted(&server).await - aborted_before;
    println!("{} saves in {:.1} s, {aborted} conflicts", PROCESSES * SAVES, start.elapsed().as_secs_f64());
    assert!(aborted <= (PROCESSES * SAVES) as i64, "{aborted} transactions were aborted and retried");
}

/// How many transactions the server has aborted since it was started.
async fn aborted(server: &Mongod) -> i64 {
    let status = server.command(doc! { "serverStatus": 1 }).await;
    status.get_document("transactions").unwrap().get_i64("totalAborted").unwrap()
}
