//! The blob suite in a real bucket, and tests of what only a bucket can do.
//!
//! `scripts/services start` starts an S3 server, and prints the environment variables with which these tests find it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::env;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use notestamp_store::records::{MemoryRecords, RecordStore};
use notestamp_store::{
    BlobStore, BlobUrl, Clock, Digest, Durability, Email, Error, Metadata, Namespace, Notes, ObjectId,
    ObjectKind, OsRandom, PRESIGNED_TIME_MAX, PasswordHash, PresignedHeaders, SaveRequest, Store,
    SystemClock, Title, UserId,
};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::signer::{Method, SignedUrlOptions, Signer};
use reqwest::StatusCode;
use url::Url;

async fn fresh() -> (BlobStore, ()) {
    (open(&Place::fresh()).await, ())
}

notestamp_store::blob_conformance!(
    #[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
    fresh
);

/// More bytes than fit into one part.
const LARGE: usize = 20 << 20;

/// An empty, unused prefix in the test bucket.
struct Place {
    endpoint: String,
    bucket: String,
    prefix: String,
}

impl Place {
    fn fresh() -> Self {
        let variable = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is needed"));
        Self {
            endpoint: variable("NOTESTAMP_TEST_S3_ENDPOINT"),
            bucket: variable("NOTESTAMP_TEST_S3_BUCKET"),
            prefix: format!("test/{}", any_object()),
        }
    }

    fn url(&self) -> BlobUrl {
        let Self { endpoint, bucket, prefix } = self;
        let url = format!("s3://{bucket}/{prefix}?endpoint={endpoint}&path_style=true");
        BlobUrl::parse(&url).expect("it is a URL")
    }

    /// The bucket, accessed without this crate.
    fn bucket(&self) -> AmazonS3 {
        let bucket = AmazonS3Builder::from_env()
            .with_endpoint(&self.endpoint)
            .with_allow_http(true)
            .with_bucket_name(&self.bucket);
        bucket.build().expect("the variables suffice for a client")
    }

    /// The count of multipart uploads that are neither completed nor aborted (S3, `ListMultipartUploads`).
    async fn uploads(&self) -> usize {
        let options = SignedUrlOptions::new().with_query([("uploads", ""), ("prefix", &self.prefix)]);
        let (root, soon) = (Path::default(), Duration::from_secs(60));
        let url = self.bucket().signed_url_opts(Method::GET, &root, soon, &options).await.unwrap();
        let listed = reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap();
        assert!(listed.contains("ListMultipartUploadsResult"), "{listed}");
        listed.matches("<UploadId>").count()
    }

    /// Waits until background tasks have aborted all multipart uploads.
    async fn has_no_uploads(&self) {
        let none = async { while self.uploads().await > 0 {} };
        tokio::time::timeout(Duration::from_secs(60), none).await.expect("all uploads come to their end");
    }
}

fn any_object() -> ObjectId {
    ObjectId::generate(SystemClock.now(), &OsRandom)
}

async fn open(place: &Place) -> BlobStore {
    BlobStore::open(ObjectKind::Media, &place.url(), Durability::Full).await.expect("the bucket is opened")
}

/// A store with one account, which keeps media in the bucket.
async fn with_account(place: &Place) -> (Store, UserId) {
    let records: Arc<dyn RecordStore> = Arc::new(MemoryRecords::new());
    let memory = BlobUrl::parse("memory:///").unwrap();
    let notes = BlobStore::open(ObjectKind::Notes, &memory, Durability::Full).await.unwrap();
    let store = Store::builder(records, notes, open(place).await).open().await.unwrap();
    let user = store.create_account(Email::parse("a@example.org").unwrap(), PasswordHash::new("x")).await;
    (store, user.unwrap().id)
}

fn request(title: &str) -> SaveRequest {
    let metadata = Metadata::new(Title::parse(title).unwrap(), SystemClock.now());
    SaveRequest::new(metadata, Notes::parse("{}").unwrap())
}

/// A body of this many bytes, after which the connection breaks if `breaks_off`.
fn body(len: usize, breaks_off: bool) -> impl futures_util::Stream<Item = Result<Bytes, &'static str>> {
    let pieces = (0..len).step_by(1 << 20).map(move |at| Ok(vec![7; (len - at).min(1 << 20)].into()));
    stream::iter(pieces.chain(breaks_off.then_some(Err("the connection is gone"))))
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn an_upload_in_progress_is_visible() {
    let place = Place::fresh();
    let mut ingest = open(&place).await.ingest(Namespace::Shared, any_object());
    ingest.write(vec![0; LARGE].into()).await.unwrap();
    assert_eq!(place.uploads().await, 1, "else the other tests prove nothing");
    ingest.abort().await.unwrap();
    assert_eq!(place.uploads().await, 0);
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn an_upload_that_is_dropped_is_aborted() {
    let place = Place::fresh();
    let store = open(&place).await;
    let mut with_parts_on_their_way = store.ingest(Namespace::Shared, any_object());
    with_parts_on_their_way.write(vec![0; LARGE].into()).await.unwrap();
    drop(with_parts_on_their_way);
    place.has_no_uploads().await;

    let mut all_handed_over = store.ingest(Namespace::Shared, any_object());
    all_handed_over.write(vec![0; LARGE].into()).await.unwrap();
    drop(all_handed_over.stage().await.unwrap());
    place.has_no_uploads().await;
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn an_upload_of_existing_bytes_is_aborted() {
    let place = Place::fresh();
    let (store, user) = with_account(&place).await;
    let mut objects = Vec::new();
    for title in ["first", "second"] {
        let mut save = store.begin_save(user).await.unwrap();
        save.write_media(body(LARGE, false)).await.unwrap();
        let project = save.commit(request(title)).await.unwrap();
        objects.push(project.media.expect("it has media").object);
    }
    assert_eq!(objects[0], objects[1], "stored once");
    place.has_no_uploads().await;
    let listed = open(&place).await.list().try_collect::<Vec<_>>().await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_save_that_fails_leaves_no_upload() {
    let place = Place::fresh();
    let (store, user) = with_account(&place).await;

    let mut broken_off = store.begin_save(user).await.unwrap();
    let error = broken_off.write_media(body(LARGE, true)).await.unwrap_err();
    assert!(matches!(error, Error::Body(_)), "{error:?}");
    place.has_no_uploads().await;

    let mut of_another_digest = store.begin_save(user).await.unwrap();
    of_another_digest.write_media(body(LARGE, false)).await.unwrap();
    let announced = SaveRequest { media_digest: Some(Digest::of(b"other")), ..request("title") };
    let error = of_another_digest.commit(announced).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch), "{error:?}");
    place.has_no_uploads().await;

    let mut dropped = store.begin_save(user).await.unwrap();
    dropped.write_media(body(LARGE, false)).await.unwrap();
    drop(dropped);
    place.has_no_uploads().await;

    assert!(open(&place).await.list().next().await.is_none(), "nothing was kept of any");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_presigned_url_returns_the_object_with_its_headers() {
    let store = open(&Place::fresh()).await;
    let object = any_object();
    store.put(Namespace::Shared, object, Bytes::from_static(b"0123456789")).await.unwrap();
    let url = presigned(&store, object).await;

    let whole = reqwest::get(url.clone()).await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()["content-type"], headers().content_type);
    assert_eq!(whole.headers()["content-disposition"], headers().content_disposition);
    assert_eq!(whole.bytes().await.unwrap(), "0123456789");

    let range = reqwest::Client::new().get(url).header("range", "bytes=3-5").send().await.unwrap();
    assert_eq!(range.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(range.headers()["content-range"], "bytes 3-5/10");
    assert_eq!(range.bytes().await.unwrap(), "345");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_presigned_url_allows_nothing_else() {
    let store = open(&Place::fresh()).await;
    let (object, other) = (any_object(), any_object());
    for object in [object, other] {
        store.put(Namespace::Shared, object, Bytes::from_static(b"x")).await.unwrap();
    }
    let url = presigned(&store, object).await;
    let expires = url.query_pairs().find(|(name, _)| name == "X-Amz-Expires").expect("it expires").1;
    assert_eq!(expires, PRESIGNED_TIME_MAX.as_secs().to_string());

    let client = reqwest::Client::new();
    let altered = [
        client.get(url.as_str().replace(&object.to_string(), &other.to_string())),
        client.get(url.as_str().replace("audio%2Fmpeg", "text%2Fhtml")),
        client.get(url.as_str().replace("X-Amz-Expires=900", "X-Amz-Expires=90000")),
        client.put(url.clone()).body("y"),
        client.delete(url.clone()),
    ];
    for request in altered {
        assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(client.get(url).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_presigned_url_with_too_long_a_lifetime_is_refused() {
    let store = open(&Place::fresh()).await;
    let too_long = PRESIGNED_TIME_MAX + Duration::from_secs(1);
    let error = store.presign(Namespace::Shared, any_object(), &headers(), too_long).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error:?}");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn two_prefixes_of_one_bucket_are_independent() {
    let (one, other) = (Place::fresh(), Place::fresh());
    let (one, other) = (open(&one).await, open(&other).await);
    let object = any_object();
    one.put(Namespace::Shared, object, Bytes::from_static(b"x")).await.unwrap();
    assert!(matches!(other.read_to_bytes(Namespace::Shared, object, 1).await, Err(Error::Corrupt(_))));
    assert!(other.list().next().await.is_none());
    other.delete(Namespace::Shared, object).await.unwrap();
    assert_eq!(one.read_to_bytes(Namespace::Shared, object, 1).await.unwrap(), "x");
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_wrong_prefix_is_refused_and_named() {
    let (place, wrong) = (Place::fresh(), Place::fresh());
    let records = Arc::new(MemoryRecords::new());
    let memory = BlobUrl::parse("memory:///").unwrap();
    let notes = BlobStore::open(ObjectKind::Notes, &memory, Durability::Full).await.unwrap();
    let over = |media: BlobStore| Store::builder(records.clone(), notes.clone(), media).open();
    let store = over(open(&place).await).await.unwrap();
    let user =
        store.create_account(Email::parse("ada@example.org").unwrap(), PasswordHash::new("$argon2id$"));
    let mut save = store.begin_save(user.await.unwrap().id).await.unwrap();
    save.write_media(body(10, false)).await.unwrap();
    save.commit(request("Song")).await.unwrap();

    let refused = over(open(&wrong).await).await;
    let Err(error @ Error::ForeignStore { .. }) = refused else { panic!("{refused:?}") };
    assert!(error.to_string().contains(&wrong.prefix), "{error}");
    assert!(open(&wrong).await.list().next().await.is_none());
    over(open(&place).await).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
#[ignore = "needs NOTESTAMP_TEST_S3_ENDPOINT"]
async fn a_ping_of_a_missing_bucket_fails() {
    let mut place = Place::fresh();
    place.bucket = "notestamp-no-such-bucket".to_owned();
    assert!(open(&place).await.ping().await.is_err());
}

fn headers() -> PresignedHeaders {
    PresignedHeaders {
        content_type: "audio/mpeg".to_owned(),
        content_disposition: "inline; filename*=UTF-8''S%C3%B6ng%20%22x%22.mp3".to_owned(),
    }
}

async fn presigned(store: &BlobStore, object: ObjectId) -> Url {
    let url = store.presign(Namespace::Shared, object, &headers(), PRESIGNED_TIME_MAX).await;
    url.expect("it is presigned").expect("S3 can")
}
