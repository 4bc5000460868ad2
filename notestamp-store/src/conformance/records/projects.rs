//! Projects: storing, finding and deleting them.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::fixture::*;
use crate::clock::Timestamp;
use crate::domain::{
    Digest, ExtraFields, LastModified, ListQuery, MediaRef, Metadata, Namespace, ObjectKind, ObjectState,
    Precondition, Revision, Title,
};
use crate::error::Error;
use crate::records::RecordStore;

/// Titles that are special to a language or format on their way (SQL, JSON, ...), or that look like another title.
fn odd_titles() -> Vec<String> {
    let odd = [
        "..",
        ".",
        "/",
        "a/b\\c",
        "%",
        "%2F",
        "_",
        "*",
        "?",
        "\\",
        "'",
        "''",
        "\"",
        "`",
        ";--",
        "$where",
        "$",
        "a.b",
        "null",
        "undefined",
        "0",
        "-1",
        "true",
        "[]",
        "{}",
        "{\"$gt\":\"\"}",
        " ",
        " a",
        "a ",
        "a",
        "A",
        "\t",
        "ß",
        "ss",
        "SS",
        "İ",
        "i̇",
        "ı",
        "ς",
        "σ",
        "Σ",
        "ﬁ",
        "fi",
        "é",
        "e",
        "Ж",
        "ж",
        "中文",
        "🎧",
        "👩‍👩‍👧",
        "\u{feff}",
        "\u{200b}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{e000}",
        "\u{202e}abc",
    ];
    let long = ["x".repeat(255), "é".repeat(255), "🎧".repeat(255), "x".repeat(254)];
    odd.into_iter().map(str::to_owned).chain(long).collect()
}

pub async fn every_unusual_title_is_a_separate_project(store: &dyn RecordStore) {
    let ada = account(store).await;
    let all = odd_titles();
    for text in &all {
        let project = save(store, ada, text).await.project().await;
        assert_eq!(project.revision, Revision::FIRST, "{text:?} is another title");
    }
    for text in &all {
        let found = store.find_project(ada, &title(text)).await.unwrap().unwrap();
        assert_eq!(found.metadata.title.as_str(), text);
    }
    let listed: BTreeSet<_> = titles(store, ada, &ListQuery::default()).await.into_iter().collect();
    assert_eq!(listed, all.iter().cloned().collect());
    for text in &all {
        store.delete_project(ada.into(), &title(text), NOW).await.unwrap();
        assert_eq!(store.find_project(ada, &title(text)).await.unwrap(), None);
    }
    assert_eq!(usage(store, ada).await, (0, 0));
}

pub async fn normal_forms_of_an_accent_are_the_same_title(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Cafe\u{301}").await.project().await;
    assert_eq!(save(store, ada, "Caf\u{e9}").await.project().await.revision, Revision::new(2));
}

fn rich_metadata(title: Title, extra: &[(&str, &str)]) -> Metadata {
    let mut fields = ExtraFields::default();
    for (name, value) in extra {
        fields.set((*name).to_owned(), RawValue::from_string((*value).to_owned()).unwrap()).unwrap();
    }
    Metadata {
        title,
        kind: "youtube\n\"'\\🎧".to_owned(),
        label: "YouTube \u{0}\u{1f}\u{7f} Видео".to_owned(),
        src: "https://www.youtube.com/watch&v=%20…#$.".to_owned(),
        mimetype: " Audio/MPEG; x=\"1\" ".to_owned(),
        last_modified: LastModified::parse_or("2024-02-29T23:59:59.987654321+14:00", NOW),
        extra: fields,
    }
}

pub async fn all_metadata_round_trips(store: &dyn RecordStore) {
    let ada = account(store).await;
    let extras: &[&[(&str, &str)]] = &[
        &[],
        &[("", "\"\""), ("$set", "{\"$inc\": {\"a.b\": 1}}"), ("a.b", "null"), ("_id", "7"), ("\u{0}", "[]")],
        &[("number", "1e400"), ("digits", "0.1000000000000000055511151231257827021181583404541015625")],
        &[("big", "123456789012345678901234567890"), ("negative", "-0"), ("exponent", "1E+2")],
        &[("surrogate", "\"\\ud800\""), ("pair", "\"\\ud83c\\udfa7\""), ("zero", "\"\\u0000\"")],
        &[("order", "{\"b\":1,\"a\":2,\"b\":3}"), ("space", "[ 1 ,\t2 ]"), ("слово", "\"слово\"")],
        &[("deep", &("[".repeat(1_000) + &"]".repeat(1_000))), ("quote\"\\", "\"\\\"\\\\\\/\"")],
    ];
    for (at, extra) in extras.iter().enumerate() {
        let metadata = rich_metadata(title(&format!("title {at}")), extra);
        let saved = save_as(store, ada, metadata.clone()).await.project().await;
        assert_eq!(saved.metadata, metadata);
        let found = store.find_project(ada, &metadata.title).await.unwrap().unwrap();
        assert_eq!(found, saved);
        assert_eq!(found.metadata.last_modified.as_str(), metadata.last_modified.as_str());
        assert_eq!(found.metadata.extra.to_json(), metadata.extra.to_json());
    }
    let empty = Metadata::new(title("empty"), Timestamp::from_millis(-62_135_596_800_000));
    save_as(store, ada, empty.clone()).await.project().await;
    assert_eq!(store.find_project(ada, &empty.title).await.unwrap().unwrap().metadata, empty);
}

pub async fn a_project_is_found_as_it_was_saved(store: &dyn RecordStore) {
    let ada = account(store).await;
    for size in [0, 5, 3 << 30] {
        let text = format!("notes of {size}");
        let saved = save(store, ada, &text).await.notes_of(size).media(text.as_bytes()).await.project().await;
        assert_eq!(store.find_project(ada, &title(&text)).await.unwrap().as_ref(), Some(&saved));
        assert_eq!(store.find_project_by_id(ada, saved.id).await.unwrap().as_ref(), Some(&saved));
        let page = store.list_projects(ada, &by(1)).await.unwrap();
        assert_eq!(page.projects.as_slice(), std::slice::from_ref(&saved));
        let digest = Digest::of(text.as_bytes());
        assert_eq!(store.find_owned_media(ada, digest).await.unwrap(), saved.media);
    }
}

pub async fn a_missing_project_is_absent(store: &dyn RecordStore) {
    let ada = account(store).await;
    for owner in [ada, user_id()] {
        assert_eq!(store.find_project(owner, &title("Song")).await.unwrap(), None);
        assert_eq!(store.find_project_by_id(owner, project_id()).await.unwrap(), None);
        assert_eq!(store.find_owned_media(owner, Digest::of(b"song")).await.unwrap(), None);
        let refused = store.delete_project(owner.into(), &title("Song"), NOW).await;
        assert!(matches!(refused, Err(Error::NoSuchProject)), "{refused:?}");
        let page = store.list_projects(owner, &by(1)).await.unwrap();
        assert!(page.projects.is_empty() && page.next.is_none());
    }
}

pub async fn a_project_of_another_account_is_absent(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let song = save(store, ada, "Song").await.shared().media(b"song").await.project().await;
    let before = snapshot(store, ada).await;

    assert_eq!(store.find_project(bob, &title("Song")).await.unwrap(), None);
    assert_eq!(store.find_project_by_id(bob, song.id).await.unwrap(), None);
    assert_eq!(store.find_owned_media(bob, Digest::of(b"song")).await.unwrap(), None);
    assert_eq!(titles(store, bob, &ListQuery::default()).await, [""; 0]);
    let refused = store.delete_project(bob.into(), &title("Song"), NOW).await;
    assert!(matches!(refused, Err(Error::NoSuchProject)), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);

    let namesake = save(store, bob, "Song").await.project().await;
    assert_eq!((namesake.revision, namesake.owner), (Revision::FIRST, bob));
    assert_ne!(namesake.id, song.id);
    assert_eq!(store.find_project_by_id(ada, namesake.id).await.unwrap(), None);
    store.delete_project(bob.into(), &title("Song"), NOW).await.unwrap();
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), Some(song));
    assert_eq!(usage(store, ada).await, (1, 14));
}

pub async fn owned_media_is_found_under_any_project(store: &dyn RecordStore) {
    let ada = account(store).await;
    let digest = Digest::of(b"song");
    let one = save(store, ada, "One").await.media(b"song").await.project().await;
    save(store, ada, "Two").await.media(b"song").await.project().await;
    save(store, ada, "Three").await.media(b"else").await.project().await;
    let media = one.media.unwrap();
    let expected = MediaRef { object: media.object, namespace: Namespace::Owner(ada), digest, size: 4 };
    assert_eq!(store.find_owned_media(ada, digest).await.unwrap(), Some(expected));

    store.delete_project(ada.into(), &title("One"), NOW).await.unwrap();
    assert_eq!(store.find_owned_media(ada, digest).await.unwrap(), Some(expected));
    store.delete_project(ada.into(), &title("Two"), NOW).await.unwrap();
    assert_eq!(store.find_owned_media(ada, digest).await.unwrap(), None);
    // Its bytes are kept for the grace period, but no project refers to them.
    assert!(store.find_live_media(Namespace::Owner(ada), digest).await.unwrap().is_some());
}

pub async fn a_deletion_whose_precondition_fails_changes_nothing(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    save(store, ada, "Song").await.project().await;
    let (one, two, three) = (Revision::new(1), Revision::new(2), Revision::new(3));
    let before = snapshot(store, ada).await;
    for precondition in [
        Precondition::Absent,
        Precondition::OneOf(vec![one]),
        Precondition::OneOf(vec![]),
        Precondition::NoneOf(vec![one, two]),
        Precondition::All(vec![Precondition::Exists, Precondition::OneOf(vec![three])]),
    ] {
        let refused = store.delete_project_if(ada.into(), &title("Song").into(), &precondition, NOW).await;
        match refused {
            Err(Error::PreconditionFailed { current }) => assert_eq!(current, Some(two), "{precondition:?}"),
            other => panic!("{precondition:?}: {other:?}"),
        }
        // An absent project is absent, whatever the precondition.
        let absent = store.delete_project_if(ada.into(), &title("None").into(), &precondition, NOW).await;
        assert!(matches!(absent, Err(Error::NoSuchProject)), "{absent:?}");
    }
    assert_eq!(snapshot(store, ada).await, before);

    let met = Precondition::All(vec![Precondition::OneOf(vec![one, two]), Precondition::NoneOf(vec![three])]);
    store.delete_project_if(ada.into(), &title("Song").into(), &met, NOW).await.unwrap();
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), None);
}

pub async fn a_project_is_deleted_once(store: &dyn RecordStore) {
    let ada = account(store).await;
    let other = save(store, ada, "Other").await.project().await;
    let song = save(store, ada, "Song").await.media(b"song").await.project().await;
    let (notes, media) = (song.notes.object, song.media.unwrap().object);

    let later = NOW.after(SECOND);
    let deleted = store.delete_project(ada.into(), &title("Song"), later).await.unwrap();
    let doomed = row(store, notes).await.unwrap();
    assert_eq!((doomed.state, doomed.references, doomed.since), (ObjectState::Doomed, 0, later));
    assert_eq!(deleted.doomed, [doomed]);
    let spared = row(store, media).await.unwrap();
    assert_eq!((spared.state, spared.references, spared.since), (ObjectState::Live, 0, later));

    let before = snapshot(store, ada).await;
    let refused = store.delete_project(ada.into(), &title("Song"), later.after(SECOND)).await;
    assert!(matches!(refused, Err(Error::NoSuchProject)), "{refused:?}");
    assert_eq!(snapshot(store, ada).await, before);
    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), None);
    assert_eq!(store.find_project_by_id(ada, song.id).await.unwrap(), None);
    assert_eq!(store.find_project(ada, &title("Other")).await.unwrap(), Some(other));
}

pub async fn a_save_without_a_link_keeps_the_one_of_the_same_type(store: &dyn RecordStore) {
    let ada = account(store).await;
    let link = async |kind: &str, src: &str| {
        let metadata = Metadata { kind: kind.to_owned(), src: src.to_owned(), ..metadata("Song") };
        save_as(store, ada, metadata).await.project().await.metadata.src
    };
    assert_eq!(link("youtube", "").await, "");
    assert_eq!(link("youtube", "https://youtu.be/x").await, "https://youtu.be/x");
    assert_eq!(link("youtube", "").await, "https://youtu.be/x");
    assert_eq!(link("youtube", "https://youtu.be/y").await, "https://youtu.be/y");
    assert_eq!(link("audio", "").await, "");
    assert_eq!(link("youtube", "").await, "");
    // A project that gets media loses its link.
    link("audio", "https://example.org/song.mp3").await;
    let metadata = Metadata { kind: "audio".to_owned(), ..metadata("Song") };
    let taken = save_as(store, ada, metadata).await.media(b"song").await.project().await;
    assert!(taken.media.is_some() && taken.metadata.src.is_empty());
}

pub async fn revisions_are_not_reused_by_a_new_project_with_the_same_title(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    for _ in 0..3 {
        save(store, ada, "Other").await.project().await;
    }
    let mut seen = Vec::new();
    for saves in [1, 3, 2] {
        for _ in 0..saves {
            seen.push(save(store, ada, "Song").await.project().await.revision);
        }
        store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let again = save(store, ada, "Song").await.project().await;
    for stale in seen {
        let demands = Precondition::OneOf(vec![stale]);
        let refused = save(store, ada, "Song").await.demanding(demands).outcome().await;
        let current = Some(again.revision);
        assert!(
            matches!(refused, Err(Error::PreconditionFailed { current: it }) if it == current),
            "{refused:?}"
        );
    }
    // Another account has its own revisions, and a project that was not deleted continues with its own.
    assert_eq!(save(store, bob, "Song").await.project().await.revision, Revision::FIRST);
    assert_eq!(save(store, ada, "Other").await.project().await.revision, Revision::new(4));
}

pub async fn a_deleted_title_that_is_saved_again_is_a_new_project(store: &dyn RecordStore) {
    let ada = account(store).await;
    let first = save(store, ada, "Song").await.project().await;
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    let second = save(store, ada, "Song").await.at(NOW.after(SECOND)).project().await;
    assert_ne!(first.id, second.id);
    assert_eq!(second.created, NOW.after(SECOND));
    assert!(second.save > first.save);
    assert_eq!(store.find_project_by_id(ada, first.id).await.unwrap(), None);
    assert_eq!(live(store, ObjectKind::Notes).await.len(), 1);
}
