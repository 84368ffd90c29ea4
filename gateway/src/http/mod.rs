//! The one TCP port, HTTP and HTTPS: the page, signaling over a WebSocket, WHIP and WHEP, and what operators look at.
//!
//! | path | what |
//! |---|---|
//! | `/`, `/c/CHANNEL` | the page |
//! | `/ws` | signaling (`docs/signaling.md`) |
//! | `/whip/CHANNEL`, `/whep/CHANNEL` | WHIP (RFC 9725) and WHEP |
//! | `/api/info`, `/certificate.sha256` | what a client needs to know before it connects |
//! | `/healthz`, `/metrics` | what operators look at |

pub mod assets;
pub mod connections;
pub mod info;
mod membership;
pub mod problem;
pub mod sessions;
pub mod tls;
pub mod whip;
pub mod ws;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, header};
use axum::middleware;
use axum::routing::{get, patch, post};
use tokio::sync::{oneshot, watch};
use tower_http::cors::{Any, CorsLayer};

use crate::config::Config;
use crate::hub::Handle;
use crate::hub::messages::Command;
use crate::moq::MoqServer;
use crate::rtc::command::{LegId, RtcCommand};
use connections::Connections;
use problem::Problem;
use sessions::Sessions;

/// What every request can reach.
#[derive(Clone, Debug)]
pub struct AppState {
    hub: Handle,
    config: Arc<Config>,
    quic: Arc<MoqServer>,
    stopping: watch::Receiver<bool>,
    sessions: Arc<Sessions>,
    connections: Arc<Connections>,
    port: u16,
}

impl AppState {
    /// The state of a gateway on `port`; requests end when `stopping` becomes true.
    #[must_use]
    pub fn new(
        hub: Handle,
        config: Arc<Config>,
        quic: Arc<MoqServer>,
        stopping: watch::Receiver<bool>,
        port: u16,
    ) -> Self {
        let connections = Arc::new(Connections::new(config.max_connections, config.request_timeout));
        Self { hub, config, quic, stopping, sessions: Arc::default(), connections, port }
    }

    /// The TCP connections.
    #[must_use]
    pub fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// Asks the WebRTC legs something and waits for the answer.
    async fn ask_rtc<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> RtcCommand) -> Result<T, Problem> {
        self.hub.ask(|reply| Command::Rtc(command(reply))).await.ok_or_else(Problem::stopping)
    }

    /// Ends a leg. Without a media task there is nothing left to end.
    async fn close_leg(&self, leg: LegId) {
        self.hub.send(Command::Rtc(RtcCommand::Close { leg })).await;
    }
}

/// All routes.
pub fn router(state: AppState) -> Router {
    let connections = Arc::clone(state.connections());
    let limit = DefaultBodyLimit::max(state.config.max_message_bytes);
    // WHIP and WHEP clients run in pages of any origin; a session's URL is the only secret and no cookie is read.
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, header::IF_MATCH])
        .expose_headers([
            header::LOCATION,
            header::ETAG,
            header::LINK,
            HeaderName::from_static("accept-patch"),
        ])
        .max_age(Duration::from_secs(86_400));
    Router::new()
        .route("/", get(assets::home))
        .route("/c/{channel}", get(assets::page))
        .route("/{asset}", get(assets::asset))
        .route("/ws", get(ws::upgrade))
        .route("/whip/{channel}", post(whip::publish))
        .route("/whep/{channel}", post(whip::watch))
        .route("/whip/{channel}/{session}", patch(whip::trickle).delete(whip::end))
        .route("/whep/{channel}/{session}", patch(whip::trickle).delete(whip::end))
        .route("/api/info", get(info::info))
        .route("/certificate.sha256", get(info::certificate))
        .route("/healthz", get(info::health))
        .route("/metrics", get(info::metrics))
        .fallback(|| async {
            Problem::new(axum::http::StatusCode::NOT_FOUND, "there is nothing at this address")
        })
        .layer(limit)
        .layer(middleware::from_fn(move |request, next| Arc::clone(&connections).in_time(request, next)))
        .layer(cors)
        .with_state(state)
}
