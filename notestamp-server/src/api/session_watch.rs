//! Ends a stream of media when the session that asked for it has ended.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use notestamp_store::{ByteStream, Caller, Clock, Error as StoreError, MonotonicTime, Store, error_chain};

use crate::config::{SESSION_CHECK_INTERVAL, SESSION_UNKNOWN_TIME_MAX};
use crate::state::State;

/// The most bytes that are sent between two checks of the clock.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// Checks a session while its media is sent.
pub(crate) struct SessionWatch {
    store: Store,
    clock: Arc<dyn Clock>,
    caller: Caller,
    /// When the session was checked last.
    checked_at: MonotonicTime,
    /// When it was last seen to be open.
    seen_open: MonotonicTime,
}

impl SessionWatch {
    /// Begins for a request that has just been authenticated.
    pub(crate) fn new(state: &State, caller: Caller) -> Self {
        let now = state.clock.monotonic();
        Self {
            store: state.store.clone(),
            clock: state.clock.clone(),
            caller,
            checked_at: now,
            seen_open: now,
        }
    }

    /// The same bytes, as long as the session is open; then an error, on which the connection is closed, so that the
    /// client does not take the response for complete.
    ///
    /// The session is checked only when bytes are requested: a reader that pauses costs nothing.
    pub(crate) fn over(self, bytes: ByteStream) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::try_unfold((self, bytes, Bytes::new()), |(mut watch, mut bytes, mut rest)| async move {
            while rest.is_empty() {
                match bytes.try_next().await.map_err(io::Error::other)? {
                    Some(next) => rest = next,
                    None => return Ok(None),
                }
            }
            watch.check().await?;
            let piece = rest.split_to(rest.len().min(PIECE_BYTES_MAX));
            Ok(Some((piece, (watch, bytes, rest))))
        })
    }

    /// Checks the session, unless that was done less than [`SESSION_CHECK_INTERVAL`] ago.
    async fn check(&mut self) -> io::Result<()> {
        let now = self.clock.monotonic();
        if now.since(self.checked_at) < SESSION_CHECK_INTERVAL {
            return Ok(());
        }
        let admitted = self.store.admit(self.caller).await;
        self.checked_at = self.clock.monotonic();
        match admitted {
            Ok(()) => {
                self.seen_open = now;
                Ok(())
            }
            Err(error) if !matches!(error, StoreError::SessionEnded) && self.may_go_on(now) => {
                tracing::debug!(
                    error = error_chain(&error),
                    "media goes on, though its session is not known to be open"
                );
                Ok(())
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn may_go_on(&self, now: MonotonicTime) -> bool {
        now.since(self.seen_open) < SESSION_UNKNOWN_TIME_MAX
    }
}
