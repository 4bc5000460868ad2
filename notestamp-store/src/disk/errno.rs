//! Classifies the errors of the file system and the network by what a caller can do about them.

use std::error::Error as StdError;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What a caller can do about an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// Nothing can be written until space is freed: ENOSPC, EDQUOT.
    Full,
    /// The file system, or a limit of the process, does not allow a file of this size: EFBIG.
    FileTooLarge,
    /// A retry later, or after an operator's repair, can succeed; the stored data need not change for that.
    Unavailable,
    /// Any other error.
    Failed,
}

/// The class of an error of the operating system.
pub(crate) fn class_of(error: &io::Error) -> Class {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Class::Full,
        ErrorKind::FileTooLarge => Class::FileTooLarge,
        ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::StaleNetworkFileHandle
        | ErrorKind::NotADirectory
        | ErrorKind::TimedOut
        | ErrorKind::ConnectionRefused
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::NotConnected
        | ErrorKind::BrokenPipe
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown => Class::Unavailable,
        _ if os_code(error).is_some_and(|code| UNAVAILABLE.contains(&code)) => Class::Unavailable,
        _ => Class::Failed,
    }
}

/// The class of the nearest cause that is an error of the operating system; `None` if there is no such cause.
pub(crate) fn class_of_chain(error: &(dyn StdError + 'static)) -> Option<Class> {
    io_cause(error).map(class_of)
}

/// Whether the nearest cause that is an error of the operating system has this kind.
pub(crate) fn is(error: &(dyn StdError + 'static), kind: ErrorKind) -> bool {
    io_cause(error).is_some_and(|error| error.kind() == kind)
}

fn io_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a io::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<io::Error>() {
            Some(error) if error.kind() != ErrorKind::Other => return Some(error),
            // Libraries wrap their own errors as an I/O error of the kind `Other`: the cause is inside.
            Some(error) => cause = error.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
            None => cause = error.source(),
        }
    }
    None
}

/// The codes for a failed device, and for no free file descriptors in the system or in this process. The standard
/// library has no stable kinds for them.
#[cfg(unix)]
const UNAVAILABLE: [i32; 3] = {
    use rustix::io::Errno;
    [Errno::IO.raw_os_error(), Errno::NFILE.raw_os_error(), Errno::MFILE.raw_os_error()]
};
/// `ERROR_IO_DEVICE`, `ERROR_TOO_MANY_OPEN_FILES`
#[cfg(not(unix))]
const UNAVAILABLE: [i32; 2] = [1117, 4];

fn os_code(error: &io::Error) -> Option<i32> {
    let located = || error.get_ref()?.downcast_ref::<Located>()?.error.raw_os_error();
    error.raw_os_error().or_else(located)
}

/// Adds the path to an error.
pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), Located { path: path.to_owned(), error })
}

/// An error with its path. Its message contains the message of its cause, so it has no source: otherwise an error chain
/// would print that message twice.
#[derive(Debug)]
struct Located {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.error)
    }
}

impl StdError for Located {}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn each_error_of_a_file_operation_has_the_class_that_a_caller_can_act_on() {
        for (errno, class) in [
            (Errno::NOSPC, Class::Full),
            (Errno::DQUOT, Class::Full),
            (Errno::FBIG, Class::FileTooLarge),
            (Errno::ROFS, Class::Unavailable),
            (Errno::ACCESS, Class::Unavailable),
            (Errno::PERM, Class::Unavailable),
            (Errno::IO, Class::Unavailable),
            (Errno::NFILE, Class::Unavailable),
            (Errno::MFILE, Class::Unavailable),
            (Errno::STALE, Class::Unavailable),
            (Errno::NOTDIR, Class::Unavailable),
            (Errno::NAMETOOLONG, Class::Failed),
            (Errno::INVAL, Class::Failed),
        ] {
            let error = || io::Error::from(errno);
            assert_eq!(class_of(&error()), class, "{errno}");
            assert_eq!(class_of(&at(Path::new("/x"))(error())), class, "located: {errno}");
            let deep = io::Error::other(io::Error::other(at(Path::new("/x"))(error())));
            assert_eq!(class_of_chain(&deep), Some(class), "wrapped: {errno}");
        }
    }

    #[test]
    fn a_located_error_says_its_reason_once() {
        let error = at(Path::new("/x"))(Errno::ROFS.into());
        assert_eq!(crate::error_chain(&error), "/x: Read-only file system (os error 30)");
    }
}
