//! Creates folders and files that survive a loss of power and that only their owner can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::errno::at;
use crate::durability::Durability;

/// Creates a folder and its parents, accessible only to the user of this process; with [`Durability::Full`], the folder
/// that holds each of them is synced. An existing folder keeps its mode.
///
/// # Errors
/// If the folder cannot be created or made durable, or a file is in its place; the message names the path.
pub fn create_folder(path: &Path, durability: Durability) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if !path.is_dir() {
        create_folder(parent, durability)?;
        make_folder(path)?;
    }
    if durability == Durability::Relaxed {
        return Ok(());
    }
    // An existing folder is synced too, because a process may have died between creating and syncing it.
    match sync_folder(parent) {
        // This process has created nothing in a folder that it may not read, so there is nothing to sync.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Creates one folder; idempotent: another process may have created it at the same time.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "modes are a matter of Unix"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Ok(()) => Ok(()),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(at(path)(ErrorKind::NotADirectory.into()))
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// Creates a file with this content that only its owner can access. It appears whole, and never replaces an existing
/// file. Its content is always synced; with [`Durability::Full`], its name is synced too.
///
/// `staged` is a path in the same folder that only this call uses. A crash may leave a file there.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if the file exists; it has then been made equally durable.
pub fn create_private_file(
    path: &Path,
    staged: &Path,
    content: &[u8],
    durability: Durability,
) -> io::Result<()> {
    let mut file =
        private(OpenOptions::new().write(true).create_new(true)).open(staged).map_err(at(staged))?;
    let published = file.write_all(content).and_then(|()| file.sync_all());
    let published = published.and_then(|()| fs::hard_link(staged, path));
    fs::remove_file(staged).map_err(at(staged))?;
    // Sync the folder of an existing file too: the process that created the file may not have synced the folder yet.
    let is_there = published.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::AlreadyExists);
    if is_there && durability == Durability::Full {
        sync_folder(folder_of(path))?;
    }
    published.map_err(at(path))
}

/// Sets the mode of files that are created with these options: only the owner can read and write them.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Syncs a folder, so that the names in it survive a loss of power. On other systems than Unix it does nothing.
///
/// # Errors
/// If the sync fails; [`ErrorKind::Unsupported`] if the file system cannot sync folders. That is an error because
/// [`Durability::Full`] could not be kept.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let synced = File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|error| match error.kind() {
        ErrorKind::InvalidInput | ErrorKind::Unsupported => {
            let why = format!(
                "its file system cannot make the names in a folder durable ({error}): choose another file \
                 system, or the durability `relaxed`, with which a loss of power can take away what was saved last"
            );
            at(path)(io::Error::new(ErrorKind::Unsupported, why))
        }
        _ => at(path)(error),
    })
}

/// The folder that holds this file.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn a_folder_is_created_with_its_parents_for_its_owner_only_and_found_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("a/b");
        for durability in [Durability::Full, Durability::Relaxed, Durability::Full] {
            create_folder(&folder, durability).unwrap();
        }
        assert_eq!((mode(&folder), mode(&place.path().join("a"))), (0o700, 0o700));
    }

    #[test]
    fn an_obstructing_file_is_named() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = create_folder(&path, Durability::Full).unwrap_err();
            assert_eq!(error.to_string(), format!("{}: not a directory", file.display()));
        }
    }

    #[test]
    fn a_file_appears_whole_and_never_replaces_another() {
        let place = tempfile::tempdir().unwrap();
        let (path, staged) = (place.path().join("key"), place.path().join("staged"));
        create_private_file(&path, &staged, b"first", Durability::Full).unwrap();
        let error = create_private_file(&path, &staged, b"second", Durability::Full).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"first".to_vec(), 0o600));
        assert!(!staged.exists());
    }
}
