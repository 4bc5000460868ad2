//! All sessions of an account end at once: afterwards none of them is admitted, and new ones are.

use super::fixture::*;
use crate::domain::{Caller, RevocationReason, Session, User, UserId};
use crate::error::Error;
use crate::records::RecordStore;

/// Checks that a session is refused wherever it is used.
async fn assert_refused(store: &dyn RecordStore, ended: &Session) {
    let caller = Caller::by_session(ended.user, ended.id);
    assert!(!store.find_session(ended.id).await.unwrap().unwrap().is_open(NOW));
    let saved = save(store, ended.user, "By an old session").await.by(ended).outcome().await;
    assert!(matches!(saved, Err(Error::SessionEnded)), "{saved:?}");
    let removed = store.remove_user(caller, NOW).await;
    assert!(matches!(removed, Err(Error::SessionEnded)), "{removed:?}");
    let revoked = store.revoke_session(caller, ended.id, RevocationReason::Ended, NOW).await;
    assert!(matches!(revoked, Err(Error::SessionEnded)), "{revoked:?}");
    let confirmed = Session { confirmed: !ended.confirmed, ..ended.clone() };
    assert!(!store.replace_session(ended, &confirmed).await.unwrap());
    let ended_again = ended.clone().revoke(NOW, RevocationReason::Replayed);
    assert!(!store.replace_session(ended, &ended_again).await.unwrap());
}

async fn sessions(store: &dyn RecordStore, user: &User, count: usize) -> Vec<Session> {
    let sessions: Vec<_> = (0..count).map(|_| session(user.id).in_epoch(user.session_epoch)).collect();
    for session in &sessions {
        begin(store, session).await;
    }
    sessions
}

async fn current(store: &dyn RecordStore, user: UserId) -> User {
    store.find_user(user).await.unwrap().unwrap()
}

pub async fn none_of_the_old_sessions_is_admitted_and_new_ones_are(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let others = sessions(store, &current(store, bob).await, 1).await;
    let mut ended = Vec::new();
    for reason in [RevocationReason::Ended, RevocationReason::PasswordChanged, RevocationReason::Ended] {
        let open = sessions(store, &current(store, ada).await, 3).await;
        ended.extend(open.clone());
        assert_eq!(store.list_sessions(ada, MANY, NOW).await.unwrap().len(), 3);

        let at = NOW.after(SECOND);
        assert!(store.revoke_all_sessions(ada, reason, at).await.unwrap());
        for session in open {
            assert_refused(store, &session).await;
            let logged = store.find_session(session.id).await.unwrap();
            assert_eq!(logged, Some(session.revoke(at, reason)), "the log of revoked tokens");
        }
        assert_eq!(store.list_sessions(ada, MANY, NOW).await.unwrap(), []);
    }
    for session in &ended {
        assert_refused(store, session).await;
    }

    let open = sessions(store, &current(store, ada).await, 1).await;
    save(store, ada, "By a new session").await.by(&open[0]).project().await;
    for open in [open, others] {
        let listed = store.list_sessions(open[0].user, MANY, NOW).await.unwrap();
        assert_eq!(listed, open);
        assert_eq!(store.find_session(open[0].id).await.unwrap().as_ref(), Some(&open[0]));
    }
    assert!(!store.revoke_all_sessions(user_id(), RevocationReason::Ended, NOW).await.unwrap());
}

pub async fn a_session_that_was_revoked_alone_keeps_its_reason(store: &dyn RecordStore) {
    let ada = account(store).await;
    let open = sessions(store, &current(store, ada).await, 1).await.remove(0);
    assert!(store.revoke_session(ada.into(), open.id, RevocationReason::SignedOut, NOW).await.unwrap());
    assert!(store.revoke_all_sessions(ada, RevocationReason::Ended, NOW.after(SECOND)).await.unwrap());
    let logged = store.find_session(open.id).await.unwrap();
    assert_eq!(logged, Some(open.revoke(NOW, RevocationReason::SignedOut)));
}

pub async fn a_sign_in_that_began_before_all_sessions_ended_is_refused(store: &dyn RecordStore) {
    let ada = account(store).await;
    let late = session(ada).in_epoch(current(store, ada).await.session_epoch);
    assert!(store.revoke_all_sessions(ada, RevocationReason::PasswordChanged, NOW).await.unwrap());
    assert!(!store.start_session(&late, MANY, NOW).await.unwrap());
    assert_eq!(store.find_session(late.id).await.unwrap(), None);
}

pub async fn an_epoch_round_trips_and_nothing_else_of_the_account_changes(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    let mut expected = current(store, ada).await;
    for reason in RevocationReason::ALL {
        expected.session_epoch = expected.session_epoch.next(NOW, reason);
        assert!(store.revoke_all_sessions(ada, reason, NOW).await.unwrap());
        assert_eq!(current(store, ada).await, expected);
    }
    let removed_later = user("eve@example.org");
    let copy = User { session_epoch: expected.session_epoch, ..removed_later };
    store.create_user(&copy).await.unwrap();
    assert_eq!(store.find_user_by_email(&copy.email).await.unwrap(), Some(copy));
}

pub async fn a_session_beyond_the_limit_ends_the_least_recently_used(store: &dyn RecordStore) {
    const OPEN_MAX: usize = 3;
    let (ada, bob) = (account(store).await, account(store).await);
    let used = |seconds: u32| Session { last_used: NOW.after(seconds * SECOND), ..session(ada) };
    let (second, first, third, fourth) = (used(2), used(1), used(3), used(0));
    begin(store, &session(bob)).await;
    // Neither sessions that have ended nor those that have expired count.
    begin(store, &used(9).revoke(NOW, RevocationReason::SignedOut)).await;
    begin(store, &Session { tokens_end: NOW, ..used(9) }).await;
    for open in [&second, &first, &third] {
        assert!(store.start_session(open, OPEN_MAX, NOW).await.unwrap());
    }
    assert_eq!(store.list_sessions(ada, MANY, NOW).await.unwrap().len(), OPEN_MAX);

    let later = NOW.after(HOUR);
    assert!(store.start_session(&fourth, OPEN_MAX, later).await.unwrap());
    // The new one stays, although it was used before all others.
    let listed = store.list_sessions(ada, MANY, later).await.unwrap();
    assert_eq!(listed, [third, second, fourth]);
    let logged = store.find_session(first.id).await.unwrap();
    assert_eq!(logged, Some(first.revoke(later, RevocationReason::TooMany)));
    assert_eq!(store.list_sessions(bob, MANY, NOW).await.unwrap().len(), 1);

    // A limit that was lowered.
    let last = used(4);
    assert!(store.start_session(&last, 1, later).await.unwrap());
    assert_eq!(store.list_sessions(ada, MANY, later).await.unwrap(), [last]);
}
