//! The sessions of the account that is signed in.

use std::sync::Arc;

use notestamp_store::{RevocationReason, Session};
use poem::web::Data;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;

use super::tag::Tag;
use crate::auth::{CurrentUser, SessionJar};
use crate::config::SESSIONS_OPEN_MAX;
use crate::error::{ApiError, Code, Failed, failures};
use crate::state::State;
use crate::wire::account::{Message, SessionEntry};
use crate::wire::json::Json;

/// The operations on sessions.
pub(crate) struct SessionsApi;

failures! {
    /// The error statuses of listing sessions.
    SessionsFailures: 401;
    /// The error statuses of ending a session.
    EndSessionFailures: 401 403 404 507;
}

#[OpenApi(tag = "Tag::SignIn")]
impl SessionsApi {
    /// List the sessions of the account
    ///
    /// The sessions that have not ended, the most recently used first.
    #[oai(path = "/auth/sessions", method = "get", operation_id = "listSessions")]
    async fn sessions(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
    ) -> Result<Json<Vec<SessionEntry>>, Failed<SessionsFailures>> {
        let sessions = state.store.list_sessions(user.id, SESSIONS_OPEN_MAX).await?;
        let entry = |session: &Session| SessionEntry::new(session, session.id == user.session.id);
        Ok(Json(sessions.iter().map(entry).collect()))
    }

    /// End a session of the account
    ///
    /// If it is the session of this request, the response also deletes its cookies.
    #[oai(path = "/auth/sessions/:id", method = "delete", operation_id = "endSession")]
    async fn end_session(
        &self,
        user: CurrentUser,
        state: Data<&Arc<State>>,
        jar: SessionJar,
        /// The session's id.
        id: Path<String>,
    ) -> Result<Json<Message>, Failed<EndSessionFailures>> {
        let not_found = || ApiError::new(Code::NotFound, "session not found");
        let id = id.0.parse().map_err(|_| not_found())?;
        if !state.store.revoke_session(&user, id, RevocationReason::Ended).await? {
            return Err(not_found().into());
        }
        tracing::info!(user = %user.id, session = %id, "session ended");
        if id == user.session.id {
            state.auth.delete_cookies(&jar);
        }
        Ok(Json(Message::new("the session was ended")))
    }
}
