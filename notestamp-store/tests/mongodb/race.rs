//! Concurrent random operations over two handles, as of two processes: at the end the records are consistent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use notestamp_store::protocol::{MediaCheck, SaveCommit, StaleBefore};
use notestamp_store::records::{
    MongoDbRecords, ObjectLedger, ProjectStore, SaveOutcome, SessionStore, UserStore,
};
use notestamp_store::{
    Caller, Error, ListQuery, Namespace, ObjectId, ObjectKind, ObjectState, OsRandom, Random,
    RevocationReason, Timestamp, UserId,
};

use crate::database::TestDatabase;
use crate::fixture::{NOW, account, save, session, title};

const TASKS: usize = 6;
const ACTS: usize = 40;
const TITLES: [&str; 3] = ["one", "two", "three"];
const MEDIA: [&[u8]; 3] = [b"song", b"talk", b"film"];
const MANY: usize = 10_000;

/// The objects whose bytes have been deleted.
type Deleted = Arc<Mutex<HashSet<ObjectId>>>;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn two_racing_processes_keep_the_records_consistent() {
    let database = TestDatabase::new();
    let stores = [Arc::new(database.open().await), Arc::new(database.open().await)];
    let owners = [account(&*stores[0], "ada").await, account(&*stores[0], "bob").await];
    let deleted = Deleted::default();

    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (store, deleted) = (Arc::clone(&stores[task % 2]), Arc::clone(&deleted));
            tokio::spawn(async move {
                for _ in 0..ACTS {
                    act(&store, owners, &deleted).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_in_step(&stores[1], owners, &deleted).await;

    // The sweep leaves only the rows that projects refer to.
    sweep(&stores[0], &deleted).await.unwrap();
    for row in stores[1].list_objects(None, MANY).await.unwrap() {
        assert!(row.state == ObjectState::Live && row.references > 0, "{row:?}");
    }
    assert_in_step(&stores[1], owners, &deleted).await;
}

/// Saves at one process while another process ends the session of the save: each save that succeeds was visible when
/// the end of the session returned. The two transactions must conflict, although the save only reads the session that
/// the other one writes.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs NOTESTAMP_TEST_MONGODB_URL"]
async fn no_save_at_one_process_follows_the_end_of_its_session_at_another() {
    const ROUNDS: usize = 60;
    let database = TestDatabase::new();
    let [here, there] = [Arc::new(database.open().await), Arc::new(database.open().await)];
    let ada = account(&*here, "ada").await;
    let mut ended_first = 0;
    for round in 0..ROUNDS {
        let session = session(ada);
        here.start_session(&session, 100, NOW).await.unwrap();
        let mut commit = save(&*here, ada, "one", None, Namespace::Owner(ada)).await.unwrap();
        commit.caller = Caller::by_session(ada, session.id);
        let notes = commit.notes.written().object;
        let saving = {
            let here = Arc::clone(&here);
            tokio::spawn(async move { here.commit_save(&commit).await })
        };
        // In each round the session ends at another step of the save.
        tokio::time::sleep(Duration::from_micros(100 * (round as u64 % 30))).await;
        let end = session.clone().revoke(NOW, RevocationReason::Replayed);
        assert!(match round % 2 {
            0 => there.replace_session(&session, &end).await.unwrap(),
            _ => there.revoke_session(ada.into(), session.id, RevocationReason::Ended, NOW).await.unwrap(),
        });
        let project = there.find_project(ada, &title("one")).await.unwrap();
        let was_saved = project.is_some_and(|project| project.notes.object == notes);
        let outcome = saving.await.unwrap();
        assert_eq!(outcome.is_ok(), was_saved, "{outcome:?}");
        if let Err(refused) = outcome {
            assert!(matches!(refused, Error::SessionEnded), "{refused:?}");
            ended_first += 1;
        }
    }
    println!("{ended_first} of {ROUNDS} ended before the save");
}

/// Does a random operation. It may fail only with an error that the contract allows, and contention is not such an
/// error.
async fn act(store: &MongoDbRecords, owners: [UserId; 2], deleted: &Deleted) -> notestamp_store::Result<()> {
    let owner = pick(owners);
    let refused = match pick([0, 1, 2, 3, 4, 5, 6]) {
        0..=3 => {
            let namespace = pick([Namespace::Owner(owner), Namespace::Shared]);
            let media = pick([None, Some(pick(MEDIA)), Some(pick(MEDIA))]);
            let commit = save(store, owner, pick(TITLES), media, namespace).await?;
            commit_save(store, commit, deleted).await
        }
        4 => store.delete_project(owner.into(), &title(pick(TITLES)), NOW).await.map(drop),
        5 => {
            let commit = save(store, owner, pick(TITLES), None, Namespace::Owner(owner)).await?;
            store.doom_reserved(&[commit.notes.written().object], NOW).await.map(drop)
        }
        _ => sweep(store, deleted).await,
    };
    match refused {
        Err(Error::UploadExpired | Error::NoSuchAccount | Error::NoSuchProject | Error::MediaDiffers) => {
            Ok(())
        }
        other => other,
    }
}

/// Commits a save. An object that the commit must check is reported as whole unless a sweep has deleted its bytes.
async fn commit_save(
    store: &MongoDbRecords,
    mut commit: SaveCommit,
    deleted: &Deleted,
) -> notestamp_store::Result<()> {
    loop {
        match store.commit_save(&commit).await? {
            SaveOutcome::CheckNeeded(media) => {
                let is_whole = !deleted.lock().unwrap().contains(&media.object);
                commit.checks.push(MediaCheck { object: media.object, is_whole });
            }
            outcome => {
                assert!(matches!(outcome, SaveOutcome::Saved { .. }), "{outcome:?}");
                return Ok(());
            }
        }
    }
}

/// Dooms all stale rows, deletes the bytes of the doomed, and forgets them.
async fn sweep(store: &MongoDbRecords, deleted: &Deleted) -> notestamp_store::Result<()> {
    let before = StaleBefore { reserved: Timestamp::MAX, unreferenced: Timestamp::MAX };
    store.doom_stale(&before, MANY, NOW).await?;
    let doomed: Vec<_> = store.list_doomed(None, MANY).await?.iter().map(|row| row.id).collect();
    deleted.lock().unwrap().extend(&doomed);
    store.forget_doomed(&doomed).await
}

/// Asserts that each project's objects are live and whole, that each digest is stored once, and that reference counts
/// and usage are exact.
async fn assert_in_step(store: &MongoDbRecords, owners: [UserId; 2], deleted: &Deleted) {
    let mut references = HashMap::<ObjectId, u64>::new();
    for owner in owners {
        let page = store.list_projects(owner, &ListQuery::default()).await.unwrap();
        let media: BTreeMap<_, _> =
            page.projects.iter().filter_map(|it| it.media).map(|media| (media.digest, media.size)).collect();
        let bytes = page.projects.iter().map(|it| it.notes.size).sum::<u64>() + media.values().sum::<u64>();
        let usage = store.find_user(owner).await.unwrap().unwrap().usage;
        assert_eq!((usage.projects, usage.bytes), (page.projects.len() as u64, bytes));
        for project in page.projects {
            *references.entry(project.notes.object).or_default() += 1;
            if let Some(media) = project.media {
                *references.entry(media.object).or_default() += 1;
            }
        }
    }
    let mut live_media = HashSet::new();
    for row in store.list_objects(None, MANY).await.unwrap() {
        assert_eq!(row.references, references.remove(&row.id).unwrap_or(0), "{row:?}");
        if row.state != ObjectState::Live {
            continue;
        }
        assert!(!deleted.lock().unwrap().contains(&row.id), "{row:?} has lost its bytes");
        if row.kind == ObjectKind::Media {
            let (digest, _) = row.content.unwrap();
            assert!(live_media.insert((row.namespace, digest)), "{row:?} is not the only one");
        }
    }
    assert_eq!(references, HashMap::new(), "objects without a row");
}

fn pick<T: Copy, const N: usize>(from: [T; N]) -> T {
    let mut bytes = [0; 2];
    OsRandom.fill(&mut bytes);
    from[usize::from(u16::from_be_bytes(bytes)) % N]
}
