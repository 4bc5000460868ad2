use std::sync::Arc;
use std::time::Duration;

use poem::web::Data;
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::Serialize;

use super::Tag;
use crate::error::{ApiError, Failed, failures};
use crate::state::State;
use crate::wire::json::Json;

/// The server itself.
pub struct HealthApi;

/// How long the stores may take to say that they are there.
const READY_TIME_MAX: Duration = Duration::from_secs(3);

failures! {
    /// Of asking for health.
    HealthFailures: ;
}

#[derive(Debug, Object, Serialize)]
#[oai(read_only_all)]
struct Health {
    /// `ok`.
    status: &'static str,
}

#[derive(ApiResponse)]
enum HealthAnswer {
    /// It is well.
    #[oai(status = 200)]
    Ok(Json<Health>),
}

const OK: HealthAnswer = HealthAnswer::Ok(Json(Health { status: "ok" }));

#[OpenApi(tag = "Tag::Service")]
impl HealthApi {
    /// Whether the process lives
    #[oai(path = "/healthz", method = "get", operation_id = "health")]
    async fn health(&self) -> HealthAnswer {
        OK
    }

    /// Whether its stores answer
    #[oai(path = "/readyz", method = "get", operation_id = "readiness")]
    async fn readiness(&self, state: Data<&Arc<State>>) -> Result<HealthAnswer, Failed<HealthFailures>> {
        match tokio::time::timeout(READY_TIME_MAX, state.store.ping()).await {
            Ok(answered) => answered?,
            Err(slow) => return Err(ApiError::storage_is_away().caused_by(slow).into()),
        }
        Ok(OK)
    }
}
