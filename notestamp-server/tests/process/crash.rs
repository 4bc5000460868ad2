//! The server is killed repeatedly at random moments, and keeps exactly the acknowledged changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use notestamp_store::{CheckReport, Digest, Store};

use super::client::{Broken, Client};
use super::generated::{Numbers, file, pieces};
use super::server::{Server, sweep, try_start};

const ROUNDS: u64 = 8;
const ACCOUNTS: u64 = 3;
const TASKS_OF_AN_ACCOUNT: u64 = 2;
const TITLES_OF_A_TASK: usize = 3;

/// The media files that all accounts save: a few small ones, and some of several parts.
const FILES: [usize; 5] = [0, 10, 50_000, 1_500_000, 6_000_000];

/// The possible states of each project, by what is known; `None` among them means absent.
type Known = BTreeMap<String, Vec<Option<Content>>>;

#[derive(Clone, PartialEq, Eq, Debug)]
struct Content {
    notes: String,
    media: Option<Digest>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_moment_exactly_the_acknowledged_changes_remain() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let settings = |round: u64| {
        // The namespace changes too: then the files of the old namespace are no longer found.
        let dedup = if round.is_multiple_of(2) { "user" } else { "global" };
        ["--sweep-grace", "0s", "--sweep-every", "50ms", "--dedup", dedup]
    };
    let mut server = Server::start(&data, &settings(0));
    let mut accounts = Vec::new();
    for n in 0..ACCOUNTS {
        accounts.push((Client::register(&server.url, &format!("somebody-{n}")).await, Known::new()));
    }

    for round in 0..ROUNDS {
        let completed = Arc::new(AtomicUsize::new(0));
        let mut tasks = Vec::new();
        for (n, (client, known)) in accounts.iter().enumerate() {
            for task in 0..TASKS_OF_AN_ACCOUNT {
                let seed = round << 16 | (n as u64) << 8 | task;
                let (client, completed) = (client.at(&server.url), completed.clone());
                let mine = known.iter().filter(|(title, _)| title.starts_with(&format!("{task}: ")));
                let known = mine.map(|(title, states)| (title.clone(), states.clone())).collect();
                tasks.push(tokio::spawn(use_until_broken(client, task, known, Numbers(seed), completed)));
            }
        }
        let uploading = tokio::spawn(upload_without_end(accounts[0].0.at(&server.url)));

        // The moment of the kill is random.
        let mut numbers = Numbers(round);
        let enough = 5 + numbers.below(40);
        while completed.load(Ordering::Relaxed) < enough {
            assert!(!tasks.iter().all(|task| task.is_finished()), "every task has ended early");
            tokio::time::sleep(Duration::from_micros(200 + numbers.below(2_000) as u64)).await;
        }
        server.kill();
        uploading.await.unwrap();
        for (n, task) in tasks.into_iter().enumerate() {
            accounts[n / TASKS_OF_AN_ACCOUNT as usize].1.extend(task.await.unwrap());
        }

        server = Server::start(&data, &settings(round + 1));
        for (client, known) in &mut accounts {
            verify(&client.at(&server.url), known).await;
        }
    }

    assert!(server.stop().success());
    let swept = sweep(&data);
    assert!(swept.status.success(), "{swept:?}");
    assert_eq!(check(&data).await, CheckReport::default());
}

/// Saves, deletes and saves again until the connection breaks; returns what is known then.
async fn use_until_broken(
    client: Client,
    task: u64,
    mut known: Known,
    mut numbers: Numbers,
    completed: Arc<AtomicUsize>,
) -> Known {
    for step in 0.. {
        let number = numbers.below(TITLES_OF_A_TASK);
        let title = format!("{task}: {number}");
        let states = known.entry(title.clone()).or_insert_with(|| vec![None]);
        let [before] = &states[..] else { panic!("{title} has been verified") };
        let before = before.clone();
        let (after, outcome) = if numbers.below(3) == 0 {
            let deleted = client.delete(&title).await;
            if let Ok(found) = deleted {
                assert_eq!(found, before.is_some(), "{title}");
            }
            (None, deleted.map(drop))
        } else {
            let notes = format!("{step} {}", "words ".repeat(numbers.below(1_000)));
            // A project's media is not replaced by another file.
            let media = (numbers.below(4) > 0).then(|| file(FILES[number % FILES.len()]));
            let brought = media.as_ref().map(|bytes| Digest::of(bytes));
            let media = media.map(|bytes| pieces(&bytes));
            let outcome = client.save(&title, &notes, media).await;
            let kept = before.as_ref().and_then(|before| before.media);
            (Some(Content { notes, media: kept.or(brought) }), outcome)
        };
        match outcome {
            Ok(()) => {
                *states = vec![after];
                completed.fetch_add(1, Ordering::Relaxed);
            }
            Err(Broken) => {
                *states = vec![before, after];
                break;
            }
        }
    }
    known
}

/// An endless upload, so that the server is killed in the middle of it.
async fn upload_without_end(client: Client) {
    let body = pieces(&file(3 << 20)).chain(stream::pending());
    let broken = client.save("never", "never", Some(body)).await;
    assert!(broken.is_err(), "it had no end");
}

/// Asserts that the state of each project is possible, and sets the model to it.
async fn verify(client: &Client, known: &mut Known) {
    let mut found = BTreeMap::new();
    for project in client.list().await {
        if let Some(digest) = project.media {
            assert_eq!(client.download(&project).await.0, digest, "{project:?}");
        }
        let notes = client.open(&project.title).await;
        found.insert(project.title, Content { notes, media: project.media });
    }
    for (title, states) in known {
        let state = found.remove(title);
        assert!(states.contains(&state), "{title} is {state:?}, and may be {states:?}");
        *states = vec![state];
    }
    assert!(found.is_empty(), "no acknowledged save created {found:?}");
}

/// Compares the ledger and the files of a data folder that no server has open.
pub(super) async fn check(data: &Path) -> CheckReport {
    let store = Store::in_folder(data).await.unwrap();
    let report = store.check().await.unwrap();
    store.close().await.unwrap();
    report
}

#[tokio::test]
async fn an_upload_whose_client_goes_away_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let client = Client::register(&server.url, "somebody").await;
    let (half_way, seen) = tokio::sync::oneshot::channel();
    let sent = stream::once(async move {
        half_way.send(()).unwrap();
        future::pending::<Bytes>().await
    });
    let uploading = tokio::spawn({
        let client = client.clone();
        async move { client.save("title", "notes", Some(pieces(&file(3 << 20)).chain(sent))).await }
    });
    seen.await.unwrap();
    uploading.abort();
    assert!(uploading.await.unwrap_err().is_cancelled());
    assert!(client.list().await.is_empty());
    // A graceful shutdown finishes background work, including the cleanup after the broken upload.
    assert!(server.stop().success());
    assert_eq!(check(&data).await, CheckReport::default(), "before any sweep");
}

#[test]
fn a_second_process_on_the_same_data_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let refused = try_start(&data);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("in use") && said.contains(data.to_str().unwrap()), "{said}");
    assert!(refused.stdout.is_empty());
    assert!(server.stop().success());
    assert!(Server::start(&data, &[]).stop().success(), "the folder is free again");
}
