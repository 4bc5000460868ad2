use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use rusqlite::{Connection, OptionalExtension, Row};
use tokio::sync::mpsc;

use super::SqliteRecords;
use super::columns::Columns;
use super::error::{Failure, Result as StepResult};
use super::rows::projects::state_columns;
use super::rows::users::user_columns;
use super::rows::{projects, users};
use crate::clock::Timestamp;
use crate::domain::{Digest, Hold, HoldId, ObjectId};
use crate::error::{Error, Result};
use crate::records::{
    DamagedRecord, HoldStore, RecordKind, RecordSnapshot, SnapshotRecord, StateKind, StateRecord,
};

/// How many records of a snapshot are read ahead of their receiver.
const READ_AHEAD: usize = 64;

#[async_trait]
impl HoldStore for SqliteRecords {
    async fn add_hold(&self, hold: Hold) -> Result<()> {
        self.write_essential(move |connection| {
            let add = "INSERT OR REPLACE INTO holds (id, renewals) VALUES (?1, ?2)";
            connection.prepare_cached(add)?.execute((hold.id.as_bytes(), hold.renewals))?;
            Ok(())
        })
        .await
    }

    async fn renew_hold(&self, hold: Hold) -> Result<bool> {
        self.write_essential(move |connection| {
            let renew = "UPDATE holds SET renewals = ?2 WHERE id = ?1";
            Ok(connection.prepare_cached(renew)?.execute((hold.id.as_bytes(), hold.renewals))? > 0)
        })
        .await
    }

    async fn forget_hold(&self, hold: Hold) -> Result<()> {
        self.write_essential(move |connection| {
            let forget = "DELETE FROM holds WHERE id = ?1 AND renewals = ?2";
            connection.prepare_cached(forget)?.execute((hold.id.as_bytes(), hold.renewals))?;
            let forget = "DELETE FROM held_bytes WHERE NOT EXISTS (SELECT 1 FROM holds)";
            connection.prepare_cached(forget)?.execute(())?;
            Ok(())
        })
        .await
    }

    async fn list_holds(&self) -> Result<Vec<Hold>> {
        self.look_up(|connection| {
            let mut statement = connection.prepare_cached("SELECT id, renewals FROM holds ORDER BY id")?;
            let holds = statement.query_and_then((), |row| -> StepResult<_> {
                Ok(Hold { id: HoldId::from_bytes(row.get(0)?), renewals: row.get(1)? })
            })?;
            holds.collect()
        })
        .await
    }

    async fn find_held_bytes(&self, id: ObjectId) -> Result<Option<Bytes>> {
        self.look_up(move |connection| {
            let mut statement = connection.prepare_cached("SELECT bytes FROM held_bytes WHERE id = ?1")?;
            let bytes = statement.query_row([id.as_bytes()], |row| row.get::<_, Vec<u8>>(0));
            Ok(bytes.optional()?.map(Bytes::from))
        })
        .await
    }

    async fn read_snapshot(&self, hold: HoldId) -> Result<RecordSnapshot> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let send_error = sender.clone();
        let reading = self.readers.read_apart(move |connection| read(connection, hold, &sender));
        tokio::spawn(async move {
            if let Err(failure) = reading.await {
                // If the receiver has been dropped, its owner needs no error.
                let _ = send_error.send(Err(failure.into())).await;
            }
        });
        let mut records = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|record| (record, receiver))
        })
        .boxed()
        .peekable();
        // That the hold is gone is an error of this call.
        match std::pin::Pin::new(&mut records).next_if(Result::is_err).await {
            Some(Err(error)) => Err(error),
            _ => Ok(records.boxed()),
        }
    }
}

/// Keeps the bytes of an inline object that is about to be removed, if there is a hold.
pub(super) fn keep_bytes(connection: &Connection, id: ObjectId) -> StepResult<()> {
    let keep = "
        INSERT OR IGNORE INTO held_bytes (id, bytes)
        SELECT id, bytes FROM inline_bytes WHERE id = ?1 AND EXISTS (SELECT 1 FROM holds)";
    connection.prepare_cached(keep)?.execute([id.as_bytes()])?;
    Ok(())
}

type Records = mpsc::Sender<Result<SnapshotRecord>>;

/// Reads all records in one transaction.
fn read(connection: &Connection, hold: HoldId, records: &Records) -> StepResult<()> {
    let transaction = connection.unchecked_transaction()?;
    let is_there = "SELECT EXISTS (SELECT 1 FROM holds WHERE id = ?1)";
    if !transaction.query_one(is_there, [hold.as_bytes()], |row| row.get::<_, bool>(0))? {
        return Err(Error::HoldLost.into());
    }
    send(&transaction, USERS, RecordKind::User, records, |row| {
        Ok(SnapshotRecord::User(users::from_row(row)?))
    })?;
    send(&transaction, PROJECTS, RecordKind::Project, records, |row| state(row, |_| StateKind::Current))?;
    send(&transaction, VERSIONS, RecordKind::Version, records, |row| state(row, StateKind::Replaced))?;
    send(&transaction, TRASH, RecordKind::Trashed, records, |row| state(row, StateKind::Trashed))?;
    Ok(transaction.finish()?)
}

/// Sends all rows of a query, the first column of which is the id.
fn send(
    connection: &Connection,
    sql: &str,
    kind: RecordKind,
    records: &Records,
    read: impl Fn(&Row<'_>) -> StepResult<SnapshotRecord>,
) -> StepResult<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        let record = match read(row) {
            Err(failure) if failure.is_damage() => {
                let id: Vec<u8> = row.get(0)?;
                SnapshotRecord::Damaged(DamagedRecord::new(kind, &id, failure.to_string()))
            }
            record => record?,
        };
        if records.blocking_send(Ok(record)).is_err() {
            return Err(Failure::CallerGone);
        }
    }
    Ok(())
}

/// Reads a state of a project, then the time that its kind has, and the digest of its notes.
fn state(row: &Row<'_>, kind: impl Fn(Timestamp) -> StateKind) -> StepResult<SnapshotRecord> {
    let columns = &mut Columns::of(row);
    let project = projects::read_state(columns)?;
    let kind = kind(Timestamp::from_millis(columns.next()?));
    let notes_digest = columns.next::<Option<_>>()?.map(Digest::from_bytes);
    Ok(SnapshotRecord::State(Box::new(StateRecord { kind, project, notes_digest })))
}

const USERS: &str = concat!("SELECT ", user_columns!(), " FROM users ORDER BY id");

macro_rules! states {
    ($table:literal, $time:literal, $order:literal) => {
        concat!(
            "SELECT ",
            state_columns!(),
            ", ",
            $time,
            ", (SELECT digest FROM objects WHERE objects.id = states.notes AND state = 'live') FROM ",
            $table,
            " AS states ORDER BY ",
            $order
        )
    };
}

const PROJECTS: &str = states!("projects", "0", "id");
const VERSIONS: &str = states!("versions", "replaced", "id, revision");
const TRASH: &str = states!("trash", "deleted", "id");
