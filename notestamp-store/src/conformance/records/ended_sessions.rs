//! Operations whose session has ended since they began: refused, and nothing is changed.

use super::fixture::*;
use crate::domain::{Caller, Precondition, RevocationReason, Session, SessionId, UserId};
use crate::error::{Error, Result};
use crate::records::RecordStore;

/// Starts a session of this account.
async fn started(store: &dyn RecordStore, user: UserId) -> Session {
    let started = session(user);
    begin(store, &started).await;
    started
}

/// Sessions of this account that have ended, each in another way; one that was never started; and one of another
/// account.
async fn ended(store: &dyn RecordStore, user: UserId) -> Vec<Session> {
    let signed_out = started(store, user).await;
    assert!(
        store.revoke_session(user.into(), signed_out.id, RevocationReason::SignedOut, NOW).await.unwrap()
    );
    let replayed = started(store, user).await;
    let end = replayed.clone().revoke(NOW, RevocationReason::Replayed);
    assert!(store.replace_session(&replayed, &end).await.unwrap());
    let over = Session { absolute_end: NOW, ..session(user) };
    let unused = Session { tokens_end: NOW, ..session(user) };
    for expired in [&over, &unused] {
        begin(store, expired).await;
    }
    let unknown = session(user);
    let others = started(store, account(store).await).await;
    vec![signed_out, replayed, over, unused, unknown, others]
}

fn by(user: UserId, session: &Session) -> Caller {
    Caller::by_session(user, session.id)
}

#[track_caller]
fn assert_ended<T: std::fmt::Debug>(outcome: Result<T>, session: &Session) {
    assert!(matches!(outcome, Err(Error::SessionEnded)), "{outcome:?} of {session:?}");
}

pub async fn a_save_by_an_ended_session_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    for session in ended(store, ada).await {
        // The failed precondition is not reported: an ended session must learn nothing about the project.
        let save = save(store, ada, "Song").await.by(&session).demanding(Precondition::Absent);
        let before = snapshot(store, ada).await;
        assert_ended(save.outcome().await, &session);
        assert_eq!(snapshot(store, ada).await, before);
    }
    let gone = started(store, ada).await;
    let save = save(store, ada, "Song").await.by(&gone);
    store.remove_user(ada.into(), NOW).await.unwrap();
    assert_ended(save.outcome().await, &gone);
}

pub async fn a_deletion_by_an_ended_session_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    let before = snapshot(store, ada).await;
    for session in ended(store, ada).await {
        for text in ["Song", "Unknown"] {
            assert_ended(store.delete_project(by(ada, &session), &title(text), NOW).await, &session);
        }
        assert_eq!(snapshot(store, ada).await, before);
    }
}

pub async fn a_removal_by_an_ended_session_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    for session in ended(store, ada).await {
        assert_ended(store.remove_user(by(ada, &session), NOW).await, &session);
        assert!(store.find_user(ada).await.unwrap().is_some());
    }
    let open = started(store, ada).await;
    assert!(store.remove_user(by(ada, &open), NOW).await.unwrap());
    assert_ended(store.remove_user(by(ada, &open), NOW).await, &open);
}

pub async fn a_password_change_by_an_ended_session_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    let open = started(store, ada).await;
    for session in ended(store, ada).await {
        for before in ["first", "another"] {
            let new = super::fixture::session(ada);
            let changed =
                store.change_password(by(ada, &session), &hash(before), &hash("second"), &new, NOW).await;
            assert_ended(changed, &session);
            assert_eq!(store.find_session(new.id).await.unwrap(), None);
        }
    }
    assert_eq!(store.find_user(ada).await.unwrap().unwrap().password_hash, hash("first"));
    assert_eq!(store.find_session(open.id).await.unwrap(), Some(open));
}

pub async fn a_revocation_by_an_ended_session_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    let open = started(store, ada).await;
    let revoke =
        |caller: Caller, id: SessionId| store.revoke_session(caller, id, RevocationReason::Ended, NOW);
    for session in ended(store, ada).await {
        assert_ended(revoke(by(ada, &session), open.id).await, &session);
        assert_ended(revoke(by(ada, &session), session.id).await, &session);
    }
    assert_eq!(store.find_session(open.id).await.unwrap(), Some(open));
}

pub async fn an_open_session_is_revoked_once(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let (asking, asked, others) =
        (started(store, ada).await, started(store, ada).await, started(store, bob).await);
    let over = Session { absolute_end: NOW, ..session(ada) };
    begin(store, &over).await;
    let revoke =
        |session: &Session| store.revoke_session(by(ada, &asking), session.id, RevocationReason::Ended, NOW);
    for (session, is_revoked) in
        [(&asked, true), (&asked, false), (&others, false), (&over, false), (&session(ada), false)]
    {
        assert_eq!(revoke(session).await.unwrap(), is_revoked, "{session:?}");
    }
    let expected = asked.revoke(NOW, RevocationReason::Ended);
    assert_eq!(store.find_session(expected.id).await.unwrap(), Some(expected));
    assert_eq!(store.find_session(others.id).await.unwrap(), Some(others));

    assert!(revoke(&asking).await.unwrap(), "a session can end itself");
    store.remove_user(bob.into(), NOW).await.unwrap();
    let of_removed = store.revoke_session(bob.into(), session_id(), RevocationReason::Ended, NOW).await;
    assert!(!of_removed.unwrap());
}

pub async fn operations_of_an_open_session_take_effect(store: &dyn RecordStore) {
    let ada = account(store).await;
    let open = started(store, ada).await;
    save(store, ada, "Song").await.by(&open).project().await;
    store.delete_project(by(ada, &open), &title("Song"), NOW).await.unwrap();
    let new = session(ada);
    let changed = store.change_password(by(ada, &open), &hash("first"), &hash("second"), &new, NOW).await;
    let new = changed.unwrap().expect("the hash is the first");
    assert_ended(store.remove_user(by(ada, &open), NOW).await, &open);
    assert!(store.remove_user(by(ada, &new), NOW).await.unwrap());
}

pub async fn a_caller_without_a_session_is_admitted(store: &dyn RecordStore) {
    let ada = account(store).await;
    ended(store, ada).await;
    save(store, ada, "Song").await.project().await;
    store.delete_project(ada.into(), &title("Song"), NOW).await.unwrap();
    assert!(store.remove_user(ada.into(), NOW).await.unwrap());
}

/// A backend may keep sessions that it has read: whatever ends a session, no later call sees it open.
pub async fn a_session_that_was_read_before_its_end_is_ended_for_every_later_call(store: &dyn RecordStore) {
    async fn is_open(store: &dyn RecordStore, session: &Session) -> bool {
        store.find_session(session.id).await.unwrap().is_some_and(|found| found.is_open(NOW))
    }

    let ada = account(store).await;
    let signed_out = started(store, ada).await;
    assert!(is_open(store, &signed_out).await);
    store.revoke_session(ada.into(), signed_out.id, RevocationReason::SignedOut, NOW).await.unwrap();
    assert!(!is_open(store, &signed_out).await);

    let of_all = started(store, ada).await;
    assert!(is_open(store, &of_all).await);
    store.revoke_all_sessions(ada, RevocationReason::Ended, NOW).await.unwrap();
    assert!(!is_open(store, &of_all).await);

    let bob = account(store).await;
    let of_old_password = started(store, bob).await;
    assert!(is_open(store, &of_old_password).await);
    let new = session(bob);
    let changed = store.change_password(bob.into(), &hash("first"), &hash("second"), &new, NOW).await;
    let new = changed.unwrap().expect("the hash is the first");
    assert!(!is_open(store, &of_old_password).await);

    assert!(is_open(store, &new).await);
    store.remove_user(bob.into(), NOW).await.unwrap();
    assert!(!is_open(store, &new).await);
}
