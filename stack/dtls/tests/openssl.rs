//! Interoperation with the `openssl` command on loopback, both roles: handshake, data both ways, and the same
//! exported keys. Without the command each test says that it is skipped.
#![expect(clippy::disallowed_methods, reason = "a driver reads the clock for its machine")]

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tombolo_crypto::{CryptoProvider, HashAlgorithm};
use tombolo_dtls::{
    Certificate, Config, Connection, Event, FailReason, Fingerprint, PreSharedKey, ProtocolVersion, Role,
    SrtpKeys, SrtpProfileId,
};
use tombolo_net::{FiveTuple, Seed};

const DEADLINE: Duration = Duration::from_secs(20);
const GCM: &str = "SRTP_AEAD_AES_128_GCM";
const CM: &str = "SRTP_AES128_CM_SHA1_80";

/// The arguments for a pre-shared key, which is in hexadecimal digits.
const PSK: &[&str] =
    &["-psk", "0102030405060708", "-psk_identity", "sensor", "-cipher", "ECDHE-PSK-CHACHA20-POLY1305"];

/// The kind of key that OpenSSL gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    P256,
    P384,
    Rsa,
    Ed25519,
}

/// One handshake with OpenSSL.
struct Case {
    key: Key,
    profile: &'static str,
    /// Whether our hello is short: OpenSSL cannot check the cookie of one that comes in two datagrams.
    short_hello: bool,
    /// Further arguments for OpenSSL.
    arguments: &'static [&'static str],
    /// What OpenSSL says about it, as the server or as the client.
    says: [&'static str; 2],
}

const CASES: [Case; 8] = [
    Case {
        short_hello: false,
        key: Key::P256,
        profile: GCM,
        arguments: &[],
        says: ["ECDHE-ECDSA-AES128-GCM-SHA256"; 2],
    },
    Case {
        short_hello: false,
        key: Key::P256,
        profile: CM,
        arguments: &["-groups", "P-256"],
        says: ["Shared groups: secp256r1", "ECDH, prime256v1"],
    },
    Case {
        short_hello: false,
        key: Key::P256,
        profile: GCM,
        arguments: &["-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
        says: ["ECDHE-ECDSA-AES256-GCM-SHA384"; 2],
    },
    Case {
        short_hello: false,
        key: Key::P256,
        profile: CM,
        arguments: &["-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        says: ["ECDHE-ECDSA-CHACHA20-POLY1305"; 2],
    },
    Case { short_hello: false, key: Key::P256, profile: CM, arguments: &["-mtu", "300"], says: [CM; 2] },
    Case { short_hello: false, key: Key::P384, profile: GCM, arguments: &[], says: [GCM; 2] },
    Case { short_hello: false, key: Key::Rsa, profile: GCM, arguments: &[], says: [GCM; 2] },
    Case { short_hello: false, key: Key::Rsa, profile: CM, arguments: &["-mtu", "400"], says: [CM; 2] },
];

#[test]
fn our_client_and_openssl_s_server() {
    if is_missing("our client and openssl s_server") {
        return;
    }
    for (number, case) in CASES.iter().enumerate() {
        let mut session = Session::new(&format!("s_server-{number}"), Role::Client, case, &["-Verify", "1"]);
        session.check(case);
    }
}

/// RFC 6347 §4.2.1: with `-listen` OpenSSL wants its cookie back before it answers.
#[test]
fn our_client_and_openssl_s_server_with_a_cookie() {
    if is_missing("our client and openssl s_server with a cookie") {
        return;
    }
    let case = Case { short_hello: true, ..CASES[0] };
    let mut session = Session::new("s_server-listen", Role::Client, &case, &["-Verify", "1", "-listen"]);
    session.check(&case);
}

/// A server that asks for no certificate, as FFmpeg's WHIP output is one.
#[test]
fn our_client_and_a_server_that_asks_for_nothing() {
    if is_missing("our client and a server that asks for nothing") {
        return;
    }
    let mut session = Session::new("s_server-unasked", Role::Client, &CASES[0], &[]);
    session.check(&CASES[0]);
}

/// Pre-shared keys, both roles: with the certificates that OpenSSL has all the same, and does not show.
#[test]
fn openssl_and_we_know_each_other_by_a_key() {
    if is_missing("openssl and pre-shared keys") {
        return;
    }
    let case = Case { arguments: PSK, says: ["ECDHE-PSK-CHACHA20-POLY1305"; 2], ..CASES[0] };
    for (name, role) in [("s_server-psk", Role::Client), ("s_client-psk", Role::Server)] {
        let mut session = Session::new(name, role, &case, &[]);
        session.check(&case);
    }
}

#[test]
fn openssl_s_client_and_our_server() {
    if is_missing("openssl s_client and our server") {
        return;
    }
    for (number, case) in CASES.iter().enumerate() {
        let mut session = Session::new(&format!("s_client-{number}"), Role::Server, case, &[]);
        session.check(case);
    }
}

/// DTLS-10: OpenSSL's `R` command asks for renegotiation.
#[test]
fn openssl_gets_no_renegotiation() {
    if is_missing("openssl renegotiation") {
        return;
    }
    let mut session = Session::new("s_client-reneg", Role::Server, &CASES[0], &[]);
    session.connect();
    session.tell_openssl("R\n");
    let refused = session.run_until(|session| session.openssl_says("no renegotiation"));
    assert!(refused, "{}", session.said());
    // OpenSSL gives up then, with an alert of its own; this side would have gone on.
    let gave_up =
        |event: &Event| matches!(event, Event::Failed(reason) if !matches!(reason, FailReason::PeerAlert(_)));
    assert!(!session.events.iter().any(gave_up), "{:?}", session.events);
}

/// Keys of every kind, made and written by OpenSSL, sign our own handshakes.
#[test]
fn our_own_keys_of_every_kind() {
    if is_missing("keys of every kind") {
        return;
    }
    for key in [Key::P256, Key::P384, Key::Rsa, Key::Ed25519] {
        let folder = std::env::temp_dir().join(format!("tombolo-dtls-{}-own-{key:?}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let der = make_certificate(&folder, key);
        let pkcs8 = private_key(&folder);
        std::fs::remove_dir_all(&folder).expect("our own folder");
        let certificate = Certificate::from_der(&CryptoProvider::default(), der, &pkcs8).expect("a good key");
        for version in [ProtocolVersion::Dtls12, ProtocolVersion::Dtls13] {
            let config =
                Config::builder(certificate.clone()).versions(version, version).build().expect("settings");
            assert!(connects_with_itself(&Arc::new(config)), "{key:?} {version:?}");
        }
    }
}

/// Whether two connections with this configuration come up, with each other alone.
fn connects_with_itself(config: &Arc<Config>) -> bool {
    let now = Instant::now();
    let address: SocketAddr = ([192, 0, 2, 1], 1).into();
    let path = FiveTuple::udp(address, address);
    let mut ends = [Role::Client, Role::Server].map(|role| {
        let mut connection = Connection::new(Arc::clone(config), role, &seed(), now);
        connection.set_path(path);
        let fingerprint = config.certificate().fingerprint(HashAlgorithm::Sha256).expect("SHA-256");
        connection.set_remote_fingerprints(now, vec![fingerprint]);
        connection
    });
    let mut datagram = Vec::new();
    for turn in 0..8 {
        while ends[turn % 2].poll_transmit(now, &mut datagram).is_some() {
            ends[1 - turn % 2].handle_datagram(now, path, &mut datagram);
            datagram.clear();
        }
    }
    ends.iter_mut().all(|end| matches!(end.poll_event(), Some(Event::Connected { .. })))
}

fn is_missing(name: &str) -> bool {
    let missing = Command::new("openssl").arg("version").output().is_err();
    if missing {
        println!("skipped: {name}: the openssl command is not installed");
    }
    missing
}

/// A connection of ours on a socket, and an OpenSSL process.
struct Session {
    connection: Connection,
    socket: UdpSocket,
    local: SocketAddr,
    events: Vec<Event>,
    openssl: Child,
    said: Arc<Mutex<Vec<u8>>>,
    folder: PathBuf,
}

impl Session {
    fn new(name: &str, role: Role, case: &Case, arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("tombolo-dtls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let certificate = make_certificate(&folder, case.key);
        let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
        let local = socket.local_addr().expect("address");
        let remote = match role {
            Role::Client => free_address(),
            Role::Server => local,
        };
        let mut command = Command::new("openssl");
        match role {
            Role::Client => command.args(["s_server", "-accept", &remote.port().to_string()]),
            Role::Server => command.args(["s_client", "-connect", &remote.to_string()]),
        };
        command.current_dir(&folder).args(["-dtls1_2", "-cert", "cert.pem", "-key", "key.pem"]);
        command.args([
            "-use_srtp",
            case.profile,
            "-keymatexport",
            "EXTRACTOR-dtls_srtp",
            "-keymatexportlen",
            "60",
        ]);
        command.args(arguments).args(case.arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut openssl = command.spawn().expect("openssl");
        let said = Arc::new(Mutex::new(Vec::new()));
        listen(openssl.stdout.take().expect("piped"), &said);
        listen(openssl.stderr.take().expect("piped"), &said);

        let provider = CryptoProvider::default();
        let now = Instant::now();
        let mut connection = Connection::new(Arc::new(our_config(&provider, case)), role, &seed(), now);
        if role == Role::Client {
            connection.set_path(FiveTuple::udp(local, remote));
        }
        if case.arguments != PSK {
            let fingerprint =
                Fingerprint::of(&provider, HashAlgorithm::Sha256, &certificate).expect("SHA-256");
            connection.set_remote_fingerprints(now, vec![fingerprint]);
        }
        let session = Self { connection, socket, local, events: Vec::new(), openssl, said, folder };
        if role == Role::Client {
            assert!(session.wait(|session| session.openssl_says("ACCEPT")), "{}", session.said());
        }
        session
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().expect("no panic holds it")).into_owned()
    }

    fn openssl_says(&self, words: &str) -> bool {
        self.said().contains(words)
    }

    fn tell_openssl(&mut self, words: &str) {
        let stdin = self.openssl.stdin.as_mut().expect("piped");
        stdin.write_all(words.as_bytes()).and_then(|()| stdin.flush()).expect("openssl listens");
    }

    fn srtp(&self) -> Option<&SrtpKeys> {
        self.events.iter().find_map(|event| match event {
            Event::Connected { srtp } => srtp.as_ref(),
            _ => None,
        })
    }

    /// Waits without driving the connection.
    fn wait(&self, done: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + DEADLINE;
        while !done(self) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        done(self)
    }

    /// Drives the connection.
    fn run_until(&mut self, done: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + DEADLINE;
        let mut datagram = vec![0; 4096];
        let mut out = Vec::new();
        while Instant::now() < end {
            let now = Instant::now();
            self.connection.handle_timeout(now);
            while let Some(transmit) = self.connection.poll_transmit(now, &mut out) {
                self.socket.send_to(&out, transmit.path.remote).expect("send");
                out.clear();
            }
            self.events.extend(std::iter::from_fn(|| self.connection.poll_event()));
            if done(self) {
                return true;
            }
            self.socket.set_read_timeout(Some(Duration::from_millis(5))).expect("timeout");
            match self.socket.recv_from(&mut datagram) {
                Ok((len, from)) => {
                    let path = FiveTuple::udp(self.local, from);
                    self.connection.set_path(path);
                    self.connection.handle_datagram(Instant::now(), path, &mut datagram[..len]);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                // The port is not open yet, or no more.
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => panic!("{error}"),
            }
        }
        false
    }

    fn connect(&mut self) {
        let connected = self.run_until(|session| {
            session.events.iter().any(|event| matches!(event, Event::Connected { .. }))
                && session.openssl_says("Keying material: ")
        });
        assert!(connected, "{:?}\n{}", self.events, self.said());
    }

    /// Connects, compares the exported keys, sends a line each way, closes.
    fn check(&mut self, case: &Case) {
        self.connect();
        assert!(case.says.iter().any(|words| self.openssl_says(words)), "{:?}: {}", case.says, self.said());
        let keys = self.srtp().expect("a profile in common");
        let expected = if case.profile == GCM {
            SrtpProfileId::AEAD_AES_128_GCM
        } else {
            SrtpProfileId::AES128_CM_HMAC_SHA1_80
        };
        assert_eq!(keys.profile, expected);
        let local = [&keys.local_key, &keys.local_salt];
        let remote = [&keys.remote_key, &keys.remote_salt];
        let ([client_key, client_salt], [server_key, server_salt]) =
            if self.connection.role() == Role::Client { (local, remote) } else { (remote, local) };
        let ours = [&client_key[..], server_key, client_salt, server_salt].concat();
        let ours: String = ours.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(self.openssl_says(&format!("Keying material: {ours}")), "{ours}\n{}", self.said());

        self.connection.write(Instant::now(), b"a line from us\n").expect("connected");
        assert!(self.run_until(|session| session.openssl_says("a line from us")), "{}", self.said());
        self.tell_openssl("a line from openssl\n");
        let line = Event::ApplicationData(b"a line from openssl\n".to_vec());
        assert!(self.run_until(|session| session.events.contains(&line)), "{:?}", self.events);
        self.connection.close(Instant::now());
        assert!(self.run_until(|session| session.events.contains(&Event::Closed)));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Both may have ended by themselves.
        let _ = self.openssl.kill();
        let _ = self.openssl.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn our_config(provider: &CryptoProvider, case: &Case) -> Config {
    let day = Duration::from_secs(86400);
    let now = SystemTime::now();
    let certificate =
        Certificate::self_signed(provider, &seed(), now - day, now + day * 30).expect("certificate");
    let builder = Config::builder(certificate).provider(*provider);
    let is_psk = case.arguments == PSK;
    let builder = if case.short_hello || is_psk {
        builder.versions(ProtocolVersion::Dtls12, ProtocolVersion::Dtls12)
    } else {
        builder
    };
    let builder = if is_psk {
        builder.pre_shared_keys(Arc::new(PreSharedKey::new("sensor", [1, 2, 3, 4, 5, 6, 7, 8])))
    } else {
        builder
    };
    builder.build().expect("settings")
}

fn seed() -> Seed {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    Seed::from_number(since_1970.as_nanos() as u64)
}

/// A loopback port that was free a moment ago.
fn free_address() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
    socket.local_addr().expect("address")
}

fn listen(mut from: impl Read + Send + 'static, said: &Arc<Mutex<Vec<u8>>>) {
    let said = Arc::clone(said);
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(len @ 1..) = from.read(&mut bytes) {
            said.lock().expect("no panic holds it").extend_from_slice(&bytes[..len]);
        }
    });
}

/// `key.pem` as PKCS#8 in DER.
fn private_key(folder: &Path) -> Vec<u8> {
    let arguments = ["pkcs8", "-topk8", "-nocrypt", "-in", "key.pem", "-outform", "DER"];
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Lets OpenSSL make `cert.pem` and `key.pem`; returns the certificate in DER.
fn make_certificate(folder: &Path, key: Key) -> Vec<u8> {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let kind: &[&str] = match key {
        Key::P256 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
        Key::P384 => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
        Key::Rsa => &["-newkey", "rsa:2048"],
        Key::Ed25519 => &["-newkey", "ed25519"],
    };
    let subject = ["-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=test", "-days", "30"];
    openssl(&[&["req", "-x509"], kind, &subject].concat());
    openssl(&["x509", "-in", "cert.pem", "-outform", "DER", "-out", "cert.der"]);
    std::fs::read(folder.join("cert.der")).expect("openssl wrote it")
}
