//! What a save stores, and what it does not.

use notestamp_store::{Dedup, Digest, Error, ListQuery, Precondition, Revision};

use super::fixture::{Fixture, LARGE, account, draft, media, notes, read};

pub async fn a_saved_project_is_read_as_it_was_saved(it: Fixture) -> Fixture {
    for (text, size) in [("empty", 0), ("small", 1_000), ("large", LARGE)] {
        let bytes = media(size as u64, size);
        let saved = it.draft(text).notes("first words").media(&bytes).announcing(&bytes).save().await;

        let opened = it.store.open_project(it.owner, &saved.metadata.title).await.unwrap();
        assert_eq!((&opened.project, &opened.notes), (&saved, notes("first words").as_bytes()));
        assert_eq!(it.store.find_project_by_id(it.owner, saved.id).await.unwrap(), saved);
        assert_eq!(saved.media.map(|it| (it.digest, it.size)), Some((Digest::of(&bytes), size as u64)));

        assert!(read(&it.store, &saved, None).await == bytes, "{text}");
        let range = size / 3..size - size / 5;
        assert!(read(&it.store, &saved, Some(range.start as u64..range.end as u64)).await == bytes[range]);
    }
    let listed = it.store.list_projects(it.owner, &ListQuery::default()).await.unwrap().projects;
    let titles: Vec<_> = listed.iter().map(|project| project.metadata.title.as_str()).collect();
    assert_eq!(titles, ["large", "small", "empty"]);
    it
}

pub async fn a_later_save_replaces_the_notes_and_keeps_the_media(it: Fixture) -> Fixture {
    let first = it.draft("title").notes("before").media(&media(1, LARGE)).save().await;
    for _ in 0..3 {
        let second = it.draft("title").notes("after").media(&media(1, LARGE)).save().await;
        assert_eq!((second.id, second.media, second.created), (first.id, first.media, first.created));
        let opened = it.store.open_project(it.owner, &second.metadata.title).await.unwrap();
        assert_eq!(&opened.notes, notes("after").as_bytes());
    }
    assert_eq!(it.find("title").await.unwrap().revision, Revision::new(4));
    assert!(read(&it.store, &first, None).await == media(1, LARGE));
    it.assert_settles().await;
    it
}

pub async fn media_can_be_added_to_a_project_later(it: Fixture) -> Fixture {
    assert_eq!(it.draft("title").save().await.media, None);
    let bytes = media(1, LARGE);
    let saved = it.draft("title").media(&bytes).save().await;
    assert!(read(&it.store, &saved, None).await == bytes);
    it
}

pub async fn equal_media_of_one_account_is_stored_once(it: Fixture) -> Fixture {
    let bytes = media(1, LARGE);
    let first = it.draft("first").media(&bytes).save().await;
    let second = it.draft("second").media(&bytes).save().await;
    assert_eq!(first.media, second.media);
    let [row] = &it.live_media().await[..] else { panic!("it is stored once") };
    assert_eq!(row.references, 2);
    it.assert_settles().await;
    it
}

pub async fn equal_media_of_two_accounts_is_stored_twice_by_default(it: Fixture) -> Fixture {
    let (bytes, other) = (media(1, 1_000), account(&it.store, "bob@example.org").await);
    it.draft("title").media(&bytes).save().await;
    draft(&it.store, other, "title").media(&bytes).save().await;
    assert_eq!(it.live_media().await.len(), 2);
    it
}

pub async fn equal_media_of_two_accounts_is_stored_once_in_a_shared_namespace(it: Fixture) -> Fixture {
    let it = it.with(|settings| settings.dedup = Dedup::Global).await;
    let (bytes, other) = (media(1, 1_000), account(&it.store, "bob@example.org").await);
    it.draft("title").media(&bytes).save().await;
    let theirs = draft(&it.store, other, "title").media(&bytes).save().await;
    assert_eq!(it.live_media().await.len(), 1);

    it.delete("title").await.unwrap();
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    assert!(read(&it.store, &theirs, None).await == bytes);
    it
}

pub async fn a_digest_can_replace_media_that_the_owner_has(it: Fixture) -> Fixture {
    let bytes = media(1, LARGE);
    it.draft("first").media(&bytes).save().await;
    let second = it.draft("second").announcing(&bytes).save().await;
    it.delete("first").await.unwrap();
    it.let_time_pass();
    it.store.sweep().await.unwrap();
    assert!(read(&it.store, &second, None).await == bytes);

    it.delete("second").await.unwrap();
    let refused = it.draft("third").announcing(&bytes).try_save().await;
    assert!(matches!(refused, Err(Error::MediaNeeded)), "of no project any more: {refused:?}");
    it
}

pub async fn a_digest_of_another_accounts_media_is_refused(mut it: Fixture) -> Fixture {
    for (dedup, other) in [(Dedup::User, "bob@example.org"), (Dedup::Global, "eve@example.org")] {
        it = it.with(|settings| settings.dedup = dedup).await;
        let (bytes, other) = (media(1, 1_000), account(&it.store, other).await);
        it.draft(&format!("{dedup:?}")).media(&bytes).save().await;
        let refused = draft(&it.store, other, "title").announcing(&bytes).try_save().await;
        assert!(matches!(refused, Err(Error::MediaNeeded)), "{dedup:?}: {refused:?}");
    }
    it
}

pub async fn media_with_another_digest_than_announced_is_refused(it: Fixture) -> Fixture {
    for size in [10, LARGE] {
        let refused = it.draft("title").media(&media(1, size)).announcing(b"other bytes").try_save().await;
        assert!(matches!(refused, Err(Error::DigestMismatch)), "{refused:?}");
    }
    assert!(matches!(it.find("title").await, Err(Error::NoSuchProject)));
    it.assert_settles().await;
    it
}

pub async fn other_media_for_a_project_with_media_is_refused(it: Fixture) -> Fixture {
    let first = it.draft("title").media(&media(1, 10)).save().await;
    for other in [
        it.draft("title").media(&media(2, 10)),
        it.draft("title").media(&media(2, LARGE)),
        it.draft("title").announcing(b"other bytes"),
    ] {
        let refused = other.try_save().await;
        assert!(matches!(refused, Err(Error::MediaDiffers)), "{refused:?}");
        assert_eq!(it.find("title").await.unwrap(), first);
    }
    let same = it.draft("title").media(&media(1, 10)).save().await;
    assert_eq!(same.media, first.media);
    it.assert_settles().await;
    it
}

pub async fn a_stale_revision_is_refused(it: Fixture) -> Fixture {
    let first = it.draft("title").notes("first").save().await;
    let seen = || Precondition::OneOf(vec![first.revision]);
    let second = it.draft("title").notes("second").demanding(seen()).save().await;
    let stale = it.draft("title").notes("third").demanding(seen()).try_save().await;
    let Err(Error::PreconditionFailed { current }) = stale else { panic!("{stale:?}") };
    assert_eq!(current, Some(second.revision));
    let opened = it.store.open_project(it.owner, &first.metadata.title).await.unwrap();
    assert_eq!(&opened.notes, notes("second").as_bytes());
    it
}

pub async fn the_usage_of_an_account_is_exact(it: Fixture) -> Fixture {
    let (words, bytes) = (notes("words").as_bytes().len() as u64, media(1, LARGE));
    it.draft("first").notes("words").media(&bytes).save().await;
    it.draft("second").notes("words").media(&bytes).save().await;
    it.draft("second").notes("words").save().await;
    assert_eq!(it.usage().await, (2, 2 * words + LARGE as u64));
    it.delete("first").await.unwrap();
    assert_eq!(it.usage().await, (1, words + LARGE as u64));
    it.delete("second").await.unwrap();
    assert_eq!(it.usage().await, (0, 0));
    it
}
