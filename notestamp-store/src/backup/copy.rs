//! Takes a snapshot of a store, and copies the blobs that the backup does not have yet.

use std::collections::HashSet;
use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::blobs::Written;
use super::event::tell;
use super::lines::{EndLine, LostLine};
use super::snapshot_file::{SnapshotWriter, stem};
use super::{
    BackupError, BackupEvent, BackupEvents, BackupFinding, BackupFolder, BackupSource, BlobRef, SnapshotLine,
    SourceSnapshot,
};
use crate::domain::Digest;
use crate::error::Error;

/// How many blobs are copied concurrently.
const AT_ONCE: usize = 8;

/// How many snapshots are taken at most, until two in a row lack the same blobs: those are lost. A blob that only one lacks
/// was removed by a step that was committed while the hold was added.
const ATTEMPTS_MAX: usize = 4;

/// The outcome of a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupReport {
    /// The name of the snapshot.
    pub snapshot: String,
    /// The number of accounts.
    pub users: u64,
    /// The number of projects, without those in the trash.
    pub projects: u64,
    /// The number of versions.
    pub versions: u64,
    /// The number of projects in the trash.
    pub trashed: u64,
    /// The number of distinct blobs.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them were copied; the others were there already.
    pub copied: u64,
    /// Their bytes.
    pub copied_bytes: u64,
    /// How many records and blobs of the store cannot be read, and are not part of the backup.
    pub findings: u64,
}

/// Adds a snapshot of a store to the backup in a folder, which is created if it is absent.
///
/// It may be cancelled and repeated at any time: a later one does not copy again what this one has copied.
///
/// # Errors
/// - [`BackupError::WrongUse`] if the folder is the backup of another store, or no backup.
/// - If a file cannot be written, or the store does not respond.
pub async fn back_up(
    folder: &Path,
    source: &dyn BackupSource,
    events: &BackupEvents,
) -> Result<BackupReport, BackupError> {
    let folder = BackupFolder::create(folder)?;
    let mut copy = Copy { folder, source, events, copied: 0, copied_bytes: 0 };
    let mut lost_before = HashSet::new();
    for attempt in 1.. {
        let snapshot = source.begin().await?;
        copy.folder.claim(snapshot.store)?;
        let is_last = attempt == ATTEMPTS_MAX;
        match copy.attempt(snapshot, &lost_before, is_last).await? {
            Ok(report) => return Ok(report),
            Err(lost) => lost_before = lost,
        }
    }
    unreachable!("the last attempt has a report")
}

struct Copy<'a> {
    folder: BackupFolder,
    source: &'a dyn BackupSource,
    events: &'a BackupEvents,
    copied: u64,
    copied_bytes: u64,
}

/// The records have been written; these blobs are missing.
struct Records {
    writer: SnapshotWriter,
    end: EndLine,
    missing: Vec<BlobRef>,
    findings: Vec<BackupFinding>,
}

impl Copy<'_> {
    /// Takes a snapshot; returns the digests of the blobs that the store has lost, unless an earlier one lacked them too.
    async fn attempt(
        &mut self,
        snapshot: SourceSnapshot,
        lost_before: &HashSet<Digest>,
        is_last: bool,
    ) -> Result<Result<BackupReport, HashSet<Digest>>, BackupError> {
        let SourceSnapshot { time, lines, is_held, .. } = snapshot;
        let Records { mut writer, end, missing, mut findings } = self.write_records(lines).await?;
        let lost = self.copy(missing, &*is_held).await?;
        let digests: HashSet<Digest> = lost.iter().map(|(blob, _)| blob.digest).collect();
        if !is_last && !digests.is_subset(lost_before) {
            return Ok(Err(digests));
        }
        for (blob, detail) in lost {
            writer.write(&SnapshotLine::Lost(LostLine { digest: blob.digest, detail: detail.clone() }))?;
            let (kind, object) = (blob.kind.as_str().to_owned(), blob.object.to_string());
            findings.push(BackupFinding { name: "missing", kind, object, detail });
        }
        // What is named must be durable before the snapshot is.
        self.folder.blobs.sync()?;
        let EndLine { users, projects, versions, trashed, blobs, bytes, .. } = end;
        let time = writer.finish(&self.folder.snapshots_path(), time, end)?;
        let (snapshot, count) = (stem(time), findings.len() as u64);
        for finding in findings {
            tell(self.events, BackupEvent::Finding(finding)).await;
        }
        let Self { copied, copied_bytes, .. } = *self;
        Ok(Ok(BackupReport {
            snapshot,
            users,
            projects,
            versions,
            trashed,
            blobs,
            bytes,
            copied,
            copied_bytes,
            findings: count,
        }))
    }

    /// Writes the lines of the records, and collects the blobs that the folder does not have yet.
    async fn write_records(
        &self,
        mut lines: stream::BoxStream<'static, Result<SnapshotLine, BackupError>>,
    ) -> Result<Records, BackupError> {
        let mut writer = SnapshotWriter::create(&self.folder.snapshots_path())?;
        let (mut seen, mut missing, mut findings) = (HashSet::new(), Vec::new(), Vec::new());
        let mut end = EndLine {
            users: 0,
            projects: 0,
            versions: 0,
            trashed: 0,
            blobs: 0,
            bytes: 0,
            digest: Digest::of(b""),
        };
        while let Some(line) = lines.try_next().await? {
            match &line {
                SnapshotLine::User(_) => end.users += 1,
                SnapshotLine::Project(_) => end.projects += 1,
                SnapshotLine::Version(_) => end.versions += 1,
                SnapshotLine::Trashed(_) => end.trashed += 1,
                SnapshotLine::Damaged(_) => {}
                SnapshotLine::Lost(_) | SnapshotLine::End(_) => continue,
            }
            findings.extend(damage_of(&line));
            for blob in line.state().into_iter().flat_map(|state| state.objects()) {
                if !seen.insert(blob.digest) {
                    continue;
                }
                end.blobs += 1;
                end.bytes += blob.size;
                if self.folder.blobs.size_of(blob.digest)? != Some(blob.size) {
                    missing.push(blob);
                }
            }
            writer.write(&line.for_file())?;
        }
        Ok(Records { writer, end, missing, findings })
    }

    /// Copies blobs; returns those that the store has lost.
    async fn copy(
        &mut self,
        missing: Vec<BlobRef>,
        is_held: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Vec<(BlobRef, String)>, BackupError> {
        let total = missing.iter().map(|blob| blob.size).sum();
        let Self { folder, source, events, .. } = self;
        let (folder, source) = (&*folder, *source);
        let copies = stream::iter(missing).map(|blob| async move {
            let outcome = copy_one(folder, source, &blob).await?;
            Ok::<_, BackupError>((blob, outcome))
        });
        let mut copies = std::pin::pin!(copies.buffer_unordered(AT_ONCE));
        let (mut done, mut lost) = (0, Vec::new());
        while let Some((blob, outcome)) = copies.try_next().await? {
            done += blob.size;
            match outcome {
                None => {
                    self.copied += 1;
                    self.copied_bytes += blob.size;
                }
                Some(detail) => lost.push((blob, detail)),
            }
            tell(events, BackupEvent::Progress { done, total }).await;
        }
        if is_held() { Ok(lost) } else { Err(Error::HoldLost.into()) }
    }
}

/// What is damaged by the records alone.
fn damage_of(line: &SnapshotLine) -> Option<BackupFinding> {
    if let SnapshotLine::Damaged(damaged) = line {
        let (kind, object, detail) = (damaged.kind.clone(), damaged.id.clone(), damaged.detail.clone());
        return Some(BackupFinding { name: "damaged record", kind, object, detail });
    }
    let state = line.state().filter(|state| state.notes.digest.is_none())?;
    let (kind, object) = ("notes".to_owned(), state.id.to_string());
    let detail = format!("the ledger has no row of the notes of {}", state.describe());
    Some(BackupFinding { name: "missing", kind, object, detail })
}

/// Copies a blob; returns why the store cannot give its bytes.
async fn copy_one(
    folder: &BackupFolder,
    source: &dyn BackupSource,
    blob: &BlobRef,
) -> Result<Option<String>, BackupError> {
    let bytes = match source.read(blob).await {
        Err(BackupError::Store(Error::Corrupt(why))) => return Ok(Some(why)),
        bytes => bytes?,
    };
    match folder.blobs.write(blob.digest, blob.size, bytes).await {
        Ok(Written::Whole) => Ok(None),
        Ok(Written::Differs(digest, size)) => {
            Ok(Some(format!("it has {size} bytes with the digest {digest}, not {}", blob.digest)))
        }
        Err(BackupError::Store(Error::Corrupt(why))) => Ok(Some(why)),
        Err(error) => Err(error),
    }
}
