//! Disk space that is reserved for the operations that end a shortage of space, such as deletions.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

use super::create::{folder_of, private};
use super::space::{FREE_BYTES_MIN, free_bytes, write_all_at};

/// The size of the reserve.
///
/// A deletion, a sign-in or one step of a sweep writes at most a few hundred pages to SQLite's write-ahead log. The log
/// is reused from its beginning once it is 4 MiB long, and its content may have to be added to the database. So this is
/// enough for any number of such writes, one after the other.
pub(crate) const RESERVE_BYTES: u64 = 16 << 20;

/// The sizes of the pieces in which the reserve is allocated: small ones use the last free space.
const PIECES: [u64; 2] = [1 << 20, 64 << 10];

/// A preallocated file that reserves space: it is deleted when the disk is full, and created again afterwards.
///
/// It is a file because only that reserves space on every file system, against other programs too.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// Finds the reserve that an earlier process left in this file; it may be absent.
    pub(crate) fn find(path: PathBuf) -> Self {
        let bytes = fs::metadata(&path).map_or(0, |found| if is_allocated(&found) { found.len() } else { 0 });
        Self { path, bytes }
    }

    /// Deletes the file to free its space; returns whether that freed any.
    pub(crate) fn delete(&mut self) -> bool {
        let had_any = self.bytes > 0;
        self.bytes = 0;
        fs::remove_file(&self.path).is_ok() && had_any
    }

    /// Makes the reserve as large as the disk allows now, up to [`RESERVE_BYTES`].
    ///
    /// On a full disk it takes all remaining space: other writes would otherwise use the space meant for deletions.
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

    /// Makes the reserve whole again, once the disk has more free space than the reserve needs.
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

/// Whether a file has disk space for all its bytes. Tools that copy files "sparsely" leave out bytes that are zero.
#[cfg(unix)]
fn is_allocated(file: &fs::Metadata) -> bool {
    /// The unit of `st_blocks`, whatever the file system's own is.
    const BLOCK_BYTES: u64 = 512;
    std::os::unix::fs::MetadataExt::blocks(file) * BLOCK_BYTES >= file.len()
}

/// Sparse files are not told apart on this platform.
#[cfg(not(unix))]
fn is_allocated(_file: &fs::Metadata) -> bool {
    true
}

/// Allocates `bytes` bytes of disk space for a file, from `offset` on.
fn allocate(file: &File, offset: u64, bytes: u64) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    match rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), offset, bytes) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
        allocated => return Ok(allocated?),
    }
    (offset..offset + bytes).step_by(ZEROS.len()).try_for_each(|offset| write_all_at(file, &ZEROS, offset))
}

/// Its length divides each of [`PIECES`].
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_uses_space_until_it_is_deleted_and_can_be_reopened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reserve");
        let mut reserve = Reserve::find(path.clone());
        assert!(!reserve.delete(), "there is none yet");
        reserve.restore();
        assert_eq!(fs::metadata(&path).unwrap().len(), RESERVE_BYTES);
        assert!(is_allocated(&fs::metadata(&path).unwrap()));

        // Like a copy by `cp --sparse=always`: the length is the same, but no space is allocated.
        File::create(&path).unwrap().set_len(RESERVE_BYTES).unwrap();
        let mut sparse = Reserve::find(path.clone());
        sparse.restore();
        assert!(is_allocated(&fs::metadata(&path).unwrap()));

        let mut found = Reserve::find(path.clone());
        assert!(found.delete());
        assert!(!path.exists());
        assert!(!found.delete(), "it is deleted already");
    }
}
