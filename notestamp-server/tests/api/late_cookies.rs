//! A response does not set cookies that are old by the time when it begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use notestamp_store::records::MemoryRecords;
use notestamp_store::{BlobStore, ManualClock, ObjectKind, SessionTtl, Store, StoreSettings, Timestamp};
use object_store::memory::InMemory;

use crate::harness::{self, REFRESH};
use crate::stores::{HookedObjects, Memory};

type TestServer = harness::TestServer<Memory>;

const SECOND: Duration = Duration::from_secs(1);

/// A server that needs this many seconds to read media.
async fn server(access_ttl: Duration) -> (TestServer, Arc<AtomicU64>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse_iso8601(harness::START).unwrap()));
    let seconds = Arc::new(AtomicU64::new(0));
    let (time, takes) = (clock.clone(), seconds.clone());
    let slow = HookedObjects::new(move || {
        time.advance(SECOND * u32::try_from(takes.load(Ordering::SeqCst)).unwrap());
        std::future::ready(()).boxed()
    });
    let notes = BlobStore::new(ObjectKind::Notes, Arc::new(InMemory::new()));
    let media = BlobStore::new(ObjectKind::Media, Arc::new(slow));
    let settings = StoreSettings::default();
    let session_ttl = SessionTtl { access: access_ttl, ..settings.session_ttl };
    let store = Store::builder(Arc::new(MemoryRecords::new()), notes, media)
        .settings(StoreSettings { session_ttl, ..settings })
        .clock(clock.clone())
        .open()
        .await
        .unwrap();
    (TestServer::spawn_over(store, clock).await, seconds)
}

#[tokio::test]
async fn cookies_older_than_ten_seconds_are_omitted_and_set_by_the_next_response() {
    let ttl = Duration::from_secs(15 * 60);
    let (server, seconds) = server(ttl).await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"0123456789").await;
    for (took, delivered) in [(9, true), (10, true), (11, false)] {
        server.advance(ttl);
        let before = ada.cookie(REFRESH);
        seconds.store(took, Ordering::SeqCst);
        let response = ada.get("/home/media-file/a").await.assert_status(200);
        seconds.store(0, Ordering::SeqCst);
        if delivered {
            response.assert_refreshes();
            continue;
        }
        response.assert_sets_no_cookie();
        assert_eq!(ada.cookie(REFRESH), before);
        // Even after the grace period: no client has received the successor.
        server.advance(60 * SECOND);
        ada.get("/home/list").await.assert_status(200).assert_refreshes();
    }
}

/// Otherwise such a response could overwrite the successor that another tab has received.
#[tokio::test]
async fn cookies_with_an_expired_access_token_are_omitted() {
    let (server, seconds) = server(3 * SECOND).await;
    let ada = server.ada().await;
    ada.save_media("a", "audio/mpeg", b"0123456789").await;
    for (took, delivered) in [(3, true), (4, false)] {
        server.advance(3 * SECOND);
        seconds.store(took, Ordering::SeqCst);
        let response = ada.get("/home/media-file/a").await.assert_status(200);
        seconds.store(0, Ordering::SeqCst);
        assert_eq!(response.cookies().len(), if delivered { 2 } else { 0 }, "after {took} s");
    }
}
