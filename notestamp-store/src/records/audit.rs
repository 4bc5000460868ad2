use std::fmt;

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::domain::{Object, ObjectId, Project, ProjectId, Title, Usage, User, UserId};
use crate::error::Result;

/// Counts anew what the records keep as numbers, for a check, and corrects these numbers.
///
/// What one call returns was read from one snapshot, except where it says otherwise. Damaged records are left out.
#[async_trait]
pub trait RecordAudit: fmt::Debug + Send + Sync {
    /// How many rows the ledger has, for a display of progress: an estimate.
    async fn count_objects(&self) -> Result<u64>;

    /// Up to `limit` rows of the ledger in the order of their ids, after the id `after`, each with what belongs to it,
    /// counted anew.
    async fn audit_objects(&self, after: Option<ObjectId>, limit: usize) -> Result<Vec<AuditedObject>>;

    /// What refers to an object.
    async fn find_referrers(&self, id: ObjectId) -> Result<Referrers>;

    /// Reads up to `limit` projects of all accounts in the order of their ids, after the id `after`; returns those of
    /// which an object has no live row in the ledger, or one with another digest or size. This need not be a snapshot.
    async fn find_dangling(&self, after: Option<ProjectId>, limit: usize) -> Result<DanglingPage>;

    /// Up to `limit` accounts in the order of their ids, after the id `after`, each with its usage, counted anew.
    async fn audit_usage(&self, after: Option<UserId>, limit: usize) -> Result<Vec<(User, Usage)>>;

    /// Counts the references to an object anew and writes its row, as [`recount`](crate::protocol::recount) decides, in
    /// one transaction. Returns whether the row has changed.
    async fn correct_references(&self, id: ObjectId, now: Timestamp) -> Result<bool>;

    /// Counts the usage of an account anew and writes it, in one transaction. Returns whether there is such an account.
    async fn correct_usage(&self, id: UserId) -> Result<bool>;

    /// Adds the row of a live object that the ledger has lost, with the number of references to it, counted in the same
    /// transaction. Returns false, and adds nothing, if there is a row or nothing refers to the object.
    async fn restore_row(&self, row: &Object) -> Result<bool>;
}

/// A row of the ledger, and what belongs to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditedObject {
    /// The row.
    pub row: Object,
    /// How many references there are to the object.
    pub counted: u64,
    /// How many bytes of the object the records have; `None` if they have none of it.
    pub inline_size: Option<u64>,
}

/// What refers to an object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Referrers {
    /// How many references there are.
    pub count: u64,
    /// The owner and the title of one of the projects that refer to it.
    pub first: Option<(UserId, Title)>,
}

/// A page of the projects whose objects the ledger does not have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DanglingPage {
    /// The projects, in the order of their ids.
    pub projects: Vec<Project>,
    /// The id after which the next page begins; `None` after the last page.
    pub next: Option<ProjectId>,
}
