//! Saving a project: reserve, write, commit, respond. Notes and media are written here and nowhere else. Small notes are
//! inline: without new media, such a save is one transaction.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, pin_mut};

use crate::blob::{Ingest, StagedObject, wait_briefly};
use crate::clock::{MonotonicTime, Timestamp};
use crate::domain::{
    Caller, Digest, MediaRef, Metadata, Namespace, Notes, Object, ObjectId, ObjectKind, Precondition,
    Project, ProjectId,
};
use crate::error::{Error, Result, error_chain};
use crate::memory_budget::{MemoryScope, MemoryShare};
use crate::protocol::{MediaCheck, MediaOffer, NewNotes, SaveCommit, Written, check_precondition};
use crate::records::SaveOutcome;

use super::media_quota::MediaQuota;
use super::open::digest_of;
use super::reservation::Reservation;
use super::uploads::UploadPlace;
use super::{Shared, Store};

/// A save in progress. Its media may arrive before its title and notes are known.
///
/// If it is dropped before [`commit`](Self::commit), the save has no effect: the bytes that it wrote are deleted.
pub struct Save {
    store: Store,
    caller: Caller,
    reservation: Reservation,
    /// The deadline of the upload; well before a sweep may doom the rows of this save.
    deadline: MonotonicTime,
    media: Option<(ObjectId, StagedObject)>,
    /// The scope in which it holds bytes in memory.
    scope: MemoryScope,
    /// The memory that the notes take.
    memory: Option<MemoryShare>,
    /// Among the uploads in progress of the account.
    place: UploadPlace,
    /// The project of which a version is restored.
    restores: Option<ProjectId>,
    /// When the state counts as saved, if it is imported with its time.
    at: Option<Timestamp>,
}

/// The request of a save, except the bytes of its media.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// The metadata of the project. Its title names the project.
    pub metadata: Metadata,
    /// The new notes, which replace the old ones.
    pub notes: Notes,
    /// The digest of the media. If media bytes were received, they must have this digest; if not, this is a reference
    /// to media of any project of the same owner, in the history and the trash too.
    pub media_digest: Option<Digest>,
    /// The condition that the project must meet for the save to be written.
    pub precondition: Precondition,
}

impl SaveRequest {
    /// A save without a precondition and without a media digest.
    pub fn new(metadata: Metadata, notes: Notes) -> Self {
        Self { metadata, notes, media_digest: None, precondition: Precondition::None }
    }
}

/// How many times a commit is retried because it needs to know more about the media. Each attempt knows more than the
/// one before, so this limit only prevents an endless loop after a fault.
const RACES_MAX: usize = 16;

impl Store {
    /// Begins to save a project of the caller's account. A session that the caller names must still be open at the
    /// commit. Of many saves of one account, some are in progress, and the others wait here.
    ///
    /// # Errors
    /// [`Error::TooManyUploads`] if the account has too many in progress for a few seconds.
    pub async fn begin_save(&self, caller: impl Into<Caller>) -> Result<Save> {
        let caller = caller.into();
        let place = self.shared.uploads.begin(caller.user).await?;
        let deadline = self.shared.clock.monotonic().after(self.settings().upload_time_max);
        let (reservation, scope) = (Reservation::new(self.clone()), self.memory_of(caller));
        Ok(Save {
            store: self.clone(),
            caller,
            reservation,
            deadline,
            media: None,
            scope,
            memory: None,
            place,
            restores: None,
            at: None,
        })
    }
}

impl Save {
    /// Receives the media of the save: the body is streamed to the media store, and hashed and counted meanwhile.
    ///
    /// # Errors
    /// - [`Error::TooLarge`], [`Error::UploadExpired`] if the body exceeds the limits of the settings.
    /// - [`Error::QuotaExceeded`] as soon as the body, with the other uploads in progress of the account, exceeds what is
    ///   left of its quota; except that media may be as large as all that the account uses, because it may be media that
    ///   the account has already.
    /// - [`Error::Body`] if the body ends with an error.
    /// - [`Error::Full`] if too little space is free.
    /// - [`Error::OutOfMemory`] if other requests hold too much memory, or need that of this save, whose body is slow.
    /// - The errors of the backends.
    ///
    /// # Panics
    /// If the save has media already.
    pub async fn write_media<S, E>(&mut self, body: S) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        assert!(self.media.is_none(), "a save has one media file");
        self.store.ensure_room_for(&[ObjectKind::Media]).await?;
        let quota = MediaQuota::of(&self.store, self.caller.user).await?;
        let shared = self.store.shared.clone();
        let namespace = shared.media_namespace(self.caller.user);
        let written = async {
            let object = self.reserve(ObjectKind::Media, namespace).await?;
            let mut ingest = shared.media.ingest(namespace, object).within(self.scope.clone());
            match self.pump(body, &mut ingest, quota).await {
                Ok(()) => Ok((object, ingest.stage().await?)),
                Err(error) => {
                    abort(ingest.abort()).await;
                    Err(error)
                }
            }
        };
        match written.await {
            Ok(media) => {
                self.media = Some(media);
                Ok(())
            }
            // A backend is unavailable: the caller must not wait for the cleanup too. It happens when this save is
            // dropped, or in the sweep.
            Err(error @ Error::Unavailable { .. }) => Err(error),
            Err(error) => {
                self.reservation.abort().await;
                Err(error)
            }
        }
    }

    /// The scope in which this save holds bytes in memory. What is read for the save before its commit belongs to it too.
    pub fn memory(&self) -> &MemoryScope {
        &self.scope
    }

    /// Makes it a save that restores a version of this project: what the request leaves out is removed.
    pub(super) fn restoring(self, project: ProjectId) -> Self {
        Self { restores: Some(project), ..self }
    }

    /// Makes it a save of the past: for a state that is imported, this is when it was saved.
    pub(super) fn at(self, saved: Option<Timestamp>) -> Self {
        Self { at: saved, ..self }
    }

    /// Holds memory until the save has ended, even if its caller has gone before.
    pub fn hold(&mut self, memory: MemoryShare) {
        self.memory = Some(memory);
    }

    /// Commits the save; returns the project after the save.
    ///
    /// Once polled, it runs to its end, even if the caller drops the future.
    ///
    /// # Errors
    /// The errors of [`plan_save`](crate::protocol::plan_save) and of the backends, [`Error::DigestMismatch`] and
    /// [`Error::TooLarge`]. After [`Error::Unavailable`] the outcome is unknown; after any other error nothing is
    /// saved. The written bytes are then deleted at once; the sweep deletes those of a write with an unknown outcome.
    pub async fn commit(self, request: SaveRequest) -> Result<Project> {
        self.commit_unless(request, future::pending()).await
    }

    /// Commits like [`commit`](Self::commit), but cancels the commit when the future `cancelled` completes first. A
    /// cancelled commit has stopped before this returns, so it cannot overwrite a later save of the same caller.
    ///
    /// # Errors
    /// The errors of [`commit`](Self::commit); [`Error::Unavailable`] if the commit was cancelled.
    pub async fn commit_unless(
        self,
        request: SaveRequest,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Project> {
        let tasks = self.store.shared.tasks.clone();
        let mut committing = tasks.spawn(self.run_commit(request));
        let ended = tokio::select! {
            biased;
            ended = &mut committing => ended,
            () = cancelled => {
                committing.abort();
                committing.await
            }
        };
        match ended {
            Ok(committed) => committed,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(ended) => Err(Error::Unavailable { backend: "runtime", source: ended.into() }),
            },
        }
    }

    async fn run_commit(mut self, request: SaveRequest) -> Result<Project> {
        let committed = self.try_commit(request).await;
        if let Some((_, unused)) = self.media.take() {
            abort(unused.abort()).await;
        }
        match committed {
            Ok((project, doomed)) => {
                self.memory = None;
                self.store.delete_doomed_later(doomed);
                Ok(project)
            }
            Err(error) => {
                self.reservation.abort().await;
                Err(error)
            }
        }
    }

    async fn try_commit(&mut self, request: SaveRequest) -> Result<(Project, Vec<Object>)> {
        let shared = self.store.shared.clone();
        let bytes = request.notes.as_bytes().clone();
        let max = shared.settings.notes_bytes_max;
        if bytes.len() as u64 > max {
            return Err(Error::TooLarge { what: "notes", max });
        }

        let owner = self.caller.user;
        let is_inline = bytes.len() as u64 <= shared.notes_inline_bytes_max();
        let kept = if is_inline && self.media.is_none() && request.media_digest.is_none() {
            // Nothing is written before the commit, and the commit checks all of this.
            None
        } else {
            self.check_early(&request).await?.and_then(|project| project.media)
        };
        let offer = self.offer(request.media_digest)?;
        if let (Some(kept), Some(offer), None) = (kept, offer, shared.settings.history)
            && kept.digest != offer.digest()
        {
            return Err(Error::MediaDiffers);
        }
        let namespace = shared.media_namespace(owner);
        let (notes, (media, checks)) = if is_inline {
            self.store.ensure_room_for(&[]).await?;
            let media = self.completed_if_needed(offer, kept, namespace).await?;
            let (bytes, digest) = digest_of(bytes).await;
            let object = ObjectId::generate(shared.clock.now(), &*shared.random);
            (NewNotes::Inline { object, digest, bytes }, media)
        } else {
            self.write_notes(bytes, offer, kept, namespace).await?
        };
        if media.is_some() {
            self.store.check_folder(ObjectKind::Media).await?;
        }

        let now = self.at.unwrap_or_else(|| shared.clock.now());
        let commit = SaveCommit {
            caller: self.caller,
            new_id: ProjectId::generate(now, &*shared.random),
            metadata: request.metadata,
            precondition: request.precondition,
            notes,
            media,
            checks,
            namespace,
            restores: self.restores,
            history: shared.settings.history,
            quota_bytes_max: shared.settings.quota_bytes_max,
            projects_max: shared.settings.projects_max,
            now,
        };
        self.commit_when_known(commit).await
    }

    /// Commits as soon as everything is known that the commit needs; returns the project and the doomed objects.
    async fn commit_when_known(&mut self, mut commit: SaveCommit) -> Result<(Project, Vec<Object>)> {
        for _ in 0..RACES_MAX {
            match (self.commit_rows(&commit).await?, commit.media) {
                (SaveOutcome::Saved { project, doomed }, _) => return Ok((*project, doomed)),
                // The object with these bytes was doomed between our check and our commit, or its bytes are lost.
                (SaveOutcome::BytesNeeded, Some(MediaOffer::Staged(written))) => {
                    commit.media = Some(self.complete(written).await?);
                }
                (SaveOutcome::BytesNeeded, _) => {
                    return Err(Error::Corrupt("complete media was asked for again".to_owned()));
                }
                (SaveOutcome::CheckNeeded(media), _) => {
                    commit.checks.push(self.store.check_media(&media).await?)
                }
            }
        }
        Err(Error::Unavailable {
            backend: self.store.shared.records.name(),
            source: "the media is replaced faster than it can be checked".into(),
        })
    }

    /// Checks, before anything is written, what the commit will check again. Returns the project of this title.
    async fn check_early(&mut self, request: &SaveRequest) -> Result<Option<Project>> {
        let records = &self.store.shared.records;
        let found = records.find_project(self.caller.user, &request.metadata.title).await?;
        // Checked before the precondition: a failed precondition already reveals something about the project.
        self.store.admit(self.caller).await?;
        check_precondition(&request.precondition, found.as_ref().map(|project| project.revision))?;
        Ok(found)
    }

    /// Writes the notes to the notes store, and completes the media meanwhile if that is needed.
    async fn write_notes(
        &mut self,
        bytes: Bytes,
        offer: Option<MediaOffer>,
        kept: Option<MediaRef>,
        namespace: Namespace,
    ) -> Result<(NewNotes, (Option<MediaOffer>, Vec<MediaCheck>))> {
        self.store.ensure_room_for(&[ObjectKind::Notes]).await?;
        let (shared, home) = (self.store.shared.clone(), Namespace::Owner(self.caller.user));
        let object = self.reserve(ObjectKind::Notes, home).await?;
        let (bytes, digest) = digest_of(bytes).await;
        let notes = Written { object, digest, size: bytes.len() as u64 };
        self.reservation.may_appear(object);
        // `join` and not `try_join`: a write to a disk cannot be cancelled once it has begun.
        let (media, written) = future::join(
            self.completed_if_needed(offer, kept, namespace),
            shared.notes.put(home, object, bytes),
        )
        .await;
        written?;
        self.reservation.has_appeared(object);
        let media = media?;
        // Bytes that went to the folder under an unmounted disk are not where the records say.
        self.store.check_folder(ObjectKind::Notes).await?;
        Ok((NewNotes::Written(notes), media))
    }

    /// Commits; on success the rows of this save leave the reservation.
    async fn commit_rows(&mut self, commit: &SaveCommit) -> Result<SaveOutcome> {
        let outcome = self.store.shared.records.commit_save(commit).await?;
        if let SaveOutcome::Saved { .. } = outcome {
            let offered = commit.media.as_ref().and_then(MediaOffer::object);
            let settled: Vec<_> = [commit.notes.written().object].into_iter().chain(offered).collect();
            self.reservation.settle(&settled);
        }
        Ok(outcome)
    }

    /// The media that this save offers, if any. Fails if the received bytes do not have the announced digest.
    fn offer(&self, announced: Option<Digest>) -> Result<Option<MediaOffer>> {
        match (&self.media, announced) {
            (None, announced) => Ok(announced.map(MediaOffer::Known)),
            (Some((_, came)), Some(announced)) if came.digest != announced => Err(Error::DigestMismatch),
            (Some((object, came)), _) => {
                let written = Written { object: *object, digest: came.digest, size: came.size };
                Ok(Some(MediaOffer::Staged(written)))
            }
        }
    }

    /// Completes the media, unless a whole object with the same bytes exists already: then a reference to it is enough.
    /// Returns the offer and the result of the check of that object.
    async fn completed_if_needed(
        &mut self,
        offer: Option<MediaOffer>,
        kept: Option<MediaRef>,
        namespace: Namespace,
    ) -> Result<(Option<MediaOffer>, Vec<MediaCheck>)> {
        let Some(offer) = offer else { return Ok((None, Vec::new())) };
        let records = &self.store.shared.records;
        let known = match kept.filter(|kept| kept.digest == offer.digest()) {
            Some(kept) => Some(kept),
            None => records.find_owned_media(self.caller.user, offer.digest()).await?,
        };
        let known = match (known, &offer) {
            (Some(known), _) => Some(known),
            // A digest alone refers only to the caller's own media: nothing may depend on what others have, not even
            // the duration.
            (None, MediaOffer::Known(_)) => None,
            (None, _) => records.find_live_media(namespace, offer.digest()).await?.and_then(|row| {
                let (digest, size) = row.content?;
                Some(MediaRef { object: row.id, namespace: row.namespace, digest, size })
            }),
        };
        let check = match known {
            Some(known) => Some(self.store.check_media(&known).await?),
            None => None,
        };
        let offer = match offer {
            MediaOffer::Staged(written) if check.is_none_or(|check| !check.is_whole) => {
                self.complete(written).await?
            }
            offer => offer,
        };
        Ok((Some(offer), check.into_iter().collect()))
    }

    async fn complete(&mut self, written: Written) -> Result<MediaOffer> {
        check_deadline(&self.store.shared, self.deadline)?;
        if let Some((object, staged)) = self.media.take() {
            self.reservation.may_appear(object);
            staged.complete().await?;
            self.reservation.has_appeared(object);
        }
        Ok(MediaOffer::Written(written))
    }

    /// Streams the body into the ingest; enforces the limits of its size, and the deadline.
    async fn pump<S, E>(&mut self, body: S, ingest: &mut Ingest, quota: Option<MediaQuota>) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let max = self.store.settings().media_bytes_max;
        pin_mut!(body);
        while let Some(chunk) = self.scope.wait_for_client(body.next()).await? {
            let chunk = chunk.map_err(|e| Error::Body(e.into()))?;
            self.place.add(chunk.len() as u64);
            if self.place.bytes() > max {
                return Err(Error::TooLarge { what: "media", max });
            }
            if let Some(quota) = &quota {
                quota.check(&self.place)?;
            }
            check_deadline(&self.store.shared, self.deadline)?;
            ingest.write(chunk).await?;
        }
        Ok(())
    }

    /// Reserves a ledger row, before any byte of its object is written.
    async fn reserve(&mut self, kind: ObjectKind, namespace: Namespace) -> Result<ObjectId> {
        let shared = self.store.shared.clone();
        let now = shared.clock.now();
        let row = Object::reserve(ObjectId::generate(now, &*shared.random), kind, namespace, now);
        self.reservation.add(row.clone());
        shared.records.reserve(std::slice::from_ref(&row)).await?;
        Ok(row.id)
    }
}

/// Aborts an upload that is not needed; if that takes long, it continues in the background.
async fn abort(abort: impl Future<Output = Result<()>> + Send + 'static) {
    let logged = async move {
        if let Err(error) = abort.await {
            tracing::debug!(error = error_chain(&error), "an upload could not be aborted yet");
        }
    };
    wait_briefly(logged).await;
}

fn check_deadline(shared: &Shared, deadline: MonotonicTime) -> Result<()> {
    if shared.clock.monotonic() > deadline { Err(Error::UploadExpired) } else { Ok(()) }
}
