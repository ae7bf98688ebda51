//! The private listener: metrics, health, and what an engineer wants to see at 3 a.m. It is never on the public port.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use metrics_exporter_prometheus::PrometheusHandle;
use serde::Serialize;
use serde_json::Value;

use crate::{log, metrics};

/// Whether the gateway should get new connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// It should.
    pub ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the private listener asks the gateway.
pub trait Status: Send + Sync + 'static {
    /// Whether it should get new connections.
    fn readiness(&self) -> Readiness;
    /// What only a new process could mend, if there is anything.
    fn broken(&self) -> Option<String>;
    /// Numbers about connections and rooms, never names.
    fn connections(&self) -> Value;
}

#[derive(Clone)]
struct Context {
    status: Arc<dyn Status>,
    metrics: PrometheusHandle,
}

/// Serves `/metrics`, `/healthz`, `/readyz` and `/debug/connections`.
pub fn router(status: Arc<dyn Status>, metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/debug/connections", get(connections))
        .with_state(Context { status, metrics })
}

async fn render(State(context): State<Context>) -> Response {
    metrics::ready(context.status.readiness().ready);
    metrics::log_dropped(log::dropped());
    metrics::process::look();
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, context.metrics.render()).into_response()
}

async fn alive(State(context): State<Context>) -> Response {
    match context.status.broken() {
        None => "ok".into_response(),
        Some(what) => (StatusCode::INTERNAL_SERVER_ERROR, what).into_response(),
    }
}

async fn ready(State(context): State<Context>) -> Response {
    let readiness = context.status.readiness();
    let code = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(readiness)).into_response()
}

async fn connections(State(context): State<Context>) -> Json<Value> {
    Json(context.status.connections())
}
