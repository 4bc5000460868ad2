//! Space that is held back for what ends a shortage of space.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

use super::create::{folder_of, private};
use super::space::{FREE_BYTES_MIN, free_bytes, write_all_at};

/// How many bytes are held back.
///
/// A deletion, a sign-in or one step of a sweep writes some pages to SQLite's write-ahead log, a few hundred at the
/// most. The log is used over again once it is 4 MiB long, and what it holds then may have to be added to the database.
/// So this is enough for any number of such writes, one after the other.
pub(crate) const RESERVE_BYTES: u64 = 16 << 20;

/// In which pieces it is allocated: small ones for what little may be left.
const PIECES: [u64; 2] = [1 << 20, 64 << 10];

/// A file that only takes space: removed when there is no other space left, and made again afterwards.
///
/// A preallocated file, because nothing else keeps space on every file system, from other programs too.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// The reserve in this file, as an earlier process has left it.
    pub(crate) fn find(path: PathBuf) -> Self {
        let bytes = fs::metadata(&path).map_or(0, |found| found.len());
        Self { path, bytes }
    }

    /// Gives the space up; returns whether there was any.
    pub(crate) fn release(&mut self) -> bool {
        let had_any = self.bytes > 0;
        self.bytes = 0;
        fs::remove_file(&self.path).is_ok() && had_any
    }

    /// Makes it as large as it can be now.
    ///
    /// Of a full disk it takes all that is left: other writes would else use up what is meant for deletions.
    pub(crate) fn restore(&mut self) {
        let mut options = OpenOptions::new();
        let Ok(file) = private(options.write(true).create(true).truncate(false)).open(&self.path) else {
            return;
        };
        for piece in PIECES {
            while self.bytes + piece <= RESERVE_BYTES && allocate(&file, self.bytes, piece).is_ok() {
                self.bytes += piece;
            }
        }
    }

    /// Makes it whole again, once there is room for more than it.
    pub(crate) fn complete(&mut self) {
        if self.bytes >= RESERVE_BYTES {
            return;
        }
        let free = free_bytes(folder_of(&self.path)).ok().flatten();
        if free.is_none_or(|free| free >= FREE_BYTES_MIN + RESERVE_BYTES) {
            self.restore();
        }
    }
}

/// Gives a file that many bytes of the file system's space, from `offset` on.
fn allocate(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    (offset..offset + bytes).step_by(ZEROS.len()).try_for_each(|offset| write_all_at(file, &ZEROS, offset))
}

/// Divides each of [`PIECES`].
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_takes_space_until_it_is_released_and_is_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let mut reserve = Reserve::find(path.clone());
        assert!(!reserve.release(), "there is none yet");
        reserve.restore();
        assert_eq!(fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
        #[cfg(unix)]
        assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) * 512 >= RESERVE_BYTES);

        let mut found = Reserve::find(path.clone());
        assert!(found.release());
        assert!(!path.exists());
        assert!(!found.release(), "it has been spent");
    }
}
