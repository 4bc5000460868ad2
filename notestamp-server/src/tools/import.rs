//! The import of an account's projects: this process reads the archive, and the store takes from it what is new.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use notestamp_store::archive::ArchivedMetadata;
use notestamp_store::{Clock as _, Hasher, SystemClock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use super::archive::{Archive, FileAt, ProjectFiles, StateFiles};
use super::context::Context;
use super::event::{Event, Events, FindingLine, Progress};
use super::exit::Exit;
use super::failure::Failure;
use super::frames::PIECE_BYTES_MAX;
use super::import_steps::{self, PlanRequest, PlannedImport, Reply, StateHead, StateRequest};
use super::transfer_client;

/// The longest file of metadata; what is longer is no metadata.
const METADATA_BYTES_MAX: u64 = 256 << 10;

/// Where the store is.
pub(super) enum Importer {
    /// In this process.
    Here(Context),
    /// In a server, whose admin socket is beside this database.
    Server(PathBuf),
}

/// What an import has done so far.
#[derive(Default)]
struct Done {
    /// Projects of which something was imported.
    imported: u64,
    /// The states of these.
    saved: u64,
    unchanged: u64,
    left_out: u64,
}

/// A project that is ready to be planned.
struct Described<'a> {
    files: &'a ProjectFiles,
    /// The states that can be read, with their files.
    states: Vec<(StateHead, &'a StateFiles)>,
}

/// Imports an archive into an account; returns the summary.
pub(super) async fn run(
    importer: &Importer,
    email: &str,
    source: &Path,
    events: &Events,
) -> Result<Event, Failure> {
    let path = source.to_owned();
    let opened = tokio::task::spawn_blocking(move || Archive::open(&path).map(sorted)).await;
    let archive = opened.map_err(|panicked| Failure::new(Exit::Incomplete, panicked.to_string()))??;
    let mut done = Done::default();
    for (what, why) in &archive.left_out {
        done.leave_out(events, what, why).await;
    }
    let total = archive.projects.len() as u64;
    for (index, project) in (0..).zip(&archive.projects) {
        let progress = Progress { done: index, total, unit: "projects".to_owned() };
        // If the receiver of the events is gone, the tool has ended.
        let _ = events.send(Event::Progress(progress)).await;
        import_project(importer, email, project, events, &mut done).await?;
    }
    Ok(Event::summary([
        ("projects", total.into()),
        ("imported", done.imported.into()),
        ("states", done.saved.into()),
        ("unchanged", done.unchanged.into()),
        ("notImported", done.left_out.into()),
    ]))
}

/// The archive with its trash first, because its titles may be those of the projects, and each in the order in which it
/// was saved, so that the lists have the same order as where it was exported.
fn sorted(mut archive: Archive) -> Archive {
    let now = SystemClock.now();
    archive.projects.sort_by_cached_key(|project| {
        let parsed = project.states.last().and_then(|state| parsed_metadata(state, now).ok());
        let at = parsed.map(|parsed| {
            let details = parsed.details.unwrap_or_default();
            let deleted = details.deleted.filter(|_| project.is_trashed);
            deleted.or(details.saved).unwrap_or(parsed.metadata.last_modified.instant())
        });
        (!project.is_trashed, at)
    });
    archive
}

fn parsed_metadata(state: &StateFiles, now: Timestamp) -> Result<ArchivedMetadata, String> {
    let (metadata, details) = texts(state)?;
    let parsed = ArchivedMetadata::parse(metadata.as_bytes(), details.as_ref().map(String::as_bytes), now);
    parsed.map_err(|error| error.to_string())
}

fn texts(state: &StateFiles) -> Result<(String, Option<String>), String> {
    let metadata = state.metadata.as_ref().ok_or("it has no .metadata.json")?;
    let text =
        |file: &FileAt| file.read_text().map_err(|error| format!("its metadata cannot be read: {error}"));
    Ok((text(metadata)?, state.details.as_ref().map(text).transpose()?))
}

async fn import_project(
    importer: &Importer,
    email: &str,
    project: &ProjectFiles,
    events: &Events,
    done: &mut Done,
) -> Result<(), Failure> {
    let Some(described) = describe(project, events, done).await else { return Ok(()) };
    let states = described.states.iter().map(|(head, _)| head.clone()).collect();
    let request = PlanRequest { email: email.to_owned(), states, is_trashed: project.is_trashed };
    let plan = match importer.plan(request).await? {
        Reply::Plan(plan) => plan,
        reply => return done.refused(events, &project.folder, reply).await,
    };
    if let Some(left_out) = &plan.left_out {
        done.leave_out(events, &project.folder, left_out).await;
    }
    if plan.steps.is_empty() {
        done.unchanged += u64::from(plan.left_out.is_none());
        return Ok(());
    }
    done.imported += 1;
    for (index, step) in plan.steps.iter().enumerate() {
        let Some((head, files)) = described.states.get(step.0) else { continue };
        let is_last = index + 1 == plan.steps.len();
        let request = state_request(email, &plan, head, files, (step.1, is_last));
        match import_state(importer, request, files, events, done).await? {
            Reply::Imported => done.saved += 1,
            reply => return done.refused(events, &files.folder, reply).await,
        }
    }
    Ok(())
}

fn state_request(
    email: &str,
    plan: &PlannedImport,
    head: &StateHead,
    files: &StateFiles,
    (saved, is_last): (Option<i64>, bool),
) -> StateRequest {
    StateRequest {
        email: email.to_owned(),
        title: plan.title.clone(),
        state: head.clone(),
        saved,
        deleted: plan.deleted.filter(|_| is_last),
        notes_size: files.notes.as_ref().map_or(0, |file| file.size),
        has_media: false,
    }
}

/// Imports a state; its media is sent only if the account does not have it.
async fn import_state(
    importer: &Importer,
    mut request: StateRequest,
    files: &StateFiles,
    events: &Events,
    done: &mut Done,
) -> Result<Reply, Failure> {
    match importer.import(request.clone(), files).await? {
        Reply::MediaNeeded if files.media.is_some() => {
            request.has_media = true;
            importer.import(request, files).await
        }
        Reply::MediaNeeded => {
            done.leave_out(events, &files.folder, "its media is missing; the rest is imported").await;
            // Without details, what the archive lacks is kept.
            request.state.details = None;
            request.state.media = None;
            importer.import(request, files).await
        }
        reply => Ok(reply),
    }
}

/// Reads what describes a project; `None` if its latest state cannot be read.
async fn describe<'a>(files: &'a ProjectFiles, events: &Events, done: &mut Done) -> Option<Described<'a>> {
    let mut described = Described { files, states: Vec::new() };
    for (index, state) in files.states.iter().enumerate() {
        match head_of(state).await {
            Ok(head) => described.states.push((head, state)),
            Err(why) => {
                done.leave_out(events, &state.folder, &why).await;
                if index + 1 == described.files.states.len() {
                    return None;
                }
            }
        }
    }
    Some(described)
}

async fn head_of(state: &StateFiles) -> Result<StateHead, String> {
    let (metadata, details) = texts(state)?;
    let parsed = parsed_metadata(state, SystemClock.now())?;
    let unreadable = |error: io::Error| format!("a file cannot be read: {error}");
    let notes = state.notes.as_ref().ok_or("it has no notes")?.digest().await.map_err(unreadable)?;
    let media = match &state.media {
        Some(file) => Some(file.digest().await.map_err(unreadable)?),
        // The account may have it.
        None => parsed.details.and_then(|details| details.media).map(|digest| digest.to_string()),
    };
    Ok(StateHead { metadata, details, notes, media })
}

impl Done {
    async fn leave_out(&mut self, events: &Events, what: &str, why: &str) {
        self.left_out += 1;
        let finding = FindingLine {
            finding: "not imported".to_owned(),
            kind: "project".to_owned(),
            object: Some(what.to_owned()),
            owner: None,
            title: None,
            detail: why.to_owned(),
            repaired: false,
        };
        let _ = events.send(Event::Finding(finding)).await;
    }

    /// The import goes on, except if the store cannot be reached, or the account is unknown.
    async fn refused(&mut self, events: &Events, what: &str, reply: Reply) -> Result<(), Failure> {
        match reply {
            Reply::Failure(failure) if failure.is_final => Err(failure),
            Reply::Failure(failure) => {
                self.leave_out(events, what, &failure.message).await;
                Ok(())
            }
            _ => Err(Failure::new(Exit::Unreachable, "the server is another version of this program")),
        }
    }
}

impl Importer {
    async fn plan(&self, request: PlanRequest) -> Result<Reply, Failure> {
        match self {
            Self::Here(context) => Ok(import_steps::plan(context, request).await),
            Self::Server(database) => transfer_client::plan(database, &request).await,
        }
    }

    async fn import(&self, request: StateRequest, files: &StateFiles) -> Result<Reply, Failure> {
        let (notes, media) = (files.notes.clone(), files.media.clone().filter(|_| request.has_media));
        match self {
            Self::Here(context) => {
                let read = |_| async move {
                    let bytes = match notes {
                        Some(file) => file.read_all().await?,
                        None => Bytes::new(),
                    };
                    Ok((bytes, FileAt::stream(media)))
                };
                Ok(import_steps::import(context, request, read).await)
            }
            Self::Server(database) => {
                let bytes = (FileAt::stream(notes), FileAt::stream(media));
                transfer_client::import(database, &request, bytes).await
            }
        }
    }
}

impl FileAt {
    fn read_text(&self) -> io::Result<String> {
        if self.size > METADATA_BYTES_MAX {
            return Err(io::Error::other("it is too large"));
        }
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = String::new();
        file.take(self.size).read_to_string(&mut text)?;
        Ok(text)
    }

    /// The bytes of a file, of which no more are read than it had when it was found.
    fn stream(file: Option<Self>) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + use<> {
        let opened = async move {
            let Some(file) = file else { return Ok(None) };
            let mut opened = tokio::fs::File::open(&file.path).await?;
            opened.seek(SeekFrom::Start(file.offset)).await?;
            Ok::<_, io::Error>(Some(ReaderStream::with_capacity(opened.take(file.size), PIECE_BYTES_MAX)))
        };
        Box::pin(stream::once(opened).try_filter_map(|found| async move { Ok(found) }).try_flatten())
    }

    async fn read_all(self) -> io::Result<Bytes> {
        let mut bytes = Vec::new();
        let mut stream = Self::stream(Some(self));
        while let Some(piece) = stream.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok(bytes.into())
    }

    async fn digest(&self) -> io::Result<String> {
        let file = self.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut opened = std::fs::File::open(&file.path)?;
            opened.seek(SeekFrom::Start(file.offset))?;
            let (mut bytes, mut hasher, mut rest) = (vec![0; PIECE_BYTES_MAX], Hasher::new(), file.size);
            while rest > 0 {
                let len = usize::try_from(rest).unwrap_or(usize::MAX).min(bytes.len());
                opened.read_exact(&mut bytes[..len])?;
                hasher.update(&bytes[..len]);
                rest -= len as u64;
            }
            Ok::<_, io::Error>(hasher.finish().0.to_string())
        });
        hashed.await?
    }
}
