//! Work whose time grows with its input, such as parsing, off the async threads.

use crate::error::{ApiError, Code};

/// The most bytes that are parsed on an async thread; more would delay other requests.
const PARSED_AT_ONCE_MAX: usize = 64 << 10;

/// Runs work that takes as long as its input of `bytes` bytes is long; on the blocking thread pool if that is long.
pub(crate) async fn in_background<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    if bytes <= PARSED_AT_ONCE_MAX {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| ApiError::new(Code::Internal, "internal error").caused_by(e))?
}
