//! Timeouts of remote backends: a caller learns within seconds that a backend is unavailable.

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::{task, time};

use super::error::is_unavailable;

/// The timeout of a request including its retries, in addition to the time that its bytes need.
pub(super) const REQUEST_TIME_MAX: Duration = Duration::from_secs(4);

/// The lowest speed at which one part is transferred in time.
const BYTES_PER_SECOND_MIN: u32 = 128 << 10;

/// The timeout of a transfer of any size: no longer than a client's connection waits for the response.
pub(crate) const TRANSFER_TIME_MAX: Duration = Duration::from_secs(90);

/// The timeout of completing a multipart upload, which is slow on S3.
const COMPLETE_TIME_MAX: Duration = Duration::from_secs(60);

/// During a long request, how long to wait before each probe that checks whether the backend still responds.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(2);

/// The idle timeout of a read: how long the next bytes of an object may take.
const IDLE_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a failed operation waits for its cleanup before it returns its error.
const CLEANUP_TIME_MAX: Duration = Duration::from_secs(1);

const _: () = {
    assert!(CLEANUP_TIME_MAX.as_millis() < REQUEST_TIME_MAX.as_millis());
    assert!(SILENCE_TIME_MAX.as_millis() < REQUEST_TIME_MAX.as_millis());
    assert!(REQUEST_TIME_MAX.as_millis() < IDLE_TIME_MAX.as_millis());
    assert!(COMPLETE_TIME_MAX.as_millis() <= TRANSFER_TIME_MAX.as_millis());
};

/// An object store with timeouts: an operation fails if the inner store takes too long.
#[derive(Debug)]
pub(super) struct TimeoutStore<T>(Arc<T>);

impl<T: ObjectStore> TimeoutStore<T> {
    pub(super) fn new(objects: T) -> Self {
        Self(Arc::new(objects))
    }
}

impl<T: ObjectStore> fmt::Display for TimeoutStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for TimeoutStore<T> {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let put = within(transfer_time_max(&payload), self.0.put_opts(location, payload, opts));
        unless_silent(&*self.0, location, put).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = within(REQUEST_TIME_MAX, self.0.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(TimeoutUpload { objects: Arc::clone(&self.0), location: location.clone(), upload }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut found = within(REQUEST_TIME_MAX, self.0.get_opts(location, options)).await?;
        if let GetResultPayload::Stream(bytes) = found.payload {
            found.payload = GetResultPayload::Stream(never_idle(IDLE_TIME_MAX, bytes));
        }
        Ok(found)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        never_idle(REQUEST_TIME_MAX, self.0.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        never_idle(REQUEST_TIME_MAX, self.0.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        within(REQUEST_TIME_MAX, self.0.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        within(REQUEST_TIME_MAX, self.0.copy_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct TimeoutUpload<T> {
    objects: Arc<T>,
    location: Path,
    upload: Box<dyn MultipartUpload>,
}

#[async_trait]
impl<T: ObjectStore> MultipartUpload for TimeoutUpload<T> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = within(transfer_time_max(&data), self.upload.put_part(data));
        let (objects, location) = (Arc::clone(&self.objects), self.location.clone());
        Box::pin(async move { unless_silent(&*objects, &location, part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let complete = within(COMPLETE_TIME_MAX, self.upload.complete());
        unless_silent(&*self.objects, &self.location, complete).await
    }

    async fn abort(&mut self) -> Result<()> {
        within(REQUEST_TIME_MAX, self.upload.abort()).await
    }
}

/// Waits for a response, with a timeout.
pub(super) async fn within<T>(time_max: Duration, response: impl Future<Output = Result<T>>) -> Result<T> {
    time::timeout(time_max, response).await.unwrap_or_else(|_| Err(timed_out(time_max)))
}

/// Waits for the response to a request that may take long, as long as the backend responds to probes. A probe is a
/// `head` request for the object; any response to it is enough.
async fn unless_silent<T>(
    objects: &impl ObjectStore,
    location: &Path,
    response: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut response = pin!(response);
    loop {
        if let Ok(response) = time::timeout(SILENCE_TIME_MAX, &mut response).await {
            return response;
        }
        tokio::select! {
            biased;
            response = &mut response => return response,
            asked = within(REQUEST_TIME_MAX, objects.head(location)) => {
                if let Err(error) = asked && is_unavailable(&error) {
                    return Err(error);
                }
            }
        }
    }
}

/// Runs the cleanup after a failure. Where it takes long, it continues in the background: the backend may be
/// unavailable, and the caller has waited for one timeout already.
pub(crate) async fn wait_briefly(work: impl Future<Output = ()> + Send + 'static) {
    // After the timeout the task continues, so the result does not matter.
    let _ = time::timeout(CLEANUP_TIME_MAX, task::spawn(work)).await;
}

fn transfer_time_max(payload: &PutPayload) -> Duration {
    let time_max =
        REQUEST_TIME_MAX + Duration::from_secs(payload.content_length() as u64) / BYTES_PER_SECOND_MIN;
    time_max.min(TRANSFER_TIME_MAX)
}

/// Adds an idle timeout to a stream: it ends with an error if the next item takes too long. Only the time during
/// which the reader waits for an item counts.
pub(super) fn never_idle<T: Send + 'static>(
    time_max: Duration,
    items: BoxStream<'static, Result<T>>,
) -> BoxStream<'static, Result<T>> {
    let guarded = stream::unfold(Some(items), move |items| async move {
        let mut items = items?;
        match time::timeout(time_max, items.next()).await {
            Ok(item) => item.map(|item| (item, Some(items))),
            Err(_) => Some((Err(timed_out(time_max)), None)),
        }
    });
    guarded.boxed()
}

fn timed_out(time_max: Duration) -> object_store::Error {
    let why = format!("no response within {} s", time_max.as_secs());
    object_store::Error::Generic {
        store: "remote",
        source: Box::new(io::Error::new(ErrorKind::TimedOut, why)),
    }
}

#[cfg(test)]
mod tests {
    use std::future;

    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_never_responds_has_timed_out() {
        let begun = time::Instant::now();
        let error = within::<()>(REQUEST_TIME_MAX, future::pending()).await.unwrap_err();
        assert!(error.to_string().contains("no response within 4 s"), "{error}");
        assert_eq!(begun.elapsed(), REQUEST_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_stalls_ends_in_an_error() {
        let stalls = stream::iter([Ok(1)]).chain(stream::pending()).boxed();
        let items: Vec<_> = never_idle(IDLE_TIME_MAX, stalls).collect().await;
        assert!(matches!(items[..], [Ok(1), Err(_)]), "{items:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_of_the_reader_does_not_count() {
        let mut items = never_idle(IDLE_TIME_MAX, stream::iter([Ok(1), Ok(2)]).boxed());
        while let Some(item) = items.next().await {
            item.expect("the backend is never late");
            time::advance(2 * IDLE_TIME_MAX).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cleanup_after_a_failure_is_bounded_in_time() {
        let begun = time::Instant::now();
        wait_briefly(future::ready(())).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        wait_briefly(future::pending()).await;
        assert_eq!(begun.elapsed(), CLEANUP_TIME_MAX);
    }

    #[test]
    fn more_bytes_extend_the_timeout() {
        let part = PutPayload::from(vec![0; 8 << 20]);
        assert_eq!(transfer_time_max(&part), REQUEST_TIME_MAX + Duration::from_secs(64));
        let notes = PutPayload::from(vec![0; 16 << 20]);
        assert_eq!(transfer_time_max(&notes), TRANSFER_TIME_MAX);
    }

    /// Waits for `response` from a backend that is empty and responds to each probe `after` that time.
    async fn beside(after: Duration, response: impl Future<Output = Result<()>>) -> (Result<()>, Duration) {
        let slow = ThrottledStore::new(
            InMemory::new(),
            ThrottleConfig { wait_get_per_call: after, ..ThrottleConfig::default() },
        );
        let begun = time::Instant::now();
        let response = unless_silent(&slow, &Path::from("object"), response).await;
        (response, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_has_its_time_while_the_backend_responds_to_others() {
        let slow = async {
            time::sleep(COMPLETE_TIME_MAX).await;
            Ok(())
        };
        let (response, took) = beside(Duration::from_secs(1), slow).await;
        response.expect("it came");
        assert_eq!(took, COMPLETE_TIME_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transfer_ends_soon_after_the_backend_stops_responding() {
        let (response, took) = beside(Duration::MAX, future::pending()).await;
        assert!(is_unavailable(&response.expect_err("there is no response")));
        assert_eq!(took, SILENCE_TIME_MAX + REQUEST_TIME_MAX);
    }
}
