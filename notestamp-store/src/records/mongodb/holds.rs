//! The holds of backups are one document, so that a read of all of them can be linearizable: a process whose primary
//! has been replaced must not miss the hold that another process has added at the new one.

use std::collections::HashMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use mongodb::bson::{RawDocumentBuf, Uuid, doc};
use mongodb::options::ReadConcern;
use mongodb::{ClientSession, Collection, SessionCursor};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::bson::uuid;
use super::collections::Collections;
use super::documents::objects::{InlineDocument, ObjectDocument};
use super::documents::projects::ProjectDocument;
use super::documents::read;
use super::documents::states::StateDocument;
use super::documents::users::UserDocument;
use super::error::{Failure, Result as StepResult, is_duplicate_key};
use super::transaction::Transaction;
use super::{MongoDbRecords, TIME_MAX, within};
use crate::domain::{Digest, Hold, HoldId, Object, ObjectId, ObjectState, Project, Trashed, User, Version};
use crate::error::{Error, Result};
use crate::records::{
    DamagedRecord, HoldStore, RecordKind, RecordSnapshot, SnapshotRecord, StateKind, StateRecord,
};

/// The id of the document in `meta` that holds the holds.
const ID: &str = "holds";

/// How many records of a snapshot are read ahead of their receiver.
const READ_AHEAD: usize = 64;

/// How many states are read at once, before the rows of their notes.
const STEP: usize = 200;

#[derive(Deserialize)]
struct HoldsDocument {
    holds: Vec<HoldDocument>,
}

#[derive(Deserialize)]
struct HoldDocument {
    id: Uuid,
    renewals: i64,
}

#[async_trait]
impl HoldStore for MongoDbRecords {
    async fn add_hold(&self, hold: Hold) -> Result<()> {
        let add = || {
            let new = doc! { "$push": { "holds": { "id": id(hold), "renewals": renewals(hold) } } };
            self.collections.meta.update_one(doc! { "_id": ID }, new).upsert(true)
        };
        self.bounded(async {
            match add().await {
                // Another process has created the document concurrently.
                Err(taken) if is_duplicate_key(&taken) => Ok(add().await.map(drop)?),
                added => Ok(added.map(drop)?),
            }
        })
        .await
    }

    async fn renew_hold(&self, hold: Hold) -> Result<bool> {
        let renew = doc! { "$set": { "holds.$.renewals": renewals(hold) } };
        let this = doc! { "_id": ID, "holds.id": id(hold) };
        self.bounded(async { Ok(self.collections.meta.update_one(this, renew).await?.matched_count > 0) })
            .await
    }

    async fn forget_hold(&self, hold: Hold) -> Result<()> {
        let forget = doc! { "$pull": { "holds": { "id": id(hold), "renewals": renewals(hold) } } };
        self.bounded(async {
            let Collections { meta, held_bytes, .. } = &self.collections;
            meta.update_one(doc! { "_id": ID }, forget).await?;
            // A hold that is added at this moment finds its bytes at the next attempt of its backup.
            if meta.find_one(doc! { "_id": ID, "holds.0": { "$exists": true } }).await?.is_none() {
                held_bytes.delete_many(doc! {}).await?;
            }
            Ok(())
        })
        .await
    }

    async fn list_holds(&self) -> Result<Vec<Hold>> {
        self.bounded(async {
            let meta = self.collections.meta.clone_with_type::<HoldsDocument>();
            let found = meta.find_one(doc! { "_id": ID }).read_concern(self.session_reads.clone()).await?;
            let mut holds: Vec<Hold> =
                found.into_iter().flat_map(|found| found.holds).map(Hold::from).collect();
            holds.sort_unstable();
            Ok(holds)
        })
        .await
    }

    async fn find_held_bytes(&self, id: ObjectId) -> Result<Option<Bytes>> {
        self.bounded(async {
            let found = self.collections.held_bytes.find_one(doc! { "_id": uuid(id.as_bytes()) }).await?;
            Ok(found.map(Bytes::from))
        })
        .await
    }

    async fn read_snapshot(&self, hold: HoldId) -> Result<RecordSnapshot> {
        let collections = self.collections.clone();
        let session = self.client.start_session().snapshot(true);
        let mut session = self.bounded(async { Ok(session.await?) }).await?;
        // The first read decides of which instant the snapshot is. Each read must name its concern: with that of the
        // client, the driver would read the present state.
        let held = doc! { "_id": ID, "holds.id": uuid(hold.as_bytes()) };
        let found = collections.meta.find_one(held).read_concern(ReadConcern::snapshot());
        let found = self.bounded(async { Ok(found.session(&mut session).await?) }).await?;
        if found.is_none() {
            return Err(Error::HoldLost);
        }
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let running = self.begin().map_err(Error::from)?;
        tokio::spawn(async move {
            let mut reading = Reading { collections, session, records: sender };
            if let Err(failure) = reading.all().await {
                // If the receiver has been dropped, its owner needs no error.
                let _ = reading.records.send(Err(failure.into())).await;
            }
            drop(running);
        });
        let records = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|record| (record, receiver))
        });
        Ok(records.boxed())
    }
}

impl From<HoldDocument> for Hold {
    fn from(document: HoldDocument) -> Self {
        let renewals = u64::try_from(document.renewals).unwrap_or(0);
        Self { id: HoldId::from_bytes(document.id.bytes()), renewals }
    }
}

fn id(hold: Hold) -> Uuid {
    uuid(hold.id.as_bytes())
}

fn renewals(hold: Hold) -> i64 {
    i64::try_from(hold.renewals).unwrap_or(i64::MAX)
}

/// Keeps the bytes of inline objects that are about to be removed, if there is a hold.
pub(super) async fn keep_bytes(transaction: &mut Transaction, gone: &[Uuid]) -> StepResult<()> {
    let Transaction { session, collections } = transaction;
    let Collections { meta, inline_bytes, held_bytes, .. } = collections;
    let any = doc! { "_id": ID, "holds.0": { "$exists": true } };
    if meta.find_one(any).session(&mut *session).await?.is_none() {
        return Ok(());
    }
    let mut found = inline_bytes.find(doc! { "_id": { "$in": gone } }).session(&mut *session).await?;
    let found: Vec<InlineDocument> =
        futures_util::TryStreamExt::try_collect(found.stream(&mut *session)).await?;
    if !found.is_empty() {
        held_bytes.insert_many(found).session(session).await?;
    }
    Ok(())
}

/// Reads a snapshot in its session.
struct Reading {
    collections: Collections,
    session: ClientSession,
    records: mpsc::Sender<Result<SnapshotRecord>>,
}

impl Reading {
    async fn all(&mut self) -> StepResult<()> {
        let Collections { users, projects, versions, trash, .. } = self.collections.clone();
        self.users(users.clone_with_type()).await?;
        self.states(RecordKind::Project, projects.clone_with_type(), |document| {
            Ok((StateKind::Current, read::<ProjectDocument, Project>(document)?))
        })
        .await?;
        self.states(RecordKind::Version, versions.clone_with_type(), |document| {
            let version = read::<StateDocument, Version>(document)?;
            Ok((StateKind::Replaced(version.replaced), version.project))
        })
        .await?;
        self.states(RecordKind::Trashed, trash.clone_with_type(), |document| {
            let trashed = read::<StateDocument, Trashed>(document)?;
            Ok((StateKind::Trashed(trashed.deleted), trashed.project))
        })
        .await
    }

    async fn users(&mut self, users: Collection<RawDocumentBuf>) -> StepResult<()> {
        let mut cursor = self.open(&users).await?;
        while let Some(document) = self.next(&mut cursor).await? {
            let record = match read::<UserDocument, User>(&document) {
                Ok(user) => SnapshotRecord::User(user),
                Err(damage) => SnapshotRecord::Damaged(damaged(RecordKind::User, &document, &damage)),
            };
            self.send(record).await?;
        }
        Ok(())
    }

    /// Sends all states of a collection, with the digests of their notes.
    async fn states(
        &mut self,
        kind: RecordKind,
        states: Collection<RawDocumentBuf>,
        read: impl Fn(&RawDocumentBuf) -> StepResult<(StateKind, Project)>,
    ) -> StepResult<()> {
        let mut cursor = self.open(&states).await?;
        loop {
            let mut some = Vec::with_capacity(STEP);
            while some.len() < STEP
                && let Some(document) = self.next(&mut cursor).await?
            {
                some.push(read(&document).map_err(|damage| damaged(kind, &document, &damage)));
            }
            if some.is_empty() {
                return Ok(());
            }
            let notes = some.iter().flatten().map(|(_, project)| uuid(project.notes.object.as_bytes()));
            let digests = self.digests(notes.collect()).await?;
            for state in some {
                let record = match state {
                    Ok((kind, project)) => {
                        let notes_digest = digests.get(&project.notes.object).copied();
                        SnapshotRecord::State(Box::new(StateRecord { kind, project, notes_digest }))
                    }
                    Err(damaged) => SnapshotRecord::Damaged(damaged),
                };
                self.send(record).await?;
            }
        }
    }

    /// The digests of live objects.
    async fn digests(&mut self, ids: Vec<Uuid>) -> StepResult<HashMap<ObjectId, Digest>> {
        let live = doc! { "_id": { "$in": ids }, "state": ObjectState::Live.as_str() };
        let rows = self.collections.objects.clone_with_type::<RawDocumentBuf>();
        let find = rows.find(live).read_concern(ReadConcern::snapshot()).session(&mut self.session);
        let mut cursor = within(TIME_MAX, async { Ok(find.await?) }).await?;
        let mut digests = HashMap::new();
        while let Some(document) = self.next(&mut cursor).await? {
            // Damaged rows are found by a check; here their notes count as lost.
            if let Ok(Object { id, content: Some((digest, _)), .. }) = read::<ObjectDocument, _>(&document) {
                digests.insert(id, digest);
            }
        }
        Ok(digests)
    }

    async fn open(
        &mut self,
        collection: &Collection<RawDocumentBuf>,
    ) -> StepResult<SessionCursor<RawDocumentBuf>> {
        let find = collection.find(doc! {}).sort(doc! { "_id": 1 });
        let find = find.read_concern(ReadConcern::snapshot()).session(&mut self.session);
        within(TIME_MAX, async { Ok(find.await?) }).await
    }

    async fn next(
        &mut self,
        cursor: &mut SessionCursor<RawDocumentBuf>,
    ) -> StepResult<Option<RawDocumentBuf>> {
        within(TIME_MAX, async { Ok(cursor.next(&mut self.session).await.transpose()?) }).await
    }

    async fn send(&mut self, record: SnapshotRecord) -> StepResult<()> {
        self.records.send(Ok(record)).await.map_err(|_| Failure::Closed)
    }
}

fn damaged(kind: RecordKind, document: &RawDocumentBuf, damage: &Failure) -> DamagedRecord {
    let key = match document.get("_id") {
        Ok(Some(id)) => id.as_binary().map(|id| id.bytes.to_vec()).unwrap_or_default(),
        _ => Vec::new(),
    };
    DamagedRecord::new(kind, &key, damage.to_string())
}
