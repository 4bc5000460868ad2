//! A local folder as a blob store: all that `LocalFileSystem` leaves to be done.
//!
//! It does not sync what it deletes, syncs a new folder only after others may have used it, hides the
//! staging files that a crash leaves behind, reads 8 KiB at a time, and creates a root that has vanished anew.

use std::fs::{self, File, FileType, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::listed_object::ListedObject;
use super::path;
use crate::disk::{self, at};
use crate::domain::{Namespace, ObjectId};
use crate::durability::Durability;

/// The folder of a blob store. Everything here blocks.
#[derive(Debug)]
pub(super) struct LocalRoot {
    path: PathBuf,
    durability: Durability,
    /// Held while a namespace's folder is made and synced.
    making_folder: Mutex<()>,
}

/// Written and removed again to learn whether the root can be written to.
const PROBE: &str = ".ping";

impl LocalRoot {
    /// Opens a folder, and creates it where it does not exist, for this account's eyes only.
    pub(super) fn open(path: &Path, durability: Durability) -> io::Result<Self> {
        disk::create_folder(path, durability)?;
        let path = fs::canonicalize(path).map_err(at(path))?;
        let root = Self { path, durability, making_folder: Mutex::new(()) };
        // A namespace's folder may be from a process that died before it had synced it.
        root.sync(&root.path)?;
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that the folder of a namespace is there, and stays.
    ///
    /// The lock makes whoever finds the folder wait until it has been synced: else the second writer
    /// could answer for a file in a folder that a loss of power takes away.
    pub(super) fn prepare(&self, namespace: Namespace) -> io::Result<()> {
        let folder = self.folder(namespace);
        let _making = self.making_folder.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.is_dir() {
            return Ok(());
        }
        // Below its root, which must not be made anew where it has vanished.
        disk::make_folder(&folder)?;
        self.sync(&self.path).inspect_err(|_| {
            // Else the next writer would find it, and take it for synced. It is empty: nobody was told of it.
            let _ = fs::remove_dir(&folder);
        })
    }

    /// Removes an object, and what a crash has left of it half written; what is not there is fine.
    pub(super) fn delete(&self, namespace: Namespace, object: ObjectId) -> io::Result<()> {
        let folder = self.folder(namespace);
        // A staging file is named with the first free number. A path has one writer, so no number
        // is free below one that is taken.
        for number in 1.. {
            if !remove_file(&folder.join(format!("{object}#{number}")))? {
                break;
            }
        }
        remove_file(&folder.join(object.to_string()))?;
        // Also where nothing was there: it may have been removed by a delete that did not come this far.
        match self.sync(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    /// Whether the folder of a namespace is there, with nothing in it.
    pub(super) fn is_empty(&self, namespace: Namespace) -> bool {
        fs::read_dir(self.folder(namespace)).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Removes the folder of a namespace, unless something is in it.
    pub(super) fn remove_folder(&self, namespace: Namespace) -> io::Result<()> {
        let folder = self.folder(namespace);
        match fs::remove_dir(&folder) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(at(&folder)(error))
            }
            _ => Ok(()),
        }
    }

    /// Fails where the folder has vanished or cannot be written to.
    pub(super) fn ping(&self) -> io::Result<()> {
        disk::probe(&self.path.join(PROBE), 0)
    }

    /// Fails where less space is free than has to stay free.
    pub(super) fn ensure_room(&self) -> io::Result<()> {
        disk::ensure_room(&self.path)
    }

    /// Goes through all that lies in the folder.
    pub(super) fn walk(&self) -> io::Result<Walk> {
        let folders = fs::read_dir(&self.path).map_err(at(&self.path))?;
        Ok(Walk { folders, within: None })
    }

    fn folder(&self, namespace: Namespace) -> PathBuf {
        self.path.join(path::folder(namespace))
    }

    fn sync(&self, folder: &Path) -> io::Result<()> {
        match self.durability {
            Durability::Full => disk::sync_folder(folder),
            Durability::Relaxed => Ok(()),
        }
    }
}

/// Goes through a root and the folders in it, in no particular order.
pub(super) struct Walk {
    folders: ReadDir,
    within: Option<(String, ReadDir)>,
}

impl Iterator for Walk {
    type Item = io::Result<ListedObject>;

    fn next(&mut self) -> Option<io::Result<ListedObject>> {
        loop {
            let found = match &mut self.within {
                Some((folder, files)) => match files.next() {
                    Some(file) => file.and_then(|file| found_in_folder(folder, &file)),
                    None => {
                        self.within = None;
                        continue;
                    }
                },
                None => self.folders.next()?.and_then(|entry| self.enter(&entry)),
            };
            match found {
                Ok(Some(found)) => return Some(Ok(found)),
                Ok(None) => {}
                // Deleted since its folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Walk {
    /// Goes on inside of a namespace's folder; anything else in the root is foreign.
    fn enter(&mut self, entry: &fs::DirEntry) -> io::Result<Option<ListedObject>> {
        let name = entry.file_name().to_string_lossy().into_owned();
        let file_type = entry.file_type()?;
        if file_type.is_dir() && path::parse_folder(&name).is_some() {
            self.within = Some((name, fs::read_dir(entry.path())?));
            return Ok(None);
        }
        let is_ours = name == PROBE || name == path::STORE_ID;
        Ok((!is_ours).then(|| unknown(name, file_type)))
    }
}

fn found_in_folder(folder: &str, entry: &fs::DirEntry) -> io::Result<Option<ListedObject>> {
    let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
    let file_type = entry.file_type()?;
    match path::parse(&path) {
        Some((namespace, object)) if file_type.is_file() => {
            let size = entry.metadata()?.len();
            Ok(Some(ListedObject::Object { namespace, object, size }))
        }
        _ => Ok(Some(unknown(path, file_type))),
    }
}

fn unknown(path: String, file_type: FileType) -> ListedObject {
    ListedObject::Unknown(if file_type.is_dir() { path + "/" } else { path })
}

/// Whether there was such a file.
fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

/// Fills `buffer` from a place in a file, without moving a cursor that others may use.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from a place in a file, wherever its cursor is.
#[cfg(windows)]
pub(super) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer = &mut buffer[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
