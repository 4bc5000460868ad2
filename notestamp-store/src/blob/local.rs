//! A local folder as a blob store: what `object_store`'s `LocalFileSystem` does not do.
//!
//! `LocalFileSystem` does not sync deletions, syncs a new folder only after other writers may have used it, does not
//! list the staging files that a crash leaves, reads only 8 KiB at a time, and silently creates a root folder that has
//! vanished.

use std::fs::{self, File, FileType, ReadDir};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::listed_object::ListedObject;
use super::path;
use crate::disk::{self, at};
use crate::domain::{Namespace, ObjectId};
use crate::durability::Durability;

/// The folder of a blob store. All methods block.
#[derive(Debug)]
pub(super) struct LocalRoot {
    path: PathBuf,
    durability: Durability,
    /// Locked while a namespace's folder is created and synced.
    folder_creation: Mutex<()>,
}

/// The file that the health check writes and removes.
const PROBE: &str = ".ping";

impl LocalRoot {
    /// Opens a folder. Creates it, accessible only to the user of this process, if it does not exist.
    pub(super) fn open(path: &Path, durability: Durability) -> io::Result<Self> {
        disk::create_folder(path, durability)?;
        let path = fs::canonicalize(path).map_err(at(path))?;
        let root = Self { path, durability, folder_creation: Mutex::new(()) };
        // A process may have died after it created a namespace's folder and before it synced the root.
        root.sync(&root.path)?;
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the folder of a namespace if it does not exist, durably.
    ///
    /// The lock makes a second writer wait until the new folder has been synced: otherwise its save could succeed with
    /// a file in a folder that is lost in a power failure.
    pub(super) fn prepare(&self, namespace: Namespace) -> io::Result<()> {
        let folder = self.folder(namespace);
        let _creating = self.folder_creation.lock().unwrap_or_else(PoisonError::into_inner);
        if folder.is_dir() {
            return Ok(());
        }
        // Only the folder itself: a root that has vanished must not be created again.
        disk::make_folder(&folder)?;
        self.sync(&self.path).inspect_err(|_| {
            // Otherwise the next writer would find the folder and assume that it is synced. It is still empty.
            let _ = fs::remove_dir(&folder);
        })
    }

    /// Returns whether the folder of a namespace exists durably; false if that is not known at once.
    pub(super) fn is_prepared(&self, namespace: Namespace) -> bool {
        // Locked: another writer may have created it and not synced it yet.
        self.folder_creation.try_lock().is_ok_and(|_creating| self.folder(namespace).is_dir())
    }

    /// The text of the file that says to which store the folder belongs; `None` if it is absent.
    pub(super) fn read_store_id(&self) -> io::Result<Option<Vec<u8>>> {
        let path = self.path.join(path::STORE_ID);
        match fs::read(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&path)(error)),
        }
    }

    /// Opens an object for reading.
    pub(super) fn open_object(&self, namespace: Namespace, object: ObjectId) -> io::Result<File> {
        File::open(self.folder(namespace).join(object.to_string()))
    }

    /// Deletes an object, and the partial files that a crash has left of it. Idempotent.
    pub(super) fn delete(&self, namespace: Namespace, object: ObjectId) -> io::Result<()> {
        let folder = self.folder(namespace);
        // `LocalFileSystem` names a staging file with the first free number. A path has only one writer, so the numbers
        // have no gaps.
        for number in 1.. {
            if !remove_file(&folder.join(format!("{object}#{number}")))? {
                break;
            }
        }
        remove_file(&folder.join(object.to_string()))?;
        // Also if the file was absent: an earlier delete may have failed before it synced the folder.
        match self.sync(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    }

    /// Returns whether the folder of a namespace exists and is empty.
    pub(super) fn is_empty(&self, namespace: Namespace) -> bool {
        fs::read_dir(self.folder(namespace)).is_ok_and(|mut entries| entries.next().is_none())
    }

    /// Removes the folder of a namespace if it is empty.
    pub(super) fn remove_folder(&self, namespace: Namespace) -> io::Result<()> {
        let folder = self.folder(namespace);
        match fs::remove_dir(&folder) {
            Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
                Err(at(&folder)(error))
            }
            _ => Ok(()),
        }
    }

    /// Whether the root has this entry, given by its path.
    pub(super) fn has_entry(&self, entry: &str) -> io::Result<bool> {
        match fs::symlink_metadata(self.path.join(entry.trim_end_matches('/'))) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves an entry of the root, given by its path, into the quarantine, durably.
    pub(super) fn quarantine(&self, entry: &str) -> io::Result<()> {
        let entry = entry.trim_end_matches('/');
        let (from, to) = (self.path.join(entry), self.path.join(path::QUARANTINE).join(entry));
        if fs::symlink_metadata(&to).is_ok() {
            // An entry of an earlier check must not be overwritten.
            return Err(at(&to)(ErrorKind::AlreadyExists.into()));
        }
        let (Some(former), Some(folder)) = (from.parent(), to.parent()) else {
            return Err(at(&from)(ErrorKind::InvalidInput.into()));
        };
        disk::create_folder(folder, self.durability)?;
        fs::rename(&from, &to).map_err(at(&from))?;
        self.sync(folder)?;
        self.sync(former)
    }

    /// Health check: fails if the root has vanished or cannot be written to.
    pub(super) fn ping(&self) -> io::Result<()> {
        disk::probe(&self.path.join(PROBE), 0)
    }

    /// Fails if too little space is free for new objects.
    pub(super) fn ensure_room(&self) -> io::Result<()> {
        disk::ensure_room(&self.path)
    }

    /// Iterates over everything in the root.
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

/// Iterates over a root and the folders of its namespaces, in no particular order.
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
                // It was deleted after its folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Walk {
    /// Enters the folder of a namespace; every other entry of the root is foreign.
    fn enter(&mut self, entry: &fs::DirEntry) -> io::Result<Option<ListedObject>> {
        let name = entry.file_name().to_string_lossy().into_owned();
        let file_type = entry.file_type()?;
        if file_type.is_dir() && path::parse_folder(&name).is_some() {
            self.within = Some((name, fs::read_dir(entry.path())?));
            return Ok(None);
        }
        // A process that is killed while it writes the store id leaves a part of it under this name and a number.
        let whole = name.split_once('#').map_or(&*name, |(whole, _)| whole);
        let is_ours =
            [PROBE, path::QUARANTINE.trim_end_matches('/')].contains(&&*name) || whole == path::STORE_ID;
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

/// Removes a file; returns whether it existed.
fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(at(path)(error)),
    }
}

/// Fills `buffer` from an offset in a file, independently of the position that other readers share.
#[cfg(unix)]
pub(super) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

/// Fills `buffer` from an offset in a file, whatever its position is.
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
