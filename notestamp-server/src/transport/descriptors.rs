//! File descriptors: how many there may be, and how many connections fit into that.

use std::fs::File;
use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{CONNECTIONS_MAX, DESCRIPTORS_RESERVED, DESCRIPTORS_WANTED};

/// A server with fewer connections is of no use, so it tries to have these at least.
const CONNECTIONS_MIN: u64 = 8;

/// Raises the soft limit of this process towards [`DESCRIPTORS_WANTED`], as far as the hard limit allows.
///
/// A soft limit of 1,024 is for programs that call `select`, which fails beyond it; this one does not.
///
/// # Errors
/// Where the system refuses. The limit is then as it was.
pub fn raise_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let possible = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_WANTED);
    if limit.current.is_some_and(|current| current < possible) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(possible), ..limit })?;
    }
    Ok(())
}

/// How many connections fit into the limit of this process.
pub fn connections_max() -> usize {
    getrlimit(Resource::Nofile).current.map_or(CONNECTIONS_MAX, connections_within)
}

/// Each connection may need two: one for itself, and one for the file or the bucket that it reads or writes.
fn connections_within(descriptors: u64) -> usize {
    let connections = (descriptors.saturating_sub(DESCRIPTORS_RESERVED) / 2).max(CONNECTIONS_MIN);
    usize::try_from(connections).map_or(CONNECTIONS_MAX, |connections| connections.min(CONNECTIONS_MAX))
}

/// A descriptor that is kept for the moment in which there are no more.
///
/// On Linux, `accept` then fails whether or not a connection waits, and goes on failing. With one more descriptor it
/// either accepts or says that none waits.
#[derive(Debug)]
pub struct Spare(Option<File>);

impl Spare {
    /// Takes one where there is one.
    pub fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Takes one again if it was given up.
    pub fn restore(&mut self) {
        if self.0.is_none() {
            *self = Self::take();
        }
    }

    /// Gives it up. False where that has happened already.
    pub fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Whether it has been given up.
    pub fn is_given_up(&self) -> bool {
        self.0.is_none()
    }
}

/// Whether an error says that there are no more descriptors, or no memory for what stands behind one.
pub fn are_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let kinds = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    kinds.iter().any(|kind| error.raw_os_error() == Some(kind.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_files_and_for_the_rest() {
        for (descriptors, connections) in
            [(0, 8), (128, 8), (256, 64), (1024, 448), (20_000, CONNECTIONS_MAX), (u64::MAX, CONNECTIONS_MAX)]
        {
            assert_eq!(connections_within(descriptors), connections, "{descriptors}");
        }
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_may_be() {
        raise_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        let possible = limit.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_WANTED);
        assert!(limit.current.is_none_or(|current| current >= possible));
    }
}
