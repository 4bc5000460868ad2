//! The body of a response of the admin socket: one JSON object on each line.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Incoming};

/// Reads the lines of a body as they arrive.
pub(super) struct JsonLines {
    body: Incoming,
    read: BytesMut,
}

impl JsonLines {
    pub(super) fn of(body: Incoming) -> Self {
        Self { body, read: BytesMut::new() }
    }

    /// The next line that is not empty, without its end; absent at the end of the body.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, hyper::Error> {
        loop {
            while let Some(end) = memchr::memchr(b'\n', &self.read) {
                let line = self.read.split_to(end + 1);
                if end > 0 {
                    return Ok(Some(line.freeze().slice(..end)));
                }
            }
            match next_bytes(&mut self.body).await? {
                Some(bytes) => self.read.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// The next bytes of a body; absent at its end.
pub(super) async fn next_bytes(body: &mut Incoming) -> Result<Option<Bytes>, hyper::Error> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        match frame.transpose()? {
            None => return Ok(None),
            Some(frame) => {
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}
