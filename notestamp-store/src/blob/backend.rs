//! An opened backend, whichever it is, with the properties that its users need to know.

use std::sync::Arc;

use object_store::ObjectStore;

use super::local::LocalRoot;
use super::presigner::Presigner;
use super::timeouts::TimeoutStore;

/// An opened backend with its properties.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The folder of a local backend: for the operations that [`LocalFileSystem`](object_store::local::LocalFileSystem)
    /// lacks.
    pub(super) local: Option<Arc<LocalRoot>>,
    pub(super) parts: Parts,
    /// Whether the backend is reached over a network.
    pub(super) remote: bool,
    /// Makes presigned URLs; `None` if the backend cannot.
    pub(super) presigner: Option<Arc<dyn Presigner>>,
}

/// How a large object is divided into the parts of a multipart upload.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// The size of each part except the last.
    pub(super) bytes: usize,
    /// How many parts of one object may be in transfer at the same time.
    pub(super) in_flight_max: usize,
}

impl Parts {
    /// Larger or more parts would not be faster: while one part is hashed and written, the next one is received.
    pub(super) const LOCAL: Self = Self { bytes: 1 << 20, in_flight_max: 1 };
    /// S3 requires parts of at least 5 MiB, R2 parts of equal size; more parts in parallel are not faster.
    pub(super) const REMOTE: Self = Self { bytes: 8 << 20, in_flight_max: 4 };
}

impl Backend {
    /// A backend that the embedding program supplies. It is treated as remote, which is the safe assumption.
    pub(super) fn new(objects: Arc<dyn ObjectStore>) -> Self {
        let objects = Arc::new(TimeoutStore::new(objects));
        Self { objects, local: None, parts: Parts::REMOTE, remote: true, presigner: None }
    }
}
