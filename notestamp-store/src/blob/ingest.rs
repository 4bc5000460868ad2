//! Bytes stream in and are hashed and counted; an object appears whole or not at all.

use std::mem;

use bytes::{Bytes, BytesMut};
use object_store::PutPayload;
use tokio::task::{self, JoinHandle};

use super::upload::Upload;
use super::{BlobStore, error};
use crate::domain::{Digest, Hasher, Namespace, ObjectId};
use crate::error::{Error, Result};

impl BlobStore {
    /// Begins to write an object whose size nobody knows yet.
    ///
    /// Nothing happens in the backend before more bytes have come than one part holds: a small
    /// object costs it no more than [`BlobStore::put`].
    pub fn ingest(&self, namespace: Namespace, object: ObjectId) -> Ingest {
        let target = Target { store: self.clone(), namespace, object };
        let batch = Batch::new(self.backend.parts.bytes);
        Ingest {
            name: self.name,
            flow: Some(Flow { target, batch, hashing: Hashing::default(), upload: None }),
        }
    }
}

/// An object that is being written.
///
/// The bytes flow to the backend in parts while their digest is computed. One that is not finished is
/// to be [aborted](Ingest::abort). Where it is only dropped, it is aborted in the background, if
/// there is a runtime to do it; else the half-written rest stays until the object is deleted.
///
/// A `write` that fails, or whose future is dropped, aborts it: no later call succeeds.
pub struct Ingest {
    name: &'static str,
    /// None once it has failed.
    flow: Option<Flow>,
}

impl Ingest {
    /// Takes the next bytes, however many, and waits where the backend is slower than they come.
    ///
    /// # Errors
    /// [`Error::Full`], also where what has come would leave less than
    /// [`FREE_BYTES_MIN`](crate::disk::FREE_BYTES_MIN), [`Error::FileTooLarge`], [`Error::Unavailable`] or
    /// [`Error::Backend`]; nothing is kept then.
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

    /// Hands the last bytes over and says what they all are. The object does not appear yet.
    ///
    /// # Errors
    /// As of [`write`](Self::write).
    pub async fn stage(mut self) -> Result<StagedObject> {
        let mut flow = self.take()?;
        match flow.finish().await {
            Ok((digest, size)) => {
                let Flow { target, batch, upload, .. } = flow;
                Ok(StagedObject {
                    digest,
                    size,
                    target,
                    rest: upload.map_or(Rest::Whole(batch), Rest::Parts),
                })
            }
            Err(error) => {
                flow.abort_quietly().await;
                Err(error)
            }
        }
    }

    /// Ends it; nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]: something may be kept, until the object is deleted.
    pub async fn abort(self) -> Result<()> {
        match self.flow.and_then(|flow| flow.upload) {
            Some(upload) => upload.abort().await,
            None => Ok(()),
        }
    }

    /// Takes the flow away until the present call has succeeded, so that none goes on after a gap.
    fn take(&mut self) -> Result<Flow> {
        let broken = || Error::Backend { backend: self.name, source: "this upload has failed before".into() };
        self.flow.take().ok_or_else(broken)
    }
}

/// An object whose bytes have all been handed over, but that has not appeared yet.
///
/// Where equal bytes are there already, it is [aborted](Self::abort), and else
/// [completed](Self::complete). Where it is dropped, the same happens as to an [`Ingest`].
pub struct StagedObject {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    target: Target,
    rest: Rest,
}

/// What has not been done yet.
enum Rest {
    /// All of it: the bytes of a small object.
    Whole(Batch),
    /// To put the parts together.
    Parts(Upload),
}

impl StagedObject {
    /// Makes the object appear: whole, and as durable as the store was opened to be.
    ///
    /// Where the future is dropped, the object may still appear: keep its row until the sweep takes it.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Unavailable`] or [`Error::Backend`]; nothing is kept of it, as far as
    /// the backend still answers.
    pub async fn complete(self) -> Result<()> {
        let Target { store, namespace, object } = self.target;
        match self.rest {
            Rest::Whole(batch) => store.put_payload(namespace, object, batch.into_payload()).await,
            Rest::Parts(upload) => {
                let completed = upload.complete().await;
                if completed.is_err() {
                    store.withdraw(namespace, object).await;
                }
                completed
            }
        }
    }

    /// Ends it; nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`]: something may be kept, until the object is deleted.
    pub async fn abort(self) -> Result<()> {
        match self.rest {
            Rest::Whole(_) => Ok(()),
            Rest::Parts(upload) => upload.abort().await,
        }
    }
}

/// Which object is written.
struct Target {
    store: BlobStore,
    namespace: Namespace,
    object: ObjectId,
}

/// From the caller to the backend, and past the hasher.
///
/// Memory: one batch that fills, the parts on their way, and the bytes that the caller has just handed over.
struct Flow {
    target: Target,
    batch: Batch,
    hashing: Hashing,
    /// None as long as all fits into one batch.
    upload: Option<Upload>,
}

impl Flow {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        while !bytes.is_empty() {
            if self.batch.room() == 0 {
                self.dispatch().await?;
            }
            self.batch.push(bytes.split_to(bytes.len().min(self.batch.room())));
        }
        Ok(())
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

    /// Sends the batch on its way, and hashes it meanwhile.
    async fn dispatch(&mut self) -> Result<()> {
        let Target { store, namespace, object } = &self.target;
        let upload = match &mut self.upload {
            Some(upload) => upload,
            none => none.insert(Upload::start(store, *namespace, *object).await?),
        };
        store.ensure_room().await?;
        let slot = upload.wait_for_slot().await?;
        self.hashing.update(store, self.batch.chunks()).await?;
        upload.put_part(slot, self.batch.take().into_payload());
        Ok(())
    }

    async fn abort_quietly(self) {
        if let Some(upload) = self.upload {
            upload.abort_quietly().await;
        }
    }
}

/// Bytes up to the size of a part, kept in the pieces that they came in.
struct Batch {
    bytes_max: usize,
    len: usize,
    chunks: Vec<Bytes>,
    /// Small pieces, copied together: else their bookkeeping would take more memory than they do.
    small: BytesMut,
}

/// The size from which on a piece is kept rather than copied.
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

    /// All that it holds, in order.
    fn chunks(&mut self) -> Vec<Bytes> {
        self.flush_small();
        self.chunks.clone()
    }

    /// All that it holds, and leaves it empty.
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

/// Hashes batch after batch on the blocking pool.
#[derive(Default)]
struct Hashing {
    /// The last batch that was given to it; none before the first.
    last: Option<JoinHandle<Hasher>>,
}

impl Hashing {
    /// Begins with the next batch, once the one before it is done.
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
