//! The check: compares the records, the ledger and the blob stores with each other, while the store is in use, and
//! repairs what can be repaired.
//!
//! Two readings at different times may differ without damage. So before anything is reported, it is read again in an
//! order that proves the damage: a row is written before its bytes and deleted after them, and a path is never used
//! again. Memory does not grow with the store: the ledger, the projects and the accounts are read by pages, and the
//! blob stores by their listings.

mod finding;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use crate::blob::ListedObject;
use crate::clock::Timestamp;
use crate::domain::{
    Digest, Hasher, Namespace, Object, ObjectId, ObjectKind, ObjectPlace, ObjectState, Project, Usage, User,
    UserId,
};
use crate::error::{Error, Result, error_chain};
use crate::records::{AuditedObject, RecordKind};

use super::Store;
use super::sweep::MARGIN_MIN;

pub use finding::{Finding, FindingName};

/// How many records one read returns at most, and how many if the bytes of each are read too.
const STEP: usize = 500;
const DEEP_STEP: usize = 50;

/// How many accounts one read returns at most: the projects of each are counted.
const ACCOUNTS_STEP: usize = 20;

/// How many objects are looked at concurrently, and how many are read.
const AT_ONCE: usize = 16;
const DEEP_AT_ONCE: usize = 4;

/// How many events may wait for their receiver.
const EVENTS_WAITING_MAX: usize = 64;

/// How much longer than necessary a row may wait for the sweep until it counts as stale.
const STALE_MARGIN: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// What a check does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckOptions {
    /// Read all bytes, and compare their digests.
    pub deep: bool,
    /// Repair what can be repaired. No byte that a record refers to is deleted or moved.
    pub repair: bool,
}

/// What a check reports while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckEvent {
    /// How many of the ledger's rows have been checked, and about how many there are.
    Progress {
        /// The rows that have been checked.
        done: u64,
        /// All rows.
        total: u64,
    },
    /// Damage.
    Finding(Finding),
    /// A row that the sweep will delete: reserved, doomed, or live without references. This is no damage.
    Unreferenced(ObjectId),
}

/// The result of a check.
///
/// After a sweep, and with the grace period over, it is empty if the store is not in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// All damage.
    pub findings: Vec<Finding>,
    /// Rows that the sweep will delete: reserved, doomed, or live without references.
    pub unreferenced: Vec<ObjectId>,
}

impl CheckReport {
    /// The findings of this name.
    pub fn named(&self, name: FindingName) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.name == name)
    }
}

impl Store {
    /// Checks everything except the digests of the bytes, repairs nothing, and returns all findings.
    ///
    /// # Errors
    /// If a backend does not respond.
    pub async fn check(&self) -> Result<CheckReport> {
        let (events, mut reported) = mpsc::channel(EVENTS_WAITING_MAX);
        let check = async move {
            let checked = self.check_with(CheckOptions::default(), &events).await;
            drop(events);
            checked
        };
        let collect = async {
            let mut report = CheckReport::default();
            while let Some(event) = reported.recv().await {
                match event {
                    CheckEvent::Finding(finding) => report.findings.push(finding),
                    CheckEvent::Unreferenced(object) => report.unreferenced.push(object),
                    CheckEvent::Progress { .. } => {}
                }
            }
            report
        };
        let (checked, report) = futures_util::join!(check, collect);
        checked.map(|()| report)
    }

    /// Checks the store, and reports what it finds while it goes on. It may be cancelled and repeated at any time.
    ///
    /// # Errors
    /// If a backend does not respond.
    pub async fn check_with(&self, options: CheckOptions, events: &mpsc::Sender<CheckEvent>) -> Result<()> {
        let now = self.shared.clock.now();
        let check = Check { store: self, options, events, now };
        // In this order: a lost row is restored before its bytes would count as unaccounted.
        let states_are_damaged = check.records().await?;
        check.projects().await?;
        check.ledger().await?;
        check.accounts(states_are_damaged).await?;
        for kind in ObjectKind::ALL {
            check.blobs(kind).await?;
        }
        Ok(())
    }
}

fn in_words(usage: &Usage) -> String {
    let Usage { projects, bytes, record_bytes, trashed, kept_bytes, kept_record_bytes } = usage;
    format!(
        "{projects} projects with {bytes} bytes and records of {record_bytes} bytes, and {trashed} projects in the trash; \
         trash and history have {kept_bytes} bytes and records of {kept_record_bytes} bytes"
    )
}

struct Check<'a> {
    store: &'a Store,
    options: CheckOptions,
    events: &'a mpsc::Sender<CheckEvent>,
    now: Timestamp,
}

impl Check<'_> {
    /// A receiver that is gone does not matter: its caller cancels the check.
    async fn tell(&self, event: CheckEvent) {
        let _ = self.events.send(event).await;
    }

    async fn report(&self, finding: Finding) {
        self.tell(CheckEvent::Finding(finding)).await;
    }

    /// Damage of an object, with a project that refers to it.
    async fn report_object(
        &self,
        object: &Object,
        name: FindingName,
        detail: String,
        repaired: bool,
    ) -> Result<()> {
        let referrers = self.store.shared.records.find_referrers(object.id).await?;
        let mut finding = Finding::new(name, object.kind.as_str(), detail);
        finding.object = Some(object.id.to_string());
        finding.is_repaired = repaired;
        if let Some((owner, title)) = referrers.first {
            finding.owner = Some(self.name_of(owner).await?);
            finding.title = Some(title.as_str().to_owned());
        }
        self.report(finding).await;
        Ok(())
    }

    /// The email address of an account; its id if the account has been removed or is damaged.
    async fn name_of(&self, owner: UserId) -> Result<String> {
        match self.store.find_account(owner).await {
            Ok(Some(user)) => Ok(user.email.as_str().to_owned()),
            Ok(None) | Err(Error::Corrupt(_)) => Ok(owner.to_string()),
            Err(error) => Err(error),
        }
    }

    /// Reports the records that cannot be read. Returns whether states of projects are among them: current, replaced or
    /// in the trash.
    async fn records(&self) -> Result<bool> {
        let mut states_are_damaged = false;
        for kind in RecordKind::ALL {
            let mut after = None;
            loop {
                let page = self.store.shared.records.find_damaged(kind, after, STEP).await?;
                for damaged in page.damaged {
                    let mut finding = Finding::new(FindingName::DamagedRecord, kind.as_str(), damaged.detail);
                    finding.object = Some(damaged.id);
                    self.report(finding).await;
                    states_are_damaged |=
                        matches!(kind, RecordKind::Project | RecordKind::Version | RecordKind::Trashed);
                }
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        Ok(states_are_damaged)
    }

    /// Looks for projects whose objects the ledger does not have.
    async fn projects(&self) -> Result<()> {
        let mut after = None;
        loop {
            let page = self.store.shared.records.find_dangling(after, STEP).await?;
            for project in page.projects {
                self.dangling(&project).await?;
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn dangling(&self, found: &Project) -> Result<()> {
        // It may have been saved or deleted meanwhile.
        let now = self.store.shared.records.find_project_by_id(found.owner, found.id).await?;
        let Some(project) = now.filter(|now| now.revision == found.revision) else { return Ok(()) };
        let (notes, namespace) = (project.notes, Namespace::Owner(project.owner));
        self.dangling_object(&project, ObjectKind::Notes, notes.object, namespace, None, notes.size).await?;
        if let Some(media) = project.media {
            let (digest, namespace) = (Some(media.digest), media.namespace);
            self.dangling_object(&project, ObjectKind::Media, media.object, namespace, digest, media.size)
                .await?;
        }
        Ok(())
    }

    /// Reports an object of a project that the ledger does not have, or has with other content. The check of the ledger
    /// reports one that is not live.
    async fn dangling_object(
        &self,
        project: &Project,
        kind: ObjectKind,
        id: ObjectId,
        namespace: Namespace,
        digest: Option<Digest>,
        size: u64,
    ) -> Result<()> {
        let row = match self.store.shared.records.find_object(id).await {
            // A damaged row is a finding of its own.
            Err(Error::Corrupt(_)) => return Ok(()),
            found => found?,
        };
        let (name, detail, repaired) = match row {
            Some(row) if row.state != ObjectState::Live => return Ok(()),
            Some(row) => match row.content {
                Some((_, in_ledger)) if in_ledger != size => {
                    let detail = format!("the project says {size} bytes, and the ledger {in_ledger}");
                    (FindingName::WrongLength, detail, false)
                }
                Some((in_ledger, _)) if digest.is_some_and(|digest| digest != in_ledger) => {
                    let detail = format!("the project and the ledger have different digests ({in_ledger})");
                    (FindingName::WrongDigest, detail, false)
                }
                _ => return Ok(()),
            },
            None => {
                let row = Object::reserve(id, kind, namespace, self.now);
                let repaired = self.options.repair && self.restore_row(row, digest, size).await?;
                (FindingName::Missing, "the ledger has no row of it".to_owned(), repaired)
            }
        };
        let mut finding = Finding::new(name, kind.as_str(), detail);
        finding.object = Some(id.to_string());
        finding.owner = Some(self.name_of(project.owner).await?);
        finding.title = Some(project.metadata.title.as_str().to_owned());
        finding.is_repaired = repaired;
        self.report(finding).await;
        Ok(())
    }

    /// Restores a lost row, if its bytes are those that the project says.
    async fn restore_row(&self, row: Object, digest: Option<Digest>, size: u64) -> Result<bool> {
        let inline = self.store.shared.records.find_inline_bytes(row.id).await?;
        let (place, found) = match inline {
            Some(bytes) => (ObjectPlace::Inline, Some(bytes.len() as u64)),
            None => {
                let found = self.store.shared.blobs(row.kind).size_of(row.namespace, row.id).await?;
                (ObjectPlace::BlobStore, found)
            }
        };
        if found != Some(size) {
            return Ok(false);
        }
        let row = Object { place, ..row };
        let found = match self.hash(&row, size).await? {
            Ok(found) => found,
            Err(_) => return Ok(false),
        };
        if digest.is_some_and(|digest| digest != found) {
            return Ok(false);
        }
        let row = Object { state: ObjectState::Live, content: Some((found, size)), ..row };
        repaired(self.store.shared.records.restore_row(&row).await)
    }

    async fn ledger(&self) -> Result<()> {
        let records = &self.store.shared.records;
        let total = records.count_objects().await?;
        let (step, at_once) = if self.options.deep { (DEEP_STEP, DEEP_AT_ONCE) } else { (STEP, AT_ONCE) };
        let (mut after, mut done) = (None, 0);
        loop {
            let rows = records.audit_objects(after, step).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.row.id);
            done += rows.len() as u64;
            let checks = stream::iter(rows).map(|audited| self.row(audited));
            checks.buffer_unordered(at_once).try_collect::<()>().await?;
            self.tell(CheckEvent::Progress { done, total: total.max(done) }).await;
        }
    }

    async fn row(&self, audited: AuditedObject) -> Result<()> {
        let AuditedObject { row, counted, inline_size } = audited;
        if row.references != counted {
            let detail = format!(
                "the row is {} with {} references, and {counted} refer to it",
                row.state.as_str(),
                row.references
            );
            let repaired = self.options.repair && self.correct_references(&row).await?;
            self.report_object(&row, FindingName::ReferenceCount, detail, repaired).await?;
        }
        if row.state == ObjectState::Live {
            self.bytes(&row, inline_size).await?;
        }
        if counted == 0 && (row.state != ObjectState::Live || row.references == 0) {
            self.unreferenced(&row).await?;
        }
        Ok(())
    }

    async fn correct_references(&self, row: &Object) -> Result<bool> {
        if row.state != ObjectState::Live {
            let found = self.store.shared.blobs(row.kind).size_of(row.namespace, row.id).await?;
            // Without its bytes, a live row would be one more lie.
            if found.is_none() || found != row.content.map(|(_, size)| size) {
                return Ok(false);
            }
        }
        repaired(self.store.shared.records.correct_references(row.id, self.now).await)
    }

    /// Checks the bytes of a live row.
    async fn bytes(&self, row: &Object, inline_size: Option<u64>) -> Result<()> {
        let Some((digest, size)) = row.content else { return Ok(()) };
        let found = match row.place {
            ObjectPlace::Inline => inline_size,
            ObjectPlace::BlobStore => {
                self.store.shared.blobs(row.kind).size_of(row.namespace, row.id).await?
            }
        };
        let (name, detail) = match found {
            None => (FindingName::Missing, "its bytes are absent".to_owned()),
            Some(found) if found != size => {
                (FindingName::WrongLength, format!("it has {found} bytes, not {size}"))
            }
            Some(_) if self.options.deep => match self.hash(row, size).await? {
                Ok(found) if found == digest => return Ok(()),
                Ok(found) => {
                    (FindingName::WrongDigest, format!("its bytes have the digest {found}, not {digest}"))
                }
                Err(reason) => (FindingName::WrongDigest, format!("its bytes cannot be read: {reason}")),
            },
            Some(_) => return Ok(()),
        };
        // A sweep may have deleted it meanwhile.
        let now = self.store.shared.records.find_object(row.id).await?;
        if now.is_some_and(|now| now.state == ObjectState::Live) {
            self.report_object(row, name, detail, false).await?;
        }
        Ok(())
    }

    /// The digest of the bytes of an object, or the reason why they cannot be read.
    async fn hash(&self, row: &Object, size: u64) -> Result<Result<Digest, String>> {
        let read = async {
            if row.place == ObjectPlace::Inline {
                let bytes = self.store.shared.records.find_inline_bytes(row.id).await?;
                let missing = || Error::Corrupt("its bytes are absent".to_owned());
                return bytes.map(|bytes| Digest::of(&bytes)).ok_or_else(missing);
            }
            let blobs = self.store.shared.blobs(row.kind);
            let mut bytes = blobs.read(row.namespace, row.id, size, None).await?;
            let mut hasher = Hasher::new();
            while let Some(chunk) = bytes.try_next().await? {
                hasher.update(&chunk);
            }
            Ok(hasher.finish().0)
        };
        match read.await {
            Ok(digest) => Ok(Ok(digest)),
            Err(error @ Error::Unavailable { .. }) => Err(error),
            Err(error) => Ok(Err(error_chain(&error))),
        }
    }

    /// A row that the sweep should delete, or should have deleted.
    async fn unreferenced(&self, row: &Object) -> Result<()> {
        let settings = self.store.settings();
        let lifetime = match row.state {
            ObjectState::Reserved => settings.upload_time_max.saturating_add(2 * MARGIN_MIN),
            ObjectState::Live => settings.sweep_grace,
            ObjectState::Doomed => std::time::Duration::ZERO,
        };
        if row.since >= self.now.before(lifetime.saturating_add(STALE_MARGIN)) {
            self.tell(CheckEvent::Unreferenced(row.id)).await;
            return Ok(());
        }
        let detail =
            format!("the row is {} since {}, and no sweep has deleted it", row.state.as_str(), row.since);
        let mut is_gone = false;
        if self.options.repair {
            if self.store.shared.keeps_reservations && self.store.shared.records.is_exclusive() {
                self.store.doom_reservations_of_the_past().await?;
            }
            self.store.sweep().await?;
            is_gone = self.store.shared.records.find_object(row.id).await?.is_none();
        } else if self.store.shared.records.find_object(row.id).await?.as_ref() != Some(row) {
            // A sweep has come to it since it was read.
            return Ok(());
        }
        self.report_object(row, FindingName::StaleRow, detail, is_gone).await
    }

    /// Compares the usage of the accounts with what is counted anew. What records cost is not compared if states of
    /// projects are damaged: then their size has changed, and that is reported already.
    async fn accounts(&self, states_are_damaged: bool) -> Result<()> {
        let records = &self.store.shared.records;
        let mut after = None;
        loop {
            let users = records.audit_usage(after, ACCOUNTS_STEP).await?;
            let Some((last, _)) = users.last() else { return Ok(()) };
            after = Some(last.id);
            let is_wrong = |(user, counted): &&(User, Usage)| {
                let counted = match states_are_damaged {
                    true => Usage {
                        record_bytes: user.usage.record_bytes,
                        kept_record_bytes: user.usage.kept_record_bytes,
                        ..*counted
                    },
                    false => *counted,
                };
                user.usage != counted
            };
            for (user, counted) in users.iter().filter(is_wrong) {
                let repaired = self.options.repair && repaired(records.correct_usage(user.id).await)?;
                let (stored, counted) = (in_words(&user.usage), in_words(counted));
                let detail = format!("the account says {stored}, and has {counted}");
                let mut finding = Finding::new(FindingName::Usage, RecordKind::User.as_str(), detail);
                finding.owner = Some(user.email.as_str().to_owned());
                finding.is_repaired = repaired;
                self.report(finding).await;
            }
        }
    }

    /// Looks for what lies in a blob store and has no row.
    async fn blobs(&self, kind: ObjectKind) -> Result<()> {
        let listing = self.store.shared.blobs(kind).list();
        let checks = listing.map(|listed| async move { self.listed(kind, listed?).await });
        checks.buffer_unordered(AT_ONCE).try_collect::<()>().await
    }

    async fn listed(&self, kind: ObjectKind, listed: ListedObject) -> Result<()> {
        let (blobs, records) = (self.store.shared.blobs(kind), &self.store.shared.records);
        if let Some((namespace, object)) = listed.object() {
            let row = match records.find_object(object).await {
                // A damaged row accounts for its bytes.
                Err(Error::Corrupt(_)) => return Ok(()),
                found => found?,
            };
            if row.is_some_and(|row| row.kind == kind && row.namespace == namespace) {
                return Ok(());
            }
            // A project may refer to an object whose row is lost: that is reported for the project.
            if records.find_referrers(object).await?.count > 0 {
                return Ok(());
            }
        }
        let entry = listed.path();
        // It may have been deleted, and its row forgotten, after it was listed.
        if !blobs.has_entry(&entry).await? {
            return Ok(());
        }
        let repaired = self.options.repair && repaired(blobs.quarantine(&entry).await.map(|()| true))?;
        let detail = match repaired {
            true => "no row of the ledger accounts for it; it has been moved under quarantine/",
            false => "no row of the ledger accounts for it",
        };
        let mut finding = Finding::new(FindingName::Unaccounted, kind.as_str(), detail.to_owned());
        finding.object = Some(entry);
        finding.is_repaired = repaired;
        self.report(finding).await;
        Ok(())
    }
}

/// Whether a repair has succeeded. The check goes on after a failed one, unless the backend is unavailable.
fn repaired(outcome: Result<bool>) -> Result<bool> {
    match outcome {
        Err(error @ Error::Unavailable { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(error = error_chain(&error), "a finding cannot be repaired");
            Ok(false)
        }
        repaired => repaired,
    }
}
