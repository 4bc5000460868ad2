//! The file of a snapshot. Its last line has the digest of all others, so a part of a snapshot is not taken for one.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::BackupError;
use super::lines::{EndLine, SnapshotLine};
use crate::clock::Timestamp;
use crate::disk::{private, sync_folder};
use crate::domain::{Digest, Hasher};

pub(super) const NAME: &str = "snapshots";
const EXTENSION: &str = ".jsonl";
const STAGED: &str = ".new";

/// The longest line: metadata and titles have limits far below it.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The last line is shorter than this.
const END_BYTES_MAX: u64 = 4 << 10;

/// A file with a snapshot.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SnapshotFile {
    pub(super) time: Timestamp,
    pub(super) path: PathBuf,
}

/// The name of a snapshot, without its extension: a time without colons, which some file systems do not allow.
pub(super) fn stem(time: Timestamp) -> String {
    time.to_string().replace(':', "-")
}

/// Parses the name of a snapshot, or an ISO 8601 time.
pub(super) fn parse_stem(text: &str) -> Option<Timestamp> {
    let with_colons = text
        .split_once('T')
        .and_then(|(date, time)| Timestamp::parse_iso8601(&format!("{date}T{}", time.replace('-', ":"))));
    with_colons.or_else(|| Timestamp::parse_iso8601(text))
}

impl SnapshotFile {
    /// The path of the snapshot with this name; `None` if the name is not valid for a snapshot.
    pub(super) fn named(folder: &Path, name: &str) -> Option<Self> {
        let time = parse_stem(name.strip_suffix(EXTENSION)?)?;
        (format!("{}{EXTENSION}", stem(time)) == name).then(|| Self { time, path: folder.join(name) })
    }

    /// Reads only the last line.
    pub(super) fn read_end(&self) -> Result<EndLine, BackupError> {
        let read = || {
            let mut file = File::open(&self.path)?;
            let len = file.metadata()?.len();
            file.seek(SeekFrom::Start(len.saturating_sub(END_BYTES_MAX)))?;
            let mut tail = Vec::new();
            file.read_to_end(&mut tail)?;
            Ok(tail)
        };
        let tail: Vec<u8> = read().map_err(BackupError::at(&self.path))?;
        let last = tail.strip_suffix(b"\n").and_then(|lines| lines.rsplit(|byte| *byte == b'\n').next());
        match last.map(serde_json::from_slice) {
            Some(Ok(SnapshotLine::End(end))) => Ok(end),
            _ => Err(self.damaged("has no end")),
        }
    }

    /// Reads all lines but the last one, and checks them against it. Returns the digest and the end.
    ///
    /// `each` is called before the digest has been compared.
    pub(super) fn read(
        &self,
        mut each: impl FnMut(SnapshotLine) -> Result<(), BackupError>,
    ) -> Result<EndLine, BackupError> {
        let file = File::open(&self.path).map_err(BackupError::at(&self.path))?;
        let (mut lines, mut hasher, mut line) = (BufReader::new(file), Hasher::new(), Vec::new());
        let mut number = 0_u64;
        loop {
            line.clear();
            number += 1;
            let mut limited = (&mut lines).take(LINE_BYTES_MAX);
            limited.read_until(b'\n', &mut line).map_err(BackupError::at(&self.path))?;
            let Some(text) = line.strip_suffix(b"\n") else {
                return Err(self.damaged(&format!("ends in line {number}, or that line is too long")));
            };
            let parsed: SnapshotLine = serde_json::from_slice(text)
                .map_err(|error| self.damaged(&format!("has an invalid line {number}: {error}")))?;
            if let SnapshotLine::End(end) = parsed {
                if !lines.fill_buf().map_err(BackupError::at(&self.path))?.is_empty() {
                    return Err(self.damaged("goes on after its end"));
                }
                return match hasher.finish().0 == end.digest {
                    true => Ok(end),
                    false => Err(self.damaged("does not have the digest of its last line")),
                };
            }
            hasher.update(&line);
            parsed.check()?;
            each(parsed)?;
        }
    }

    fn damaged(&self, why: &str) -> BackupError {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        BackupError::damaged(format!("the snapshot {name} {why}"))
    }
}

/// A snapshot that is being written, under a name that is not that of a snapshot.
pub(super) struct SnapshotWriter {
    staged: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
}

impl SnapshotWriter {
    pub(super) fn create(folder: &Path) -> Result<Self, BackupError> {
        let staged = folder.join(STAGED);
        let mut options = OpenOptions::new();
        let file = private(options.write(true).create(true).truncate(true)).open(&staged);
        let file = BufWriter::new(file.map_err(BackupError::at(&staged))?);
        Ok(Self { staged, file, hasher: Hasher::new() })
    }

    pub(super) fn write(&mut self, line: &SnapshotLine) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec(line).expect("it can be serialized");
        text.push(b'\n');
        self.hasher.update(&text);
        self.file.write_all(&text).map_err(BackupError::at(&self.staged))
    }

    /// Writes the last line, and gives the snapshot its name: the time, or a moment later if that is taken.
    pub(super) fn finish(
        mut self,
        folder: &Path,
        time: Timestamp,
        end: EndLine,
    ) -> Result<Timestamp, BackupError> {
        let digest: Digest = std::mem::take(&mut self.hasher).finish().0;
        self.write(&SnapshotLine::End(EndLine { digest, ..end }))?;
        let at = || BackupError::at(&self.staged);
        self.file.flush().map_err(at())?;
        self.file.get_ref().sync_all().map_err(at())?;
        let mut time = time;
        let path = loop {
            let path = folder.join(format!("{}{EXTENSION}", stem(time)));
            if !path.exists() {
                break path;
            }
            time = time.after(std::time::Duration::from_millis(1));
        };
        fs::rename(&self.staged, &path).map_err(at())?;
        sync_folder(folder).map_err(BackupError::at(folder))?;
        Ok(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_snapshot_is_its_time() {
        let time = Timestamp::from_millis(1_709_294_400_123);
        assert_eq!(stem(time), "2024-03-01T12-00-00.123Z");
        for text in ["2024-03-01T12-00-00.123Z", "2024-03-01T12:00:00.123Z", "2024-03-01T13:00:00.123+01:00"]
        {
            assert_eq!(parse_stem(text), Some(time), "{text}");
        }
        let folder = Path::new("/backup/snapshots");
        for name in ["../x.jsonl", "2024-03-01T12:00:00.123Z.jsonl", "2024-03-01T12-00-00.123Z", "..", ".new"]
        {
            assert_eq!(SnapshotFile::named(folder, name), None, "{name}");
        }
        let named = SnapshotFile::named(folder, "2024-03-01T12-00-00.123Z.jsonl").unwrap();
        assert_eq!((named.time, named.path.parent()), (time, Some(folder)));
    }
}
