//! The gateway as a whole: its sockets, its tasks, and how they start and end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ring::rand::{SecureRandom as _, SystemRandom};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tombolo_crypto::CryptoProvider;
use tombolo_dtls::Certificate;
use tombolo_net::{Epoch, Seed};
use tracing::{error, info};

use crate::addresses::announced;
use crate::certificate::{CertificateError, Certificates};
use crate::config::{Config, TlsFiles};
use crate::core::{self, Core};
use crate::http::{self, AppState};
use crate::hub::{Handle, Hub};
use crate::moq::{self, MoqServer};
use crate::port::{Port, Receiver};
use crate::rtc::{Legs, LegsConfig};

/// How many commands may wait for the media task.
const COMMAND_QUEUE: usize = 1024;
/// How many connections may wait to be accepted.
const TCP_BACKLOG: i32 = 1024;
/// How often a port is tried that must be free for both UDP and TCP.
const PORT_TRIES: usize = 16;

/// How long before now the DTLS certificate is valid from, for clients whose clock is slow.
const DTLS_BACKDATE: Duration = Duration::from_secs(24 * 3600);
/// How long the DTLS certificate is valid: longer than a gateway runs.
const DTLS_VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The payload types of repair in offers, which are Chromium's: FlexFEC for pictures, RED for sound.
const FLEXFEC_PAYLOAD_TYPE: u8 = 49;
const RED_PAYLOAD_TYPE: u8 = 63;

/// A running gateway.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop_timeout: Duration,
    stopping: watch::Sender<bool>,
    hub: Handle,
    quic: Arc<MoqServer>,
    http: JoinHandle<()>,
    media: JoinHandle<()>,
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The port is taken, or the address is not of this machine.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate for QUIC and HTTPS cannot be made, or the operator's cannot be used.
    #[error("no certificate for QUIC and HTTPS: {0}")]
    Certificate(#[from] CertificateError),
    /// The operating system denies something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

impl Server {
    /// Binds the port and starts all tasks.
    ///
    /// Must be called in a tokio runtime, which is that of the media task, of the UDP port and of the first few
    /// WebTransport sessions. On one thread is best: a packet's way leads through several tasks, and to wake each on
    /// another core costs more than what it does. HTTP and all further sessions run in `others`, which may be the
    /// same runtime.
    ///
    /// # Errors
    /// [`StartError`] in words for the person who started the program.
    pub async fn start(config: Config, others: &runtime::Handle) -> Result<Self, StartError> {
        let (listener, port, receiver) =
            bind(config.listen).map_err(|source| StartError::Listen { address: config.listen, source })?;
        let address = port.local_addr();
        let certificates = certificates(config.tls.as_ref())?;
        let tls = http::tls::Acceptor::new(&certificates)
            .map_err(|source| StartError::System { what: "HTTPS", source })?;
        let (hub, commands) = Handle::new(COMMAND_QUEUE);

        let core = Core::new(core_config(&config), &seed()?);
        let epoch = Epoch { instant: Instant::now(), system: SystemTime::now() };
        let legs = Legs::new(legs_config(&config, address)?, &seed()?, epoch);
        let media = Hub::new(core, legs, port.clone());
        let media = tokio::spawn(async move {
            if let Err(error) = media.run(receiver, commands).await {
                error!(%error, "the UDP port is broken: no media can flow");
            }
        });
        let sessions = moq::Config::default().others(others.clone());
        let quic = MoqServer::start(&port, certificates, hub.clone(), sessions)
            .map_err(|source| StartError::System { what: "QUIC", source })?;
        let quic = Arc::new(quic);

        let (stopping, stop) = watch::channel(false);
        let stop_timeout = config.stop_timeout;
        let state = AppState::new(hub.clone(), Arc::new(config), Arc::clone(&quic), stop, address.port());
        let http = others.spawn(serve(listener, tls, state, stopping.subscribe()));
        info!(%address, "started");
        Ok(Self { address, stop_timeout, stopping, hub, quic, http, media })
    }

    /// The address of both ports.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Tells every client, ends every session and waits for them, for the configured time at most.
    pub async fn stop(self) {
        let Self { stop_timeout, stopping, hub, quic, mut http, mut media, .. } = self;
        stopping.send_replace(true);
        let graceful = async {
            // Sessions leave the channels first, then the legs say goodbye, then the media task ends.
            quic.stop(stop_timeout).await;
            hub.stop().await;
            let _ = (&mut media).await;
            let _ = (&mut http).await;
        };
        if tokio::time::timeout(stop_timeout, graceful).await.is_err() {
            info!("some sessions did not end in time");
        }
        http.abort();
        media.abort();
    }
}

async fn serve(
    listener: std::net::TcpListener,
    tls: http::tls::Acceptor,
    state: AppState,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error!(%error, "no HTTP"),
    };
    let stopped = async move {
        // An error means that the server is gone, which is a stop as well.
        drop(stop.wait_for(|stop| *stop).await);
    };
    let connections = Arc::clone(state.connections());
    connections.serve(listener, tls, http::router(state), stopped).await;
}

/// Binds TCP and UDP to the same port. Where the machine has no IPv6, `[::]` means `0.0.0.0`.
fn bind(listen: SocketAddr) -> io::Result<(std::net::TcpListener, Port, Receiver)> {
    let any_v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), listen.port());
    let mut tries = 0;
    loop {
        tries += 1;
        let outcome = bind_tcp(listen)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AddrInUse => Err(error),
                _ if listen.ip().is_unspecified() && listen.is_ipv6() => bind_tcp(any_v4),
                _ => Err(error),
            })
            .and_then(|listener| {
                let (port, receiver) = Port::bind(listener.local_addr()?)?;
                Ok((listener, port, receiver))
            });
        match outcome {
            // The system chose a port that is free for TCP; UDP has its own.
            Err(error)
                if listen.port() == 0 && tries < PORT_TRIES && error.kind() == io::ErrorKind::AddrInUse => {}
            outcome => return outcome,
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if let IpAddr::V6(ip) = address.ip() {
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    Ok(socket.into())
}

fn certificates(files: Option<&TlsFiles>) -> Result<Certificates, StartError> {
    let certificates = match files {
        None => Certificates::self_signed(SystemTime::now()),
        Some(files) => Certificates::from_pem_files(&files.certificate, &files.key),
    };
    certificates.map_err(StartError::Certificate)
}

fn core_config(config: &Config) -> core::Config {
    core::Config::default().max_channels(config.max_channels).max_participants(config.max_participants)
}

fn legs_config(config: &Config, address: SocketAddr) -> Result<LegsConfig, StartError> {
    let now = SystemTime::now();
    // A DTLS peer goes by the fingerprint alone, so that the dates only have to include today.
    let (from, until) = (now - DTLS_BACKDATE, now + DTLS_VALIDITY);
    let certificate =
        Certificate::self_signed(&CryptoProvider::default(), &seed()?, from, until).map_err(|error| {
            StartError::System { what: "a DTLS certificate", source: io::Error::other(error) }
        })?;
    // Clients find the gateway, never the other way round, so it needs no checks of its own.
    let peer = tombolo::Config::builder(certificate)
        .ice_lite(true)
        .allow_loopback(true)
        .flexfec(config.repair.then_some(FLEXFEC_PAYLOAD_TYPE))
        .red(config.repair.then_some(RED_PAYLOAD_TYPE))
        .build()
        .map_err(|error| StartError::System { what: "WebRTC", source: io::Error::other(error) })?;
    let peer = Arc::new(peer);
    Ok(LegsConfig { peer, candidates: announced(address, &config.public_addresses) })
}

fn seed() -> Result<Seed, StartError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| StartError::System {
        what: "randomness",
        source: io::Error::other("the operating system gives none"),
    })?;
    Ok(Seed(bytes))
}
