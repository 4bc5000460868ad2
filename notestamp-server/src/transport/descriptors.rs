//! File descriptors: their limit, and how many connections it allows.

use std::fs::File;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{CONNECTIONS_MAX, DESCRIPTORS_RESERVED, DESCRIPTORS_WANTED};

/// With fewer connections a server would be useless, so it tries this many even if descriptors may not suffice.
const CONNECTIONS_MIN: u64 = 8;

/// Raises the soft limit of this process towards `DESCRIPTORS_WANTED`, as far as the hard limit allows.
///
/// A soft limit of 1,024 is for programs that call `select`, which fails beyond it; this one does not.
///
/// # Errors
/// If the system refuses; the limit is then unchanged.
pub fn raise_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let possible = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_WANTED);
    if limit.current.is_some_and(|current| current < possible) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(possible), ..limit })?;
    }
    Ok(())
}

/// Returns how many connections the limit of this process allows.
pub(crate) fn connections_max() -> usize {
    getrlimit(Resource::Nofile).current.map_or(CONNECTIONS_MAX, connections_within)
}

/// Each connection may need two descriptors: one for itself, and one for the file or the bucket connection that it
/// uses.
fn connections_within(descriptors: u64) -> usize {
    let connections = (descriptors.saturating_sub(DESCRIPTORS_RESERVED) / 2).max(CONNECTIONS_MIN);
    usize::try_from(connections).map_or(CONNECTIONS_MAX, |connections| connections.min(CONNECTIONS_MAX))
}

/// A spare descriptor, kept for when all others are in use.
///
/// On Linux, `accept` then fails whether or not a connection is waiting, and keeps failing. With one free descriptor it
/// either accepts a connection or reports that none is waiting.
#[derive(Debug)]
pub(crate) struct Spare(Option<File>);

impl Spare {
    /// Opens the spare descriptor, if one is available.
    pub(crate) fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Opens it again if it is closed.
    pub(crate) fn restore(&mut self) {
        if self.0.is_none() {
            *self = Self::take();
        }
    }

    /// Closes it, so that another file can use the descriptor. Returns false if it was closed already.
    pub(crate) fn spend(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Returns whether it is closed.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.is_none()
    }
}

/// Returns whether an error means that descriptors, or the memory for sockets, are exhausted.
pub(crate) fn are_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let kinds = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    kinds.iter().any(|kind| error.raw_os_error() == Some(kind.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files_and_other_uses() {
        for (descriptors, connections) in
            [(0, 8), (128, 8), (256, 64), (1024, 448), (20_000, CONNECTIONS_MAX), (u64::MAX, CONNECTIONS_MAX)]
        {
            assert_eq!(connections_within(descriptors), connections, "{descriptors}");
        }
    }

    #[test]
    fn the_soft_limit_is_raised_up_to_the_hard_limit() {
        raise_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        let possible = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_WANTED);
        assert!(limit.current.is_none_or(|current| current >= possible));
    }
}
