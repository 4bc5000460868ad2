//! The body of a response, which reports when it has ended.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::activity::Activity;

/// A body that reports to its connection's [`Activity`] when it is dropped: at its end, or when it is no longer needed.
pub(super) struct ResponseBody {
    body: Pin<Box<dyn Body<Data = Bytes, Error = io::Error> + Send>>,
    activity: Arc<Activity>,
}

impl ResponseBody {
    pub(super) fn new(
        body: impl Body<Data = Bytes, Error = io::Error> + Send + 'static,
        activity: Arc<Activity>,
    ) -> Self {
        Self { body: Box::pin(body), activity }
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
        self.body.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
