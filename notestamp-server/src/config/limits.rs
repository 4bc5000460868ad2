//! The limits of the server. A limit without a flag is a constant, here or beside its type.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::{InvalidSetting, duration, size};

/// The largest body other than an upload, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// How many sessions of an account may be open at once. A sign-in beyond it ends the least recently used one.
pub(crate) const SESSIONS_OPEN_MAX: usize = 100;

/// How many uploads of an account may be in progress at once in this process. One more waits for a few seconds. Then: 429.
pub(crate) const UPLOADS_AT_ONCE_MAX: usize = 8;

/// How many parts a multipart body may have.
pub(crate) const MULTIPART_PARTS_MAX: usize = 32;

/// The shortest password, in bytes after normalization.
pub(crate) const PASSWORD_BYTES_MIN: usize = 8;

/// The longest password, in bytes after normalization; a longer one is refused, never truncated.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// How many projects a page of `/home/list` may have.
pub(crate) const LIST_LIMIT_MAX: usize = 1_000;

/// How many projects a page of `/project/list` has.
pub(crate) const PAGE_LEN: NonZeroUsize = NonZeroUsize::new(20).expect("it is not 0");

/// How many bytes of a body must arrive in each [`BODY_RATE_WINDOW`](super::BODY_RATE_WINDOW): 1 KiB/s. The client must
/// also read a response that is held in memory at this rate.
pub(crate) const BODY_RATE_BYTES_MIN: u64 = 30 * 1024;

/// How many bytes of an unwanted body are read and dropped before reading stops.
pub(crate) const BODY_DRAIN_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How many connections may be open at once. The limit of file descriptors may allow fewer.
pub(crate) const CONNECTIONS_MAX: usize = 4096;

/// How many connections one address may have at once; those of a trusted proxy are not counted.
pub(crate) const CONNECTIONS_PER_ADDRESS_MAX: usize = 512;

/// How many connections to the metrics may be open at once.
pub(crate) const METRICS_CONNECTIONS_MAX: usize = 16;

/// How many connections to the address that redirects to https may be open at once.
pub(crate) const REDIRECT_CONNECTIONS_MAX: usize = 64;

/// How many file descriptors are reserved for everything but connections: the record store, the listeners, the log.
pub(crate) const DESCRIPTORS_RESERVED: u64 = 128;

/// The soft limit of file descriptors that the server sets, if the hard limit allows it.
pub(crate) const DESCRIPTORS_WANTED: u64 = 16_384;

/// The largest head of a request, in bytes. Beyond it: 431.
pub(crate) const HEAD_BYTES_MAX: usize = 32 * 1024;

/// The most header fields of a request. Beyond it: 431.
pub(crate) const HEADER_FIELDS_MAX: usize = 100;

/// How many password hashes may wait; for one more, the newest of the address with the most is refused with 503. Each
/// takes about 25 ms of a core, so on two cores the last one waits less than two seconds.
pub(crate) const HASHES_WAITING_MAX: usize = 64;

/// How many accounts one address may register in a time. Beyond it: 429. A school or a company may share an address.
pub(crate) const REGISTRATIONS_PER_ADDRESS: RateLimit = RateLimit {
    count: NonZeroU32::new(1_000).expect("it is not zero"),
    window: Duration::from_secs(60 * 60),
};

/// A number with commas between its groups of three digits, as messages name limits.
pub(crate) fn grouped(number: usize) -> String {
    match number {
        0..1_000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1_000), number % 1_000),
    }
}

/// How much an account may store and send, and how many sign-ins may fail.
#[derive(clap::Args, Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Largest media file
    #[arg(long = "media-max", value_name = "SIZE", default_value = "2GiB", value_parser = size::parse)]
    pub media_bytes_max: u64,

    /// Largest notes of one project
    #[arg(long = "notes-max", value_name = "SIZE", default_value = "16MiB", value_parser = size::parse)]
    pub notes_bytes_max: u64,

    /// Bytes that one account may store in total, or `none` for no limit
    #[arg(long = "quota", value_name = "SIZE", default_value = "none", value_parser = parse_quota)]
    pub quota_bytes: Quota,

    /// Most projects that one account may have
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub projects_max: u64,

    /// Memory for bodies, uploads and responses that are held at once, at least 16MiB
    #[arg(long = "memory-max", value_name = "SIZE", default_value = "256MiB", value_parser = parse_memory)]
    pub memory_bytes_max: u64,

    /// Failed sign-ins per time, then further ones are refused with 429: for one account from one
    /// address, and after the comma for one address in total (by default 100/15m); or `off`
    #[arg(
        long,
        value_name = "LIMITS",
        default_value = "10/15m,100/15m",
        value_parser = SignInFailures::parse
    )]
    pub sign_in_failures: SignInFailures,
}

/// How many bytes one account may store; `None` means unlimited.
///
/// It is an alias because clap treats a type that is spelled `Option` as a flag that may be absent.
pub type Quota = Option<u64>;

/// The least memory: less would refuse what a single request needs.
const MEMORY_BYTES_MIN: u64 = 16 << 20;

fn parse_memory(text: &str) -> Result<u64, InvalidSetting> {
    match size::parse(text)? {
        bytes if bytes < MEMORY_BYTES_MIN => Err(InvalidSetting::new("at least 16MiB are needed".to_owned())),
        bytes => Ok(bytes),
    }
}

fn parse_quota(text: &str) -> Result<Quota, InvalidSetting> {
    match text {
        "none" => Ok(None),
        bytes => size::parse(bytes).map(Some),
    }
}

/// How many failed sign-ins are allowed before further attempts are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignInFailures {
    /// No limit.
    Unlimited,
    /// Refused beyond these limits.
    Limited {
        /// For one account from one address.
        per_account_and_address: RateLimit,
        /// For one address, whatever the account.
        per_address: RateLimit,
    },
}

/// At most `count` events in any `window`, such as failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateLimit {
    /// How many events are allowed in a window.
    pub count: NonZeroU32,
    /// How long an event counts.
    pub window: Duration,
}

impl SignInFailures {
    const PER_ADDRESS: RateLimit = RateLimit {
        count: NonZeroU32::new(100).expect("it is not zero"),
        window: Duration::from_secs(15 * 60),
    };

    /// Parses `off`, `10/15m` or `10/15m,100/15m`.
    ///
    /// # Errors
    ///
    /// If the text is invalid; the message shows the syntax.
    pub fn parse(text: &str) -> Result<Self, InvalidSetting> {
        if text == "off" {
            return Ok(Self::Unlimited);
        }
        let (account, address) = match text.split_once(',') {
            Some((account, address)) => (account, Some(address)),
            None => (text, None),
        };
        Ok(Self::Limited {
            per_account_and_address: RateLimit::parse(account)?,
            per_address: address.map_or(Ok(Self::PER_ADDRESS), RateLimit::parse)?,
        })
    }
}

impl RateLimit {
    fn parse(text: &str) -> Result<Self, InvalidSetting> {
        let refused = || {
            InvalidSetting::new(format!(
                "`{text}` is not a limit: write failures per time, like 10/15m or 10/15m,100/15m, or `off`"
            ))
        };
        let (count, window) = text.trim().split_once('/').ok_or_else(refused)?;
        Ok(Self {
            count: count.parse().map_err(|_| refused())?,
            window: duration::parse_nonzero(window).map_err(|_| refused())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(count: u32, minutes: u64) -> RateLimit {
        RateLimit { count: count.try_into().unwrap(), window: Duration::from_secs(minutes * 60) }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in
            [(8, "8"), (999, "999"), (1_000, "1,000"), (1_024, "1,024"), (2_000_030, "2,000,030")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn one_limit_leaves_the_other_at_its_default() {
        for (text, per_account_and_address, per_address) in [
            ("10/15m", limit(10, 15), limit(100, 15)),
            ("3/1h", limit(3, 60), limit(100, 15)),
            ("5/10m,50/20m", limit(5, 10), limit(50, 20)),
            ("5/10m, 50/20m", limit(5, 10), limit(50, 20)),
        ] {
            let limited = SignInFailures::Limited { per_account_and_address, per_address };
            assert_eq!(SignInFailures::parse(text), Ok(limited), "{text}");
        }
        assert_eq!(SignInFailures::parse("off"), Ok(SignInFailures::Unlimited));
    }

    #[test]
    fn incomplete_and_empty_limits_are_refused() {
        for text in ["", "10", "10/", "/15m", "0/15m", "10/0s", "10/15", "10/15m,", "1/1m,2/2m,3/3m", "-1/1m"]
        {
            assert!(SignInFailures::parse(text).is_err(), "{text}");
        }
    }
}
