//! Restores a snapshot into an empty store.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use super::event::tell;
use super::lines::EndLine;
use super::snapshot_file::{SnapshotFile, parse_stem, stem};
use super::{
    BackupError, BackupEvent, BackupEvents, BackupFinding, BackupFolder, BlobTarget, RestoreTarget,
    SnapshotLine, StateLine, UserLine,
};
use crate::domain::{Digest, Namespace, ProjectId, RestoreId, Revision, UserId};

/// How many blobs are written concurrently.
const AT_ONCE: usize = 8;

/// How many records are written at once.
const STEP: usize = 64;

/// The outcome of a restore.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RestoreReport {
    /// The name of the snapshot.
    pub snapshot: String,
    /// The number of accounts.
    pub users: u64,
    /// The number of states of projects: current ones, versions, and the trash.
    pub states: u64,
    /// The number of objects that were written.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many states could not be restored, because the store had lost their bytes before the backup.
    pub findings: u64,
}

/// Restores the snapshot of this name, or the latest one, into an empty store.
///
/// It may be cancelled at any time. Then the target refuses everything but the same restore, which goes on.
///
/// # Errors
/// - [`BackupError::WrongUse`] if there is no backup or no such snapshot.
/// - [`BackupError::Damaged`] if the snapshot or one of its blobs is damaged.
/// - That of the target, if it is not empty or does not respond.
pub async fn restore(
    folder: &Path,
    snapshot: Option<&str>,
    target: &dyn RestoreTarget,
    events: &BackupEvents,
) -> Result<RestoreReport, BackupError> {
    let time = match snapshot {
        None => None,
        Some(text) => Some(parse_stem(text).ok_or_else(|| {
            BackupError::WrongUse(format!("{text:?} is no time: `backup list` prints those of the snapshots"))
        })?),
    };
    let folder = BackupFolder::open(folder)?;
    let snapshot = folder.find(time)?;
    let plan = Plan::read(&folder, &snapshot)?;
    let id = target.begin(plan.end.digest).await?;
    Restore { folder: &folder, snapshot: &snapshot, plan: &plan, target, events, id, done: Done::default() }
        .run()
        .await
}

/// What the snapshot contains, read before anything is written.
struct Plan {
    end: EndLine,
    /// The accounts.
    users: HashSet<UserId>,
    /// The digests of blobs that the store had lost.
    lost: HashSet<Digest>,
    /// The projects whose current state, or state in the trash, cannot be restored.
    lost_projects: HashSet<ProjectId>,
    /// Each object of media, with its size and the number of states that refer to it.
    media: BTreeMap<(Namespace, Digest), (u64, u64)>,
    /// The bytes of all objects.
    bytes: u64,
}

impl Plan {
    /// Reads the snapshot, and checks that its blobs are there and as long as they should be.
    fn read(folder: &BackupFolder, snapshot: &SnapshotFile) -> Result<Self, BackupError> {
        let (mut users, mut lost) = (HashSet::new(), HashSet::new());
        let end = snapshot.read(|line| {
            match &line {
                SnapshotLine::User(user) => drop(users.insert(user.id)),
                SnapshotLine::Lost(line) => drop(lost.insert(line.digest)),
                _ => {}
            }
            Ok(())
        })?;
        let (media, lost_projects) = (BTreeMap::new(), HashSet::new());
        let mut plan = Self { end, users, lost, lost_projects, media, bytes: 0 };
        let mut lost_projects = HashSet::new();
        snapshot.read(|line| {
            if let SnapshotLine::Project(state) | SnapshotLine::Trashed(state) = &line
                && !plan.has_bytes(state)
            {
                lost_projects.insert(state.id);
            }
            Ok(())
        })?;
        plan.lost_projects = lost_projects;
        let mut found = HashSet::new();
        snapshot.read(|line| plan.add(folder, &mut found, &line))?;
        plan.bytes += plan.media.values().map(|(size, _)| size).sum::<u64>();
        Ok(plan)
    }

    /// Counts what a line needs.
    fn add(
        &mut self,
        folder: &BackupFolder,
        found: &mut HashSet<Digest>,
        line: &SnapshotLine,
    ) -> Result<(), BackupError> {
        let Some(state) = line.state() else { return Ok(()) };
        if !self.users.contains(&state.owner) {
            return Err(BackupError::damaged(format!("the account of {} is missing", state.describe())));
        }
        if !self.is_whole(state) {
            return Ok(());
        }
        for (digest, size) in state.blobs() {
            if found.insert(digest) && folder.blobs.size_of(digest)? != Some(size) {
                let message = format!("the blob {digest} is missing, or does not have {size} bytes");
                return Err(BackupError::damaged(message));
            }
        }
        self.bytes += state.notes.size;
        if let Some(media) = &state.media {
            let (_, references) =
                self.media.entry((media.namespace, media.digest)).or_insert((media.size, 0));
            *references += 1;
        }
        Ok(())
    }

    /// Whether a state can be restored.
    fn is_whole(&self, state: &StateLine) -> bool {
        self.has_bytes(state) && !self.lost_projects.contains(&state.id)
    }

    /// Whether the backup has the bytes of a state.
    fn has_bytes(&self, state: &StateLine) -> bool {
        state.notes.digest.is_some() && state.blobs().all(|(digest, _)| !self.lost.contains(&digest))
    }
}

#[derive(Default)]
struct Done {
    states: u64,
    objects: u64,
    bytes: u64,
    findings: u64,
    /// The accounts of which a state could not be restored.
    recount: BTreeSet<UserId>,
}

struct Restore<'a> {
    folder: &'a BackupFolder,
    snapshot: &'a SnapshotFile,
    plan: &'a Plan,
    target: &'a dyn RestoreTarget,
    events: &'a BackupEvents,
    id: RestoreId,
    done: Done,
}

impl Restore<'_> {
    async fn run(mut self) -> Result<RestoreReport, BackupError> {
        let media = self.plan.media.iter().map(|((namespace, digest), (size, references))| BlobTarget {
            namespace: *namespace,
            notes_of: None,
            digest: *digest,
            size: *size,
            references: *references,
        });
        self.put_blobs(media.collect()).await?;
        let mut lines = self.lines();
        let (mut states, mut users) = (Vec::new(), Vec::new());
        while let Some(line) = lines.recv().await {
            match line? {
                SnapshotLine::User(user) => users.push(user),
                SnapshotLine::Project(state)
                | SnapshotLine::Version(state)
                | SnapshotLine::Trashed(state) => {
                    if self.plan.is_whole(&state) {
                        states.push(state);
                    } else {
                        self.leave_out(&state).await;
                    }
                }
                _ => {}
            }
            if states.len() == STEP {
                self.put_states(std::mem::take(&mut states)).await?;
            }
        }
        self.put_states(states).await?;
        self.put_users(&users).await?;
        let recount: Vec<UserId> = self.done.recount.iter().copied().collect();
        self.target.end(self.id, &recount).await?;
        let Done { states, objects, bytes, findings, .. } = self.done;
        let (snapshot, users) = (stem(self.snapshot.time), self.plan.end.users);
        Ok(RestoreReport { snapshot, users, states, objects, bytes, findings })
    }

    /// The lines of the snapshot, read by another thread.
    fn lines(&self) -> mpsc::Receiver<Result<SnapshotLine, BackupError>> {
        let (sender, receiver) = mpsc::channel(STEP);
        let snapshot = self.snapshot.clone();
        spawn_blocking(move || {
            let read = snapshot.read(|line| {
                let gone = || BackupError::WrongUse("the restore was cancelled".to_owned());
                sender.blocking_send(Ok(line)).map_err(|_| gone())
            });
            if let Err(error) = read {
                // If the receiver has been dropped, its owner needs no error.
                let _ = sender.blocking_send(Err(error));
            }
        });
        receiver
    }

    async fn put_states(&mut self, states: Vec<StateLine>) -> Result<(), BackupError> {
        if states.is_empty() {
            return Ok(());
        }
        let notes = states.iter().filter_map(|state| {
            Some(BlobTarget {
                namespace: Namespace::Owner(state.owner),
                notes_of: Some((state.id, Revision::new(state.revision))),
                digest: state.notes.digest?,
                size: state.notes.size,
                references: 1,
            })
        });
        self.put_blobs(notes.collect()).await?;
        self.target.put_states(self.id, &states).await?;
        self.done.states += states.len() as u64;
        Ok(())
    }

    async fn put_users(&self, users: &[UserLine]) -> Result<(), BackupError> {
        for some in users.chunks(STEP) {
            self.target.put_users(self.id, some).await?;
        }
        Ok(())
    }

    async fn put_blobs(&mut self, blobs: Vec<BlobTarget>) -> Result<(), BackupError> {
        let Self { folder, target, id, .. } = *self;
        let writes = stream::iter(blobs).map(|blob| async move {
            target.put_blob(id, &blob, folder.blobs.read(blob.digest)).await.map(|()| blob.size)
        });
        let mut writes = std::pin::pin!(writes.buffer_unordered(AT_ONCE));
        while let Some(size) = writes.try_next().await? {
            self.done.objects += 1;
            self.done.bytes += size;
            let (done, total) = (self.done.bytes, self.plan.bytes);
            tell(self.events, BackupEvent::Progress { done, total }).await;
        }
        Ok(())
    }

    async fn leave_out(&mut self, state: &StateLine) {
        self.done.findings += 1;
        self.done.recount.insert(state.owner);
        let (kind, object) = ("project".to_owned(), state.id.to_string());
        let detail = format!("{} is not restored: the store had lost its bytes", state.describe());
        let finding = BackupFinding { name: "missing", kind, object, detail };
        tell(self.events, BackupEvent::Finding(finding)).await;
    }
}
