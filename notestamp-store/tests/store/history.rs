//! History and trash: what a store brings back, and for how long.

use std::num::NonZeroUsize;
use std::time::Duration;

use notestamp_store::{Clock as _, Error, Precondition, Project, ProjectKey, Revision, StoreSettings};

use crate::fixture::{Fixture, assert_all_whole, media, notes, read, title};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MANY: NonZeroUsize = NonZeroUsize::new(1_000).unwrap();

/// The same store with a history and a trash of 30 days.
async fn keeping(it: Fixture) -> Fixture {
    it.with(|settings| {
        let StoreSettings { history, trash, .. } = StoreSettings::default();
        (settings.history, settings.trash) = (history, trash);
    })
    .await
}

async fn revisions(it: &Fixture, project: &Project) -> Vec<u64> {
    let page = it.store.list_history(it.owner, &project.id.into(), None, MANY).await.unwrap();
    page.states.iter().map(|state| state.revision.get()).collect()
}

async fn trashed(it: &Fixture) -> usize {
    it.store.list_trash(it.owner, None, MANY).await.unwrap().trashed.len()
}

pub async fn a_version_is_opened_and_restored(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let first = it.draft("title").notes("first").media(&media(1, 1_000)).save().await;
    let second = it.draft("title").notes("second").media(&media(2, 2_000)).save().await;
    let key: ProjectKey = first.id.into();
    for (revision, text, bytes) in [(&first, "first", media(1, 1_000)), (&second, "second", media(2, 2_000))]
    {
        let opened = it.store.open_revision(it.owner, &key, revision.revision).await.unwrap();
        assert_eq!((&opened.project, &opened.notes), (revision, notes(text).as_bytes()));
        assert!(read(&it.store, &opened.project, None).await == bytes);
    }
    let stale = Precondition::OneOf(vec![first.revision]);
    let refused = it.store.restore_revision(it.owner, &key, first.revision, stale).await;
    assert!(matches!(refused, Err(Error::PreconditionFailed { .. })), "{refused:?}");

    let restored =
        it.store.restore_revision(it.owner, &key, first.revision, Precondition::None).await.unwrap();
    assert_eq!((restored.id, restored.media), (first.id, first.media));
    assert_eq!(restored.revision, second.revision.next());
    let opened = it.store.open_project(it.owner, &title("title")).await.unwrap();
    assert_eq!(&opened.notes, notes("first").as_bytes());
    assert_eq!(revisions(&it, &first).await, [3, 2, 1]);
    assert_all_whole(&it.store, it.owner).await;
    it
}

pub async fn a_restored_version_without_media_takes_the_media_away(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let first = it.draft("title").notes("first").save().await;
    let second = it.draft("title").media(&media(1, 1_000)).save().await;
    let key: ProjectKey = title("title").into();
    let restored =
        it.store.restore_revision(it.owner, &key, first.revision, Precondition::None).await.unwrap();
    assert_eq!(restored.media, None);
    let again = it.store.restore_revision(it.owner, &key, second.revision, Precondition::None).await.unwrap();
    assert_eq!(again.media, second.media);
    it
}

pub async fn a_version_of_a_removed_or_other_project_is_not_restored(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let first = it.draft("title").notes("first").save().await;
    it.draft("title").notes("second").save().await;
    let key: ProjectKey = first.id.into();
    let unknown = it.store.restore_revision(it.owner, &key, Revision::new(9), Precondition::None).await;
    assert!(matches!(unknown, Err(Error::NoSuchVersion)), "{unknown:?}");
    it.delete("title").await.unwrap();
    // A project in the trash is opened and restored only as a whole.
    it.draft("title").notes("another").save().await;
    for missing in [
        it.store.restore_revision(it.owner, &key, first.revision, Precondition::None).await.map(drop),
        it.store.open_revision(it.owner, &key, first.revision).await.map(drop),
        it.store.list_history(it.owner, &key, None, MANY).await.map(drop),
    ] {
        assert!(matches!(missing, Err(Error::NoSuchProject)), "{missing:?}");
    }
    it
}

pub async fn media_of_a_version_is_read_after_a_save_has_repaired_it(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let bytes = media(1, 1_000);
    let first = it.draft("title").notes("first").media(&bytes).save().await;
    it.draft("title").notes("second").media(&media(2, 1_000)).save().await;
    let version = it.store.find_revision(it.owner, &first.id.into(), first.revision).await.unwrap();
    let lost = version.media.unwrap();
    it.parts.media.delete(lost.namespace, lost.object).await.unwrap();
    it.draft("other").media(&bytes).save().await;
    assert!(read(&it.store, &version, None).await == bytes);
    it
}

pub async fn the_sweep_thins_histories_out_and_empties_the_trash(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let project = it.draft("title").notes("0").media(&media(1, 1_000)).save().await;
    for n in 1..5 {
        it.draft("title").notes(&n.to_string()).save().await;
    }
    it.draft("deleted").notes("0").save().await;
    it.draft("deleted").notes("1").media(&media(2, 1_000)).save().await;
    it.delete("deleted").await.unwrap();
    let sweep = async || {
        let report = it.store.sweep().await.unwrap();
        (report.thinned, report.trash_purged)
    };
    assert_eq!(sweep().await, (0, 0));
    it.clock.advance(DAY / 2);
    assert_eq!(sweep().await, (0, 0));
    it.clock.advance(DAY / 2);
    assert_eq!(sweep().await, (3, 0));
    assert_eq!(revisions(&it, &project).await, [5, 4]);
    assert_eq!(sweep().await, (0, 0));
    it.clock.advance(29 * DAY - Duration::from_millis(1));
    assert_eq!(sweep().await, (0, 0));
    // The version of the deleted project goes with its project, or before it.
    it.clock.advance(Duration::from_millis(2));
    assert_eq!(sweep().await, (2, 1));
    assert_eq!((revisions(&it, &project).await, trashed(&it).await), (vec![5], 0));
    it
}

pub async fn a_clock_a_month_ahead_purges_nothing_early(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let project = it.draft("title").notes("first").save().await;
    it.draft("title").notes("second").save().await;
    it.draft("deleted").save().await;
    it.delete("deleted").await.unwrap();
    it.clock.advance(2 * Duration::from_secs(3_600));
    it.store.sweep().await.unwrap();
    let right = it.clock.now();
    it.clock.step_to(right.after(60 * DAY));
    it.store.sweep().await.unwrap();
    it.clock.step_to(right);
    assert_eq!((revisions(&it, &project).await, trashed(&it).await), (vec![2, 1], 1));
    it
}

pub async fn without_history_and_trash_the_sweep_purges_what_was_kept(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    let project = it.draft("title").notes("first").save().await;
    it.draft("title").notes("second").save().await;
    it.draft("deleted").save().await;
    it.delete("deleted").await.unwrap();
    let it = it.with(|settings| (settings.history, settings.trash) = (None, None)).await;
    it.store.sweep().await.unwrap();
    assert_eq!((revisions(&it, &project).await, trashed(&it).await), (vec![2], 0));
    it
}

pub async fn an_emptied_trash_leaves_nothing(it: Fixture) -> Fixture {
    let it = keeping(it).await;
    for n in 0..20 {
        let text = format!("title {n}");
        it.draft(&text).media(&media(n % 3, 1_000)).save().await;
        it.draft(&text).notes("again").save().await;
        it.delete(&text).await.unwrap();
    }
    assert_eq!(trashed(&it).await, 20);
    it.store.empty_trash(it.owner).await.unwrap();
    let usage = it.store.find_account(it.owner).await.unwrap().unwrap().usage;
    assert_eq!((trashed(&it).await, usage.total()), (0, 0));
    it
}
