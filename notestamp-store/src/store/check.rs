//! The check: compares the ledger with the content of the blob stores. It changes nothing.

use std::collections::HashMap;

use futures_util::TryStreamExt;

use crate::blob::ListedObject;
use crate::domain::{Namespace, ObjectId, ObjectKind, ObjectState};
use crate::error::Result;
use crate::records::{DamagedRecord, RecordKind};

use super::Store;

/// How many records one read returns at most.
const STEP: usize = 1_000;

/// Where the ledger and the blob stores disagree.
///
/// After a sweep, and with the grace period over, all lists are empty if the store is not in use. Objects that are
/// written or deleted during the check may be reported; the next check does not report them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Live objects whose bytes are absent, or have another size than the ledger says.
    pub missing: Vec<ObjectId>,
    /// The paths of what lies in a blob store and has no row in the ledger.
    pub unaccounted: Vec<String>,
    /// Rows that the sweep will delete: reserved, doomed, or live without references.
    pub unreferenced: Vec<ObjectId>,
    /// Records that cannot be read. Lists, and the other fields of this report, leave them out.
    pub damaged: Vec<DamagedRecord>,
}

impl Store {
    /// Reads every record, and compares every row of the ledger with the content of the blob stores.
    ///
    /// # Errors
    /// If a backend does not respond.
    pub async fn check(&self) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let mut found = HashMap::new();
        for kind in ObjectKind::ALL {
            let mut listing = self.shared.blobs(kind).list();
            while let Some(object) = listing.try_next().await? {
                match object {
                    ListedObject::Object { namespace, object, size } => {
                        found.insert((kind, namespace, object), size);
                    }
                    ListedObject::Unknown(path) => report.unaccounted.push(path),
                }
            }
        }

        for kind in RecordKind::ALL {
            let mut after = None;
            loop {
                let page = self.shared.records.find_damaged(kind, after, STEP).await?;
                report.damaged.extend(page.damaged);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }

        let mut after = None;
        loop {
            let rows = self.shared.records.list_objects(after, STEP).await?;
            let Some(last) = rows.last() else {
                break;
            };
            after = Some(last.id);
            for row in rows {
                let size = found.remove(&(row.kind, row.namespace, row.id));
                if row.state == ObjectState::Live && size != row.content.map(|(_, size)| size) {
                    report.missing.push(row.id);
                }
                if row.state != ObjectState::Live || row.references == 0 {
                    report.unreferenced.push(row.id);
                }
            }
        }
        let path = |(kind, namespace, object): (ObjectKind, Namespace, ObjectId)| {
            format!("{kind:?}: {namespace}/{object}")
        };
        report.unaccounted.extend(found.into_keys().map(path));
        Ok(report)
    }
}
