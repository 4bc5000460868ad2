//! The blob store over a backend that fails, stalls or returns wrong bytes: what happens to an object then.

use std::fmt;
use std::io::{Error as IoError, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use notestamp_store::{BlobStore, Error, Ingest, MemoryBudget, Namespace, ObjectId, ObjectKind, Result};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, UploadPart,
};
use tokio::sync::{Semaphore, watch};

/// The part size and parallelism of a store that is not known to be local.
const PART: usize = 8 << 20;
const IN_FLIGHT_MAX: usize = 4;

#[tokio::test]
async fn a_failure_of_any_part_leaves_nothing() {
    for nth in 1..=6 {
        let (store, backend) = faulty(Faults { fail_part: Some(nth), ..Faults::default() });
        let mut ingest = begin(&store);
        let written = write_parts(&mut ingest, 6).await;
        let again = ingest.write(Bytes::from_static(b"x")).await;
        let finished = ingest.stage().await;
        assert!(finished.is_err(), "part {nth}");
        assert!(written.is_ok() || again.is_err(), "part {nth}: a write after one that failed");
        assert_eq!(backend.seen().aborted, 1, "part {nth}");
        assert!(listed(&store).await.is_empty());
    }
}

#[tokio::test]
async fn an_object_that_cannot_be_completed_is_aborted() {
    let (store, backend) = faulty(Faults { fail_complete: true, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    let error = ingest.stage().await.ok().unwrap().complete().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { backend: "media store", .. }), "{error:?}");
    assert_eq!(backend.seen().aborted, 1);
    assert!(listed(&store).await.is_empty());
}

#[tokio::test]
async fn a_complete_object_counts_even_if_the_response_was_lost() {
    let (store, backend) = faulty(Faults { lose_complete: true, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    ingest.stage().await.ok().unwrap().complete().await.unwrap();
    assert_eq!(backend.seen().aborted, 0);
    assert_eq!(listed(&store).await.len(), 1);
}

#[tokio::test]
async fn a_small_object_that_cannot_be_put_is_an_error() {
    let (store, backend) = faulty(Faults { fail_put: true, ..Faults::default() });
    assert!(store.put(Namespace::Shared, object(), Bytes::new()).await.is_err());
    let staged = begin(&store).stage().await.ok().unwrap();
    assert!(staged.complete().await.is_err());
    assert_eq!(backend.seen().started, 0, "no multipart upload for what fits into one part");
    assert!(listed(&store).await.is_empty());
}

#[tokio::test]
async fn a_full_disk_is_distinguished_from_other_failures() {
    let (store, _) = faulty(Faults { fail_part: Some(1), full: true, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    assert!(matches!(ingest.stage().await, Err(Error::Full { backend: "media store" })));
}

#[tokio::test]
async fn an_abandoned_upload_is_aborted() {
    let (store, backend) = faulty(Faults::default());
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    drop(ingest);
    backend.wait_for(|seen| seen.aborted == 1).await;

    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    drop(ingest.stage().await.ok().unwrap());
    backend.wait_for(|seen| seen.aborted == 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_fails_is_repeated_until_it_succeeds() {
    let (store, backend) = faulty(Faults { fail_aborts: 3, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    assert!(ingest.abort().await.is_err());
    backend.wait_for_long(|seen| seen.aborted == 4).await;
    store.close().await;
    assert_eq!(backend.seen().aborted, 4);
}

#[tokio::test(start_paused = true)]
async fn an_abort_that_may_have_missed_a_part_is_repeated() {
    let (store, backend) = faulty(Faults { gated: true, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    ingest.abort().await.unwrap();
    backend.wait_for_long(|seen| seen.aborted == 2).await;
}

#[tokio::test]
async fn closing_a_store_retries_the_abort_once() {
    let (store, backend) = faulty(Faults { fail_aborts: usize::MAX, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 2).await.unwrap();
    drop(ingest);
    store.close().await;
    assert_eq!(backend.seen().aborted, 2);
}

#[tokio::test]
async fn an_abort_does_not_wait_for_parts() {
    let (store, backend) = faulty(Faults { gated: true, ..Faults::default() });
    let mut ingest = begin(&store);
    write_parts(&mut ingest, 3).await.unwrap();
    ingest.abort().await.unwrap();
    let seen = backend.seen();
    assert_eq!((seen.aborted, seen.in_flight), (1, 0));
}

#[tokio::test]
async fn a_cancelled_write_breaks_the_ingest() {
    let (store, backend) = faulty(Faults { gated: true, ..Faults::default() });
    let mut ingest = begin(&store);
    tokio::select! {
        biased;
        _ = write_parts(&mut ingest, 10) => panic!("nothing arrives, and yet all is taken"),
        () = backend.wait_for(|seen| seen.in_flight == IN_FLIGHT_MAX) => {}
    }
    assert!(ingest.write(Bytes::from_static(b"x")).await.is_err());
    assert!(ingest.stage().await.is_err());
    backend.wait_for(|seen| seen.aborted == 1).await;
}

#[tokio::test]
async fn a_slow_backend_holds_the_writer_back() {
    const PARTS: usize = 12;
    let (store, backend) = faulty(Faults { gated: true, ..Faults::default() });
    let writer = tokio::spawn({
        let backend = Arc::clone(&backend);
        async move {
            let mut ingest = begin(&store);
            for taken in 1..=PARTS {
                write_parts(&mut ingest, 1).await.unwrap();
                let held = taken - backend.seen().arrived;
                assert!(held <= IN_FLIGHT_MAX + 1, "{held} parts held in memory");
            }
            ingest.stage().await.ok().unwrap()
        }
    });
    for arrived in 0..PARTS {
        let in_flight = IN_FLIGHT_MAX.min(PARTS - arrived);
        backend.wait_for(|seen| seen.arrived == arrived && seen.in_flight == in_flight).await;
        backend.gate.add_permits(1);
    }
    let staged = writer.await.unwrap();
    assert_eq!(staged.size, (PARTS * PART) as u64);
    assert_eq!(backend.seen().in_flight_peak, IN_FLIGHT_MAX);
    staged.abort().await.unwrap();
}

#[tokio::test]
async fn many_uploads_at_once_share_a_memory_budget() {
    const UPLOADS: usize = 20;
    const HELD_MAX: usize = 8;
    let (store, backend) = faulty(Faults { gated: true, ..Faults::default() });
    // An eighth of a budget is for small shares only.
    let budget = MemoryBudget::new((HELD_MAX * PART).div_ceil(7) as u64 * 8);
    let writers: Vec<_> = (0..UPLOADS)
        .map(|_| {
            let (store, scope) = (store.clone(), budget.scope(None, None));
            tokio::spawn(async move {
                let mut ingest = begin(&store).within(scope);
                write_parts(&mut ingest, IN_FLIGHT_MAX).await.unwrap();
                ingest.stage().await.ok().unwrap().abort().await
            })
        })
        .collect();
    backend.wait_for(|seen| seen.in_flight == HELD_MAX).await;
    backend.gate.add_permits(UPLOADS * IN_FLIGHT_MAX);
    for writer in writers {
        writer.await.unwrap().unwrap();
    }
    assert!(backend.seen().in_flight_peak <= HELD_MAX);
    assert_eq!(budget.bytes_held(), 0);
}

#[tokio::test]
async fn a_stream_of_a_wrong_length_always_ends_in_an_error() {
    for (lie, yields) in [("short", 0..99), ("empty", 0..0), ("long", 0..101)] {
        let (store, _) = faulty(Faults { get_yields: Some(yields), ..Faults::default() });
        store.put(Namespace::Shared, object(), Bytes::from(vec![0; 100])).await.unwrap();
        let stream = store.read(Namespace::Shared, object(), 100, None).await.unwrap();
        let read = stream.try_collect::<Vec<_>>().await;
        assert!(matches!(read, Err(Error::Corrupt(_))), "{lie}");
        let read = store.read_to_bytes(Namespace::Shared, object(), 100).await;
        assert!(matches!(read, Err(Error::Corrupt(_))), "{lie}");
    }
}

#[tokio::test]
async fn a_read_continues_as_long_as_each_connection_delivers_bytes() {
    let bytes: Vec<u8> = (0..100).collect();
    let (store, backend) = faulty(Faults { get_breaks_after: Some(7), ..Faults::default() });
    store.put(Namespace::Shared, object(), Bytes::from(bytes.clone())).await.unwrap();
    for range in [0..100, 0..7, 0..8, 13..90, 99..100] {
        let before = backend.seen().reads;
        let stream = store.read(Namespace::Shared, object(), 100, Some(range.start as u64..range.end as u64));
        let read = stream.await.unwrap().try_collect::<Vec<_>>().await.unwrap().concat();
        assert_eq!(read, bytes[range.clone()]);
        assert_eq!(backend.seen().reads - before, range.len().div_ceil(7), "{range:?}");
    }
    assert_eq!(store.read_to_bytes(Namespace::Shared, object(), 100).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_read_fails_if_a_connection_delivers_nothing() {
    let (store, backend) = faulty(Faults { get_breaks_after: Some(0), ..Faults::default() });
    store.put(Namespace::Shared, object(), Bytes::from(vec![0; 100])).await.unwrap();
    let stream = store.read(Namespace::Shared, object(), 100, None).await.unwrap();
    let read = stream.try_collect::<Vec<_>>().await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    assert_eq!(backend.seen().reads, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_read_of_notes_times_out_soon() {
    let (store, _) = faulty(Faults { get_yields: Some(0..50), get_stalls: true, ..Faults::default() });
    store.put(Namespace::Shared, object(), Bytes::from(vec![0; 100])).await.unwrap();
    let begun = tokio::time::Instant::now();
    let read = store.read_to_bytes(Namespace::Shared, object(), 100).await;
    assert!(matches!(read, Err(Error::Unavailable { .. })), "{read:?}");
    assert!(begun.elapsed() <= Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn an_unreachable_backend_is_unavailable_not_corrupt() {
    let (store, _) = faulty(Faults { fail_read: true, ..Faults::default() });
    for range in [None, Some(1..2), Some(1..1)] {
        let read = store.read(Namespace::Shared, object(), 100, range).await;
        assert!(matches!(read, Err(Error::Unavailable { .. })));
    }
    assert!(matches!(store.ping().await, Err(Error::Unavailable { .. })));
}

fn faulty(faults: Faults) -> (BlobStore, Arc<Backend>) {
    let gate = Semaphore::new(if faults.gated { 0 } else { Semaphore::MAX_PERMITS });
    let backend = Arc::new(Backend { faults, gate, seen: watch::Sender::new(Seen::default()) });
    let objects = Faulty { inner: InMemory::new(), backend: Arc::clone(&backend) };
    (BlobStore::new(ObjectKind::Media, Arc::new(objects)), backend)
}

fn object() -> ObjectId {
    ObjectId::from_bytes([1; 16])
}

fn begin(store: &BlobStore) -> Ingest {
    store.ingest(Namespace::Shared, object())
}

async fn write_parts(ingest: &mut Ingest, parts: usize) -> Result<()> {
    let part = Bytes::from(vec![7; PART]);
    for _ in 0..parts {
        ingest.write(part.clone()).await?;
    }
    Ok(())
}

async fn listed(store: &BlobStore) -> Vec<notestamp_store::ListedObject> {
    store.list().try_collect().await.expect("the store is listed")
}

/// The faults of the backend.
#[derive(Debug, Default)]
struct Faults {
    /// Which part fails, counted from 1.
    fail_part: Option<usize>,
    fail_complete: bool,
    /// The upload is completed, but the response is lost.
    lose_complete: bool,
    fail_put: bool,
    fail_read: bool,
    /// How many aborts fail.
    fail_aborts: usize,
    /// Whether failures are those of a full disk.
    full: bool,
    /// Whether each part waits for a permit before it arrives.
    gated: bool,
    /// Each read yields this many zeros, whatever was requested.
    get_yields: Option<Range<usize>>,
    /// Whether the response to a read never ends.
    get_stalls: bool,
    /// A connection breaks off after this many bytes.
    get_breaks_after: Option<usize>,
}

/// The calls that the backend has received.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    started: usize,
    parts: usize,
    arrived: usize,
    in_flight: usize,
    in_flight_peak: usize,
    aborted: usize,
    reads: usize,
}

#[derive(Debug)]
struct Backend {
    faults: Faults,
    gate: Semaphore,
    seen: watch::Sender<Seen>,
}

impl Backend {
    fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    async fn wait_for(&self, condition: impl FnMut(&Seen) -> bool) {
        self.wait_within(Duration::from_secs(60), condition).await;
    }

    /// Waits for up to an hour of paused time, which passes at once.
    async fn wait_for_long(&self, condition: impl FnMut(&Seen) -> bool) {
        self.wait_within(Duration::from_secs(60 * 60), condition).await;
    }

    async fn wait_within(&self, time_max: Duration, condition: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let waiting = seen.wait_for(condition);
        let seen = tokio::time::timeout(time_max, waiting).await.expect("it happens");
        drop(seen.expect("the sender is this backend's own"));
    }

    fn fail_if(&self, fails: bool) -> object_store::Result<()> {
        let kind = if self.faults.full { ErrorKind::StorageFull } else { ErrorKind::Other };
        let failure = || object_store::Error::Generic { store: "faulty", source: IoError::from(kind).into() };
        if fails { Err(failure()) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    backend: Arc<Backend>,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.backend.fail_if(self.backend.faults.fail_put)?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.backend.seen.send_modify(|seen| seen.started += 1);
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(FaultyUpload { inner, backend: Arc::clone(&self.backend) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        self.backend.fail_if(self.backend.faults.fail_read)?;
        let found = self.inner.get_opts(location, options).await?;
        self.backend.seen.send_modify(|seen| seen.reads += 1);
        if let Some(len) = self.backend.faults.get_breaks_after {
            let head = GetResult {
                payload: GetResultPayload::Stream(stream::empty().boxed()),
                meta: found.meta.clone(),
                range: found.range.clone(),
                attributes: found.attributes.clone(),
                extensions: found.extensions.clone(),
            };
            let bytes = found.bytes().await?;
            let breaks = bytes.len() > len;
            let first = bytes.slice(..len.min(bytes.len()));
            let chunks = stream::iter([Ok(first)].into_iter().chain(breaks.then(|| {
                let source = IoError::from(ErrorKind::ConnectionReset).into();
                Err(object_store::Error::Generic { store: "faulty", source })
            })));
            return Ok(GetResult { payload: GetResultPayload::Stream(chunks.boxed()), ..head });
        }
        let Some(yields) = self.backend.faults.get_yields.clone() else { return Ok(found) };
        let chunks = stream::iter(yields.map(|_| Ok(Bytes::from_static(&[0]))));
        let chunks = match self.backend.faults.get_stalls {
            true => chunks.chain(stream::pending()).boxed(),
            false => chunks.boxed(),
        };
        Ok(GetResult { payload: GetResultPayload::Stream(chunks), ..found })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match self.backend.fail_if(self.backend.faults.fail_read) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    inner: Box<dyn MultipartUpload>,
    backend: Arc<Backend>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let backend = Arc::clone(&self.backend);
        async move {
            let in_flight = InFlight::begin(backend);
            let backend = &in_flight.0;
            backend.gate.acquire().await.expect("the gate is never closed").forget();
            backend.fail_if(backend.faults.fail_part == Some(backend.seen().parts))?;
            part.await?;
            backend.seen.send_modify(|seen| seen.arrived += 1);
            Ok(())
        }
        .boxed()
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        self.backend.fail_if(self.backend.faults.fail_complete)?;
        let completed = self.inner.complete().await?;
        self.backend.fail_if(self.backend.faults.lose_complete)?;
        Ok(completed)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.backend.seen.send_modify(|seen| seen.aborted += 1);
        self.backend.fail_if(self.backend.seen().aborted <= self.backend.faults.fail_aborts)?;
        self.inner.abort().await
    }
}

/// Counts a part as in flight until it has arrived or is cancelled.
struct InFlight(Arc<Backend>);

impl InFlight {
    fn begin(backend: Arc<Backend>) -> Self {
        backend.seen.send_modify(|seen| {
            seen.parts += 1;
            seen.in_flight += 1;
            seen.in_flight_peak = seen.in_flight_peak.max(seen.in_flight);
        });
        Self(backend)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.seen.send_modify(|seen| seen.in_flight -= 1);
    }
}
