//! Free disk space: checked before a write, and probed to find out why a write failed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use super::create::private;
use super::errno::at;

/// How many bytes must stay free in the file system of each folder that a store writes to; in a small file system, half of
/// it. With less free space, new media, notes and accounts are refused with [`Error::Full`](crate::Error::Full).
///
/// The remaining space is for deletions, which end the shortage, and for small records. It is several times the size of
/// the reserve and the write-ahead log together, so that uploads which pass the check at the same
/// moment do not use up all of it.
pub const FREE_BYTES_MIN: u64 = 64 << 20;

/// The space of a file system, in bytes.
struct Space {
    /// How much this process may still write.
    free: u64,
    size: u64,
}

/// The space of the file system of a folder; `None` if it is unknown.
#[cfg(unix)]
fn space(folder: &Path) -> io::Result<Option<Space>> {
    let found = rustix::fs::statvfs(folder).map_err(|errno| at(folder)(errno.into()))?;
    // Some network and FUSE file systems do not know their size.
    let is_known = found.f_blocks > 0;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(is_known.then(|| Space { free: bytes(found.f_bavail), size: bytes(found.f_blocks) }))
}

/// The space is not known on this platform.
#[cfg(not(unix))]
fn space(_folder: &Path) -> io::Result<Option<Space>> {
    Ok(None)
}

/// How many bytes this process may still write in the file system of a folder; `None` if that is unknown.
///
/// A disk quota of the user is not considered: only a failed write shows it.
#[cfg(feature = "sqlite")]
pub(crate) fn free_bytes(folder: &Path) -> io::Result<Option<u64>> {
    Ok(space(folder)?.map(|space| space.free))
}

/// Fails with [`io::ErrorKind::StorageFull`] if less than [`FREE_BYTES_MIN`] is free in the file system of a folder.
pub(crate) fn ensure_room(folder: &Path) -> io::Result<()> {
    match space(folder)? {
        Some(Space { free, size }) if free < FREE_BYTES_MIN.min(size / 2) => {
            let why =
                format!("{free} bytes are free, and {} have to stay free", FREE_BYTES_MIN.min(size / 2));
            Err(at(folder)(io::Error::new(io::ErrorKind::StorageFull, why)))
        }
        _ => Ok(()),
    }
}

/// How many bytes a [`probe`] writes: more than SQLite adds to a file in one write.
const PROBE_BYTES: usize = 64 << 10;

/// Creates a file, writes some bytes to it at `offset` and removes it. It fails with the error of any such write.
pub(crate) fn probe(path: &Path, offset: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = private(options.write(true).create(true).truncate(true)).open(path).map_err(at(path))?;
    let written = write_all_at(&file, &[0; PROBE_BYTES], offset);
    drop(file);
    let removed = match fs::remove_file(path) {
        // Another probe of the same folder, perhaps of another process, has removed it first.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    written.and(removed).map_err(at(path))
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
pub(super) fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use io::{Seek as _, Write as _};

    file.seek(io::SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_of_one_folder_at_the_same_time_do_not_fail_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("probe");
        std::thread::scope(|scope| {
            let probes = [(); 4].map(|()| scope.spawn(|| (0..200).try_for_each(|_| probe(&path, 0))));
            for probes in probes {
                probes.join().unwrap().unwrap();
            }
        });
        assert!(!path.exists());
    }
}
