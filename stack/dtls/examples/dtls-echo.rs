//! Speaks DTLS on a UDP socket and sends back what it hears: a thing to point other implementations at.
//!
//! ```text
//! cargo run -p tombolo-dtls --example dtls_echo server 127.0.0.1:4444
//! openssl s_client -dtls1_2 -connect 127.0.0.1:4444 -cert c.pem -key k.pem -use_srtp SRTP_AEAD_AES_128_GCM
//!
//! openssl s_server -dtls1_2 -accept 4444 -cert c.pem -key k.pem -Verify 1 -use_srtp SRTP_AEAD_AES_128_GCM
//! cargo run -p tombolo-dtls --example dtls_echo client 127.0.0.1:4444
//! ```
//!
//! With no third argument it trusts any certificate and prints its fingerprint; with one, it wants that fingerprint.
#![expect(clippy::disallowed_methods, reason = "a driver reads the clock for its machine")]

use std::error::Error;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tombolo_crypto::{CryptoProvider, HashAlgorithm};
use tombolo_dtls::{Certificate, Config, Connection, Event, Fingerprint, Role};
use tombolo_net::{FiveTuple, Seed};

const DAY: Duration = Duration::from_secs(86400);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (role, address, expected) = match &arguments[..] {
        [role, address, expected @ ..] => (role, address.parse()?, expected.first()),
        _ => return Err("usage: dtls_echo client|server ADDRESS:PORT [FINGERPRINT]".into()),
    };
    let (role, socket) = match role.as_str() {
        "client" => (Role::Client, UdpSocket::bind("0.0.0.0:0")?),
        "server" => (Role::Server, UdpSocket::bind(address)?),
        _ => return Err("the role is client or server".into()),
    };
    let expected = expected.map(|text| text.parse::<Fingerprint>()).transpose()?;
    run(role, address, &socket, expected)
}

fn run(
    role: Role,
    address: SocketAddr,
    socket: &UdpSocket,
    expected: Option<Fingerprint>,
) -> Result<(), Box<dyn Error>> {
    let provider = CryptoProvider::default();
    let now = SystemTime::now();
    // The default provider draws its keys from the operating system; the seed gives the hello's random bytes.
    let nanos = now.duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64;
    let seed = Seed::from_number(nanos ^ u64::from(std::process::id()));
    let certificate = Certificate::self_signed(&provider, &seed, now - DAY, now + 30 * DAY)?;
    println!("our fingerprint: {}", certificate.fingerprint(HashAlgorithm::Sha256)?);

    let config = Arc::new(Config::builder(certificate).build()?);
    let mut connection = Connection::new(config, role, &seed, Instant::now());
    let local = socket.local_addr()?;
    if role == Role::Client {
        connection.set_path(FiveTuple::udp(local, address));
    }
    if let Some(expected) = &expected {
        connection.set_remote_fingerprints(Instant::now(), vec![expected.clone()]);
    }
    let mut trusts_anyone = expected.is_none();
    let mut datagram = vec![0; 2048];
    let mut out = Vec::new();
    loop {
        let now = Instant::now();
        while let Some(transmit) = connection.poll_transmit(now, &mut out) {
            socket.send_to(&out, transmit.path.remote)?;
            out.clear();
        }
        while let Some(event) = connection.poll_event() {
            match event {
                Event::Connected { srtp } => {
                    println!("connected, SRTP profile {:?}", srtp.map(|keys| keys.profile))
                }
                Event::ApplicationData(data) => {
                    println!("received {} bytes", data.len());
                    connection.write(now, &data)?;
                }
                end => {
                    println!("{end:?}");
                    return Ok(());
                }
            }
        }
        let wait = connection.poll_timeout().map(|at| at.saturating_duration_since(now));
        let wait = wait
            .unwrap_or(Duration::from_millis(100))
            .clamp(Duration::from_millis(1), Duration::from_millis(100));
        socket.set_read_timeout(Some(wait))?;
        match socket.recv_from(&mut datagram) {
            Ok((len, from)) => {
                let path = FiveTuple::udp(local, from);
                connection.set_path(path);
                connection.handle_datagram(Instant::now(), path, &mut datagram[..len]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error.into()),
        }
        let now = Instant::now();
        connection.handle_timeout(now);
        if trusts_anyone && let Some(shown) = connection.remote_certificate() {
            let shown = Fingerprint::of(&provider, HashAlgorithm::Sha256, shown)?;
            println!("peer's fingerprint: {shown}");
            trusts_anyone = false;
            connection.set_remote_fingerprints(now, vec![shown]);
        }
    }
}
