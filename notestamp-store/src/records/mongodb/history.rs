use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, TryStreamExt};
use mongodb::bson::{Binary, Document, RawDocumentBuf, doc};

use super::bson::{date, limit as document_limit, uuid};
use super::documents::readable;
use super::documents::states::{StateDocument, version_id};
use super::documents::versions::{PlaceDocument, TimesDocument};
use super::error::Result as StepResult;
use super::transaction::Transaction;
use super::{MongoDbRecords, account, purge};
use crate::clock::Timestamp;
use crate::domain::{Project, ProjectId, Revision, UserId, Version, VersionTimes};
use crate::error::Result;
use crate::protocol::Holding;
use crate::protocol::thinning::surplus;
use crate::records::{HistoryStore, RecordKind, ReplacedAt, ThinnedHistory};

/// How many versions one step thins out at most, so that its transaction stays short.
const THINNED_MAX: usize = 32;

#[async_trait]
impl HistoryStore for MongoDbRecords {
    async fn find_version(
        &self,
        owner: UserId,
        project: ProjectId,
        revision: Revision,
    ) -> Result<Option<Version>> {
        self.bounded(async {
            let filter = doc! { "_id": version_id(project, revision), "owner": uuid(owner.as_bytes()) };
            let found = self.collections.versions.find_one(filter).await?;
            let Some(version) = found.map(Version::try_from).transpose()? else { return Ok(None) };
            Ok(account::is_present(&self.collections, owner).await?.then_some(version))
        })
        .await
    }

    async fn list_versions(
        &self,
        owner: UserId,
        project: ProjectId,
        before: Option<Revision>,
        limit: usize,
    ) -> Result<Vec<Version>> {
        let versions = self.collections.versions.clone_with_type::<RawDocumentBuf>();
        let mut filter = doc! { "project": uuid(project.as_bytes()), "owner": uuid(owner.as_bytes()) };
        // A revision comes from a client and may be any number; no stored one is greater than `i64::MAX`.
        let before = before.and_then(|before| i64::try_from(before.get()).ok());
        filter.extend(before.map(|before| ("revision".to_owned(), doc! { "$lt": before }.into())));
        self.bounded(async {
            let (mut found, mut skip) = (Vec::new(), 0);
            // Damaged versions make no page shorter.
            while let Some(wanted) = document_limit(limit - found.len()) {
                let page =
                    versions.find(filter.clone()).sort(doc! { "revision": -1 }).skip(skip).limit(wanted);
                let page: Vec<RawDocumentBuf> = page.await?.try_collect().await?;
                found.extend(readable::<StateDocument, Version>(RecordKind::Version, &page));
                skip += page.len() as u64;
                if (page.len() as i64) < wanted {
                    break;
                }
            }
            Ok(if account::is_present(&self.collections, owner).await? { found } else { Vec::new() })
        })
        .await
    }

    async fn list_replaced(
        &self,
        span: Range<Timestamp>,
        after: Option<ReplacedAt>,
        limit: usize,
    ) -> Result<Vec<ReplacedAt>> {
        let Some(limit) = document_limit(limit) else { return Ok(Vec::new()) };
        let versions = self.collections.versions.clone_with_type::<RawDocumentBuf>();
        self.bounded(async {
            let fields = doc! { "_id": 0, "replaced": 1, "project": 1, "revision": 1, "owner": 1 };
            let found = versions.find(replaced_in(span, after)).projection(fields).limit(limit);
            let found = found.sort(doc! { "replaced": 1, "project": 1, "revision": 1 });
            let found: Vec<RawDocumentBuf> = found.await?.try_collect().await?;
            Ok(readable::<PlaceDocument, ReplacedAt>(RecordKind::Version, &found))
        })
        .await
    }

    async fn thin_history(
        &self,
        owner: UserId,
        project: ProjectId,
        history: Option<Duration>,
        limit: usize,
        now: Timestamp,
    ) -> Result<ThinnedHistory> {
        let limit = limit.min(THINNED_MAX);
        let context = (owner, project, history, limit, now);
        self.account_transaction(owner, &context, |transaction, (owner, project, history, limit, now)| {
            thin(transaction, *owner, *project, *history, *limit, *now).boxed()
        })
        .await
    }
}

async fn thin(
    transaction: &mut Transaction,
    owner: UserId,
    project: ProjectId,
    history: Option<Duration>,
    limit: usize,
    now: Timestamp,
) -> StepResult<ThinnedHistory> {
    let Some(user) = account::lock(transaction, owner).await? else { return Ok(ThinnedHistory::default()) };
    let times = times(transaction, project).await?;
    let surplus: Vec<_> = surplus(&times, history, now).into_iter().rev().take(limit).collect();
    let states = find_readable(transaction, project, &surplus).await?;
    let (purged, mut doomed) = (states.len(), Vec::new());
    let user = purge::purge(transaction, user, states, now, &mut doomed).await?;
    account::update_usage(transaction, &user).await?;
    Ok(ThinnedHistory { purged, doomed })
}

/// The times of the versions of a project, the newest first.
async fn times(transaction: &mut Transaction, project: ProjectId) -> StepResult<Vec<VersionTimes>> {
    let Transaction { session, collections } = transaction;
    let versions = collections.versions.clone_with_type::<RawDocumentBuf>();
    let found = versions.find(doc! { "project": uuid(project.as_bytes()) }).sort(doc! { "revision": -1 });
    let found = found.projection(doc! { "_id": 0, "revision": 1, "saved": 1, "replaced": 1 });
    let found: Vec<RawDocumentBuf> =
        found.session(&mut *session).await?.stream(session).try_collect().await?;
    Ok(readable::<TimesDocument, VersionTimes>(RecordKind::Version, &found))
}

/// These versions of a project, to be purged; those that are damaged are left out.
pub(super) async fn find_readable(
    transaction: &mut Transaction,
    project: ProjectId,
    revisions: &[Revision],
) -> StepResult<Vec<(Holding, Project)>> {
    if revisions.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Binary> = revisions.iter().map(|revision| version_id(project, *revision)).collect();
    purge::find_versions(transaction, doc! { "_id": { "$in": ids } }).await
}

fn replaced_in(span: Range<Timestamp>, after: Option<ReplacedAt>) -> Document {
    let in_span = doc! { "replaced": { "$gte": date(span.start), "$lt": date(span.end) } };
    let Some(ReplacedAt { replaced, project, revision, .. }) = after else { return in_span };
    let (replaced, project) = (date(replaced), uuid(project.as_bytes()));
    let revision = i64::try_from(revision.get()).unwrap_or(i64::MAX);
    let beyond = [
        doc! { "replaced": { "$gt": replaced } },
        doc! { "replaced": replaced, "project": { "$gt": project } },
        doc! { "replaced": replaced, "project": project, "revision": { "$gt": revision } },
    ];
    // The first condition bounds the walk along the index.
    let from = doc! { "replaced": { "$gte": replaced } };
    doc! { "$and": [from, in_span, { "$or": beyond }] }
}
