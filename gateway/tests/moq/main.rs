//! Clients of Media over QUIC against a whole gateway without WebRTC, over real sockets on loopback.

mod churn;
mod client;
mod joining;
mod media;
mod relay;
mod roads;

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tombolo_gateway::certificate::Certificates;
use tombolo_gateway::core::{Config, Core};
use tombolo_gateway::hub::{Handle, Hub, NoLegs};
use tombolo_gateway::moq::{self, MoqServer};
use tombolo_gateway::port::Port;
use tombolo_net::Seed;

/// Nothing here takes longer on a machine that is not stuck.
const LONG: Duration = Duration::from_secs(20);

/// A running gateway.
struct Gateway {
    hub: Handle,
    port: Port,
    server: MoqServer,
    address: SocketAddr,
}

impl Gateway {
    fn start() -> Self {
        Self::start_with(Config::default())
    }

    fn start_with(config: Config) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_test_writer()
            .try_init();
        let (port, receiver) = Port::bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let (hub, commands) = Handle::new(256);
        let core = Core::new(config, &Seed::from_number(1));
        tokio::spawn(Hub::new(core, NoLegs, port.clone()).run(receiver, commands));
        let certificates = Certificates::self_signed(SystemTime::now()).expect("certificates");
        let server = MoqServer::start(&port, certificates, hub.clone(), moq::Config::default());
        let address = port.local_addr();
        Self { hub, port, server: server.expect("started"), address }
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LONG, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {LONG:?}"),
    }
}
