//! The page and what it loads, embedded in the binary.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use tombolo_signaling::Name;

use super::AppState;
use super::problem::Problem;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    body: &'static str,
}

const PAGE: &str = include_str!("../../../client/js/dist/index.html");

const ASSETS: &[Asset] = &[
    Asset {
        name: "app.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_str!("../../../client/js/dist/app.js"),
    },
    Asset {
        name: "app.css",
        content_type: "text/css; charset=utf-8",
        body: include_str!("../../../client/js/dist/app.css"),
    },
    Asset {
        name: "audio-worklet.js",
        content_type: "text/javascript; charset=utf-8",
        body: include_str!("../../../client/js/dist/audio-worklet.js"),
    },
];

/// `/`: to the page of the configured channel.
pub(super) async fn home(State(state): State<AppState>) -> Redirect {
    Redirect::temporary(&format!("/c/{}", state.config.channel))
}

/// `/c/CHANNEL`: the page.
pub(super) async fn page(Path(channel): Path<String>) -> Result<Response, Problem> {
    channel
        .parse::<Name>()
        .map_err(|error| Problem::new(StatusCode::NOT_FOUND, format!("there is no such channel: {error}")))?;
    Ok(serve("text/html; charset=utf-8", PAGE))
}

/// `/NAME`, a part of the page.
pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Problem> {
    ASSETS
        .iter()
        .find(|asset| asset.name == name)
        .map(|asset| serve(asset.content_type, asset.body))
        .ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
}

fn serve(content_type: &'static str, body: &'static str) -> Response {
    // The parts change with the binary and carry no version in their names.
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body).into_response()
}
