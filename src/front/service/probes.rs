//! What the kubelet asks. Neither answer touches the storage.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::app::App;
use super::http::json;

#[derive(Serialize)]
struct Status {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, &Status { status: "ok", error: None })
}

/// Whether a Service should send questions here: an outage of the storage must not take away answers from memory, nor the
/// reason why there is none, so that this stays true once the repository has been read.
pub(super) async fn has_been_ready(State(app): State<Arc<App>>) -> Response {
    if app.checker.status().refreshes > 0 { healthz().await } else { readyz(State(app)).await }
}

pub(super) async fn readyz(State(app): State<Arc<App>>) -> Response {
    match app.ready() {
        Ok(()) => healthz().await,
        Err(reason) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            &Status { status: "not ready", error: Some(reason.to_string()) },
        ),
    }
}
