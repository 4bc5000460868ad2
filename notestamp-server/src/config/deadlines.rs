//! The lengths of time that requests, connections and cookies have, and how they depend on each other. ARCHITECTURE.md
//! has the table of all.

use std::time::Duration;

use notestamp_store::MemoryScope;

/// The idle timeout of a connection before and between requests. Longer than the usual 60 s of proxies, so that a proxy
/// does not send a request on a connection that is being closed.
pub(crate) const IDLE_TIME_MAX: Duration = Duration::from_secs(75);

/// How long the head of a request may take, from its first byte on; and how long a TLS handshake may take.
pub(crate) const HEAD_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a request without a response is still processed after its client has stopped sending. Almost every such
/// client has disconnected; one that has only closed its own direction gets the response if it begins within this time.
pub(crate) const HALF_CLOSED_TIME_MAX: Duration = Duration::from_secs(2);

/// How often the session is checked while media is sent.
pub(crate) const SESSION_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long media is still sent while the records do not tell whether its session is open. An election of a new primary
/// is over sooner; a process that is cut off from the records for longer may have missed the end of the session.
pub(crate) const SESSION_UNKNOWN_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a connection may make no progress in the middle of a request or a response.
pub(crate) const PROGRESS_TIME_MAX: Duration = Duration::from_secs(120);

/// The window in which the rate of a body is measured.
pub(crate) const BODY_RATE_WINDOW: Duration = Duration::from_secs(30);

/// How long the rest of an unwanted body is read and dropped, at most.
pub(crate) const BODY_DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a response may take, not counting the time spent waiting for the client and the time for the body's bytes.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(8);

/// The part of [`REQUEST_TIME_MAX`] that is reserved for an operation to end after its deadline and report the outcome.
pub(crate) const REQUEST_END_TIME_MAX: Duration = Duration::from_secs(1);

/// The timeout of a readiness probe of the stores.
pub(crate) const READINESS_TIME_MAX: Duration = Duration::from_secs(3);

/// How old the outcome of a readiness probe may be: any client can ask for it, and a probe costs requests to buckets.
pub(crate) const READINESS_AGE_MAX: Duration = Duration::from_secs(1);

/// How long a client should wait before it retries a request that is refused because the server is busy or a backend is
/// unavailable: the value of `Retry-After`.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// How old cookies may be when the head of their response is written.
pub(crate) const COOKIE_AGE_MAX: Duration = Duration::from_secs(10);

/// How long a browser keeps the device cookie after a sign-in. Browsers allow up to 400 days.
pub(crate) const DEVICE_COOKIE_AGE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a signed URL of media is valid without cookies, at most.
pub(crate) const MEDIA_URL_TTL_MAX: Duration = Duration::from_secs(15 * 60);

/// Signed URLs expire only at multiples of this, so that URLs made within one step are equal and a browser's cache
/// finds the media again.
pub(crate) const MEDIA_URL_STEP: Duration = Duration::from_secs(5 * 60);

/// How often the files of the TLS certificate are read, to notice that they have changed.
pub(crate) const TLS_RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// How long a graceful shutdown waits for the requests in progress.
pub(crate) const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(20);

/// Proxies usually close idle connections after this time; nginx does.
const IDLE_TIME_OF_PROXIES: Duration = Duration::from_secs(60);

/// The longest pause between two writes that the system accepts from a connection to the slowest reader that counts as
/// reading: 1 KiB/s, measured (see `transport/guarded_stream.rs`).
const WRITE_PAUSE_OF_SLOWEST_READER: Duration = Duration::from_secs(108);

const _: () = {
    assert!(
        SESSION_CHECK_INTERVAL.as_secs() < SESSION_UNKNOWN_TIME_MAX.as_secs()
            && REQUEST_TIME_MAX.as_secs() < SESSION_UNKNOWN_TIME_MAX.as_secs(),
        "else one check that fails cuts a stream of media"
    );
    assert!(
        IDLE_TIME_MAX.as_secs() > IDLE_TIME_OF_PROXIES.as_secs(),
        "else a proxy uses a connection that is closing"
    );
    assert!(
        HEAD_TIME_MAX.as_secs() < IDLE_TIME_MAX.as_secs(),
        "else a slow head costs more than an idle connection"
    );
    assert!(
        PROGRESS_TIME_MAX.as_secs() > BODY_RATE_WINDOW.as_secs(),
        "else a connection is closed before its body is refused with 408"
    );
    assert!(
        PROGRESS_TIME_MAX.as_secs() > WRITE_PAUSE_OF_SLOWEST_READER.as_secs(),
        "else a slow reader that is fast enough is cut off"
    );
    assert!(
        MemoryScope::WAIT_TIME_MAX.as_secs() + REQUEST_END_TIME_MAX.as_secs() < REQUEST_TIME_MAX.as_secs(),
        "else a request that waits for memory is aborted before it is told so"
    );
    assert!(
        REQUEST_END_TIME_MAX.as_secs() < REQUEST_TIME_MAX.as_secs(),
        "else an operation has no time at all"
    );
    assert!(
        READINESS_TIME_MAX.as_secs() < REQUEST_TIME_MAX.as_secs(),
        "else the probe is cut off by the deadline"
    );
    assert!(
        COOKIE_AGE_MAX.as_secs() > REQUEST_TIME_MAX.as_secs(),
        "else a request that keeps its deadline may lose its cookies"
    );
    assert!(
        SHUTDOWN_TIME_MAX.as_secs() > REQUEST_TIME_MAX.as_secs() + BODY_DRAIN_TIME_MAX.as_secs(),
        "else a shutdown cuts off requests that keep their deadline"
    );
    assert!(
        MEDIA_URL_STEP.as_secs() < MEDIA_URL_TTL_MAX.as_secs(),
        "else a URL may have expired when it is made"
    );
};

/// Else a request is aborted before the store's own error, which says more, is known.
#[cfg(feature = "mongodb")]
const _: () = assert!(
    notestamp_store::records::MongoDbRecords::TIME_MAX.as_secs() + REQUEST_END_TIME_MAX.as_secs()
        < REQUEST_TIME_MAX.as_secs()
);
