//! Saving a project: reserve, write, commit, answer. The only way in for notes and media.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, pin_mut};

use crate::blob::{Ingest, StagedObject, tidy_up};
use crate::clock::MonotonicTime;
use crate::domain::{
    Caller, Digest, MediaRef, Metadata, Namespace, Notes, Object, ObjectId, ObjectKind, Precondition,
    Project, ProjectId,
};
use crate::error::{Error, Result, error_chain};
use crate::protocol::{Look, MediaOffer, SaveCommit, Written};
use crate::records::SaveOutcome;

use super::reservation::Reservation;
use super::{Shared, Store};

/// A save under way. Its media may come before anything else is known of it.
///
/// Dropped before [`commit`](Self::commit) has succeeded, it leaves nothing: what it wrote is deleted at once.
pub struct Save {
    store: Store,
    caller: Caller,
    reservation: Reservation,
    /// When this writer stops: well before a sweep may take its rows.
    deadline: MonotonicTime,
    media: Option<(ObjectId, StagedObject)>,
}

/// What a save says besides the bytes of its media.
#[derive(Clone, Debug)]
pub struct SaveRequest {
    /// What the owner says of the project. Its title tells which project it is.
    pub metadata: Metadata,
    /// The notes.
    pub notes: Notes,
    /// The digest that the media has: verified where bytes came; without bytes, a reference to
    /// media that the owner has under any project.
    pub media_digest: Option<Digest>,
    /// What the save demands of the project that it finds.
    pub precondition: Precondition,
}

impl SaveRequest {
    /// A save without demands and without media by digest.
    pub fn new(metadata: Metadata, notes: Notes) -> Self {
        Self { metadata, notes, media_digest: None, precondition: Precondition::None }
    }
}

/// How often a commit is tried anew because it must know more of the media. Each time it knows more, so this only keeps a
/// fault from looping.
const RACES_MAX: usize = 16;

impl Store {
    /// Begins to save a project of that account. Where the caller names a session, it must be open at the commit, too.
    pub fn begin_save(&self, caller: impl Into<Caller>) -> Save {
        let caller = caller.into();
        let deadline = self.shared.clock.monotonic().after(self.settings().upload_time_max);
        let reservation = Reservation::new(self.clone());
        Save { store: self.clone(), caller, reservation, deadline, media: None }
    }
}

impl Save {
    /// Takes the save's media as it arrives: it flows to its place while it is hashed and counted.
    ///
    /// # Errors
    /// - [`Error::TooLarge`], [`Error::UploadExpired`] beyond the limits of the settings.
    /// - [`Error::Body`] where the body breaks off.
    /// - [`Error::Full`] where too little space is free; nothing has been reserved or written then.
    /// - Those of the backends.
    ///
    /// # Panics
    /// Where the save has media already.
    pub async fn write_media<S, E>(&mut self, body: S) -> Result<()>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        assert!(self.media.is_none(), "a save has one media file");
        self.store.ensure_room().await?;
        let shared = self.store.shared.clone();
        let namespace = shared.media_namespace(self.caller.user);
        let written = async {
            let object = self.reserve(ObjectKind::Media, namespace).await?;
            let mut ingest = shared.media.ingest(namespace, object);
            match pump(body, &mut ingest, &shared, self.deadline).await {
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
            // While a backend is away, who waits to be told so does not wait for this too: it is done when this save
            // is dropped, or by the sweep.
            Err(error @ Error::Unavailable { .. }) => Err(error),
            Err(error) => {
                self.reservation.give_up().await;
                Err(error)
            }
        }
    }

    /// Commits the save; the project as it is now.
    ///
    /// # Errors
    /// Those of [`plan_save`](crate::protocol::plan_save), [`Error::DigestMismatch`],
    /// [`Error::TooLarge`], and those of the backends. Unless it was [`Error::Unavailable`], nothing is saved. What
    /// was written is deleted at once, and what a backend did not say that it has written, by the sweep.
    ///
    /// Once called it runs to its end, whether or not the caller waits for it.
    pub async fn commit(self, request: SaveRequest) -> Result<Project> {
        self.commit_unless(request, future::pending()).await
    }

    /// The same, unless it is `given_up` before it is done: then it is stopped wherever it is. Whoever is told so may
    /// save again, and this save does not come later and undo that.
    ///
    /// # Errors
    /// Those of [`commit`](Self::commit); [`Error::Unavailable`] where it was given up.
    pub async fn commit_unless(
        self,
        request: SaveRequest,
        given_up: impl Future<Output = ()>,
    ) -> Result<Project> {
        let tasks = self.store.shared.tasks.clone();
        let mut committing = tasks.spawn(self.run_commit(request));
        let ended = tokio::select! {
            biased;
            ended = &mut committing => ended,
            () = given_up => {
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
                self.store.reap(doomed);
                Ok(project)
            }
            Err(error) => {
                self.reservation.give_up().await;
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
        let found = shared.records.find_project(owner, &request.metadata.title).await?;
        // A refusal tells something of the project, too.
        self.store.admit(self.caller).await?;
        request.precondition.check(found.as_ref().map(|project| project.revision))?;
        let offer = self.offer(request.media_digest)?;
        let kept = found.and_then(|project| project.media);
        if let (Some(kept), Some(offer)) = (kept, offer)
            && kept.digest != offer.digest()
        {
            return Err(Error::MediaDiffers);
        }
        self.store.ensure_room().await?;
        let (namespace, home) = (shared.media_namespace(owner), Namespace::Owner(owner));
        let notes = self.reserve(ObjectKind::Notes, home).await?;
        let notes = Written { object: notes, digest: Digest::of(&bytes), size: bytes.len() as u64 };
        self.reservation.may_appear(notes.object);
        // Each runs to its end even where the other fails: a write that is under way on a disk cannot be called back.
        let (media, written) = future::join(
            self.completed_if_needed(offer, kept, namespace),
            shared.notes.put(home, notes.object, bytes),
        )
        .await;
        written?;
        self.reservation.has_appeared(notes.object);
        let (media, looks) = media?;

        let now = shared.clock.now();
        let mut commit = SaveCommit {
            caller: self.caller,
            new_id: ProjectId::generate(now, &*shared.random),
            metadata: request.metadata,
            precondition: request.precondition,
            notes,
            media,
            looks,
            namespace,
            quota_bytes_max: shared.settings.quota_bytes_max,
            now,
        };
        for _ in 0..RACES_MAX {
            match (self.commit_rows(&commit).await?, commit.media) {
                (SaveOutcome::Saved { project, doomed }, _) => return Ok((*project, doomed)),
                // What had these bytes went away between our look and our commit, or has lost them.
                (SaveOutcome::BytesNeeded, Some(MediaOffer::Staged(written))) => {
                    commit.media = Some(self.complete(written).await?);
                }
                (SaveOutcome::BytesNeeded, _) => {
                    return Err(Error::Corrupt("complete media was asked for again".to_owned()));
                }
                (SaveOutcome::LookNeeded(media), _) => commit.looks.push(self.store.look(&media).await?),
            }
        }
        Err(Error::Unavailable {
            backend: shared.records.name(),
            source: "the media is replaced faster than it can be looked at".into(),
        })
    }

    /// Commits, and keeps account of what that makes of our rows.
    async fn commit_rows(&mut self, commit: &SaveCommit) -> Result<SaveOutcome> {
        let outcome = self.store.shared.records.commit_save(commit).await?;
        if let SaveOutcome::Saved { .. } = outcome {
            let offered = commit.media.as_ref().and_then(MediaOffer::object);
            let settled: Vec<_> = [commit.notes.object].into_iter().chain(offered).collect();
            self.reservation.settle(&settled);
        }
        Ok(outcome)
    }

    /// What media this save brings.
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

    /// Completes the media, unless its bytes are here already and a reference to those will do; says what was seen of them.
    async fn completed_if_needed(
        &mut self,
        offer: Option<MediaOffer>,
        kept: Option<MediaRef>,
        namespace: Namespace,
    ) -> Result<(Option<MediaOffer>, Vec<Look>)> {
        let Some(offer) = offer else { return Ok((None, Vec::new())) };
        let records = &self.store.shared.records;
        let known = match kept {
            Some(kept) => Some(kept),
            None => records.find_owned_media(self.caller.user, offer.digest()).await?,
        };
        let known = match known {
            Some(known) => Some(known),
            None => records.find_live_media(namespace, offer.digest()).await?.and_then(|row| {
                let (digest, size) = row.content?;
                Some(MediaRef { object: row.id, namespace: row.namespace, digest, size })
            }),
        };
        let look = match known {
            Some(known) => Some(self.store.look(&known).await?),
            None => None,
        };
        let offer = match offer {
            MediaOffer::Staged(written) if look.is_none_or(|look| !look.is_whole) => {
                self.complete(written).await?
            }
            offer => offer,
        };
        Ok((Some(offer), look.into_iter().collect()))
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

    /// A row before the bytes.
    async fn reserve(&mut self, kind: ObjectKind, namespace: Namespace) -> Result<ObjectId> {
        let shared = self.store.shared.clone();
        let now = shared.clock.now();
        let row = Object::reserve(ObjectId::generate(now, &*shared.random), kind, namespace, now);
        self.reservation.add(row.clone());
        shared.records.reserve(std::slice::from_ref(&row)).await?;
        Ok(row.id)
    }
}

/// Aborts something that is of no use; where that cannot be done at once, nobody need wait for it.
async fn abort(abort: impl Future<Output = Result<()>> + Send + 'static) {
    let logged = async move {
        if let Err(error) = abort.await {
            tracing::debug!(error = error_chain(&error), "an upload is aborted later");
        }
    };
    tidy_up(logged).await;
}

/// Passes the body on as it arrives, within the limits.
async fn pump<S, E>(body: S, ingest: &mut Ingest, shared: &Shared, deadline: MonotonicTime) -> Result<()>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let max = shared.settings.media_bytes_max;
    let mut size = 0;
    pin_mut!(body);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|e| Error::Body(e.into()))?;
        size += chunk.len() as u64;
        if size > max {
            return Err(Error::TooLarge { what: "media", max });
        }
        check_deadline(shared, deadline)?;
        ingest.write(chunk).await?;
    }
    Ok(())
}

fn check_deadline(shared: &Shared, deadline: MonotonicTime) -> Result<()> {
    if shared.clock.monotonic() > deadline { Err(Error::UploadExpired) } else { Ok(()) }
}
