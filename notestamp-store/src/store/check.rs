//! The check: compares the ledger with what lies in the blob stores. It changes nothing.

use std::collections::HashMap;

use futures_util::TryStreamExt;

use crate::blob::ListedObject;
use crate::domain::{Namespace, ObjectId, ObjectKind, ObjectState};
use crate::error::Result;
use crate::records::{DamagedRecord, RecordKind};

use super::Store;

/// How many rows of the ledger are read at once.
const STEP: usize = 1_000;

/// Where the ledger and the blob stores disagree.
///
/// All empty on a store at rest after a sweep with its grace over; on one in use, what comes and
/// goes during the check may be told, and is gone from the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Live objects whose bytes are not there, or not as many as they were.
    pub missing: Vec<ObjectId>,
    /// What lies in a blob store without a row in the ledger, by its path.
    pub unaccounted: Vec<String>,
    /// Rows that wait for a sweep: reserved, doomed, or live without references.
    pub unreferenced: Vec<ObjectId>,
    /// Records that cannot be read. They are left out of lists, and of all else that this report says.
    pub damaged: Vec<DamagedRecord>,
}

impl Store {
    /// Reads every record, and compares every row of the ledger with what lies in the blob stores.
    ///
    /// # Errors
    /// Where a backend does not answer.
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
