//! The store's identity, as the records hold it.

use super::fixture::*;
use crate::domain::{ObjectKind, StoreId};
use crate::records::{RecordStore, StoreIdentity};

pub async fn the_first_id_stays(store: &dyn RecordStore) {
    let (first, second) = (StoreId::from_bytes([1; 16]), StoreId::from_bytes([2; 16]));
    let mut expected = StoreIdentity::new(first);
    assert_eq!(store.claim_identity(first).await.unwrap(), expected);
    for kind in [ObjectKind::Media, ObjectKind::Notes] {
        store.mark_blob_store(kind).await.unwrap();
        expected.mark(kind);
        for proposed in [first, second] {
            assert_eq!(store.claim_identity(proposed).await.unwrap(), expected);
        }
    }
}

pub async fn live_objects_are_sampled_by_their_kind(store: &dyn RecordStore) {
    let kinds = [ObjectKind::Notes, ObjectKind::Media];
    let ada = account(store).await;
    for kind in kinds {
        reserve(store, kind, crate::domain::Namespace::Owner(ada)).await;
        assert_eq!(store.sample_live(kind, MANY).await.unwrap(), []);
    }
    save(store, ada, "One").await.media(b"one").await.project().await;
    save(store, ada, "Two").await.media(b"two").await.project().await;
    for kind in kinds {
        assert_eq!(ids(&store.sample_live(kind, MANY).await.unwrap()), ids(&live(store, kind).await));
        assert_eq!(store.sample_live(kind, 1).await.unwrap().len(), 1);
    }
}
