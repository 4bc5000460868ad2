//! Notes that take long to be read are returned only if the session is still open then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use notestamp_store::records::MemoryRecords;
use notestamp_store::{BlobStore, ManualClock, ObjectKind, Store, Timestamp};
use object_store::memory::InMemory;
use tokio::sync::Notify;

use crate::harness::{self, ADA, Client};
use crate::stores::{HookedObjects, Memory};

type TestServer = harness::TestServer<Memory>;

const OPENED: [&str; 3] = ["/home/open?name=a", "/project/get/a", "/project/notes/a"];

/// Holds each read of notes back while it is closed.
#[derive(Default)]
struct Gate {
    is_closed: AtomicBool,
    arrived: Notify,
    opened: Notify,
}

impl Gate {
    async fn pass(&self) {
        if self.is_closed.load(Ordering::SeqCst) {
            self.arrived.notify_one();
            self.opened.notified().await;
        }
    }
}

/// A server with one project, whose notes are held back.
async fn server() -> (TestServer, Client, Arc<Gate>) {
    let clock = Arc::new(ManualClock::new(Timestamp::parse_iso8601(harness::START).unwrap()));
    let gate = Arc::new(Gate::default());
    let at_gate = gate.clone();
    let notes = HookedObjects::new(move || {
        let gate = at_gate.clone();
        async move { gate.pass().await }.boxed()
    });
    let notes = BlobStore::new(ObjectKind::Notes, Arc::new(notes));
    let media = BlobStore::new(ObjectKind::Media, Arc::new(InMemory::new()));
    let store = Store::builder(Arc::new(MemoryRecords::new()), notes, media).clock(clock.clone());
    let server = TestServer::spawn_over(store.open().await.unwrap(), clock).await;
    let ada = server.ada().await;
    ada.save_project("a").await;
    gate.is_closed.store(true, Ordering::SeqCst);
    (server, ada, gate)
}

#[tokio::test]
async fn notes_that_were_asked_for_before_the_session_ended_are_not_returned_after_it() {
    let (_server, ada, gate) = server().await;
    for path in OPENED {
        ada.sign_in(ADA).await.assert_status(200);
        let elsewhere = ada.twin();
        let meanwhile = async {
            gate.arrived.notified().await;
            elsewhere.sign_out().await.assert_status(200);
            gate.opened.notify_one();
        };
        let (response, ()) = tokio::join!(ada.get(path), meanwhile);
        response.assert_error(401, "unauthorized");
    }
}

#[tokio::test]
async fn notes_that_take_long_are_returned_to_an_open_session() {
    let (_server, ada, gate) = server().await;
    let elsewhere = ada.twin();
    elsewhere.sign_in(ADA).await.assert_status(200);
    for path in OPENED {
        let meanwhile = async {
            gate.arrived.notified().await;
            gate.opened.notify_one();
        };
        let (response, ()) = tokio::join!(ada.get(path), meanwhile);
        response.assert_status(200);
    }
}
