use std::sync::Arc;

use notestamp_store::Error;
use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use super::tag::Tag;
use crate::config::READINESS_TIME_MAX;
use crate::error::{ApiError, Failed, failures};
use crate::state::State;
use crate::wire::json::Json;

/// The health of the server.
pub(crate) struct HealthApi;

failures! {
    /// The error statuses of a health check.
    HealthFailures: ;
}

#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
struct Health {
    /// `ok`.
    status: &'static str,
}

#[derive(ApiResponse)]
enum HealthResponse {
    /// The server is healthy.
    #[oai(status = 200)]
    Ok(Json<Health>),
}

const OK: HealthResponse = HealthResponse::Ok(Json(Health { status: "ok" }));

#[OpenApi(tag = "Tag::Service")]
impl HealthApi {
    /// Check whether the process is alive
    #[oai(path = "/healthz", method = "get", operation_id = "health")]
    async fn health(&self) -> HealthResponse {
        OK
    }

    /// Check whether the server is ready
    ///
    /// The stores must respond and accept writes. If they have no space left, `code` is `storage_full`; if a blob store
    /// does not belong to the records, it is `store_mismatch`; while a backup is being restored, `restoring`.
    #[oai(path = "/readyz", method = "get", operation_id = "readiness")]
    async fn readiness(&self, state: Data<&Arc<State>>) -> Result<HealthResponse, Failed<HealthFailures>> {
        let probe = async {
            let ready = async {
                state.store.ping().await?;
                state.store.ensure_room().await
            };
            let slow = |source| Error::Unavailable { backend: "one of the stores", source: Box::new(source) };
            let outcome = tokio::time::timeout(READINESS_TIME_MAX, ready).await;
            outcome.unwrap_or_else(|elapsed| Err(slow(elapsed))).map_err(Arc::new)
        };
        match state.readiness.get(probe).await {
            Ok(()) => Ok(OK),
            Err(error) => Err(not_ready(error).into()),
        }
    }
}

/// All requests within a second share the outcome of one probe, so the error is shared, not consumed.
fn not_ready(error: Arc<Error>) -> ApiError {
    match &*error {
        Error::Full { .. } => ApiError::not_ready_storage_full(),
        Error::ForeignStore { .. } => ApiError::store_mismatch(),
        Error::Restoring => ApiError::restoring(),
        _ => ApiError::storage_unavailable(),
    }
    .caused_by(error)
}
