//! Accounts: creating, finding and changing their user records.

use super::fixture::*;
use crate::clock::Timestamp;
use crate::domain::{PasswordHash, RevocationReason, Usage, User};
use crate::error::Error;
use crate::records::RecordStore;

pub async fn an_account_round_trips(store: &dyn RecordStore) {
    let before_the_epoch = Timestamp::from_millis(-1);
    for (address, created) in [("ada@example.org", NOW), ("großmutter+ß@exämple.org", before_the_epoch)] {
        let stored = User { created, ..user(address) };
        store.create_user(&stored).await.unwrap();
        assert_eq!(store.find_user(stored.id).await.unwrap().as_ref(), Some(&stored));
        assert_eq!(store.find_user_by_email(&stored.email).await.unwrap().as_ref(), Some(&stored));
        assert_eq!((stored.usage, stored.saves), (Usage::default(), 0));
    }
}

pub async fn an_unknown_account_is_absent(store: &dyn RecordStore) {
    account(store).await;
    assert_eq!(store.find_user(user_id()).await.unwrap(), None);
    assert_eq!(store.find_user_by_email(&email("nobody@example.org")).await.unwrap(), None);
    assert!(!store.replace_password_hash(user_id(), &hash("first"), &hash("second")).await.unwrap());
}

pub async fn accounts_are_listed_in_the_order_of_their_ids(store: &dyn RecordStore) {
    let mut accounts = [user("ada@example.org"), user("bob@example.org"), user("cay@example.org")];
    for user in accounts.iter().rev() {
        store.create_user(user).await.unwrap();
    }
    accounts.sort_by_key(|user| user.id);
    assert_eq!(store.list_users(None, MANY).await.unwrap(), accounts);
    assert_eq!(store.list_users(None, 2).await.unwrap(), accounts[..2]);
    assert_eq!(store.list_users(Some(accounts[1].id), MANY).await.unwrap(), accounts[2..]);
    assert!(store.remove_user(accounts[0].id.into(), NOW).await.unwrap());
    assert_eq!(store.list_users(None, MANY).await.unwrap(), accounts[1..]);
}

pub async fn a_taken_address_is_refused(store: &dyn RecordStore) {
    let first = user("ada@example.org");
    store.create_user(&first).await.unwrap();
    for address in ["ada@example.org", " Ada@EXAMPLE.org"] {
        let second = User { password_hash: hash("second"), ..user(address) };
        let refused = store.create_user(&second).await;
        assert!(matches!(refused, Err(Error::EmailTaken)), "{refused:?}");
        assert_eq!(store.find_user(second.id).await.unwrap(), None);
    }
    assert_eq!(store.find_user_by_email(&first.email).await.unwrap(), Some(first));
}

pub async fn a_password_hash_is_replaced_only_as_it_was_read(store: &dyn RecordStore) {
    let (ada, bob) = (user("ada@example.org"), user("bob@example.org"));
    store.create_user(&ada).await.unwrap();
    store.create_user(&bob).await.unwrap();

    assert!(store.replace_password_hash(ada.id, &hash("first"), &hash("second")).await.unwrap());
    assert!(!store.replace_password_hash(ada.id, &hash("first"), &hash("third")).await.unwrap());
    assert!(!store.replace_password_hash(ada.id, &PasswordHash::new(""), &hash("third")).await.unwrap());

    let expected = User { password_hash: hash("second"), ..ada.clone() };
    assert_eq!(store.find_user(ada.id).await.unwrap(), Some(expected.clone()));
    assert_eq!(store.find_user_by_email(&ada.email).await.unwrap(), Some(expected));
    assert_eq!(store.find_user(bob.id).await.unwrap(), Some(bob));
}

pub async fn a_new_password_hash_changes_nothing_else(store: &dyn RecordStore) {
    let ada = account(store).await;
    save(store, ada, "Song").await.media(b"song").await.project().await;
    let before = store.find_user(ada).await.unwrap().unwrap();
    assert!(store.replace_password_hash(ada, &hash("first"), &hash("second")).await.unwrap());
    let after = store.find_user(ada).await.unwrap().unwrap();
    assert_eq!(after, User { password_hash: hash("second"), ..before });
}

pub async fn a_closed_store_refuses_every_operation(store: &dyn RecordStore) {
    assert!(!store.name().is_empty());
    store.ping().await.unwrap();
    let ada = account(store).await;
    store.ping().await.unwrap();
    store.close().await.unwrap();
    assert!(store.ping().await.is_err());
    assert!(store.find_user(ada).await.is_err());
    assert!(store.create_user(&user("bob@example.org")).await.is_err());
}

pub async fn a_changed_password_ends_every_session_and_starts_one(store: &dyn RecordStore) {
    let (ada, bob) = (user("ada@example.org"), user("bob@example.org"));
    store.create_user(&ada).await.unwrap();
    store.create_user(&bob).await.unwrap();
    let (old, other, others, new) = (session(ada.id), session(ada.id), session(bob.id), session(ada.id));
    for session in [&old, &other, &others] {
        begin(store, session).await;
    }

    let later = NOW.after(SECOND);
    let changed =
        store.change_password(ada.id.into(), &ada.password_hash, &hash("second"), &new, later).await;
    let epoch = ada.session_epoch.next(later, RevocationReason::PasswordChanged);
    let new = new.in_epoch(epoch);
    assert_eq!(changed.unwrap().as_ref(), Some(&new));
    assert_eq!(store.find_user(ada.id).await.unwrap().unwrap().password_hash, hash("second"));
    for ended in [old, other] {
        let expected = ended.revoke(later, RevocationReason::PasswordChanged);
        assert_eq!(store.find_session(expected.id).await.unwrap(), Some(expected));
    }
    assert_eq!(store.find_session(new.id).await.unwrap(), Some(new));
    assert_eq!(store.find_session(others.id).await.unwrap(), Some(others));
    assert_eq!(store.find_user(bob.id).await.unwrap(), Some(bob));
}

pub async fn a_password_is_changed_only_as_it_was_read(store: &dyn RecordStore) {
    let ada = user("ada@example.org");
    store.create_user(&ada).await.unwrap();
    let (old, new) = (session(ada.id), session(ada.id));
    begin(store, &old).await;

    let changed = store.change_password(ada.id.into(), &hash("not this"), &hash("second"), &new, NOW).await;
    assert_eq!(changed.unwrap(), None);
    assert_eq!(store.find_user(ada.id).await.unwrap(), Some(ada.clone()));
    assert_eq!(store.find_session(old.id).await.unwrap(), Some(old));
    assert_eq!(store.find_session(new.id).await.unwrap(), None);

    store.remove_user(ada.id.into(), NOW).await.unwrap();
    let changed = store.change_password(ada.id.into(), &ada.password_hash, &hash("second"), &new, NOW).await;
    assert_eq!(changed.unwrap(), None);
    assert_eq!(store.find_session(new.id).await.unwrap(), None);
}
