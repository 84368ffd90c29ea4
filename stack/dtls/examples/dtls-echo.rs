//! DTLS over UDP from a shell: a server that says back what it hears, and a client that sends its lines.
//!
//! ```text
//! cargo run -p tombolo-dtls --example dtls-echo -- server 127.0.0.1:4444
//! cargo run -p tombolo-dtls --example dtls-echo -- client 127.0.0.1:4444
//!
//! openssl s_client -dtls1_2 -connect 127.0.0.1:4444 -cert cert.pem -key key.pem
//! openssl s_server -dtls1_2 -accept 4444 -cert cert.pem -key key.pem -Verify 1
//! ```
//!
//! The server asks each client for a cookie before it keeps anything of it, and serves as many as come. Without
//! `--fingerprint` either side trusts anybody, and prints whom. `--key-log` writes what Wireshark needs to read a capture.
#![expect(clippy::disallowed_methods, reason = "a driver reads the clock for its machine")]

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, Parser, Subcommand};
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::UdpSocket;
use tombolo_crypto::{CryptoProvider, HashAlgorithm};
use tombolo_dtls::{
    AlertDescription, Certificate, CertificateVerifier, Config, Connection, Event, Fingerprint, Heard,
    KeyLog, Listener, LoggedSecret, ProtocolVersion, Role, ShownChain,
};
use tombolo_net::{FiveTuple, Seed};

const DAY: Duration = Duration::from_secs(86400);
/// The longest datagram that is received.
const MAX_DATAGRAM: usize = 2048;
/// The time that nothing needs.
const IDLE: Duration = Duration::from_secs(3600);

/// Speaks DTLS 1.2 and 1.3 over UDP.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    role: RoleArgument,
}

#[derive(Subcommand)]
enum RoleArgument {
    /// Sends the lines of the standard input, and prints what comes back.
    Client(Options),
    /// Says back what it hears, to every client.
    Server(Options),
}

#[derive(Args)]
struct Options {
    /// The server's address and port.
    address: SocketAddr,
    /// The peer's fingerprint, as "sha-256 4A:AD:…". Several are allowed.
    #[arg(long)]
    fingerprint: Vec<Fingerprint>,
    /// Speak this version alone: 1.2 or 1.3.
    #[arg(long, value_parser = version)]
    version: Option<ProtocolVersion>,
    /// The longest datagram of ours, in bytes.
    #[arg(long, default_value_t = 1200)]
    mtu: usize,
    /// Append the secrets to this file (SSLKEYLOGFILE).
    #[arg(long)]
    key_log: Option<PathBuf>,
}

fn version(text: &str) -> Result<ProtocolVersion, String> {
    match text {
        "1.2" => Ok(ProtocolVersion::Dtls12),
        "1.3" => Ok(ProtocolVersion::Dtls13),
        _ => Err("1.2 or 1.3".to_owned()),
    }
}

/// Trusts whom it is told to trust, or else anybody.
#[derive(Debug)]
struct Trust(Vec<Fingerprint>);

impl CertificateVerifier for Trust {
    fn verify(&self, chain: &ShownChain<'_>, _now: Instant) -> Result<(), AlertDescription> {
        let provider = CryptoProvider::default();
        let leaf = chain.certificates.first().ok_or(AlertDescription::BAD_CERTIFICATE)?;
        let of = |algorithm| Fingerprint::of(&provider, algorithm, leaf);
        let shown = of(HashAlgorithm::Sha256).map_err(|_| AlertDescription::INTERNAL_ERROR)?;
        eprintln!("the peer's fingerprint: {shown}");
        let fits = |told: &Fingerprint| of(told.algorithm()).is_ok_and(|shown| shown == *told);
        if self.0.is_empty() || self.0.iter().any(fits) {
            Ok(())
        } else {
            Err(AlertDescription::BAD_CERTIFICATE)
        }
    }
}

#[derive(Debug)]
struct LogFile(Mutex<File>);

impl KeyLog for LogFile {
    fn log(&self, secret: &LoggedSecret<'_>) {
        let written = self.0.lock().is_ok_and(|mut file| writeln!(file, "{secret}").is_ok());
        if !written {
            eprintln!("the key log cannot be written");
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match Arguments::parse().role {
        RoleArgument::Client(options) => client(options).await,
        RoleArgument::Server(options) => server(options).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn seed() -> Result<Seed, Box<dyn Error>> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "no randomness")?;
    Ok(Seed(bytes))
}

fn config(options: &Options) -> Result<Arc<Config>, Box<dyn Error>> {
    let now = SystemTime::now();
    let certificate =
        Certificate::self_signed(&CryptoProvider::default(), &seed()?, now - DAY, now + 30 * DAY)?;
    eprintln!("our fingerprint: {}", certificate.fingerprint(HashAlgorithm::Sha256)?);
    let mut builder = Config::builder(certificate)
        .mtu(options.mtu)
        .srtp_profiles(Vec::new())
        .verifier(Arc::new(Trust(options.fingerprint.clone())));
    if let Some(version) = options.version {
        builder = builder.versions(version, version);
    }
    if let Some(path) = &options.key_log {
        let file = File::options().create(true).append(true).open(path)?;
        builder = builder.key_log(Arc::new(LogFile(Mutex::new(file))));
    }
    Ok(Arc::new(builder.build()?))
}

/// Sends what a connection has to send.
async fn flush(connection: &mut Connection, socket: &UdpSocket) -> Result<(), Box<dyn Error>> {
    let mut out = Vec::new();
    while let Some(transmit) = connection.poll_transmit(Instant::now(), &mut out) {
        socket.send_to(&out, transmit.path.remote).await?;
        out.clear();
    }
    Ok(())
}

fn tell(event: &Event, connection: &Connection, peer: SocketAddr) {
    match event {
        Event::Connected { .. } => eprintln!("{peer}: connected, {:?}", connection.parameters()),
        Event::ApplicationData(data) => eprintln!("{peer}: {} bytes", data.len()),
        end => eprintln!("{peer}: {end:?}"),
    }
}

async fn client(options: Options) -> Result<(), Box<dyn Error>> {
    let any = if options.address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await?;
    let path = FiveTuple::udp(socket.local_addr()?, options.address);
    let mut connection = Connection::new(config(&options)?, Role::Client, &seed()?, Instant::now());
    connection.set_path(path);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut buffer = [0; MAX_DATAGRAM];
    let (mut is_connected, mut unanswered, mut at_end) = (false, 0_u32, false);
    loop {
        connection.handle_timeout(Instant::now());
        while let Some(event) = connection.poll_event() {
            match event {
                Event::ApplicationData(data) => {
                    println!("{}", String::from_utf8_lossy(&data));
                    unanswered = unanswered.saturating_sub(1);
                }
                Event::Closed => return flush(&mut connection, &socket).await,
                Event::Failed(reason) => {
                    flush(&mut connection, &socket).await?;
                    return Err(reason.into());
                }
                event => {
                    tell(&event, &connection, options.address);
                    is_connected = true;
                }
            }
        }
        if at_end && unanswered == 0 {
            connection.close(Instant::now());
        }
        flush(&mut connection, &socket).await?;
        let wait = connection.poll_timeout().map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (len, from) = received?;
                if from == options.address {
                    connection.handle_datagram(Instant::now(), path, &mut buffer[..len]);
                }
            }
            line = lines.next_line(), if is_connected && !at_end => match line? {
                Some(line) => {
                    connection.write(Instant::now(), line.as_bytes())?;
                    unanswered += 1;
                }
                None => at_end = true,
            },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

async fn server(options: Options) -> Result<(), Box<dyn Error>> {
    let socket = UdpSocket::bind(options.address).await?;
    let local = socket.local_addr()?;
    let mut listener = Listener::new(config(&options)?, &seed()?, Instant::now());
    println!("listening on {local}");
    let mut connections: HashMap<SocketAddr, Connection> = HashMap::new();
    let mut buffer = [0; MAX_DATAGRAM];
    let mut answer = Vec::new();
    loop {
        let now = Instant::now();
        let deadlines = connections.values().filter_map(Connection::poll_timeout);
        let wait = deadlines.min().map_or(IDLE, |at| at.saturating_duration_since(now));
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                // A client that has gone is told so by the system; that is nothing to the others.
                let Ok((len, from)) = received else { continue };
                let (path, datagram) = (FiveTuple::udp(local, from), &mut buffer[..len]);
                if let Some(connection) = connections.get_mut(&from) {
                    connection.handle_datagram(Instant::now(), path, datagram);
                } else {
                    answer.clear();
                    match listener.handle_datagram(Instant::now(), path, datagram, &mut answer) {
                        Heard::Answer(_) => {
                            socket.send_to(&answer, from).await?;
                        }
                        Heard::Connection(connection) => drop(connections.insert(from, *connection)),
                        _ => {}
                    }
                }
            }
            () = tokio::time::sleep(wait) => {}
        }
        let mut ended = Vec::new();
        for (from, connection) in &mut connections {
            connection.handle_timeout(Instant::now());
            while let Some(event) = connection.poll_event() {
                tell(&event, connection, *from);
                match event {
                    Event::ApplicationData(data) => {
                        // What a full queue does not take is lost, as on any network.
                        let _ = connection.write(Instant::now(), &data);
                    }
                    Event::Connected { .. } => {}
                    _ => ended.push(*from),
                }
            }
            flush(connection, &socket).await?;
        }
        ended.iter().for_each(|from| drop(connections.remove(from)));
    }
}
