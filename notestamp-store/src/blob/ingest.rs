//! Writes an object from a byte stream, and hashes and counts the bytes; the object appears whole or not at all.

use std::mem;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use tokio::task::{self, JoinHandle};

use super::upload::Upload;
use super::{BlobStore, error};
use crate::domain::{Digest, Hasher, Namespace, ObjectId};
use crate::error::{Error, Result};
use crate::memory_budget::{MemoryScope, MemoryShare};

impl BlobStore {
    /// Begins to write an object of unknown size.
    ///
    /// No request is sent to the backend until the bytes exceed one part: a small object costs no more than
    /// [`BlobStore::put`].
    pub fn ingest(&self, namespace: Namespace, object: ObjectId) -> Ingest {
        let target = Target { store: self.clone(), namespace, object };
        let batch = Batch::new(self.backend.parts.bytes);
        Ingest {
            name: self.name,
            flow: Some(Flow {
                target,
                batch,
                scope: None,
                memory: None,
                hashing: Hashing::default(),
                upload: None,
            }),
        }
    }
}

/// An object that is being written.
///
/// The bytes are sent to the backend in parts while their digest is computed. Call [`stage`](Ingest::stage) at the end,
/// or [`abort`](Ingest::abort) to cancel. A dropped `Ingest` is aborted in the background if a Tokio runtime is
/// running; otherwise its partial data stays until the object is deleted.
///
/// If a `write` fails, or its future is dropped, the `Ingest` is aborted: every later call fails.
pub struct Ingest {
    name: &'static str,
    /// `None` after a failure.
    flow: Option<Flow>,
}

impl Ingest {
    /// Holds its bytes in memory within this scope. Without a scope, only the size of the parts limits them.
    #[must_use]
    pub fn within(mut self, scope: MemoryScope) -> Self {
        if let Some(flow) = &mut self.flow {
            flow.scope = Some(scope);
        }
        self
    }

    /// Writes the next bytes, of any number. It waits while the backend is slower than the caller (backpressure).
    ///
    /// # Errors
    /// [`Error::Full`], also if less than [`FREE_BYTES_MIN`](crate::disk::FREE_BYTES_MIN) is free,
    /// [`Error::FileTooLarge`], [`Error::OutOfMemory`], [`Error::Unavailable`] or [`Error::Backend`]; the object is
    /// aborted then.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let mut flow = self.take()?;
        match flow.write(bytes).await {
            Ok(()) => {
                self.flow = Some(flow);
                Ok(())
            }
            Err(error) => {
                flow.abort_quietly().await;
                Err(error)
            }
        }
    }

    /// Sends the last bytes, and returns the object with its digest and size. The object does not appear yet.
    ///
    /// # Errors
    /// The errors of [`write`](Self::write).
    pub async fn stage(mut self) -> Result<StagedObject> {
        let mut flow = self.take()?;
        match flow.finish().await {
            Ok((digest, size)) => {
                let Flow { target, batch, memory, upload, .. } = flow;
                Ok(StagedObject {
                    digest,
                    size,
                    target,
                    rest: upload.map_or(Rest::Whole(batch, memory), Rest::Parts),
                })
            }
            Err(error) => {
                flow.abort_quietly().await;
                Err(error)
            }
        }
    }

    /// Aborts the write, and deletes the bytes that have been sent.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]: partial data may stay until the object is deleted.
    pub async fn abort(self) -> Result<()> {
        match self.flow.and_then(|flow| flow.upload) {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
    }

    /// Takes the flow for the duration of a call, which puts it back on success: after a failed or dropped call, no
    /// later call can continue with bytes missing.
    fn take(&mut self) -> Result<Flow> {
        let broken = || Error::Backend { backend: self.name, source: "this upload has failed before".into() };
        self.flow.take().ok_or_else(broken)
    }
}

/// An object whose bytes have all been received, but that has not appeared yet.
///
/// [Complete](Self::complete) it, or [abort](Self::abort) it if another object has the same bytes. If it is dropped,
/// it is aborted like an [`Ingest`].
pub struct StagedObject {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    target: Target,
    rest: Rest,
}

/// The work that is left to do for a staged object.
enum Rest {
    /// To write a small object with one request. Its bytes are held within the share.
    Whole(Batch, Option<MemoryShare>),
    /// To complete a multipart upload.
    Parts(Upload),
}

impl StagedObject {
    /// Makes the object appear: whole, and as durable as the blob store's [`Durability`](crate::Durability) says.
    ///
    /// If the future is dropped, the object may still appear: keep its ledger row until the sweep dooms it.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`] or [`Error::Backend`]. The object is then deleted if the backend still
    /// responds; otherwise the outcome is unknown.
    pub async fn complete(self) -> Result<()> {
        let Target { store, namespace, object } = self.target;
        match self.rest {
            Rest::Whole(batch, _memory) => store.put_payload(namespace, object, batch.into_payload()).await,
            Rest::Parts(upload) => {
                let completed = upload.complete().await;
                if completed.is_err() {
                    store.delete_leftovers(namespace, object).await;
                }
                completed
            }
        }
    }

    /// Aborts the write, and deletes the bytes that have been sent.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]: partial data may stay until the object is deleted.
    pub async fn abort(self) -> Result<()> {
        match self.rest {
            Rest::Whole(..) => Ok(()),
            Rest::Parts(upload) => upload.abort().await,
        }
    }
}

/// The object that is being written, and its blob store.
struct Target {
    store: BlobStore,
    namespace: Namespace,
    object: ObjectId,
}

/// The pipeline from the caller to the hasher and the backend.
///
/// It holds in memory one batch that is being filled, the parts in transfer, and the latest bytes of the caller.
struct Flow {
    target: Target,
    batch: Batch,
    scope: Option<MemoryScope>,
    /// Covers the batch; `None` before the first byte, and without a scope.
    memory: Option<MemoryShare>,
    hashing: Hashing,
    /// `None` while all bytes fit into one batch.
    upload: Option<Upload>,
}

impl Flow {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            if self.batch.room() == 0 {
                self.dispatch().await?;
            }
            let piece = bytes.split_to(bytes.len().min(self.batch.room()));
            self.hold(self.batch.len + piece.len()).await?;
            self.batch.push(piece);
        }
        Ok(())
    }

    /// Acquires the memory for a batch of this length.
    async fn hold(&mut self, len: usize) -> Result<()> {
        let bytes = len.next_multiple_of(MEMORY_STEP).min(self.batch.bytes_max) as u64;
        match (&mut self.memory, &self.scope) {
            (Some(memory), _) => memory.grow_to(bytes, MEMORY_TIME_MAX).await,
            (none, Some(scope)) => {
                *none = Some(scope.acquire(bytes).await?);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    async fn finish(&mut self) -> Result<(Digest, u64)> {
        if self.upload.is_some() {
            self.dispatch().await?;
        } else {
            self.hashing.update(&self.target.store, self.batch.chunks()).await?;
        }
        if let Some(upload) = &mut self.upload {
            upload.wait_for_all().await?;
        }
        Ok(self.hashing.wait(&self.target.store).await?.finish())
    }

    /// Sends the batch as the next part, and hashes it meanwhile.
    async fn dispatch(&mut self) -> Result<()> {
        let Target { store, namespace, object } = &self.target;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(Upload::start(store, *namespace, *object).await?),
        };
        store.ensure_room().await?;
        upload.wait_for_slot().await?;
        self.hashing.update(store, self.batch.chunks()).await?;
        let memory = self.memory.as_mut().map(|memory| memory.split(memory.bytes()));
        upload.put_part(self.batch.take().into_payload(), memory);
        Ok(())
    }

    async fn abort_quietly(self) {
        if let Some(upload) = self.upload {
            upload.abort_quietly().await;
        }
    }
}

/// A batch acquires memory in steps of this size as it is filled, so that a slow upload holds little.
const MEMORY_STEP: usize = 128 << 10;

/// How long an upload that has begun waits for the memory of its next part: parts in transfer give theirs back within
/// the time of a transfer.
const MEMORY_TIME_MAX: Duration = Duration::from_secs(60);

/// Up to one part of bytes, in the pieces in which they came.
struct Batch {
    bytes_max: usize,
    len: usize,
    chunks: Vec<Bytes>,
    /// Small pieces, copied together: a separate `Bytes` for each would take more memory than its content.
    small: BytesMut,
}

/// Pieces of at least this size are kept as they are; smaller ones are copied.
const PIECE_BYTES_MIN: usize = 4 << 10;

impl Batch {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, len: 0, chunks: Vec::new(), small: BytesMut::new() }
    }

    fn room(&self) -> usize {
        self.bytes_max - self.len
    }

    fn push(&mut self, piece: Bytes) {
        self.len += piece.len();
        if piece.len() < PIECE_BYTES_MIN {
            self.small.extend_from_slice(&piece);
        } else {
            self.flush_small();
            self.chunks.push(piece);
        }
    }

    /// All bytes of the batch, in order.
    fn chunks(&mut self) -> Vec<Bytes> {
        self.flush_small();
        self.chunks.clone()
    }

    /// Takes all bytes of the batch, and leaves it empty.
    fn take(&mut self) -> Self {
        mem::replace(self, Self::new(self.bytes_max))
    }

    fn into_payload(mut self) -> PutPayload {
        self.flush_small();
        self.chunks.into_iter().collect()
    }

    fn flush_small(&mut self) {
        if !self.small.is_empty() {
            self.chunks.push(self.small.split().freeze());
        }
    }
}

/// Hashes one batch after another on the blocking thread pool.
#[derive(Default)]
struct Hashing {
    /// The task that hashes the latest batch; `None` before the first batch.
    last: Option<JoinHandle<Hasher>>,
}

impl Hashing {
    /// Waits for the hash of the batch before, then begins with this one.
    async fn update(&mut self, store: &BlobStore, chunks: Vec<Bytes>) -> Result<()> {
        let mut hasher = self.wait(store).await?;
        self.last = Some(task::spawn_blocking(move || {
            chunks.iter().for_each(|chunk| hasher.update(chunk));
            hasher
        }));
        Ok(())
    }

    async fn wait(&mut self, store: &BlobStore) -> Result<Hasher> {
        match self.last.take() {
            Some(last) => last.await.map_err(|lost| error::from_join(store.name, lost)),
            None => Ok(Hasher::new()),
        }
    }
}
