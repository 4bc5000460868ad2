//! Sessions and the log of the revoked.

use super::fixture::*;
use crate::clock::Timestamp;
use crate::domain::{Refresh, RevocationReason, Session, UserId};
use crate::error::Error;
use crate::records::RecordStore;

pub async fn a_session_round_trips(store: &dyn RecordStore) {
    let user = account(store).await;
    let fresh = session(user);
    let rich = Session {
        generation: 3_000_000_000,
        previous: Some(token_id()),
        rotated_at: NOW.after(SECOND),
        refresh_expires: NOW.after(2 * SECOND),
        confirmed: true,
        created: Timestamp::from_millis(-1),
        last_used: NOW.after(3 * SECOND),
        absolute_end: NOW.after(4 * SECOND),
        tokens_end: NOW.after(5 * SECOND),
        user_agent: "Мозилла/5.0 \"🎧\" '; --".repeat(12),
        ..session(user)
    };
    let plain = Session { user_agent: String::new(), ..session(user) };
    for stored in [fresh, rich, plain] {
        begin(store, &stored).await;
        assert_eq!(store.find_session(stored.id).await.unwrap(), Some(stored));
    }
}

pub async fn every_reason_of_a_revocation_round_trips(store: &dyn RecordStore) {
    let user = account(store).await;
    for reason in RevocationReason::ALL {
        let open = session(user);
        begin(store, &open).await;
        let revoked = open.clone().revoke(NOW.after(SECOND), reason);
        assert!(store.replace_session(&open, &revoked).await.unwrap());
        assert_eq!(store.find_session(open.id).await.unwrap(), Some(revoked));
    }
}

pub async fn every_field_of_a_session_is_replaced(store: &dyn RecordStore) {
    let before = session(account(store).await);
    begin(store, &before).await;
    let later = NOW.after(HOUR);
    let Refresh::Rotated(rotated) = before.clone().refresh(before.current, 0, token_id(), later, None, &TTL)
    else {
        panic!("the current token rotates")
    };
    assert!(store.replace_session(&before, &rotated).await.unwrap());
    assert_eq!(store.find_session(before.id).await.unwrap().as_ref(), Some(&rotated));

    let confirmed = Session { confirmed: true, last_used: later.after(SECOND), ..rotated.clone() };
    assert!(store.replace_session(&rotated, &confirmed).await.unwrap());
    assert_eq!(store.find_session(before.id).await.unwrap(), Some(confirmed));
}

pub async fn an_unknown_session_is_absent(store: &dyn RecordStore) {
    let unknown = session(account(store).await);
    assert_eq!(store.find_session(unknown.id).await.unwrap(), None);
    assert!(!store.replace_session(&unknown, &unknown).await.unwrap());
    assert_eq!(store.find_session(unknown.id).await.unwrap(), None);
    assert_eq!(forget_sessions(store).await, 0);
}

pub async fn a_session_of_an_unknown_account_is_refused(store: &dyn RecordStore) {
    let orphan = session(user_id());
    let refused = store.start_session(&orphan, MANY, NOW).await;
    assert!(matches!(refused, Err(Error::NoSuchAccount)), "{refused:?}");
    assert_eq!(store.find_session(orphan.id).await.unwrap(), None);
}

pub async fn a_session_that_has_changed_is_not_replaced(store: &dyn RecordStore) {
    let stored = Session { generation: 7, ..session(account(store).await) };
    begin(store, &stored).await;
    let stale = [
        Session { generation: 6, ..stored.clone() },
        Session { generation: 8, ..stored.clone() },
        Session { confirmed: true, ..stored.clone() },
        stored.clone().revoke(NOW, RevocationReason::SignedOut),
    ];
    for before in stale {
        let after = Session { user_agent: "changed".to_owned(), ..before.clone() };
        assert!(!store.replace_session(&before, &after).await.unwrap(), "{before:?}");
        assert_eq!(store.find_session(stored.id).await.unwrap().as_ref(), Some(&stored));
    }
    let after = Session { generation: 8, ..stored.clone() };
    assert!(store.replace_session(&stored, &after).await.unwrap());
    assert!(!store.replace_session(&stored, &after).await.unwrap());
}

pub async fn a_revoked_session_is_not_reopened_by_a_stale_replacement(store: &dyn RecordStore) {
    let open = session(account(store).await);
    begin(store, &open).await;
    assert!(store.revoke_all_sessions(open.user, RevocationReason::SignedOut, NOW).await.unwrap());
    let confirmed = Session { confirmed: true, ..open.clone() };
    assert!(!store.replace_session(&open, &confirmed).await.unwrap());
    assert!(store.find_session(open.id).await.unwrap().unwrap().revoked.is_some());
}

async fn start(store: &dyn RecordStore, user: UserId, used: u32, end: Timestamp) -> Session {
    let started = Session { last_used: NOW.after(used * SECOND), tokens_end: end, ..session(user) };
    begin(store, &started).await;
    started
}

pub async fn sessions_are_listed_latest_used_first(store: &dyn RecordStore) {
    let (ada, bob) = (account(store).await, account(store).await);
    let end = NOW.after(HOUR);
    let second = start(store, ada, 2, end).await;
    let third = start(store, ada, 1, end).await;
    let first = start(store, ada, 3, end).await;
    start(store, bob, 4, end).await;
    assert_eq!(store.list_sessions(ada, MANY, NOW).await.unwrap(), [first.clone(), second.clone(), third]);
    assert_eq!(store.list_sessions(ada, 2, NOW).await.unwrap(), [first, second]);
    assert_eq!(store.list_sessions(user_id(), MANY, NOW).await.unwrap(), []);
}

pub async fn revoked_and_expired_sessions_are_not_listed(store: &dyn RecordStore) {
    let ada = account(store).await;
    start(store, ada, 0, NOW.before(SECOND)).await;
    start(store, ada, 0, NOW).await;
    let open = start(store, ada, 0, Timestamp::from_millis(NOW.as_millis() + 1)).await;
    let revoked = session(ada).revoke(NOW, RevocationReason::SignedOut);
    begin(store, &revoked).await;
    assert_eq!(store.list_sessions(ada, MANY, NOW).await.unwrap(), [open]);
    // Revoked sessions stay on record as the log; the limit counts listed sessions only.
    assert_eq!(store.find_session(revoked.id).await.unwrap(), Some(revoked));
    assert_eq!(store.list_sessions(ada, 1, NOW).await.unwrap().len(), 1);
    assert_eq!(forget_sessions(store).await, 4);
}

pub async fn expired_sessions_are_forgotten_in_bounded_steps(store: &dyn RecordStore) {
    let ada = account(store).await;
    let just_expired = start(store, ada, 0, NOW).await;
    let expired = start(store, ada, 0, NOW.before(HOUR)).await;
    let revoked = session(ada).revoke(NOW, RevocationReason::SignedOut);
    let revoked = Session { tokens_end: NOW.before(SECOND), ..revoked };
    begin(store, &revoked).await;
    let open = start(store, ada, 0, Timestamp::from_millis(NOW.as_millis() + 1)).await;
    let logged = session(ada).revoke(NOW, RevocationReason::SignedOut);
    begin(store, &logged).await;

    let forgotten = [2, 1, 0];
    for count in forgotten {
        assert_eq!(store.forget_expired_sessions(2, NOW).await.unwrap(), count);
    }
    for gone in [just_expired, expired, revoked] {
        assert_eq!(store.find_session(gone.id).await.unwrap(), None);
    }
    for kept in [open, logged] {
        assert_eq!(store.find_session(kept.id).await.unwrap(), Some(kept));
    }
    assert_eq!(forget_sessions(store).await, 2);
}
