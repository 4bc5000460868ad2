//! The steps of an import: a request that describes a state of a project, or carries it, and its response. The store
//! does them, in this process or behind the admin socket.

use std::io;

use bytes::Bytes;
use futures_util::Stream;
use notestamp_store::archive::ArchivedMetadata;
use notestamp_store::{
    ArchivedProject, ArchivedState, Digest, Error, InvalidValue, Notes, StateImport, Timestamp, Title, User,
};
use serde::{Deserialize, Serialize};

use super::accounts::find;
use super::context::Context;
use super::failure::Failure;

/// A state of a project, without its bytes: the texts of its files, and digests.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateHead {
    pub(super) metadata: String,
    pub(super) details: Option<String>,
    pub(super) notes: String,
    pub(super) media: Option<String>,
}

/// A project, without its bytes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlanRequest {
    pub(super) email: String,
    pub(super) states: Vec<StateHead>,
    pub(super) is_trashed: bool,
}

/// A state that is to be imported; its notes follow it, and then its media.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StateRequest {
    pub(super) email: String,
    pub(super) title: String,
    pub(super) state: StateHead,
    pub(super) saved: Option<i64>,
    pub(super) deleted: Option<i64>,
    pub(super) notes_size: u64,
    /// Whether the media follows the notes.
    pub(super) has_media: bool,
}

/// The response to a step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Reply {
    /// What is to be imported of a project.
    Plan(PlannedImport),
    /// The state is imported.
    Imported,
    /// The account does not have the media: send it.
    MediaNeeded,
    /// It cannot be imported.
    Failure(Failure),
}

/// What is to be imported of a project.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedImport {
    pub(super) title: String,
    /// The indices of the states, and when each counts as saved.
    pub(super) steps: Vec<(usize, Option<i64>)>,
    pub(super) deleted: Option<i64>,
    pub(super) left_out: Option<String>,
}

/// Plans the import of a project.
pub(super) async fn plan(context: &Context, request: PlanRequest) -> Reply {
    try_plan(context, request).await.map_or_else(Reply::Failure, Reply::Plan)
}

async fn try_plan(context: &Context, request: PlanRequest) -> Result<PlannedImport, Failure> {
    let account = find(context, &request.email).await?;
    let now = context.store.now();
    let states: Result<Vec<_>, Failure> = request.states.iter().map(|head| parse(head, now)).collect();
    let project = ArchivedProject { states: states?, is_trashed: request.is_trashed };
    let plan = context.store.plan_import(account.id, &project).await?;
    let steps = plan.steps.into_iter().map(|step| (step.state, step.saved.map(Timestamp::as_millis)));
    Ok(PlannedImport {
        title: plan.title.as_str().to_owned(),
        steps: steps.collect(),
        deleted: plan.deleted.map(Timestamp::as_millis),
        left_out: plan.left_out.map(str::to_owned),
    })
}

/// Imports a state. `notes` reads the notes, and returns what follows them.
pub(super) async fn import<F, S>(
    context: &Context,
    request: StateRequest,
    notes: impl FnOnce(u64) -> F,
) -> Reply
where
    F: Future<Output = io::Result<(Bytes, S)>>,
    S: Stream<Item = io::Result<Bytes>>,
{
    match try_import(context, request, notes).await {
        Ok(()) => Reply::Imported,
        Err(ImportError::MediaNeeded) => Reply::MediaNeeded,
        Err(ImportError::Other(failure)) => Reply::Failure(failure),
    }
}

enum ImportError {
    MediaNeeded,
    Other(Failure),
}

async fn try_import<F, S>(
    context: &Context,
    request: StateRequest,
    notes: impl FnOnce(u64) -> F,
) -> Result<(), ImportError>
where
    F: Future<Output = io::Result<(Bytes, S)>>,
    S: Stream<Item = io::Result<Bytes>>,
{
    let account: User = find(context, &request.email).await?;
    let mut state = parse(&request.state, context.store.now())?;
    state.metadata.metadata.title = Title::parse(&request.title)?;
    let max = context.store.settings().notes_bytes_max;
    if request.notes_size > max {
        return Err(Error::TooLarge { what: "notes", max }.into());
    }
    let _memory = context.store.memory_of(account.id).acquire(request.notes_size).await?;
    let (bytes, media) = notes(request.notes_size).await.map_err(|error| Error::Body(error.into()))?;
    let import = StateImport {
        state,
        notes: Notes::parse(bytes)?,
        saved: request.saved.map(Timestamp::from_millis),
        deleted: request.deleted.map(Timestamp::from_millis),
    };
    let media = request.has_media.then_some(media);
    Ok(context.store.import_state(account.id, import, media).await?)
}

fn parse(head: &StateHead, now: Timestamp) -> Result<ArchivedState, Failure> {
    let details = head.details.as_ref().map(String::as_bytes);
    Ok(ArchivedState {
        metadata: ArchivedMetadata::parse(head.metadata.as_bytes(), details, now)?,
        notes: head.notes.parse::<Digest>()?,
        media: head.media.as_ref().map(|digest| digest.parse()).transpose()?,
    })
}

impl From<Failure> for ImportError {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

impl From<Error> for ImportError {
    fn from(error: Error) -> Self {
        match error {
            Error::MediaNeeded => Self::MediaNeeded,
            other => Self::Other(other.into()),
        }
    }
}

impl From<InvalidValue> for ImportError {
    fn from(error: InvalidValue) -> Self {
        Self::Other(error.into())
    }
}
