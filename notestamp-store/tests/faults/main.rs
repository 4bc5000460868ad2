//! Fault injection into every call to the records and the blobs. Whichever call fails, loses its response or hangs:
//! acknowledged changes are durable, no half-saved state is visible, and after recovery and a sweep nothing is left
//! over.

#![allow(clippy::unwrap_used, reason = "all of it is tests, helpers too")]

mod faults;
mod faulty_objects;
mod faulty_records;
mod world;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use notestamp_store::records::{MemoryRecords, ObjectLedger, RecordStore};
use notestamp_store::{
    BlobStore, Email, Error, ManualClock, Metadata, Namespace, Notes, Object, ObjectId, ObjectKind, OsRandom,
    PasswordHash, Result, SaveRequest, Store, SweepReport, Title,
};
use object_store::memory::InMemory;

use faults::{FAILURES, Fault, Faults, HANGS};
use faulty_objects::FaultyObjects;
use faulty_records::FaultyRecords;
use world::{Media, NOW, Step, World, attempt, let_time_pass};

fn save(title: &'static str, notes: &str, media: Media) -> Step {
    Step::Save { title, notes: notes.to_owned(), media }
}

fn delete(title: &'static str) -> Step {
    Step::Delete { title }
}

/// How long the notes of one letter are, which the records keep in these tests; longer notes are in the notes store.
const ONE_LETTER: u64 = 3;

/// A sequence of steps in which every kind of step occurs, with inline notes and with others.
fn life() -> Vec<Step> {
    vec![
        save("first", "a", Media::Large(1)),
        save("second", "b", Media::Large(1)),
        save("third", "c", Media::Small(2)),
        save("fourth", "d", Media::Small(2)),
        save("first", "ee", Media::Large(1)),
        save("third", "ff", Media::Small(2)),
        save("fifth", "g", Media::KnownSmall(2)),
        save("sixth", "h", Media::None),
        save("sixth", "i", Media::Small(5)),
        save("sixth", "j", Media::Small(6)),
        Step::RestoreVersion { title: "sixth", notes: "h", media: Media::None },
        Step::RestoreVersion { title: "sixth", notes: "i", media: Media::Small(5) },
        delete("first"),
        delete("third"),
        delete("second"),
        Step::RestoreDeleted { title: "third", notes: "ff", media: Media::Small(2) },
        save("second", "jj", Media::Small(1)),
        Step::RestoreDeleted { title: "first", notes: "ee", media: Media::Large(1) },
        Step::DeleteForGood { title: "sixth" },
        delete("fifth"),
        Step::EmptyTrash,
        Step::Sweep,
        delete("second"),
        Step::Sweep,
        Step::RemoveAccount,
        Step::Sweep,
    ]
}

#[tokio::test]
async fn a_life_without_faults_leaves_nothing() {
    let mut world = World::in_memory(ONE_LETTER).await;
    for step in life() {
        world.step(&step).await.unwrap();
        world.observe().await;
    }
    world.assert_recovers().await;
}

/// Runs the sequence with one broken call; returns whether the sequence has so many calls.
async fn live_with(nth: usize, fault: Fault) -> bool {
    let mut world = World::in_memory(ONE_LETTER).await;
    world.faults.plan(nth, fault);
    for step in life() {
        let intact = world.faults.broken().is_none();
        let outcome = world.step(&step).await;
        let broken = world.faults.broken();
        match outcome {
            Ok(()) => {}
            // The step has failed, or an earlier step on which it depends.
            Err(
                Error::Unavailable { .. }
                | Error::Backend { .. }
                | Error::NoSuchAccount
                | Error::NoSuchProject
                | Error::NoSuchVersion
                | Error::TitleTaken
                | Error::MediaNeeded,
            ) if broken.is_some() => {}
            Err(error) => panic!("{step:?} with {broken:?} and {fault:?}: {error:?}"),
        }
        // Before the fault the sequence is the same as in the test above.
        if intact && broken.is_some() {
            world.observe().await;
        }
    }
    let broken = world.faults.broken().is_some();
    world.assert_recovers().await;
    broken
}

async fn whichever_call_is_broken_a_life_ends_well(fault: Fault) {
    let mut nth = 0;
    while live_with(nth, fault).await {
        nth += 1;
    }
    assert!(nth > 100, "a life has more calls than {nth}");
}

#[tokio::test]
async fn after_a_failure_of_any_call_nothing_is_lost_and_nothing_is_leaked() {
    whichever_call_is_broken_a_life_ends_well(Fault::FailsBefore).await;
}

#[tokio::test]
async fn after_a_lost_response_of_any_call_nothing_is_lost_and_nothing_is_leaked() {
    whichever_call_is_broken_a_life_ends_well(Fault::FailsAfter).await;
}

#[tokio::test]
async fn after_a_crash_at_any_call_nothing_is_lost_and_nothing_is_leaked() {
    whichever_call_is_broken_a_life_ends_well(Fault::GoneForGood).await;
}

#[tokio::test]
async fn after_a_late_write_of_any_call_nothing_is_lost_and_nothing_is_leaked() {
    whichever_call_is_broken_a_life_ends_well(Fault::ComesLate).await;
}

#[tokio::test]
async fn a_sweep_calls_an_unavailable_store_once_and_not_for_each_object() {
    let records = Arc::new(MemoryRecords::new());
    let faults = Arc::new(Faults::none());
    let media = FaultyObjects { inner: Arc::default(), faults: Arc::clone(&faults) };
    let media = BlobStore::new(ObjectKind::Media, Arc::new(media));
    let notes = BlobStore::new(ObjectKind::Notes, Arc::new(InMemory::new()));
    let clock = Arc::new(ManualClock::new(NOW));
    let store = Store::builder(records.clone(), notes, media).clock(clock.clone()).open().await.unwrap();
    // More rows than a sweep processes in one step.
    let kinds = [ObjectKind::Notes, ObjectKind::Media].into_iter().cycle().take(1_000);
    let row = |kind| Object::reserve(ObjectId::generate(NOW, &OsRandom), kind, Namespace::Shared, NOW);
    records.reserve(&kinds.map(row).collect::<Vec<_>>()).await.unwrap();
    let_time_pass(&store, &clock);

    faults.plan(0, Fault::GoneForGood);
    let report = store.sweep().await.unwrap();
    assert_eq!((report.doomed, report.deleted, report.failed), (1_000, 500, 500));
    assert_eq!(faults.calls(), ["get"]);

    faults.mend();
    let report = store.sweep().await.unwrap();
    assert_eq!((report.deleted, report.failed), (500, 0));
}

/// What other callers may do while a step hangs.
fn interferences() -> Vec<Vec<Step>> {
    vec![
        vec![],
        vec![Step::Sweep],
        vec![delete("title")],
        vec![delete("title"), Step::Sweep],
        vec![save("title", "theirs", Media::Small(8))],
        vec![save("other", "theirs", Media::Small(1)), delete("other"), Step::Sweep],
        vec![Step::RemoveAccount],
        vec![Step::RemoveAccount, Step::Sweep, Step::Sweep],
    ]
}

/// Lets one call of a step hang while other steps are done, then continue; returns whether the step has so many calls.
///
/// The outcome must be serializable: that of the step before the others, or after them.
async fn hang_in(step: &Step, before: &[Step], others: &[Step], nth: usize, fault: Fault) -> bool {
    let mut world = World::in_memory(ONE_LETTER).await;
    for step in before {
        world.step(step).await.unwrap();
    }
    world.settle().await;
    world.faults.plan(nth, fault);
    let task = tokio::spawn({
        let (store, owner, clock, step) =
            (world.store.clone(), world.owner, world.clock.clone(), step.clone());
        async move { attempt(&store, owner, &clock, &step).await }
    });
    // A call of the step's background task may hang too.
    let finished = async {
        until_finished(&task).await;
        world.settle().await;
    };
    tokio::select! {
        () = world.faults.hang() => {}
        () = finished => {}
    }
    let hangs = world.faults.broken().is_some();
    let mut outcomes = Vec::new();
    for other in others {
        outcomes.push((other, world.attempt(&world.other, other).await));
    }
    world.faults.release();
    let outcome = task.await.unwrap();
    let told = matches!(
        outcome,
        Ok(()) | Err(Error::NoSuchAccount | Error::NoSuchProject | Error::UploadExpired | Error::MediaNeeded)
    );
    assert!(told, "{step:?} while {others:?}: {outcome:?}");

    let (mut first, mut last) = (world.model.clone(), world.model.clone());
    let possible = |model: &mut world::Model, steps: &[(&Step, &Result<()>)]| {
        // An order that contradicts an outcome is ruled out.
        steps.iter().all(|(step, outcome)| model.try_apply(step, outcome))
    };
    let others: Vec<_> = outcomes.iter().map(|(step, outcome)| (*step, outcome)).collect();
    let mine = (step, &outcome);
    let first = possible(&mut first, &[&[mine][..], &others].concat()).then_some(first);
    let last = possible(&mut last, &[&others, &[mine][..]].concat()).then_some(last);
    world.model = match (first, last) {
        (Some(first), Some(last)) => first.or(last),
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => panic!("no order explains {mine:?} and {others:?}"),
    };
    world.assert_recovers().await;
    hangs
}

async fn until_finished(task: &tokio::task::JoinHandle<Result<()>>) {
    while !task.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_any_call_of_a_save_hangs_others_continue_and_the_save_succeeds() {
    let (small, known) = (Media::Small(1), Media::KnownSmall(1));
    let twin = save("twin", "before", small);
    let mine = |media| save("title", "mine", media);
    let cases: Vec<(Vec<Step>, Step)> = vec![
        (vec![], mine(small)),
        (vec![], mine(Media::Large(1))),
        (vec![twin.clone()], mine(small)),
        (vec![twin], mine(known)),
        (vec![save("title", "before", Media::None)], mine(small)),
        (vec![save("title", "before", Media::Small(7))], mine(small)),
        (vec![save("title", "before", Media::Small(7))], mine(Media::Large(1))),
        (vec![save("title", "before", Media::Small(7))], delete("title")),
        (vec![save("title", "before", small), delete("title")], Step::Sweep),
        (vec![save("title", "b", Media::None)], save("title", "m", Media::None)),
    ];
    for (before, step) in cases {
        for others in interferences() {
            for fault in HANGS {
                let mut nth = 0;
                while hang_in(&step, &before, &others, nth, fault).await {
                    nth += 1;
                }
                assert!(nth > 0);
            }
        }
    }
}

/// Pseudo-random numbers (SplitMix64): the same for the same seed, so that a failure can be reproduced.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound as u64) as usize
    }

    fn step(&mut self, number: usize) -> Step {
        let title = ["a", "b", "c", "d"][self.below(4)];
        let seed = self.below(3) as u8;
        let media = match self.below(10) {
            0..6 => Media::Small(seed),
            6 => Media::Large(seed),
            7 => Media::KnownSmall(seed),
            _ => Media::None,
        };
        match self.below(10) {
            0..6 => save(title, &format!("note {number}"), media),
            6..9 => delete(title),
            _ => Step::Sweep,
        }
    }
}

/// Random steps, about half of them with a fault in some call, checked against the model.
async fn random_life(seed: u64, records: Arc<dyn RecordStore>) {
    let mut numbers = Numbers(seed);
    // The notes of the first steps are shorter than those of the others.
    let inline_max = [0, r#""note 9""#.len() as u64, 1 << 10][seed as usize % 3];
    let mut world = World::new(records, inline_max).await;
    for number in 0..40 {
        let step = numbers.step(number);
        if numbers.below(2) == 0 {
            world.faults.plan(numbers.below(12), FAILURES[numbers.below(FAILURES.len())]);
        }
        // Any outcome is allowed here; `observe` checks whether the state is possible.
        drop(world.step(&step).await);
        world.faults.mend();
        world.observe().await;
        if numbers.below(10) == 0 {
            world.assert_recovers().await;
        }
    }
    world.assert_recovers().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lives_with_faults_agree_with_the_model_in_memory() {
    for seed in 0..100 {
        random_life(seed, Arc::new(MemoryRecords::new())).await;
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_lives_with_faults_agree_with_the_model_in_sqlite() {
    use notestamp_store::Durability;
    use notestamp_store::records::SqliteRecords;

    for seed in 100..130 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metadata.db");
        let records = SqliteRecords::open(path, Durability::Relaxed).await.unwrap();
        random_life(seed, Arc::new(records)).await;
    }
}

#[tokio::test]
async fn a_process_that_starts_while_its_clock_is_ahead_takes_no_upload_and_no_session_of_another() {
    const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);
    let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
    let blobs = |kind| BlobStore::new(kind, Arc::new(InMemory::new()));
    let (notes, media) = (blobs(ObjectKind::Notes), blobs(ObjectKind::Media));
    let clock = Arc::new(ManualClock::new(NOW));
    let open = async || {
        // Records that other processes have open too.
        let shared = FaultyRecords { inner: Arc::clone(&records), faults: Arc::new(Faults::none()) };
        let store = Store::builder(Arc::new(shared), notes.clone(), media.clone());
        store.clock(clock.clone()).open().await.unwrap()
    };
    let running = open().await;
    let hash = PasswordHash::new("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned());
    let user = running.create_account(Email::parse("ada@example.org").unwrap(), hash).await.unwrap();
    let session = running.start_session(&user, "a browser").await.unwrap().unwrap();
    let mut save = running.begin_save(user.id).await.unwrap();
    save.write_media(stream::iter([Ok::<_, Infallible>(Bytes::from(vec![7; 1 << 20]))])).await.unwrap();

    clock.step_to(NOW.after(7 * MONTH));
    let fresh = open().await;
    assert_eq!(fresh.sweep().await.unwrap(), SweepReport::default());
    assert_eq!(fresh.forget_expired_sessions(100).await.unwrap(), 0);
    clock.step_to(NOW);
    let request = SaveRequest::new(
        Metadata::new(Title::parse("title").unwrap(), NOW),
        Notes::parse(b"[]".to_vec()).unwrap(),
    );
    save.commit(request).await.unwrap();
    assert!(running.find_open_session(session.id).await.unwrap().is_some());

    // After an hour it knows its clock, and takes what a process that is gone has reserved.
    let mut abandoned = running.begin_save(user.id).await.unwrap();
    abandoned.write_media(stream::iter([Ok::<_, Infallible>(Bytes::from(vec![8; 1 << 20]))])).await.unwrap();
    std::mem::forget(abandoned);
    let_time_pass(&fresh, &clock);
    assert_eq!(fresh.sweep().await.unwrap().doomed, 1);
}
