//! The body of a request, which reports when it is no longer read.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::{BoxStream, StreamExt as _};
use poem::Body;

use super::activity::Activity;

/// A body that reports to its connection's [`Activity`] when it is dropped: until then the connection is not idle, also
/// if the response has been sent already.
pub(super) struct RequestBody {
    bytes: BoxStream<'static, io::Result<Bytes>>,
    activity: Arc<Activity>,
}

impl RequestBody {
    pub(super) fn new(body: Body, activity: Arc<Activity>) -> Self {
        activity.begin_body();
        Self { bytes: body.into_bytes_stream().boxed(), activity }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.activity.end_body();
    }
}

impl Stream for RequestBody {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.bytes.poll_next_unpin(cx)
    }
}
