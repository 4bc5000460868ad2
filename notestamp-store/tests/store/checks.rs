//! A check names the damage of stored bytes exactly, and repairs it without touching what a record refers to.

use bytes::Bytes;
use notestamp_store::{
    CheckEvent, CheckOptions, CheckReport, Finding, FindingName, Namespace, ObjectId, ObjectKind,
};
use tokio::sync::mpsc;

use super::fixture::{Fixture, media, read};

/// The findings of a check with these options.
async fn findings(it: &Fixture, options: CheckOptions) -> Vec<Finding> {
    let (events, mut reported) = mpsc::channel(1_000);
    it.store.check_with(options, &events).await.unwrap();
    drop(events);
    let mut findings = Vec::new();
    while let Some(event) = reported.recv().await {
        match event {
            CheckEvent::Finding(finding) => findings.push(finding),
            CheckEvent::Progress { done, total } => assert!(done <= total),
            CheckEvent::Unreferenced(_) => {}
        }
    }
    findings
}

const DEEP: CheckOptions = CheckOptions { deep: true, repair: false };
const REPAIR: CheckOptions = CheckOptions { deep: false, repair: true };

pub async fn damaged_media_is_named_exactly(it: Fixture) -> Fixture {
    let bytes = media(1, 3_000);
    it.draft("other").media(&media(2, 3_000)).save().await;
    let saved = it.draft("song").media(&bytes).save().await.media.unwrap();
    let (namespace, object) = (saved.namespace, saved.object);
    let put = async |bytes: Bytes| it.parts.media.put(namespace, object, bytes).await.unwrap();
    assert_eq!(findings(&it, DEEP).await, []);

    let mut other = bytes.to_vec();
    other[7] ^= 1;
    for (damage, name) in [
        (None, FindingName::Missing),
        (Some(bytes.slice(..2_000)), FindingName::WrongLength),
        (Some(Bytes::from(other)), FindingName::WrongDigest),
    ] {
        it.parts.media.delete(namespace, object).await.unwrap();
        if let Some(damaged) = damage {
            put(damaged).await;
        }
        let found = findings(&it, DEEP).await;
        let [finding] = &found[..] else { panic!("{name:?}: {found:?}") };
        assert_eq!((finding.name, finding.kind, finding.is_repaired), (name, "media", false));
        assert_eq!(finding.object, Some(object.to_string()));
        assert_eq!(finding.owner.as_deref(), Some("ada@example.org"));
        assert_eq!(finding.title.as_deref(), Some("song"));
        if name != FindingName::WrongDigest {
            assert_eq!(findings(&it, REPAIR).await, found, "it cannot be repaired");
        }
    }
    assert_eq!(findings(&it, CheckOptions::default()).await, [], "only a deep check reads the bytes");
    it.parts.media.delete(namespace, object).await.unwrap();
    put(bytes).await;
    assert_eq!(findings(&it, DEEP).await, []);
    it
}

pub async fn an_object_without_a_row_is_moved_into_the_quarantine(it: Fixture) -> Fixture {
    let project = it.draft("song").media(&media(1, 3_000)).save().await;
    let namespace = Namespace::Owner(it.owner);
    let stray = ObjectId::from_bytes([7; 16]);
    for blobs in [&it.parts.notes, &it.parts.media] {
        blobs.put(namespace, stray, Bytes::from_static(b"stray")).await.unwrap();
    }
    let found = findings(&it, CheckOptions::default()).await;
    let kinds: Vec<_> = found.iter().map(|it| (it.name, it.kind, it.is_repaired)).collect();
    let unaccounted = |kind: ObjectKind| (FindingName::Unaccounted, kind.as_str(), false);
    assert_eq!(kinds, ObjectKind::ALL.map(unaccounted));
    assert_eq!(found[0].object, Some(format!("{namespace}/{stray}")));
    assert_eq!(findings(&it, CheckOptions::default()).await, found, "a check alone changes nothing");

    assert!(findings(&it, REPAIR).await.iter().all(|finding| finding.is_repaired));
    assert_eq!(it.store.check().await.unwrap(), CheckReport::default());
    assert_eq!(read(&it.store, &project, None).await.len(), 3_000);
    it
}

pub async fn a_check_beside_saves_and_deletions_reports_nothing(it: Fixture) -> Fixture {
    let work = async {
        for round in 0..40_u64 {
            it.draft(&format!("{}", round % 3)).media(&media(round % 2, 3_000)).save().await;
            if round % 3 == 2 {
                it.delete("0").await.unwrap();
                it.delete("1").await.unwrap();
                it.delete("2").await.unwrap();
                // No longer than the sweep is awaited: otherwise what it deletes would be stale until then.
                it.clock.advance(it.store.settings().sweep_grace);
                it.store.sweep().await.unwrap();
            }
        }
    };
    let check = async {
        for _ in 0..10 {
            assert_eq!(findings(&it, DEEP).await, []);
        }
    };
    futures_util::join!(work, check);
    it
}
