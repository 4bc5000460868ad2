use std::sync::Arc;
use std::time::Duration;

use notestamp_store::Error;
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
    ///
    /// And whether they have room: where they have not, `code` is `storage_full`.
    #[oai(path = "/readyz", method = "get", operation_id = "readiness")]
    async fn readiness(&self, state: Data<&Arc<State>>) -> Result<HealthAnswer, Failed<HealthFailures>> {
        let ready = async {
            state.store.ping().await?;
            state.store.ensure_room().await
        };
        match tokio::time::timeout(READY_TIME_MAX, ready).await {
            Ok(Ok(())) => Ok(OK),
            Ok(Err(full @ Error::Full { .. })) => {
                Err(ApiError::not_ready_storage_full().caused_by(full).into())
            }
            Ok(Err(error)) => Err(error.into()),
            Err(slow) => Err(ApiError::storage_is_away().caused_by(slow).into()),
        }
    }
}
