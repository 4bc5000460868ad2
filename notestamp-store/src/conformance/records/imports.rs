//! What has been imported from other programs.

use crate::records::RecordStore;

pub async fn an_import_is_remembered_by_its_key(store: &dyn RecordStore) {
    let long = format!("project/{}", "é".repeat(255));
    for key in ["user/a", "user/A", &long] {
        assert_eq!(store.find_import(key).await.unwrap(), None, "{key}");
        for value in ["", "complete"] {
            store.record_import(key, value).await.unwrap();
            assert_eq!(store.find_import(key).await.unwrap().as_deref(), Some(value), "{key}");
        }
    }
}
