//! The removal of accounts: it takes effect at once for every request, and the rest is purged step by step.

use super::fixture::*;
use crate::domain::{Digest, ListQuery, Namespace, ObjectKind, ObjectState, RevocationReason, Session, User};
use crate::error::Error;
use crate::records::RecordStore;

pub async fn an_account_is_removed_once(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    assert!(store.remove_user(ada.into(), NOW).await.unwrap());
    assert!(!store.remove_user(ada.into(), NOW).await.unwrap());
    assert!(!store.remove_user(user_id().into(), NOW).await.unwrap());
    assert!(store.find_user(bob).await.unwrap().is_some());
}

pub async fn a_removed_account_is_not_found(store: &dyn RecordStore) {
    let ada = user("ada@example.org");
    store.create_user(&ada).await.unwrap();
    store.remove_user(ada.id.into(), NOW).await.unwrap();
    assert_eq!(store.find_user(ada.id).await.unwrap(), None);
    assert_eq!(store.find_user_by_email(&ada.email).await.unwrap(), None);
    assert!(!store.replace_password_hash(ada.id, &ada.password_hash, &hash("second")).await.unwrap());
}

pub async fn the_address_of_a_removed_account_is_free_at_once(store: &dyn RecordStore) {
    let first = user("ada@example.org");
    store.create_user(&first).await.unwrap();
    save(store, first.id, "Song").await.media(b"song").await.project().await;
    store.remove_user(first.id.into(), NOW).await.unwrap();

    let second = user("ada@example.org");
    store.create_user(&second).await.unwrap();
    assert_eq!(store.find_user_by_email(&second.email).await.unwrap(), Some(second.clone()));
    assert_eq!(titles(store, second.id, &ListQuery::default()).await, [""; 0]);
    save(store, second.id, "Song").await.media(b"song").await.project().await;

    purge(store, NOW).await;
    assert_eq!(titles(store, second.id, &ListQuery::default()).await, ["Song"]);
    assert_eq!(usage(store, second.id).await, (1, 14));
    assert!(!store.remove_user(first.id.into(), NOW).await.unwrap());
    assert_eq!(store.find_user_by_email(&second.email).await.unwrap().map(|user| user.id), Some(second.id));
}

pub async fn sessions_of_a_removed_account_are_refused_at_once(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let (session_of_ada, session_of_bob) = (session(ada), session(bob));
    begin(store, &session_of_ada).await;
    begin(store, &session_of_bob).await;
    store.remove_user(ada.into(), NOW).await.unwrap();

    assert_eq!(store.find_session(session_of_ada.id).await.unwrap(), None);
    assert_eq!(store.list_sessions(ada, MANY, NOW).await.unwrap(), []);
    let confirmed = Session { confirmed: true, ..session_of_ada.clone() };
    assert!(!store.replace_session(&session_of_ada, &confirmed).await.unwrap());
    let refused = store.start_session(&session(ada), MANY, NOW).await;
    assert!(matches!(refused, Err(Error::NoSuchAccount)), "{refused:?}");

    assert_eq!(store.list_sessions(bob, MANY, NOW).await.unwrap(), [session_of_bob]);
    purge(store, NOW).await;
    assert_eq!(forget_sessions(store).await, 1);
}

pub async fn projects_of_a_removed_account_are_refused_at_once(store: &dyn RecordStore) {
    let ada = account(store).await;
    let project = save(store, ada, "Song").await.media(b"song").await.project().await;
    let again = save(store, ada, "Song").await;
    let other = save(store, ada, "Other").await.media(b"other").await;
    let ledger_before = ledger(store).await;
    store.remove_user(ada.into(), NOW).await.unwrap();

    assert_eq!(store.find_project(ada, &title("Song")).await.unwrap(), None);
    assert_eq!(store.find_project_by_id(ada, project.id).await.unwrap(), None);
    assert_eq!(store.find_owned_media(ada, Digest::of(b"song")).await.unwrap(), None);
    assert_eq!(titles(store, ada, &ListQuery::default()).await, [""; 0]);
    for save in [again, other] {
        let refused = save.outcome().await;
        assert!(matches!(refused, Err(Error::NoSuchAccount)), "{refused:?}");
    }
    let refused = store.delete_project(ada.into(), &title("Song"), NOW).await;
    assert!(matches!(refused, Err(Error::NoSuchProject)), "{refused:?}");
    assert_eq!(ledger(store).await, ledger_before);
}

pub async fn a_purge_is_bounded_and_complete(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let mut notes = Vec::new();
    for (title, media) in [("one", b"same"), ("two", b"same"), ("three", b"else")] {
        notes.push(save(store, ada, title).await.media(media).await.project().await.notes.object);
    }
    notes.push(save(store, bob, "four").await.project().await.notes.object);
    let unsaved = save(store, ada, "five").await.commit.notes.written().object;
    for user in [ada, ada, bob] {
        begin(store, &session(user)).await;
    }
    assert!(store.revoke_all_sessions(bob, RevocationReason::SignedOut, NOW).await.unwrap());
    let spare = account(store).await;
    begin(store, &session(spare)).await;
    save(store, spare, "one").await.media(b"same").await.project().await;
    let spared = snapshot(store, spare).await;
    store.remove_user(ada.into(), NOW).await.unwrap();
    store.remove_user(bob.into(), NOW).await.unwrap();

    let later = NOW.after(HOUR);
    let (mut purged, mut steps) = (0, 0);
    loop {
        let step = store.purge_removed(2, later).await.unwrap();
        assert!(step <= 2, "{step} exceeds the limit");
        if step == 0 {
            break;
        }
        purged += step;
        steps += 1;
        assert!(steps < 100, "the purge makes no end");
    }
    assert_eq!(purged, 4 + 3);
    assert_eq!(store.purge_removed(2, later).await.unwrap(), 0);

    assert_eq!(forget_sessions(store).await, 1);
    let doomed = store.list_doomed(None, MANY).await.unwrap();
    for id in notes {
        let row = row(store, id).await.unwrap();
        assert_eq!((row.state, row.references, row.since), (ObjectState::Doomed, 0, later));
        assert!(doomed.contains(&row));
    }
    assert_eq!(row(store, unsaved).await.unwrap().state, ObjectState::Reserved);
    for bytes in [b"same", b"else"] {
        let media = store.find_live_media(Namespace::Owner(ada), Digest::of(bytes)).await.unwrap().unwrap();
        assert_eq!((media.references, media.since), (0, later));
    }
    let after = snapshot(store, spare).await;
    assert_eq!((after.user, after.projects), (spared.user, spared.projects));

    let stale = stale_before(later.after(SECOND));
    assert_eq!(store.doom_stale(&stale, MANY, later).await.unwrap(), 2 + 1);
    let live_media = live(store, ObjectKind::Media).await;
    assert_eq!(live_media.len(), 1);
    assert_eq!(live_media[0].namespace, Namespace::Owner(spare));
}

pub async fn a_purge_without_removed_accounts_returns_nothing(store: &dyn RecordStore) {
    assert_eq!(store.purge_removed(MANY, NOW).await.unwrap(), 0);
    let ada = account(store).await;
    begin(store, &session(ada)).await;
    save(store, ada, "Song").await.project().await;
    let before = snapshot(store, ada).await;
    assert_eq!(store.purge_removed(MANY, NOW).await.unwrap(), 0);
    assert_eq!(snapshot(store, ada).await, before);
    assert_eq!(forget_sessions(store).await, 1);
}

pub async fn a_purge_keeps_media_that_other_accounts_share(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let song = save(store, ada, "Song").await.shared().media(b"song").await.project().await;
    let same = save(store, bob, "Same").await.shared().media(b"song").await.project().await;
    assert_eq!(song.media, same.media);

    store.remove_user(ada.into(), NOW).await.unwrap();
    assert_eq!(store.purge_removed(MANY, NOW).await.unwrap(), 1);
    let media = store.find_live_media(Namespace::Shared, Digest::of(b"song")).await.unwrap().unwrap();
    assert_eq!(Some(media.id), same.media.map(|media| media.object));
    assert_eq!(media.references, 1);
    assert_eq!(store.doom_stale(&stale_before(NOW.after(HOUR)), MANY, NOW).await.unwrap(), 0);
    assert_eq!(row(store, media.id).await, Some(media));
    assert_eq!(store.find_project(bob, &title("Same")).await.unwrap(), Some(same));
}

pub async fn a_new_account_with_the_address_of_a_removed_one_is_separate(store: &dyn RecordStore) {
    let first = user("ada@example.org");
    store.create_user(&first).await.unwrap();
    store.remove_user(first.id.into(), NOW).await.unwrap();
    let second = User { password_hash: hash("second"), ..user("ada@example.org") };
    store.create_user(&second).await.unwrap();
    store.remove_user(second.id.into(), NOW).await.unwrap();
    let third = user("ada@example.org");
    store.create_user(&third).await.unwrap();
    assert_eq!(store.find_user_by_email(&third.email).await.unwrap(), Some(third));
    assert_eq!(store.find_user(first.id).await.unwrap(), None);
    assert_eq!(store.find_user(second.id).await.unwrap(), None);
}
