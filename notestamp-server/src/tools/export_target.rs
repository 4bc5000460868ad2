//! Where an export is written: a folder, or one file in the tar format.

use std::ffi::OsString;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use notestamp_store::Timestamp;
use notestamp_store::archive::{tar_end, tar_header, tar_padding};
use tokio::fs::{self, File};
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

/// The name of a file that is being written into a folder.
const PARTIAL: &str = ".notestamp-export.part";

/// Receives the files of an export. An interrupted export can be repeated: no file has its name before it is complete.
pub(super) enum ExportTarget {
    Folder(Folder),
    Tar(Tar),
}

pub(super) struct Folder {
    root: PathBuf,
    open: Option<Open>,
}

/// A file that is being written into a folder.
struct Open {
    file: File,
    path: PathBuf,
    modified: Timestamp,
}

pub(super) struct Tar {
    file: File,
    /// The name of the file until it is complete.
    partial: PathBuf,
    path: PathBuf,
    /// Where the entry that is being written begins, and the size of its content.
    begin: u64,
    size: u64,
}

impl ExportTarget {
    /// A path that ends in `.tar` names a file, any other path a folder.
    pub(super) async fn create(path: &Path) -> io::Result<Self> {
        if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tar")) {
            fs::create_dir_all(path).await?;
            return Ok(Self::Folder(Folder { root: path.to_owned(), open: None }));
        }
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut partial = OsString::from(path);
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).await?;
        Ok(Self::Tar(Tar { file, partial, path: path.to_owned(), begin: 0, size: 0 }))
    }

    pub(super) async fn begin_file(&mut self, path: &str, size: u64, modified: Timestamp) -> io::Result<()> {
        match self {
            Self::Folder(folder) => {
                let path = folder.root.join(path);
                let parent = path.parent().unwrap_or(&folder.root);
                fs::create_dir_all(parent).await?;
                let file = File::create(parent.join(PARTIAL)).await?;
                folder.open = Some(Open { file, path, modified });
                Ok(())
            }
            Self::Tar(tar) => {
                tar.begin = tar.file.stream_position().await?;
                tar.size = size;
                tar.file.write_all(&tar_header(path, size, modified)).await
            }
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Folder(Folder { open: Some(open), .. }) => open.file.write_all(bytes).await,
            Self::Folder(_) => Err(io::ErrorKind::InvalidData.into()),
            Self::Tar(tar) => tar.file.write_all(bytes).await,
        }
    }

    pub(super) async fn end_file(&mut self) -> io::Result<()> {
        match self {
            Self::Folder(folder) => match folder.open.take() {
                Some(open) => open.complete().await,
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            Self::Tar(tar) => tar.file.write_all(tar_padding(tar.size)).await,
        }
    }

    /// Leaves out the file that was begun.
    pub(super) async fn abandon_file(&mut self) -> io::Result<()> {
        match self {
            Self::Folder(folder) => match folder.open.take() {
                Some(open) => fs::remove_file(open.path.with_file_name(PARTIAL)).await,
                None => Ok(()),
            },
            Self::Tar(tar) => {
                tar.file.flush().await?;
                tar.file.set_len(tar.begin).await?;
                tar.file.seek(SeekFrom::Start(tar.begin)).await.map(drop)
            }
        }
    }

    /// Makes the export durable; a tar file gets its name now.
    pub(super) async fn finish(self) -> io::Result<()> {
        match self {
            Self::Folder(folder) => {
                let root = File::open(&folder.root).await?.into_std().await;
                // One call instead of one for each of many small files.
                let synced = tokio::task::spawn_blocking(move || rustix::fs::syncfs(&root)).await;
                synced?.map_err(io::Error::from)
            }
            Self::Tar(mut tar) => {
                tar.file.write_all(tar_end()).await?;
                tar.file.flush().await?;
                tar.file.sync_all().await?;
                fs::rename(&tar.partial, &tar.path).await?;
                let parent = tar.path.parent().filter(|parent| !parent.as_os_str().is_empty());
                File::open(parent.unwrap_or(Path::new("."))).await?.sync_all().await
            }
        }
    }
}

impl Open {
    async fn complete(mut self) -> io::Result<()> {
        self.file.flush().await?;
        let modified = Duration::from_millis(u64::try_from(self.modified.as_millis()).unwrap_or(0));
        let file = self.file.into_std().await;
        let set = move || file.set_modified(SystemTime::UNIX_EPOCH + modified);
        tokio::task::spawn_blocking(set).await??;
        fs::rename(self.path.with_file_name(PARTIAL), &self.path).await
    }
}
