//! Concurrent steps: each is atomic, and of two that exclude each other one is refused.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::fixture::*;
use crate::domain::{
    Caller, Digest, ListQuery, Namespace, ObjectKind, Precondition, Project, Revision, RevocationReason,
    Session, User,
};
use crate::error::Error;
use crate::protocol::{SaveCommit, TrashRestore};
use crate::records::{RecordStore, SaveOutcome};

type Store = Arc<dyn RecordStore>;

/// How often to run a race whose outcome depends on the order of its steps.
const ROUNDS: usize = 8;

/// Commits all of these concurrently.
async fn commit_all(store: &Store, commits: Vec<SaveCommit>) -> Vec<crate::Result<SaveOutcome>> {
    let act = |save: SaveCommit| {
        let store = Arc::clone(store);
        async move { commit_save(&*store, &save).await }
    };
    race(commits.into_iter().map(act)).await
}

fn count<T>(outcomes: &[T], is: impl Fn(&T) -> bool) -> usize {
    outcomes.iter().filter(|outcome| is(outcome)).count()
}

fn is_saved(outcome: &crate::Result<SaveOutcome>) -> bool {
    matches!(outcome, Ok(SaveOutcome::Saved { .. }))
}

pub async fn of_racing_creators_of_one_address_one_succeeds(store: Store) {
    let users: Vec<User> = (0..RACERS).map(|_| user("ada@example.org")).collect();
    let create = |user: User| {
        let store = Arc::clone(&store);
        async move { store.create_user(&user).await }
    };
    let outcomes = race(users.iter().cloned().map(create)).await;
    assert_eq!(count(&outcomes, Result::is_ok), 1);
    assert_eq!(count(&outcomes, |it| matches!(it, Err(Error::EmailTaken))), RACERS - 1);
    let winner = outcomes.iter().position(Result::is_ok).unwrap();
    let address = email("ada@example.org");
    assert_eq!(store.find_user_by_email(&address).await.unwrap().as_ref(), Some(&users[winner]));
    for (at, user) in users.iter().enumerate() {
        assert_eq!(store.find_user(user.id).await.unwrap().is_some(), at == winner);
    }
}

pub async fn of_racing_password_changes_one_succeeds(store: Store) {
    let ada = account(&*store).await;
    let hashes: Vec<_> = (0..RACERS).map(|at| hash(&format!("new{at}"))).collect();
    let replace = |after| {
        let store = Arc::clone(&store);
        async move { store.replace_password_hash(ada, &hash("first"), &after).await.unwrap() }
    };
    let outcomes = race(hashes.iter().cloned().map(replace)).await;
    assert_eq!(count(&outcomes, |won| *won), 1);
    let winner = outcomes.iter().position(|won| *won).unwrap();
    assert_eq!(store.find_user(ada).await.unwrap().unwrap().password_hash, hashes[winner]);
}

pub async fn of_racing_removals_one_succeeds(store: Store) {
    let ada = account(&*store).await;
    let remove = |_| {
        let store = Arc::clone(&store);
        async move { store.remove_user(ada.into(), NOW).await.unwrap() }
    };
    assert_eq!(count(&race((0..RACERS).map(remove)).await, |removed| *removed), 1);
}

pub async fn of_racing_refreshes_one_succeeds(store: Store) {
    let before = session(account(&*store).await);
    begin(&*store, &before).await;
    let successors: Vec<_> = (0..RACERS)
        .map(|_| Session {
            generation: 1,
            current: token_id(),
            previous: Some(before.current),
            ..before.clone()
        })
        .collect();
    let replace = |after: Session| {
        let (store, before) = (Arc::clone(&store), before.clone());
        async move { store.replace_session(&before, &after).await.unwrap() }
    };
    let outcomes = race(successors.iter().cloned().map(replace)).await;
    assert_eq!(count(&outcomes, |won| *won), 1);
    let winner = outcomes.iter().position(|won| *won).unwrap();
    assert_eq!(store.find_session(before.id).await.unwrap().as_ref(), Some(&successors[winner]));
}

pub async fn a_revocation_is_not_undone_by_a_racing_refresh(store: Store) {
    let ada = account(&*store).await;
    for _ in 0..ROUNDS {
        let epoch = store.find_user(ada).await.unwrap().unwrap().session_epoch;
        let before = session(ada).in_epoch(epoch);
        begin(&*store, &before).await;
        let act = |revokes: bool| {
            let (store, before) = (Arc::clone(&store), before.clone());
            async move {
                if revokes {
                    let reason = RevocationReason::SignedOut;
                    assert!(store.revoke_all_sessions(ada, reason, NOW).await.unwrap());
                } else {
                    let after = Session { generation: 1, ..before.clone() };
                    store.replace_session(&before, &after).await.unwrap();
                }
            }
        };
        race([true, false].map(act)).await;
        assert!(store.find_session(before.id).await.unwrap().unwrap().revoked.is_some());
    }
}

pub async fn no_session_outlives_the_removal_that_it_raced(store: Store) {
    for _ in 0..ROUNDS {
        let ada = account(&*store).await;
        let started = session(ada);
        let act = |removes: bool| {
            let (store, started) = (Arc::clone(&store), started.clone());
            async move {
                match removes {
                    true => assert!(store.remove_user(ada.into(), NOW).await.unwrap()),
                    false => drop(store.start_session(&started, MANY, NOW).await),
                }
            }
        };
        race([true, false].map(act)).await;
        assert_eq!(store.find_session(started.id).await.unwrap(), None);
    }
    purge(&*store, NOW).await;
    assert_eq!(forget_sessions(&*store).await, 0);
}

pub async fn racing_savers_of_equal_bytes_share_one_object(store: Store) {
    let ada = account(&*store).await;
    for round in 0..ROUNDS {
        let bytes = format!("song {round}");
        let mut commits = Vec::new();
        for racer in 0..RACERS {
            let save = save(&*store, ada, &format!("{round} of {racer}")).await;
            commits.push(save.media(bytes.as_bytes()).await.commit);
        }
        let outcomes = commit_all(&store, commits).await;
        assert_eq!(count(&outcomes, is_saved), RACERS, "{outcomes:?}");
        let digest = Digest::of(bytes.as_bytes());
        let live = store.find_live_media(Namespace::Owner(ada), digest).await.unwrap().unwrap();
        assert_eq!(live.references, RACERS as u64);
    }
    assert_eq!(live(&*store, ObjectKind::Media).await.len(), ROUNDS);
    assert_all_agrees(&*store, &[ada]).await;
}

pub async fn racing_savers_of_lost_bytes_store_them_once(store: Store) {
    for _ in 0..ROUNDS {
        let mut owners = vec![account(&*store).await];
        let first = save(&*store, owners[0], "Song").await.shared().media(b"song").await.project().await;
        let mut commits = Vec::new();
        for racer in 0..RACERS {
            // Some save the bytes again, others save or delete projects that refer to them.
            let owner = account(&*store).await;
            owners.push(owner);
            let lost = first.media.unwrap().object;
            let again = save(&*store, owner, "Song").await.shared().media(b"song").await.lost(lost);
            commits.push(again.commit);
            if racer % 2 == 0 {
                commits.push(save(&*store, owners[0], "Song").await.commit);
            }
        }
        let outcomes = commit_all(&store, commits).await;
        assert_eq!(count(&outcomes, is_saved), outcomes.len(), "{outcomes:?}");
        let live = live(&*store, ObjectKind::Media).await;
        assert_eq!(live.len(), 1);
        assert_ne!(Some(live[0].id), first.media.map(|media| media.object));
        assert_all_agrees(&*store, &owners).await;
        for owner in owners {
            store.delete_project(owner.into(), &title("Song"), NOW).await.unwrap();
        }
        // So that the next round begins with a new object.
        let all = crate::protocol::StaleBefore { reserved: NOW, unreferenced: NOW.after(HOUR) };
        store.doom_stale(&all, MANY, NOW).await.unwrap();
    }
}

pub async fn racing_accounts_share_one_object_of_a_shared_namespace(store: Store) {
    let mut owners = Vec::new();
    let mut commits = Vec::new();
    for _ in 0..RACERS {
        let owner = account(&*store).await;
        owners.push(owner);
        commits.push(save(&*store, owner, "Song").await.shared().media(b"song").await.commit);
    }
    let outcomes = commit_all(&store, commits).await;
    assert_eq!(count(&outcomes, is_saved), RACERS, "{outcomes:?}");
    let live = live(&*store, ObjectKind::Media).await;
    assert_eq!(live.iter().map(|row| row.references).collect::<Vec<_>>(), [RACERS as u64]);
    assert_all_agrees(&*store, &owners).await;
}

pub async fn racing_saves_of_one_title_are_all_counted(store: Store) {
    let ada = account(&*store).await;
    let mut commits = Vec::new();
    for racer in 0..RACERS {
        let save = save(&*store, ada, "Song").await.notes_of(racer as u64);
        commits.push(save.media(b"song").await.commit);
    }
    let outcomes = commit_all(&store, commits).await;
    let mut revisions: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(SaveOutcome::Saved { project, .. }) => project.revision.get(),
            other => panic!("a save came to {other:?}"),
        })
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=RACERS as u64).collect::<Vec<_>>());

    let user = store.find_user(ada).await.unwrap().unwrap();
    assert_eq!((user.saves, user.usage.projects), (RACERS as u64, 1));
    assert_eq!(live(&*store, ObjectKind::Notes).await.len(), 1);
    assert_eq!(live(&*store, ObjectKind::Media).await.len(), 1);
    assert_eq!(store.list_doomed(None, MANY).await.unwrap().len(), 2 * (RACERS - 1));
    assert_all_agrees(&*store, &[ada]).await;
}

pub async fn of_racing_conditional_saves_one_succeeds(store: Store) {
    let ada = account(&*store).await;
    let demands = [Precondition::Absent, Precondition::OneOf(vec![Revision::FIRST])];
    for (before, demand) in demands.into_iter().enumerate() {
        let mut commits = Vec::new();
        for _ in 0..RACERS {
            commits.push(save(&*store, ada, "Song").await.demanding(demand.clone()).commit);
        }
        let outcomes = commit_all(&store, commits).await;
        assert_eq!(count(&outcomes, is_saved), 1, "{outcomes:?}");
        let refused = count(&outcomes, |it| matches!(it, Err(Error::PreconditionFailed { .. })));
        assert_eq!(refused, RACERS - 1, "{outcomes:?}");
        let song = store.find_project(ada, &title("Song")).await.unwrap().unwrap();
        assert_eq!(song.revision, Revision::new(before as u64 + 1));
    }
    assert_all_agrees(&*store, &[ada]).await;
}

pub async fn a_restore_and_a_purge_of_the_trash_exclude_each_other(store: Store) {
    let ada = account(&*store).await;
    for _ in 0..RACERS {
        save(&*store, ada, "Song").await.keeping().media(b"song").await.project().await;
        let song = save(&*store, ada, "Song").await.keeping().project().await;
        let key = song.id.into();
        store.trash_project_if(ada.into(), &key, &Precondition::None, 9, NOW).await.unwrap();
        let outcomes = race((0..2).map(|racer| {
            let store = Arc::clone(&store);
            async move {
                let restore = TrashRestore {
                    caller: ada.into(),
                    id: song.id,
                    title: None,
                    projects_max: u64::MAX,
                    now: NOW,
                };
                match racer {
                    0 => store.restore_trashed(&restore).await.is_ok(),
                    _ => store.purge_trashed(ada.into(), &[song.id], NOW).await.unwrap().0 == 1,
                }
            }
        }))
        .await;
        assert_eq!(count(&outcomes, |done| *done), 1, "{outcomes:?}");
        let is_restored = store.find_project(ada, &title("Song")).await.unwrap().is_some();
        assert_eq!(is_restored, outcomes[0]);
        assert_all_agrees(&*store, &[ada]).await;
        if is_restored {
            store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
        }
    }
}

pub async fn racing_saves_stay_within_the_quota(store: Store) {
    let ada = account(&*store).await;
    let quota = 3 * (10 + Project::RECORD_BYTES + metadata("title 0").stored_len());
    let mut commits = Vec::new();
    for racer in 0..RACERS {
        commits.push(save(&*store, ada, &format!("title {racer}")).await.quota(quota).commit);
    }
    let outcomes = commit_all(&store, commits).await;
    assert_eq!(count(&outcomes, is_saved), 3, "{outcomes:?}");
    let refused = count(&outcomes, |it| matches!(it, Err(Error::QuotaExceeded { max }) if *max == quota));
    assert_eq!(refused, RACERS - 3, "{outcomes:?}");
    assert_eq!(usage(&*store, ada).await, (3, 30));
}

pub async fn racing_saves_stay_within_the_limit_of_projects(store: Store) {
    let ada = account(&*store).await;
    let mut commits = Vec::new();
    for racer in 0..RACERS {
        commits.push(save(&*store, ada, &format!("title {racer}")).await.projects_max(3).commit);
    }
    let outcomes = commit_all(&store, commits).await;
    assert_eq!(count(&outcomes, is_saved), 3, "{outcomes:?}");
    let refused = count(&outcomes, |it| matches!(it, Err(Error::TooManyProjects { max: 3 })));
    assert_eq!(refused, RACERS - 3, "{outcomes:?}");
    assert_eq!(usage(&*store, ada).await.0, 3);
}

pub async fn racing_sign_ins_stay_within_the_limit_of_sessions(store: Store) {
    const OPEN_MAX: usize = 3;
    let ada = account(&*store).await;
    let sign_in = |_| {
        let store = Arc::clone(&store);
        async move { store.start_session(&session(ada), OPEN_MAX, NOW).await.unwrap() }
    };
    assert_eq!(race((0..RACERS).map(sign_in)).await, [true; RACERS]);
    assert_eq!(store.list_sessions(ada, RACERS, NOW).await.unwrap().len(), OPEN_MAX);
}

pub async fn of_racing_deletes_one_succeeds(store: Store) {
    let ada = account(&*store).await;
    save(&*store, ada, "Other").await.media(b"song").await.project().await;
    save(&*store, ada, "Song").await.media(b"song").await.project().await;
    let delete = |_| {
        let store = Arc::clone(&store);
        async move { store.delete_project(ada.into(), &title("Song"), NOW).await }
    };
    let outcomes = race((0..RACERS).map(delete)).await;
    assert_eq!(count(&outcomes, Result::is_ok), 1);
    assert_eq!(count(&outcomes, |it| matches!(it, Err(Error::NoSuchProject))), RACERS - 1);
    assert_all_agrees(&*store, &[ada]).await;
}

pub async fn a_racing_delete_and_save_leave_consistent_records(store: Store) {
    let ada = account(&*store).await;
    for _ in 0..ROUNDS {
        let old = save(&*store, ada, "Song").await.media(b"song").await.project().await;
        let again = save(&*store, ada, "Song").await.media(b"song").await.commit;
        let act = |deletes: bool| {
            let (store, again) = (Arc::clone(&store), again.clone());
            async move {
                match deletes {
                    true => store.delete_project(ada.into(), &title("Song"), NOW).await.map(drop),
                    false => commit_save(&*store, &again).await.map(drop),
                }
            }
        };
        let outcomes = race([true, false].map(act)).await;
        assert_eq!(count(&outcomes, Result::is_ok), 2, "{outcomes:?}");
        // Either the save came first and its project was deleted, or it came second and created a new project.
        match store.find_project(ada, &title("Song")).await.unwrap() {
            Some(new) => assert!(new.id != old.id && new.revision > old.revision),
            None => assert_eq!(usage(&*store, ada).await, (0, 0)),
        }
        assert_all_agrees(&*store, &[ada]).await;
        let _ = store.delete_project(ada.into(), &title("Song"), NOW).await;
    }
}

pub async fn a_conditional_deletion_does_not_delete_a_racing_save(store: Store) {
    let ada = account(&*store).await;
    for _ in 0..ROUNDS {
        let seen = save(&*store, ada, "Song").await.media(b"song").await.project().await.revision;
        let newer = save(&*store, ada, "Song").await.media(b"song").await.commit;
        let act = |deletes: bool| {
            let (store, newer) = (Arc::clone(&store), newer.clone());
            async move {
                match deletes {
                    true => {
                        let demand = Precondition::OneOf(vec![seen]);
                        store
                            .delete_project_if(ada.into(), &title("Song").into(), &demand, NOW)
                            .await
                            .map(drop)
                    }
                    false => commit_save(&*store, &newer).await.map(drop),
                }
            }
        };
        let outcomes = race([true, false].map(act)).await;
        let next = seen.next();
        match &outcomes[..] {
            [Ok(()) | Err(Error::PreconditionFailed { .. }), Ok(())] => {}
            other => panic!("{other:?}"),
        }
        if let Err(Error::PreconditionFailed { current }) = &outcomes[0] {
            assert_eq!(*current, Some(next));
        }
        // Whichever came first, the newer revision exists: the deletion's precondition named only the older one.
        let left = store.find_project(ada, &title("Song")).await.unwrap().unwrap();
        assert_eq!((left.revision, left.notes.object), (next, newer.notes.written().object));
        assert_all_agrees(&*store, &[ada]).await;
        store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    }
}

pub async fn a_save_and_a_racing_sweep_agree_on_unreferenced_media(store: Store) {
    let ada = account(&*store).await;
    for _ in 0..ROUNDS {
        save(&*store, ada, "Song").await.media(b"song").await.project().await;
        store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
        let later = NOW.after(HOUR);
        let again = save(&*store, ada, "Song").await.media(b"song").await.at(later).commit;
        let act = |sweeps: bool| {
            let (store, again) = (Arc::clone(&store), again.clone());
            async move {
                if sweeps {
                    let stale = crate::protocol::StaleBefore { reserved: NOW, unreferenced: later };
                    store.doom_stale(&stale, MANY, later).await.unwrap();
                    let doomed = ids(&store.list_doomed(None, MANY).await.unwrap());
                    store.forget_doomed(&doomed).await.unwrap();
                } else {
                    assert!(is_saved(&commit_save(&*store, &again).await));
                }
            }
        };
        race([true, false].map(act)).await;
        assert_all_agrees(&*store, &[ada]).await;
        store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    }
}

pub async fn a_late_save_and_a_racing_sweep_agree_on_reserved_rows(store: Store) {
    let ada = account(&*store).await;
    for round in 0..ROUNDS {
        let late = save(&*store, ada, &format!("title {round}")).await;
        let late = late.media(format!("media {round}").as_bytes()).await.commit;
        let act = |sweeps: bool| {
            let (store, late) = (Arc::clone(&store), late.clone());
            async move {
                if sweeps {
                    let stale = stale_before(NOW.after(SECOND));
                    store.doom_stale(&stale, MANY, NOW).await.unwrap();
                    return;
                }
                let saved = commit_save(&*store, &late).await;
                assert!(is_saved(&saved) || matches!(saved, Err(Error::UploadExpired)), "{saved:?}");
            }
        };
        race([true, false].map(act)).await;
        assert_all_agrees(&*store, &[ada]).await;
    }
}

pub async fn an_aborting_writer_and_its_commit_agree(store: Store) {
    let ada = account(&*store).await;
    for round in 0..ROUNDS {
        let save = save(&*store, ada, &format!("title {round}")).await.media(b"song").await;
        let (commit, media) = (save.commit.clone(), save.media_object());
        let act = |gives_up: bool| {
            let (store, commit) = (Arc::clone(&store), commit.clone());
            async move {
                match gives_up {
                    true => {
                        drop(store.doom_reserved(&[media, commit.notes.written().object], NOW).await.unwrap())
                    }
                    false => drop(commit_save(&*store, &commit).await),
                }
            }
        };
        race([true, false].map(act)).await;
        assert_all_agrees(&*store, &[ada]).await;
    }
}

pub async fn racing_purges_purge_each_project_once(store: Store) {
    let (ada, bob) = (account(&*store).await, account(&*store).await);
    save(&*store, bob, "Song").await.shared().media(b"song").await.project().await;
    for at in 0..10 {
        save(&*store, ada, &format!("title {at}")).await.shared().media(b"song").await.project().await;
        begin(&*store, &session(ada)).await;
    }
    store.remove_user(ada.into(), NOW).await.unwrap();
    let purge = |_| {
        let store = Arc::clone(&store);
        async move {
            let mut purged = 0;
            loop {
                match store.purge_removed(3, NOW).await.unwrap() {
                    0 => return purged,
                    some => purged += some,
                }
            }
        }
    };
    let purged = race((0..4).map(purge)).await;
    assert_eq!(purged.into_iter().sum::<usize>(), 20);
    assert_eq!(forget_sessions(&*store).await, 0);
    assert_eq!(live(&*store, ObjectKind::Media).await[0].references, 1);
    assert_all_agrees(&*store, &[bob]).await;
}

pub async fn no_save_outlives_the_removal_that_it_raced(store: Store) {
    for _ in 0..ROUNDS {
        let ada = account(&*store).await;
        let commit = save(&*store, ada, "Song").await.media(b"song").await.commit;
        let act = |removes: bool| {
            let (store, commit) = (Arc::clone(&store), commit.clone());
            async move {
                if removes {
                    assert!(store.remove_user(ada.into(), NOW).await.unwrap());
                    return;
                }
                let saved = commit_save(&*store, &commit).await;
                assert!(is_saved(&saved) || matches!(saved, Err(Error::NoSuchAccount)), "{saved:?}");
            }
        };
        race([true, false].map(act)).await;
        assert_eq!(titles(&*store, ada, &ListQuery::default()).await, [""; 0]);
    }
    purge(&*store, NOW).await;
    assert_all_agrees(&*store, &[]).await;
}

/// Ends a session; returns whether it did.
type End = fn(Store, Session) -> BoxFuture<'static, crate::Result<bool>>;

/// Each way to end a session before its time.
const ENDS: [End; 5] = [
    |store, ended| {
        async move {
            store.revoke_session(ended.user.into(), ended.id, RevocationReason::SignedOut, NOW).await
        }
        .boxed()
    },
    |store, ended| {
        async move { store.revoke_all_sessions(ended.user, RevocationReason::Ended, NOW).await }.boxed()
    },
    |store, ended| {
        async move {
            let end = ended.clone().revoke(NOW, RevocationReason::Replayed);
            store.replace_session(&ended, &end).await
        }
        .boxed()
    },
    |store, ended| {
        async move {
            let new = session(ended.user);
            let caller = ended.user.into();
            let changed = store.change_password(caller, &hash("first"), &hash("second"), &new, NOW).await;
            Ok(changed?.is_some())
        }
        .boxed()
    },
    |store, ended| async move { store.remove_user(ended.user.into(), NOW).await }.boxed(),
];

pub async fn no_save_follows_the_end_of_its_session(store: Store) {
    for end in ENDS {
        let ada = account(&*store).await;
        let ended = session(ada);
        begin(&*store, &ended).await;
        let mut commits = Vec::new();
        for racer in 1..RACERS {
            commits.push(save(&*store, ada, &format!("title {racer}")).await.by(&ended).commit);
        }
        let saves = commits.iter().cloned().map(|commit| {
            let store = Arc::clone(&store);
            async move { commit_save(&*store, &commit).await.map(|saved| (saved, None)) }.boxed()
        });
        let ending = {
            let (store, ended) = (Arc::clone(&store), ended.clone());
            async move {
                assert!(end(Arc::clone(&store), ended).await.unwrap());
                // Rows that are live by now come from saves that were committed before the session ended.
                let before = ledger(&*store).await;
                Ok((SaveOutcome::BytesNeeded, Some(before)))
            }
            .boxed()
        };
        let outcomes = race([ending].into_iter().chain(saves)).await;
        let before = outcomes[0].as_ref().unwrap().1.clone().unwrap();
        for (commit, outcome) in commits.iter().zip(&outcomes[1..]) {
            let was_saved =
                before.iter().any(|row| row.id == commit.notes.written().object && row.content.is_some());
            assert_eq!(was_saved, outcome.is_ok(), "{outcome:?}");
            assert!(was_saved || matches!(outcome, Err(Error::SessionEnded)), "{outcome:?}");
        }
    }
}

pub async fn no_deletion_follows_the_end_of_its_session(store: Store) {
    for _ in 0..ROUNDS {
        let ada = account(&*store).await;
        let ended = session(ada);
        begin(&*store, &ended).await;
        save(&*store, ada, "Song").await.project().await;
        let act = |ends: bool| {
            let (store, ended) = (Arc::clone(&store), ended.clone());
            async move {
                if ends {
                    let caller = Caller::by_session(ada, ended.id);
                    assert!(
                        store
                            .revoke_session(caller, ended.id, RevocationReason::SignedOut, NOW)
                            .await
                            .unwrap()
                    );
                    return store.find_project(ada, &title("Song")).await.unwrap().is_none();
                }
                store.delete_project(Caller::by_session(ada, ended.id), &title("Song"), NOW).await.is_ok()
            }
        };
        let outcomes = race([true, false].map(act)).await;
        assert_eq!(outcomes[0], outcomes[1], "deleted before the end, or not at all");
    }
}
