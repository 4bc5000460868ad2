//! Folders and files that a loss of power does not take away again, readable by their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use super::errno::at;
use crate::durability::Durability;

/// Creates a folder and those above it, for the present account only; with [`Durability::Full`], each is synced into
/// the folder that holds it. A folder that exists keeps its mode.
///
/// # Errors
/// Where it cannot be created, is not a folder, or cannot be made durable; the message names the path.
pub fn create_folder(path: &Path, durability: Durability) -> io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    if !path.is_dir() {
        create_folder(parent, durability)?;
        make_folder(path)?;
    }
    if durability == Durability::Relaxed {
        return Ok(());
    }
    // An existing folder too: a process may have died between creating and syncing it.
    match sync_folder(parent) {
        // This process has not created anything in a folder that it may not read.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

/// Makes one folder, unless another process just has.
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

/// Creates a file with this content, for its owner only: it appears whole, and never replaces another. With
/// [`Durability::Full`] its name is synced, too.
///
/// `staged` is a path in the same folder that only this call uses. A crash may leave a file there.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] where there is such a file, which is as durable then.
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
    // An existing file too: another process may not have come so far yet.
    let is_there = published.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::AlreadyExists);
    if is_there && durability == Durability::Full {
        sync_folder(folder_of(path))?;
    }
    published.map_err(at(path))
}

/// Makes a file that is created with these options readable by its owner only.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes the names in a folder survive a loss of power. Only Unix can, and needs to.
///
/// # Errors
/// Where it cannot be done; [`ErrorKind::Unsupported`] where the file system cannot do it at all. That is not ignored:
/// [`Durability::Full`] would be a promise that is not kept.
pub fn sync_folder(path: &Path) -> io::Result<()> {
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
    fn a_file_in_its_place_or_on_its_way_is_named() {
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
