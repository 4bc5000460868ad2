//! A blob backend with fault injection.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

use tokio::sync::Mutex;

use super::faults::{Faults, reason};

#[derive(Debug)]
pub struct FaultyObjects {
    pub inner: Arc<InMemory>,
    pub faults: Arc<Faults>,
}

fn unavailable() -> Error {
    Error::Generic { store: "faulty", source: reason().into() }
}

/// An error that cannot be mistaken for an absent object.
fn refused() -> Error {
    Error::NotSupported { source: reason().into() }
}

impl fmt::Display for FaultyObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for FaultyObjects {
    async fn put_opts(&self, location: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        let (inner, location) = (Arc::clone(&self.inner), location.clone());
        let put = async move { inner.put_opts(&location, bytes, options).await };
        self.faults.pass_write("put", put, unavailable, refused).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(location, options);
        let inner = Arc::new(Mutex::new(self.faults.pass("put_multipart", begun, unavailable).await?));
        Ok(Box::new(FaultyUpload { inner, faults: Arc::clone(&self.faults) }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.pass("get", self.inner.get_opts(location, options), unavailable).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let deletions = locations.then(move |location| {
            let (inner, faults) = (Arc::clone(&inner), Arc::clone(&faults));
            async move {
                let location = location?;
                faults.pass("delete", inner.delete(&location), unavailable).await?;
                Ok(location)
            }
        });
        deletions.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (listing, faults) = (self.inner.list(prefix), Arc::clone(&self.faults));
        async move { faults.pass("list", async { Ok(listing) }, unavailable).await }
            .try_flatten_stream()
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    /// Shared with a completion or abort that takes effect late.
    inner: Arc<Mutex<Box<dyn MultipartUpload>>>,
    faults: Arc<Faults>,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, bytes: PutPayload) -> UploadPart {
        let (inner, faults) = (Arc::clone(&self.inner), Arc::clone(&self.faults));
        let part = inner.try_lock().expect("it has not come to its end").put_part(bytes);
        async move { faults.pass("put_part", part, unavailable).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let inner = Arc::clone(&self.inner);
        let complete = async move { inner.lock().await.complete().await };
        self.faults.pass_write("complete", complete, unavailable, refused).await
    }

    async fn abort(&mut self) -> Result<()> {
        let abort = async { self.inner.lock().await.abort().await };
        self.faults.pass("abort", abort, unavailable).await
    }
}
