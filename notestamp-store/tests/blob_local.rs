//! The blob suite in a local folder, and tests of what only a folder can do.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt;
use notestamp_store::{
    BlobStore, BlobUrl, Durability, Error, ListedObject, Namespace, ObjectId, ObjectKind, UserId,
};
use tempfile::TempDir;

mod full {
    use super::*;

    async fn store() -> (BlobStore, TempDir) {
        fresh(Durability::Full).await
    }

    notestamp_store::blob_conformance!(store);
}

mod relaxed {
    use super::*;

    async fn store() -> (BlobStore, TempDir) {
        fresh(Durability::Relaxed).await
    }

    notestamp_store::blob_conformance!(store);
}

const PART: usize = 1 << 20;

async fn fresh(durability: Durability) -> (BlobStore, TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder is made");
    let store = open(&root(&folder), durability).await.expect("a new folder is opened");
    (store, folder)
}

async fn open(path: &Path, durability: Durability) -> notestamp_store::Result<BlobStore> {
    BlobStore::open(ObjectKind::Media, &BlobUrl::folder(path).expect("it is absolute"), durability).await
}

fn root(folder: &TempDir) -> PathBuf {
    folder.path().join("data/media")
}

fn namespace() -> Namespace {
    Namespace::Owner(UserId::from_bytes([1; 16]))
}

fn object() -> ObjectId {
    ObjectId::from_bytes([2; 16])
}

fn file(folder: &TempDir) -> PathBuf {
    root(folder).join(namespace().to_string()).join(object().to_string())
}

async fn list(store: &BlobStore) -> Vec<ListedObject> {
    let mut found: Vec<_> = store.list().try_collect().await.expect("the folder is listed");
    found.sort();
    found
}

#[cfg(unix)]
#[tokio::test]
async fn folders_are_created_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let (store, folder) = fresh(Durability::Full).await;
    store.put(namespace(), object(), Bytes::from_static(b"x")).await.unwrap();
    for path in [folder.path().join("data"), root(&folder), root(&folder).join(namespace().to_string())] {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
    }
}

#[tokio::test]
async fn a_reopened_folder_contains_the_same_objects() {
    let (store, folder) = fresh(Durability::Full).await;
    store.put(namespace(), object(), Bytes::from_static(b"notes")).await.unwrap();
    let again = open(&root(&folder), Durability::Full).await.unwrap();
    assert_eq!(again.read_to_bytes(namespace(), object(), 5).await.unwrap(), "notes");
}

#[tokio::test]
async fn a_root_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("media");
    fs::write(&path, "").unwrap();
    let error = open(&path, Durability::Full).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn delete_removes_half_written_files_of_a_crash() {
    let (store, folder) = fresh(Durability::Full).await;
    store.put(namespace(), object(), Bytes::from_static(b"x")).await.unwrap();
    let neighbour = ObjectId::from_bytes([3; 16]);
    for name in
        [format!("{object}#1", object = object()), format!("{}#2", object()), format!("{neighbour}#1")]
    {
        fs::write(file(&folder).with_file_name(name), "half").unwrap();
    }
    store.delete(namespace(), object()).await.unwrap();
    assert_eq!(list(&store).await, [ListedObject::Unknown(format!("{}/{neighbour}#1", namespace()))]);
    store.delete(namespace(), neighbour).await.unwrap();
    assert_eq!(list(&store).await, []);
}

#[tokio::test]
async fn half_written_and_foreign_files_are_listed_as_unknown() {
    let (store, folder) = fresh(Durability::Full).await;
    let mut ingest = store.ingest(namespace(), object());
    ingest.write(Bytes::from(vec![0; 2 * PART])).await.unwrap();
    fs::create_dir_all(root(&folder).join("lost+found/x")).unwrap();
    fs::write(root(&folder).join("readme.txt"), "").unwrap();
    fs::create_dir(file(&folder)).unwrap();
    let mut expected = [
        format!("{}/{}#1", namespace(), object()),
        format!("{}/{}/", namespace(), object()),
        "lost+found/".into(),
        "readme.txt".into(),
    ]
    .map(ListedObject::Unknown);
    expected.sort();
    assert_eq!(list(&store).await, expected);
    ingest.abort().await.unwrap();
}

#[tokio::test]
async fn a_large_folder_is_listed_completely() {
    let (store, _folder) = fresh(Durability::Relaxed).await;
    for number in 0..2500_u128 {
        let object = ObjectId::from_bytes(number.to_be_bytes());
        store.put(namespace(), object, Bytes::new()).await.unwrap();
    }
    assert_eq!(list(&store).await.len(), 2500);
}

#[tokio::test]
async fn a_reader_continues_when_its_object_is_deleted() {
    let (store, _folder) = fresh(Durability::Full).await;
    let bytes = Bytes::from(vec![7; 3 * PART]);
    store.put(namespace(), object(), bytes.clone()).await.unwrap();
    let reader = store.read(namespace(), object(), bytes.len() as u64, None).await.unwrap();
    store.delete(namespace(), object()).await.unwrap();
    assert!(reader.try_collect::<Vec<_>>().await.unwrap().concat() == bytes);
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_is_an_error() {
    let (store, folder) = fresh(Durability::Full).await;
    store.put(namespace(), object(), Bytes::from(vec![7; 3 * PART])).await.unwrap();
    let mut reader = store.read(namespace(), object(), 3 * PART as u64, None).await.unwrap();
    reader.try_next().await.unwrap().unwrap();
    fs::File::options().write(true).open(file(&folder)).unwrap().set_len(PART as u64).unwrap();
    let mut read = 0;
    let error = loop {
        match reader.try_next().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) => panic!("ended after {read} bytes without an error"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Corrupt(_)), "{error:?}");
    assert!(reader.try_next().await.unwrap().is_none(), "an error is the end");
}

#[tokio::test]
async fn a_failed_completion_leaves_no_staging_file() {
    for size in [10, 2 * PART] {
        let (store, folder) = fresh(Durability::Full).await;
        let mut ingest = store.ingest(namespace(), object());
        ingest.write(Bytes::from(vec![0; size])).await.unwrap();
        let staged = ingest.stage().await.unwrap();
        // A rename onto a folder that is not empty fails.
        fs::create_dir_all(file(&folder).join("in the way")).unwrap();
        assert!(staged.complete().await.is_err());
        let left = [ListedObject::Unknown(format!("{}/{}/", namespace(), object()))];
        assert_eq!(list(&store).await, left, "{size}");
    }
}

#[tokio::test]
async fn a_root_that_disappears_is_an_error_and_not_created_again() {
    let (store, folder) = fresh(Durability::Full).await;
    store.ping().await.unwrap();
    fs::remove_dir_all(root(&folder)).unwrap();
    assert!(store.ping().await.is_err());
    assert!(store.put(namespace(), object(), Bytes::new()).await.is_err());
    assert!(!root(&folder).exists());
}
