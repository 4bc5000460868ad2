//! Reads a backup again, and compares everything with its digests.

use std::collections::BTreeMap;
use std::path::Path;

use super::blobs::{Blobs, Found};
use super::{BackupError, BackupEvent, BackupFinding, BackupFolder, SnapshotLine};
use crate::domain::Digest;

/// The outcome of a verification.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// The number of snapshots.
    pub snapshots: u64,
    /// The number of blobs.
    pub blobs: u64,
    /// The bytes of the blobs.
    pub bytes: u64,
    /// How many of them are damaged or missing.
    pub findings: u64,
}

/// Reads all snapshots and all blobs of a backup. Blocks.
///
/// `tell` receives the findings and the progress; if it returns false, the verification ends.
///
/// # Errors
/// - [`BackupError::WrongUse`] if there is no backup.
/// - [`BackupError::Damaged`] if the manifest is damaged. All other damage is a finding.
pub fn verify(folder: &Path, mut tell: impl FnMut(BackupEvent) -> bool) -> Result<VerifyReport, BackupError> {
    let folder = BackupFolder::open(folder)?;
    let (mut report, mut findings) = (VerifyReport::default(), Vec::new());
    let mut needed = read_snapshots(&folder, &mut report, &mut findings)?;
    let found = folder.blobs.list()?;
    let sizes = found.iter().filter_map(|found| match found {
        Found::Blob(_, path) => path.metadata().ok().map(|found| found.len()),
        Found::Part(_) | Found::Unknown => None,
    });
    let total = sizes.sum();
    for found in found {
        let Found::Blob(digest, path) = found else { continue };
        let (hashed, size) = Blobs::hash(&path)?;
        report.blobs += 1;
        report.bytes += size;
        match needed.remove(&digest) {
            Some(expected) if size != expected => {
                let detail = format!("it has {size} bytes, not {expected}");
                findings.push(finding("wrong length", "blob", digest.to_string(), detail));
            }
            _ if hashed != digest => {
                let detail = format!("its bytes have the digest {hashed}");
                findings.push(finding("wrong digest", "blob", digest.to_string(), detail));
            }
            _ => {}
        }
        if !tell(BackupEvent::Progress { done: report.bytes, total }) {
            return Ok(report);
        }
    }
    let absent = needed
        .keys()
        .map(|digest| finding("missing", "blob", digest.to_string(), "a snapshot refers to it".to_owned()));
    for finding in findings.into_iter().chain(absent) {
        report.findings += 1;
        tell(BackupEvent::Finding(finding));
    }
    Ok(report)
}

/// Reads all snapshots; returns the blobs that they need, with their sizes.
fn read_snapshots(
    folder: &BackupFolder,
    report: &mut VerifyReport,
    findings: &mut Vec<BackupFinding>,
) -> Result<BTreeMap<Digest, u64>, BackupError> {
    let mut needed = BTreeMap::new();
    for snapshot in folder.snapshots()? {
        report.snapshots += 1;
        let (mut lost, mut blobs) = (Vec::new(), Vec::new());
        let read = snapshot.read(|line| {
            if let SnapshotLine::Lost(line) = &line {
                lost.push(line.digest);
            }
            blobs.extend(line.state().into_iter().flat_map(|state| state.blobs()));
            Ok(())
        });
        match read {
            Ok(_) => needed.extend(blobs.into_iter().filter(|(digest, _)| !lost.contains(digest))),
            Err(BackupError::Damaged(why)) => {
                let name = snapshot.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                findings.push(finding("damaged record", "snapshot", name, why));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(needed)
}

fn finding(name: &'static str, kind: &str, object: String, detail: String) -> BackupFinding {
    BackupFinding { name, kind: kind.to_owned(), object, detail }
}
