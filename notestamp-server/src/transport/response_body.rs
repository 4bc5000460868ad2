//! The body of a response: it is passed on in small pieces, and reports when it has ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use notestamp_store::MemoryScope;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::activity::Activity;
use super::held_memory::HeldMemory;

/// The most bytes that are passed to the connection at once. hyper asks for more when the client has taken most of what
/// it has, so a body ends, and gives its memory back, only when the client has taken all but a few hundred KiB.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// A body that reports to its connection's [`Activity`] when it is dropped: at its end, or when it is no longer needed.
pub(super) struct ResponseBody {
    body: Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>,
    /// The rest of the latest frame.
    rest: Bytes,
    activity: Arc<Activity>,
    _memory: Option<HeldMemory>,
    /// Present if the response holds more memory than one piece.
    reader: Option<Reader>,
}

impl ResponseBody {
    pub(super) fn new(
        body: impl Body<Data = Bytes, Error = io::Error> + Send + 'static,
        activity: Arc<Activity>,
        memory: Option<HeldMemory>,
    ) -> Self {
        let scope = memory.as_ref().and_then(|memory| memory.scope_beyond(PIECE_BYTES_MAX as u64));
        let reader = scope.map(|scope| Reader::watch(scope, activity.clone()));
        Self { body: Box::pin(body), rest: Bytes::new(), activity, _memory: memory, reader }
    }
}

/// The client of a response that is held in memory. If it is slow, and other requests need the memory, its connection is
/// closed.
struct Reader {
    scope: MemoryScope,
    progress: Arc<Notify>,
    watching: JoinHandle<()>,
}

impl Reader {
    fn watch(scope: MemoryScope, activity: Arc<Activity>) -> Self {
        let progress = Arc::new(Notify::new());
        let (watched, progressed) = (scope.clone(), progress.clone());
        let watching = tokio::spawn(async move {
            while watched.wait_for_client(progressed.notified()).await.is_ok() {}
            activity.cut();
        });
        Self { scope, progress, watching }
    }

    /// Call it for each piece that the client takes.
    fn has_taken_a_piece(&self) {
        self.scope.client_has_progressed();
        self.progress.notify_one();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        self.activity.end_response();
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.rest.is_empty() {
            match ready!(self.body.as_mut().poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        if let Some(reader) = &self.reader {
            reader.has_taken_a_piece();
        }
        let piece = self.rest.len().min(PIECE_BYTES_MAX);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, hint) = (self.rest.len() as u64, self.body.size_hint());
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
