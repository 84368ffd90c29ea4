//! The QUIC endpoint: who may connect, with which protocols, and how many at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig, VarInt};
use tokio::runtime;
use tokio::task::JoinHandle;

use super::places::Places;
use super::session;
use crate::certificate::Certificates;
use crate::hub::Handle;
use crate::port::Port;

/// A connection that is silent for this long is gone.
const IDLE: Duration = Duration::from_secs(10);
/// How often a silent connection is asked whether it lives: also keeps NAT bindings.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// The most that the library may hold unacknowledged for one connection, in bytes. Above it, writing waits,
/// and what waits can still be given up for something newer.
const SEND_WINDOW_BYTES: u64 = 1 << 20;
/// What may be under way at first, in bytes. Live media seldom fills a window, so it seldom grows: this must hold
/// a keyframe that a joiner waits for, and a second of media sent into an outage, so that the next packet
/// goes out as soon as the path is back.
const INITIAL_WINDOW_BYTES: u64 = 192 << 10;
/// How many probe timeouts of silence count as persistent congestion.
// Deviation: RFC 9002 §7.6.1 recommends 3, because a wireless outage of a second is not congestion, and a window
// of two packets after it would cost the viewer another second.
const PERSISTENT_CONGESTION_THRESHOLD: u32 = 60;
/// The most streams of each kind that a client may have open. One group is one stream, and a group of sound
/// lives for a few milliseconds.
const MAX_STREAMS: u32 = 1024;
/// With more than this many handshakes under way, clients must prove their address first.
const RETRY_ABOVE: usize = 100;

/// How the QUIC side is run.
#[derive(Clone, Debug)]
pub struct Config {
    max_sessions: usize,
    others: Option<runtime::Handle>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_sessions: 10_000, others: None }
    }
}

impl Config {
    /// The most connections at once. Default 10,000.
    #[must_use]
    pub fn max_sessions(mut self, max_sessions: usize) -> Self {
        self.max_sessions = max_sessions;
        self
    }

    /// Where sessions run beyond the first eight. Default: where all run, in the runtime of [`MoqServer::start`].
    #[must_use]
    pub fn others(mut self, others: runtime::Handle) -> Self {
        self.others = Some(others);
        self
    }
}

/// What has happened on the QUIC side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MoqStats {
    /// Sessions that stand now, handshakes included.
    pub open: usize,
    /// Sessions that have been accepted.
    pub accepted: u64,
    /// Connections that were refused: a wrong path, a taken name, no common protocol, too many.
    pub refused: u64,
}

/// The running QUIC side. Dropping it ends all of its sessions.
#[derive(Debug)]
pub struct MoqServer {
    endpoint: quinn::Endpoint,
    certificates: Certificates,
    counters: Arc<Counters>,
    tasks: [JoinHandle<()>; 2],
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) open: AtomicUsize,
    pub(super) handshaking: AtomicUsize,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl MoqServer {
    /// Starts to take connections from `port`. What they publish and watch goes through `hub`.
    ///
    /// Must be called in a tokio runtime; call it once for a port.
    ///
    /// # Errors
    /// When quinn cannot use the socket.
    pub fn start(port: &Port, certificates: Certificates, hub: Handle, config: Config) -> io::Result<Self> {
        let mut endpoint_config = EndpointConfig::default();
        // The QUIC bit is what tells QUIC from the rest of this port; peers must not grease it (RFC 9287 §3).
        endpoint_config.grease_quic_bit(false);
        let endpoint = quinn::Endpoint::new_with_abstract_socket(
            endpoint_config,
            Some(server_config(&certificates)?),
            port.quic_socket(),
            Arc::new(TokioRuntime),
        )?;
        let counters = Arc::new(Counters::default());
        let accept = accept(endpoint.clone(), hub, config, Arc::clone(&counters));
        let tasks = [tokio::spawn(accept), tokio::spawn(rotate(certificates.clone()))];
        Ok(Self { endpoint, certificates, counters, tasks })
    }

    /// The certificates that are shown.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> MoqStats {
        MoqStats {
            open: self.counters.open.load(Ordering::Relaxed),
            accepted: self.counters.accepted.load(Ordering::Relaxed),
            refused: self.counters.refused.load(Ordering::Relaxed),
        }
    }

    /// Takes no more connections, tells all clients that the gateway stops, and waits until they know, for
    /// `timeout` at most.
    pub async fn stop(&self, timeout: Duration) {
        self.endpoint.close(VarInt::from_u32(0), b"the gateway is stopping");
        if tokio::time::timeout(timeout, self.endpoint.wait_idle()).await.is_err() {
            tracing::debug!("some QUIC connections did not say goodbye in time");
        }
    }
}

impl Drop for MoqServer {
    fn drop(&mut self) {
        self.endpoint.close(VarInt::from_u32(0), b"the gateway is stopping");
        for task in &self.tasks {
            task.abort();
        }
    }
}

fn server_config(certificates: &Certificates) -> io::Result<ServerConfig> {
    let mut tls =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates.clone()));
    tls.alpn_protocols = [web_transport_quinn::ALPN]
        .iter()
        .chain(moq_net::ALPNS)
        .map(|alpn| alpn.as_bytes().to_vec())
        .collect();
    let crypto = QuicServerConfig::try_from(tls).map_err(io::Error::other)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(Arc::new(transport_config()?));
    Ok(config)
}

fn transport_config() -> io::Result<TransportConfig> {
    let mut congestion = CubicConfig::default();
    congestion.initial_window(INITIAL_WINDOW_BYTES);
    let mut transport = TransportConfig::default();
    transport
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE).map_err(io::Error::other)?))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .send_window(SEND_WINDOW_BYTES)
        .persistent_congestion_threshold(PERSISTENT_CONGESTION_THRESHOLD)
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .congestion_controller_factory(Arc::new(congestion));
    Ok(transport)
}

async fn accept(endpoint: quinn::Endpoint, hub: Handle, config: Config, counters: Arc<Counters>) {
    let places = Places::new(config.others);
    while let Some(incoming) = endpoint.accept().await {
        if counters.open.load(Ordering::Relaxed) >= config.max_sessions {
            counters.refused.fetch_add(1, Ordering::Relaxed);
            incoming.refuse();
            continue;
        }
        if counters.handshaking.load(Ordering::Relaxed) > RETRY_ABOVE && incoming.may_retry() {
            // Says where it is from once more, or was never there.
            let _ = incoming.retry();
            continue;
        }
        places.spawn(session::serve(incoming, hub.clone(), Arc::clone(&counters)));
    }
}

/// Renews the certificate, for as long as the endpoint lives.
async fn rotate(certificates: Certificates) {
    while let Some(at) = certificates.rotate_at() {
        let wait = at.duration_since(SystemTime::now()).unwrap_or_default();
        // An hour at most, since a machine's clock may be set, or the machine sleep.
        tokio::time::sleep(wait.min(Duration::from_secs(3600)).max(Duration::from_secs(1))).await;
        if let Err(error) = certificates.rotate(SystemTime::now()) {
            tracing::error!(%error, "the certificate cannot be renewed yet");
        }
    }
}
