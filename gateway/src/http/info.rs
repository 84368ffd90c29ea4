//! What a client needs to know before it connects, and what operators look at.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;

use super::AppState;
use super::problem::Problem;
use crate::metrics::render;

/// The body of `/api/info`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    version: &'static str,
    signaling_version: u32,
    port: u16,
    certificate_hashes: Vec<String>,
}

/// `GET /api/info`.
pub(super) async fn info(State(state): State<AppState>) -> impl IntoResponse {
    let hashes = state.quic.certificates().hashes();
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        signaling_version: tombolo_signaling::VERSION,
        port: state.port,
        certificate_hashes: hashes.iter().map(ToString::to_string).collect(),
    })
}

/// `GET /certificate.sha256`: the current hash in hexadecimal, as MoQ clients fetch it.
pub(super) async fn certificate(State(state): State<AppState>) -> Result<String, Problem> {
    state.quic.certificates().hashes().first().map(ToString::to_string).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "the certificate needs no hash: an authority signed it")
    })
}

/// `GET /healthz`: whether the media task answers.
pub(super) async fn health(State(state): State<AppState>) -> Result<&'static str, Problem> {
    state.hub.stats().await.map(|_| "ok\n").ok_or_else(Problem::stopping)
}

/// `GET /metrics` in the Prometheus text format.
pub(super) async fn metrics(State(state): State<AppState>) -> Result<impl IntoResponse, Problem> {
    let snapshot = state.hub.stats().await.ok_or_else(Problem::stopping)?;
    let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((content_type, render(&snapshot, state.quic.stats(), &state.connections)))
}
