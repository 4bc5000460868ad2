use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use notestamp_store::archive::{tar_end, tar_header, tar_padding};
use notestamp_store::{
    Caller, Error as StoreError, Export, ExportScope, Exported, ExportedFile, MemoryShare, error_chain,
};
use poem::http::{Method, header};
use poem::web::Data;
use poem::{Body, IntoResponse, Request, Response};
use poem_openapi::param::Query;
use poem_openapi::payload::{Binary, Payload as _};
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type as _;
use poem_openapi::{ApiResponse, OpenApi};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::Span;

use super::session_watch::SessionWatch;
use super::tag::Tag;
use crate::auth::CurrentUser;
use crate::error::{Failed, failures};
use crate::http::content_disposition::{Disposition, content_disposition};
use crate::middleware::original_method::OriginalMethod;
use crate::state::State;
use crate::transport::Pace;

/// All projects of an account as files.
pub(crate) struct ExportApi;

failures! {
    /// The error statuses of an export.
    ExportFailures: 400 401 429;
}

/// The name that browsers save an export as.
const FILE_NAME: &str = "notestamp-export.tar";

/// The file of an export that names what is left out because it is damaged.
const ERRORS_PATH: &str = "export-errors.txt";

/// Notes that are larger than this are given up if their reader is slow and other requests need the memory.
const HELD_BYTES_MAX: u64 = 64 << 10;

/// A response of 200 with a tar archive.
pub(crate) struct ExportResponse(Response);

#[OpenApi(tag = "Tag::Accounts")]
impl ExportApi {
    /// Download all projects of the account that is signed in
    ///
    /// The archive has a folder for each project: its metadata, its notes and its media, in the layout of the notestamp
    /// client's File Sync. `notestamp-server import` takes it. The connection is closed before the end of the archive if
    /// the session ends. What cannot be exported because it is damaged is named in the file `export-errors.txt`.
    #[oai(path = "/auth/export", method = "get", operation_id = "exportAccount")]
    async fn export(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        request: &Request,
        /// Whether the history and the trash are included.
        all: Query<Option<bool>>,
    ) -> Result<ExportResponse, Failed<ExportFailures>> {
        let scope = if all.0.unwrap_or_default() { ExportScope::All } else { ExportScope::Current };
        let response = Response::builder()
            .content_type("application/x-tar")
            .header(header::CONTENT_DISPOSITION, content_disposition(Disposition::Attachment, FILE_NAME));
        if OriginalMethod::of(request) == Method::HEAD {
            return Ok(ExportResponse(response.finish()));
        }
        let caller = Caller::from(&user);
        let export = state.store.export(caller, scope).await?;
        tracing::info!(user = %user.id, "export begun");
        let sending = Sending::new(Arc::clone(&state), caller, export);
        let body = Body::from_bytes_stream(stream::try_unfold(sending, Sending::next));
        Ok(ExportResponse(response.extension(Pace::OfReader).body(body)))
    }
}

/// An archive that is being sent.
struct Sending {
    state: Arc<State>,
    caller: Caller,
    export: Export,
    /// The rest of the file that is being sent.
    file: Option<(BoxStream<'static, io::Result<Bytes>>, u64)>,
    /// What could not be exported.
    errors: Vec<String>,
    has_ended: bool,
    /// The request's.
    span: Span,
}

impl Sending {
    fn new(state: Arc<State>, caller: Caller, export: Export) -> Self {
        Self {
            state,
            caller,
            export,
            file: None,
            errors: Vec::new(),
            has_ended: false,
            span: Span::current(),
        }
    }

    /// The next bytes, and what is left after them. An error breaks the response off, so that its client does not take it
    /// for complete.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        match self.next_bytes().await {
            Ok(bytes) => Ok(bytes.map(|bytes| (bytes, self))),
            Err(error) => {
                let reason = error_chain(&error);
                tracing::info!(parent: &self.span, error = reason, "an export is broken off");
                Err(error)
            }
        }
    }

    async fn next_bytes(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some((bytes, size)) = &mut self.file {
                match bytes.try_next().await? {
                    Some(bytes) if bytes.is_empty() => continue,
                    Some(bytes) => return Ok(Some(bytes)),
                    None => {
                        let padding = tar_padding(*size);
                        self.file = None;
                        if !padding.is_empty() {
                            return Ok(Some(Bytes::from_static(padding)));
                        }
                    }
                }
            }
            if self.has_ended {
                return Ok(None);
            }
            match self.export.next().await.map_err(io::Error::other)? {
                Some(Exported::File(file)) => return Ok(Some(self.begin(file).into())),
                Some(Exported::Damaged { title, detail }) => {
                    tracing::error!(parent: &self.span, detail, "a project cannot be exported");
                    self.errors.push(format!("{}: {detail}\n", title.as_deref().unwrap_or("a project")));
                }
                None => {
                    self.has_ended = true;
                    return Ok(Some(self.end().into()));
                }
            }
        }
    }

    /// The header of a file, whose bytes come next.
    fn begin(&mut self, file: ExportedFile) -> Vec<u8> {
        let header = tar_header(&file.path, file.size, file.modified);
        let size = file.size;
        let watch = SessionWatch::new(&self.state, self.caller);
        let bytes = match file.memory.filter(|memory| memory.bytes() > HELD_BYTES_MAX) {
            Some(memory) => {
                let lent = Lent::new(watch.over(file.bytes).boxed(), memory);
                stream::try_unfold(lent, Lent::next).boxed()
            }
            None => watch.over(file.bytes).boxed(),
        };
        self.file = Some((bytes, size));
        header
    }

    /// The end of the archive; before it, the list of what is left out.
    fn end(&mut self) -> Vec<u8> {
        let mut end = Vec::new();
        if !self.errors.is_empty() {
            let text = mem::take(&mut self.errors).concat();
            end = tar_header(ERRORS_PATH, text.len() as u64, self.state.clock.now());
            end.extend_from_slice(text.as_bytes());
            end.extend_from_slice(tar_padding(text.len() as u64));
        }
        end.extend_from_slice(tar_end());
        end
    }
}

/// The bytes of notes, and the memory that they take.
type Held = (BoxStream<'static, io::Result<Bytes>>, MemoryShare);

/// Notes that are held in memory while their reader takes them. If the reader is slow, and other requests need the
/// memory, they are given up.
struct Lent {
    /// Absent if they are given up.
    held: Arc<Mutex<Option<Held>>>,
    progress: Arc<Notify>,
    watching: JoinHandle<()>,
}

impl Lent {
    fn new(bytes: BoxStream<'static, io::Result<Bytes>>, memory: MemoryShare) -> Self {
        let (scope, progress) = (memory.scope().clone(), Arc::new(Notify::new()));
        let held = Arc::new(Mutex::new(Some((bytes, memory))));
        let (watched, progressed) = (Arc::clone(&held), Arc::clone(&progress));
        let watching = tokio::spawn(async move {
            while scope.wait_for_client(progressed.notified()).await.is_ok() {}
            lock(&watched).take();
        });
        Self { held, progress, watching }
    }

    async fn next(self) -> io::Result<Option<(Bytes, Self)>> {
        let held = lock(&self.held).take();
        let Some((mut bytes, memory)) = held else { return Err(io::Error::other(StoreError::OutOfMemory)) };
        let next = bytes.try_next().await?;
        *lock(&self.held) = Some((bytes, memory));
        self.progress.notify_one();
        Ok(next.map(|next| (next, self)))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

fn lock(held: &Mutex<Option<Held>>) -> MutexGuard<'_, Option<Held>> {
    // No code panics while it is locked.
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IntoResponse for ExportResponse {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for ExportResponse {
    fn meta() -> MetaResponses {
        let disposition = MetaHeader {
            name: header::CONTENT_DISPOSITION.as_str().to_uppercase(),
            description: Some("The name for the file when the browser saves it.".to_owned()),
            required: true,
            deprecated: false,
            schema: String::schema_ref(),
        };
        let archive =
            MetaMediaType { content_type: "application/x-tar", schema: Binary::<Body>::schema_ref() };
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The archive, in the tar format.",
                status: Some(200),
                status_range: None,
                content: vec![archive],
                headers: vec![disposition],
            }],
        }
    }

    fn register(_registry: &mut Registry) {}
}
