//! Reads an object, or a range of it, as a stream: a stream that is too short ends with an error.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt};
use tokio::task;

use super::local::{LocalRoot, read_exact_at};
use super::timeouts::{REQUEST_TIME_MAX, never_idle};
use super::{BlobStore, error, path};
use crate::domain::{InvalidValue, Namespace, ObjectId};
use crate::error::{Error, Result, error_chain};

/// The bytes of an object, in chunks. The stream ends after its first error.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// How many bytes one read of a file returns. Smaller reads spend their time on switching threads; larger reads are not
/// faster.
const READ_BYTES: u64 = 256 << 10;

/// The longest range of a local file that is read when it is opened. It is as long as the pieces in which a response
/// is sent, so it takes no more memory than a longer one.
const AT_ONCE_BYTES_MAX: u64 = 64 << 10;

/// How many reads of one stream run at the same time: the one that is awaited, and one ahead.
const READS_MAX: usize = 2;

impl BlobStore {
    /// Reads an object of a known size, or a range of it.
    ///
    /// The object is opened before this returns: a later delete does not break the stream of a local file. The stream
    /// yields exactly as many bytes as the range has, or ends with an error.
    ///
    /// # Errors
    /// - [`Error::Corrupt`] if it is missing or has another size; in the stream, if it is too short.
    /// - [`Error::Invalid`] if the range does not lie within the object.
    /// - [`Error::Unavailable`] or [`Error::Backend`], here or in the stream.
    pub async fn read(
        &self,
        namespace: Namespace,
        object: ObjectId,
        expected_size: u64,
        range: Option<Range<u64>>,
    ) -> Result<ByteStream> {
        let path = path::of(namespace, object);
        let range = range.unwrap_or(0..expected_size);
        if range.start > range.end || range.end > expected_size {
            return Err(InvalidValue::new("range", "does not lie within the object").into());
        }
        if range.is_empty() {
            // Backends refuse an empty range.
            self.check_size(&path, expected_size).await?;
            return Ok(stream::empty().boxed());
        }
        if let Some(root) = &self.backend.local
            && range.end - range.start <= AT_ONCE_BYTES_MAX
        {
            let (store, root) = (self.clone(), Arc::clone(root));
            let read = move || store.read_at_once(&root, namespace, object, expected_size, range);
            let read = self.short_calls.run(read).await;
            let bytes = read.map_err(|lost| error::from_join(self.name, lost))??;
            return Ok(stream::iter([Ok(bytes)]).boxed());
        }
        let found = self.open_range(&path, expected_size, range.clone()).await?;
        let what = self.describe(&path);
        let bytes = match found.payload {
            GetResultPayload::File(file, _) => read_file(self.name, file, range.clone(), what.clone()),
            GetResultPayload::Stream(bytes) => {
                let bytes = self.with_errors(bytes);
                if self.backend.remote {
                    self.clone().resumed(path, expected_size, range.clone(), bytes)
                } else {
                    bytes
                }
            }
        };
        Ok(exactly(bytes, range.end - range.start, what))
    }

    /// Opens a local file and reads a short range of it. Blocks.
    fn read_at_once(
        &self,
        root: &LocalRoot,
        namespace: Namespace,
        object: ObjectId,
        expected_size: u64,
        range: Range<u64>,
    ) -> Result<Bytes> {
        let path = || path::of(namespace, object);
        let mut buffer = vec![0; (range.end - range.start) as usize];
        let read = root.open_object(namespace, object).and_then(|file| {
            let size = file.metadata()?.len();
            if size == expected_size {
                read_exact_at(&file, &mut buffer, range.start)?;
            }
            Ok(size)
        });
        match read {
            Ok(size) if size == expected_size => Ok(buffer.into()),
            Ok(size) => Err(self.other_size(&path(), expected_size, size)),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(self.missing(&path())),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(shortened(&self.describe(&path()))),
            Err(error) => Err(error::from_io(self.name, error)),
        }
    }

    /// Returns whether the object exists with this size.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Backend`].
    pub async fn is_whole(&self, namespace: Namespace, object: ObjectId, size: u64) -> Result<bool> {
        match self.check_size(&path::of(namespace, object), size).await {
            Ok(()) => Ok(true),
            Err(Error::Corrupt(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a small object whole.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub async fn read_to_bytes(
        &self,
        namespace: Namespace,
        object: ObjectId,
        expected_size: u64,
    ) -> Result<Bytes> {
        let stream = self.read(namespace, object, expected_size, None).await?;
        // No response has begun, so a stall ends the read as soon as a request would time out.
        let mut stream = if self.backend.remote { self.without_pauses(stream) } else { stream };
        let Some(first) = stream.try_next().await? else { return Ok(Bytes::new()) };
        let Some(second) = stream.try_next().await? else { return Ok(first) };
        let mut bytes = BytesMut::with_capacity(usize::try_from(expected_size).unwrap_or(first.len()));
        bytes.extend_from_slice(&first);
        bytes.extend_from_slice(&second);
        while let Some(next) = stream.try_next().await? {
            bytes.extend_from_slice(&next);
        }
        Ok(bytes.freeze())
    }

    fn with_errors(&self, bytes: BoxStream<'static, object_store::Result<Bytes>>) -> ByteStream {
        let store = self.clone();
        bytes.map_err(move |error| store.error(error)).boxed()
    }

    /// Continues the stream over a new connection when a connection breaks, as long as each connection yields bytes: a
    /// listener may need hours for a recording, and services close idle connections.
    fn resumed(self, path: Path, expected_size: u64, range: Range<u64>, bytes: ByteStream) -> ByteStream {
        let begin = (self, range, bytes, false);
        let resumed = stream::try_unfold(begin, move |(store, mut left, mut bytes, mut has_brought)| {
            let path = path.clone();
            async move {
                loop {
                    let broken = match bytes.try_next().await {
                        Ok(None) => return Ok(None),
                        Ok(Some(chunk)) => {
                            left.start += chunk.len() as u64;
                            has_brought |= !chunk.is_empty();
                            return Ok(Some((chunk, (store, left, bytes, has_brought))));
                        }
                        Err(broken) => broken,
                    };
                    if !has_brought || left.is_empty() {
                        return Err(broken);
                    }
                    let error = error_chain(&broken);
                    tracing::debug!(%path, from = left.start, error, "a read continues over a new connection");
                    has_brought = false;
                    bytes = match store.open_range(&path, expected_size, left.clone()).await?.payload {
                        GetResultPayload::Stream(bytes) => store.with_errors(bytes),
                        GetResultPayload::File(..) => return Err(broken),
                    };
                }
            }
        });
        resumed.boxed()
    }

    /// Ends with an error if the next bytes take longer than a response may.
    fn without_pauses(&self, stream: ByteStream) -> ByteStream {
        let store = self.clone();
        let stream = stream.map(Ok).boxed();
        never_idle(REQUEST_TIME_MAX, stream)
            .map(move |item| item.unwrap_or_else(|slow| Err(store.error(slow))))
            .boxed()
    }

    async fn open_range(&self, path: &Path, expected_size: u64, range: Range<u64>) -> Result<GetResult> {
        // A whole object is requested without a range: some backends respond faster to that.
        let bounds = (range != (0..expected_size)).then(|| range.clone());
        let options = GetOptions::new().with_range(bounds);
        match self.backend.objects.get_opts(path, options).await {
            Ok(found) if found.meta.size != expected_size => {
                Err(self.other_size(path, expected_size, found.meta.size))
            }
            Ok(found) if found.range != range => Err(Error::Backend {
                backend: self.name,
                source: format!("requested bytes {range:?}, and received {:?}", found.range).into(),
            }),
            Ok(found) => Ok(found),
            Err(object_store::Error::NotFound { .. }) => Err(self.missing(path)),
            Err(error) if error::is_unavailable(&error) => Err(self.error(error)),
            // Backends report a range beyond the end by different errors, so the size is checked.
            Err(error) => {
                self.check_size(path, expected_size).await?;
                Err(self.error(error))
            }
        }
    }

    async fn check_size(&self, path: &Path, expected_size: u64) -> Result<()> {
        match self.backend.objects.head(path).await {
            Ok(meta) if meta.size == expected_size => Ok(()),
            Ok(meta) => Err(self.other_size(path, expected_size, meta.size)),
            Err(object_store::Error::NotFound { .. }) => Err(self.missing(path)),
            Err(error) => Err(self.error(error)),
        }
    }

    fn missing(&self, path: &Path) -> Error {
        Error::Corrupt(format!("{} is missing", self.describe(path)))
    }

    fn other_size(&self, path: &Path, expected: u64, found: u64) -> Error {
        Error::Corrupt(format!("{} has {found} bytes, not {expected}", self.describe(path)))
    }

    fn describe(&self, path: &Path) -> String {
        format!("{path} of the {}", self.name)
    }
}

/// Reads a range of a file with one read ahead. No thread is blocked while the consumer of the stream is slow.
fn read_file(backend: &'static str, file: File, range: Range<u64>, what: String) -> ByteStream {
    let file = Arc::new(file);
    let starts = range.clone().step_by(READ_BYTES as usize);
    let reads = starts.map(move |start| {
        let len = READ_BYTES.min(range.end - start) as usize;
        let (file, what) = (Arc::clone(&file), what.clone());
        async move {
            let read = task::spawn_blocking(move || {
                let mut buffer = vec![0; len];
                read_exact_at(&file, &mut buffer, start).map(|()| Bytes::from(buffer))
            });
            match read.await.map_err(|lost| error::from_join(backend, lost))? {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(shortened(&what)),
                read => read.map_err(|error| error::from_io(backend, error)),
            }
        }
    });
    stream::iter(reads).buffered(READS_MAX).boxed()
}

/// Passes on `len` bytes and then ends. Too few or too many bytes are an error, after which the stream ends.
fn exactly(bytes: ByteStream, len: u64, what: String) -> ByteStream {
    let counted = stream::try_unfold((bytes, len, what), |(mut bytes, left, what)| async move {
        match bytes.try_next().await? {
            None if left == 0 => Ok(None),
            None => Err(shortened(&what)),
            Some(chunk) => match left.checked_sub(chunk.len() as u64) {
                Some(left) => Ok(Some((chunk, (bytes, left, what)))),
                None => Err(Error::Corrupt(format!("{what} yields more bytes than it has"))),
            },
        }
    });
    counted.boxed()
}

fn shortened(what: &str) -> Error {
    Error::Corrupt(format!("{what} ends before its size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn collect(chunks: &[&'static [u8]], len: u64) -> Vec<Result<Bytes, String>> {
        let chunks: Vec<_> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk))).collect();
        let counted = exactly(stream::iter(chunks).boxed(), len, "x".into());
        counted.map_err(|error| error.to_string()).collect().await
    }

    #[tokio::test]
    async fn a_stream_of_the_right_length_passes() {
        assert_eq!(collect(&[b"ab", b"", b"c"], 3).await.iter().filter(|chunk| chunk.is_ok()).count(), 3);
        assert!(collect(&[], 0).await.is_empty());
    }

    #[tokio::test]
    async fn a_short_stream_ends_in_an_error() {
        let chunks = collect(&[b"ab"], 3).await;
        assert!(matches!(&chunks[..], [Ok(_), Err(why)] if why.contains("ends before")), "{chunks:?}");
    }

    #[tokio::test]
    async fn a_long_stream_ends_in_an_error() {
        let chunks = collect(&[b"ab", b"cd", b"ef"], 3).await;
        assert!(matches!(&chunks[..], [Ok(_), Err(why)] if why.contains("more bytes")), "{chunks:?}");
    }
}
