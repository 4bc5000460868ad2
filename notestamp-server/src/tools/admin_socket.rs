//! The admin socket: a Unix socket beside the SQLite database, for the user who runs the server.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

/// The longest path that every system accepts as the address of a Unix socket.
const PATH_BYTES_MAX: usize = 103;

/// How many connections the system may queue until they are accepted.
const BACKLOG: i32 = 16;

/// A bound admin socket; dropping it deletes the socket.
pub(crate) struct AdminSocket {
    pub(super) listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// Binds the socket beside the database at `path`, which this process has locked: so a socket that is there already
    /// is that of a server that was killed, and is replaced.
    ///
    /// # Errors
    /// If the system refuses.
    pub(crate) fn bind(database: &Path) -> io::Result<Self> {
        let path = beside(database)?;
        let new = with_suffix(&path, ".new");
        let address = ShortPath::of(&new)?;
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::unix(&address.path)?)?;
        // Before it accepts connections, and before it has its name.
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        fs::rename(&new, &path)?;
        Ok(Self { listener: UnixListener::from_std(socket.into())?, path })
    }

    /// Connects to the server that has the database at `path` open; `None` if no server listens there.
    ///
    /// # Errors
    /// If the system refuses, for example because the server belongs to another user.
    pub(super) async fn connect(database: &Path) -> io::Result<Option<UnixStream>> {
        let short = ShortPath::of(&beside(database)?)?;
        match UnixStream::connect(&short.path).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error)
                if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        // If this fails, the next server replaces it.
        let _ = fs::remove_file(&self.path);
    }
}

/// The path of the socket of a database. Like its lock, it is beside the file itself, not beside a link to it.
fn beside(database: &Path) -> io::Result<PathBuf> {
    Ok(with_suffix(&fs::canonicalize(database)?, ".socket"))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A path of a file that is short enough to be an address.
struct ShortPath {
    path: PathBuf,
    /// The folder that the path goes through, open as long as the path is used.
    _folder: Option<File>,
}

impl ShortPath {
    /// On Linux, a long path is replaced by one through the open folder.
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let folder = File::open(folder)?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(folder: &Path) -> PathBuf {
        let path = folder.join("notestamp.sqlite");
        fs::write(&path, "").unwrap();
        path
    }

    #[tokio::test]
    async fn the_socket_is_open_to_its_owner_only_and_replaces_that_of_a_killed_server() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        assert!(AdminSocket::connect(&database).await.unwrap().is_none());
        drop(std::os::unix::net::UnixListener::bind(beside(&database).unwrap()).unwrap());
        assert!(AdminSocket::connect(&database).await.unwrap().is_none());
        let socket = AdminSocket::bind(&database).unwrap();
        assert_eq!(fs::metadata(&socket.path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(AdminSocket::connect(&database).await.unwrap().is_some());
        let path = socket.path.clone();
        drop(socket);
        assert!(!path.exists());
        assert!(AdminSocket::connect(&database).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_folder_with_a_long_path_has_a_socket_too() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(200));
        fs::create_dir(&long).unwrap();
        let database = database(&long);
        let socket = AdminSocket::bind(&database).unwrap();
        assert!(long.join("notestamp.sqlite.socket").exists());
        assert!(AdminSocket::connect(&database).await.unwrap().is_some());
        drop(socket);
    }
}
