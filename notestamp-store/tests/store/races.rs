//! Concurrent operations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, join_all};
use notestamp_store::{Digest, Error, Project, Result, Revision};
use tokio::sync::Barrier;

use super::fixture::{Fixture, LARGE, account, assert_all_whole, draft, media, notes, read, title};

/// Runs all of these concurrently, each in its own task; returns their outputs in the same order.
async fn race<T: Send + 'static>(racers: Vec<BoxFuture<'static, T>>) -> Vec<T> {
    let start = Arc::new(Barrier::new(racers.len()));
    let tasks: Vec<_> = racers
        .into_iter()
        .map(|racer| {
            let start = start.clone();
            tokio::spawn(async move {
                start.wait().await;
                racer.await
            })
        })
        .collect();
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

pub async fn equal_media_in_concurrent_saves_is_stored_once(it: Fixture) -> Fixture {
    for (round, size) in [10, LARGE].into_iter().enumerate() {
        let bytes = media(1, size);
        let savers = (0..10).map(|n| {
            let draft = it.draft(&format!("{round}: {n}")).media(&bytes);
            Box::pin(draft.save()) as BoxFuture<'static, Project>
        });
        let saved = race(savers.collect()).await;
        assert!(saved.iter().all(|project| project.media == saved[0].media));
        assert!(read(&it.store, &saved[9], None).await == bytes);
        let rows = it.live_media().await;
        let row = rows.iter().find(|row| row.content.map(|(digest, _)| digest) == Some(Digest::of(&bytes)));
        assert_eq!((rows.len(), row.map(|row| row.references)), (round + 1, Some(10)));
        it.assert_settles().await;
    }
    it
}

pub async fn concurrent_saves_of_one_title_create_one_project(it: Fixture) -> Fixture {
    let savers = (0..10).map(|n| {
        let draft = it.draft("title").notes(&format!("by {n}")).media(&media(1, 1_000));
        Box::pin(draft.save()) as BoxFuture<'static, Project>
    });
    let mut saved = race(savers.collect()).await;
    saved.sort_by_key(|project| project.revision);
    let revisions: Vec<_> = saved.iter().map(|project| project.revision.get()).collect();
    assert_eq!(revisions, (1..=10).collect::<Vec<_>>());
    assert!(saved.iter().all(|project| (project.id, project.media) == (saved[0].id, saved[0].media)));
    assert_eq!(it.find("title").await.unwrap(), saved[9]);
    it
}

pub async fn concurrent_saves_deletions_removals_and_sweeps_stay_consistent(it: Fixture) -> Fixture {
    for round in 0..8_u64 {
        // The clock advances by the grace period, so that a sweep dooms everything that it may while saves rely on it.
        let store = it.store.clone();
        let removed = account(&store, &format!("{round}@example.org")).await;
        draft(&store, removed, "title").media(&media(1, 1_000)).save().await;
        it.draft("shared").media(&media(1, 1_000)).save().await;

        let mut racers: Vec<BoxFuture<'static, Result<()>>> = Vec::new();
        for n in 0..4 {
            for owner in [it.owner, removed] {
                let draft = draft(&store, owner, &format!("title {}", n % 2)).media(&media(n % 2, 1_000));
                racers.push(Box::pin(async move { draft.try_save().await.map(drop) }));
                let store = store.clone();
                let title = title(if n < 2 { "shared" } else { "title 1" });
                racers.push(Box::pin(async move { store.delete_project(owner, &title).await }));
            }
            let (store, clock) = (store.clone(), it.clock.clone());
            let grace = store.settings().sweep_grace;
            racers.push(Box::pin(async move {
                clock.advance(grace / 4);
                store.sweep().await.map(drop)
            }));
        }
        let store_of_removal = store.clone();
        racers.push(Box::pin(async move { store_of_removal.remove_account(removed).await.map(drop) }));
        for outcome in race(racers).await {
            assert!(
                matches!(outcome, Ok(()) | Err(Error::NoSuchAccount | Error::NoSuchProject)),
                "{outcome:?}"
            );
        }
        assert_all_whole(&store, it.owner).await;
        assert_all_whole(&store, removed).await;
    }
    it.assert_swept_clean().await;
    assert_all_whole(&it.store, it.owner).await;
    it
}

pub async fn an_open_during_saves_returns_notes_and_metadata_of_one_revision(it: Fixture) -> Fixture {
    let words = |revision: Revision| format!("revision {revision}");
    it.draft("title").notes(&words(Revision::FIRST)).save().await;
    let done = Arc::new(AtomicBool::new(false));
    let readers = (0..4).map(|_| {
        let (store, owner, done) = (it.store.clone(), it.owner, done.clone());
        tokio::spawn(async move {
            let mut last = Revision::FIRST;
            while !done.load(Ordering::Relaxed) {
                match store.open_project(owner, &title("title")).await {
                    Ok(opened) => {
                        let revision = opened.project.revision;
                        assert_eq!(&opened.notes, notes(&words(revision)).as_bytes());
                        assert!(revision >= last, "{revision} after {last}");
                        last = revision;
                    }
                    // Sixteen attempts in a row, a concurrent save has replaced the notes.
                    Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
                }
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for revision in 2..=200 {
        it.draft("title").notes(&words(Revision::new(revision))).save().await;
    }
    done.store(true, Ordering::Relaxed);
    join_all(readers).await.into_iter().for_each(|reader| reader.unwrap());
    it
}
