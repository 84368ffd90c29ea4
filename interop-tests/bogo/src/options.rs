//! The arguments of a case. Those that are not known are not implemented.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use ring::rand::{SecureRandom as _, SystemRandom};
use tombolo_crypto::{CryptoProvider, KeyExchangeGroup};
use tombolo_dtls::{
    AlertDescription, Certificate, CertificateVerifier, Config, ConfigBuilder, PreSharedKey, PreSharedKeys,
    ProtocolVersion, Role, ShownChain, SrtpProfileId,
};
use tombolo_net::Seed;

use crate::{Failure, pem};

/// Arguments without a value that ask for nothing beyond what is always done, or for what only BoringSSL's interface has.
const PASSED_OVER: [&str; 14] = [
    "-async",
    "-dtls",
    "-expect-extended-master-secret",
    "-expect-hrr",
    "-expect-no-hrr",
    "-expect-no-session",
    "-expect-no-session-id",
    "-expect-secure-renegotiation",
    "-expect-session-miss",
    "-handshake-twice",
    "-implicit-handshake",
    "-no-op-extra-handshake",
    "-no-ticket",
    "-server-preference",
];
/// The same with a value.
const PASSED_OVER_WITH_VALUE: [&str; 4] =
    ["-expect-advertised-alpn", "-expect-peer-signature-algorithm", "-trust-cert", "-write-settings"];

/// What is compared when the handshake is complete.
#[derive(Debug, Default)]
pub(crate) struct Expected {
    pub(crate) version: Option<u16>,
    pub(crate) cipher: Option<u16>,
    pub(crate) group: Option<u16>,
    pub(crate) alpn: Option<Vec<u8>>,
    pub(crate) server_name: Option<Vec<u8>>,
    pub(crate) no_server_name: bool,
    pub(crate) no_peer_certificate: bool,
    pub(crate) peer_certificate: Option<Vec<u8>>,
}

/// Keying material that is sent to the runner, which compares it.
#[derive(Debug, Default)]
pub(crate) struct Export {
    pub(crate) len: usize,
    pub(crate) label: String,
    pub(crate) context: String,
    pub(crate) with_context: bool,
}

/// All that a case asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) port: u16,
    pub(crate) ipv6: bool,
    pub(crate) shim_id: u64,
    pub(crate) role: Role,
    pub(crate) config: Arc<Config>,
    /// How many, one after the other.
    pub(crate) connections: u32,
    pub(crate) expected: Expected,
    pub(crate) export: Export,
    /// What is sent before anything is read, and how often.
    pub(crate) first_write: Vec<u8>,
    pub(crate) first_writes: u32,
    pub(crate) closes_at_once: bool,
    pub(crate) updates_keys: bool,
    pub(crate) updates_keys_before_reading: bool,
}

/// What the arguments say, as far as they are read.
struct Draft {
    options: Options,
    certificate: Option<String>,
    key: Option<String>,
    psk: Option<String>,
    psk_identity: String,
    min_version: u16,
    max_version: u16,
    groups: Option<Vec<KeyExchangeGroup>>,
    asks_clients: bool,
    rejects: bool,
    verifies: bool,
    verifies_itself: bool,
    writes_first: bool,
    resumes: u32,
    set: Vec<Setting>,
}

/// A change of the configuration.
type Setting = Box<dyn FnOnce(ConfigBuilder) -> ConfigBuilder>;

/// One pre-shared key, whose identity is the server's hint too.
#[derive(Debug)]
struct Psk(PreSharedKey);

impl PreSharedKeys for Psk {
    fn hint(&self) -> Vec<u8> {
        self.0.identity(&[]).unwrap_or_default()
    }

    fn identity(&self, hint: &[u8]) -> Option<Vec<u8>> {
        self.0.identity(hint)
    }

    fn key(&self, identity: &[u8]) -> Option<Vec<u8>> {
        self.0.key(identity)
    }
}

/// Takes every certificate, or none.
#[derive(Debug)]
struct Verifier {
    rejects: Option<AlertDescription>,
}

impl CertificateVerifier for Verifier {
    fn verify(&self, _chain: &ShownChain<'_>, _now: Instant) -> Result<(), AlertDescription> {
        self.rejects.map_or(Ok(()), Err)
    }
}

fn unimplemented(what: impl Into<String>) -> Failure {
    Failure::Unimplemented(what.into())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| unimplemented(format!("a number: {text}")))
}

impl Options {
    /// Reads the arguments.
    pub(crate) fn parse(arguments: &[String]) -> Result<Self, Failure> {
        if !arguments.iter().any(|argument| argument == "-dtls") {
            return Err(unimplemented("TLS and QUIC"));
        }
        let mut draft = Draft::new()?;
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("-on-initial").unwrap_or(argument);
            let name = name.strip_prefix("-on-shim").unwrap_or(name);
            if draft.flag(name) || PASSED_OVER.contains(&name) {
                continue;
            }
            let value = rest.next().ok_or_else(|| unimplemented(argument))?;
            if !PASSED_OVER_WITH_VALUE.contains(&name) {
                draft.value(name, value)?;
            }
        }
        draft.finish(arguments)
    }
}

impl Draft {
    fn new() -> Result<Self, Failure> {
        let config = Config::builder(own_certificate()?).build();
        let config = config.map_err(|error| Failure::failed(error.to_string()))?;
        Ok(Self {
            options: Options {
                port: 0,
                ipv6: false,
                shim_id: 0,
                role: Role::Client,
                config: Arc::new(config),
                connections: 1,
                expected: Expected::default(),
                export: Export::default(),
                first_write: b"hello".to_vec(),
                first_writes: 1,
                closes_at_once: false,
                updates_keys: false,
                updates_keys_before_reading: false,
            },
            certificate: None,
            key: None,
            psk: None,
            psk_identity: String::new(),
            min_version: 0xfefd,
            max_version: 0xfefc,
            groups: None,
            asks_clients: false,
            rejects: false,
            verifies: false,
            verifies_itself: false,
            writes_first: false,
            resumes: 0,
            set: Vec::new(),
        })
    }

    /// Takes an argument without a value. `false`: it is another one.
    fn flag(&mut self, name: &str) -> bool {
        let options = &mut self.options;
        match name {
            "-ipv6" => options.ipv6 = true,
            "-server" => options.role = Role::Server,
            "-no-tls13" => self.max_version = 0xfefd,
            "-no-tls12" => self.min_version = 0xfefc,
            "-no-tls11" | "-no-tls1" | "-expect-verify-result" => {}
            "-use-custom-verify-callback" => self.verifies_itself = true,
            "-require-any-client-certificate" => self.asks_clients = true,
            "-verify-peer" => (self.asks_clients, self.verifies) = (true, true),
            "-verify-fail" => self.rejects = true,
            "-shim-writes-first" => self.writes_first = true,
            "-shim-shuts-down" => options.closes_at_once = true,
            "-use-export-context" => options.export.with_context = true,
            "-expect-no-server-name" => options.expected.no_server_name = true,
            "-expect-no-peer-cert" => options.expected.no_peer_certificate = true,
            "-key-update" => options.updates_keys = true,
            "-key-update-before-read" => options.updates_keys_before_reading = true,
            "-no-key-shares" => self.set.push(Box::new(ConfigBuilder::no_first_shares)),
            _ => return false,
        }
        true
    }

    fn value(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        let bytes = || value.as_bytes().to_vec();
        let options = &mut self.options;
        let expected = &mut options.expected;
        match name {
            "-port" => options.port = number(value)?,
            "-shim-id" => options.shim_id = number(value)?,
            "-resume-count" => self.resumes = number(value)?,
            "-cert-file" => self.certificate = Some(value.to_owned()),
            "-psk" => self.psk = Some(value.to_owned()),
            "-psk-identity" => value.clone_into(&mut self.psk_identity),
            "-key-file" => self.key = Some(value.to_owned()),
            "-min-version" => self.min_version = number(value)?,
            "-max-version" => self.max_version = number(value)?,
            "-curves" => self.groups.get_or_insert_default().push(group(number(value)?)?),
            "-mtu" => {
                let mtu = number(value)?;
                self.set.push(Box::new(move |builder| builder.mtu(mtu)));
            }
            "-initial-timeout-duration-ms" => {
                let timeout = Duration::from_millis(number(value)?);
                self.set.push(Box::new(move |builder| builder.initial_retransmit_timeout(timeout)));
            }
            "-srtp-profiles" => {
                let profiles = value.split(':').map(srtp_profile).collect::<Result<_, _>>()?;
                self.set.push(Box::new(move |builder| builder.srtp_profiles(profiles)));
            }
            "-advertise-alpn" => {
                let protocols = alpn(value.as_bytes()).ok_or_else(|| unimplemented("a bad list for ALPN"))?;
                self.set.push(Box::new(move |builder| builder.alpn(protocols)));
            }
            "-select-alpn" => {
                let protocol = bytes();
                self.set.push(Box::new(move |builder| builder.alpn(vec![protocol])));
            }
            "-host-name" => {
                let name = bytes();
                self.set.push(Box::new(move |builder| builder.server_name(name)));
            }
            "-expect-version" => expected.version = Some(number(value)?),
            "-expect-cipher" => expected.cipher = Some(number(value)?),
            "-expect-curve-id" => expected.group = Some(number(value)?),
            "-expect-alpn" => expected.alpn = Some(bytes()),
            "-expect-server-name" => expected.server_name = Some(bytes()),
            "-expect-peer-cert-file" => expected.peer_certificate = certificates(value)?.into_iter().next(),
            "-export-keying-material" => options.export.len = number(value)?,
            "-export-label" => options.export.label = value.to_owned(),
            "-export-context" => options.export.context = value.to_owned(),
            "-shim-initial-write" => options.first_write = bytes(),
            "-repeat-shim-initial-write" => options.first_writes = number(value)?,
            _ => return Err(unimplemented(name)),
        }
        Ok(())
    }

    fn finish(mut self, arguments: &[String]) -> Result<Options, Failure> {
        // A session that is refused is all that there is of resumption.
        let refuses = arguments.iter().any(|argument| argument == "-expect-session-miss");
        if self.resumes > 0 && !(refuses && self.options.role == Role::Server) {
            return Err(unimplemented("resumption"));
        }
        self.options.connections += self.resumes;
        if !self.writes_first {
            self.options.first_writes = 0;
        }
        let certificate = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => load(certificate, key)?,
            (None, None) => own_certificate()?,
            _ => return Err(unimplemented("half a credential")),
        };
        let (min, max) = self.versions()?;
        let mut builder = Config::builder(certificate)
            .versions(min, max)
            .mtu(17000)
            .srtp_profiles(Vec::new())
            .initial_retransmit_timeout(Duration::from_millis(400))
            .max_retransmit_timeout(Duration::from_secs(60))
            .max_retransmits(12)
            .verifier(Arc::new(Verifier { rejects: self.rejection() }));
        if !self.asks_clients {
            builder = builder.anonymous_clients();
        }
        if let Some(key) = self.psk {
            let keys = Psk(PreSharedKey::new(self.psk_identity, key));
            builder = builder.pre_shared_keys(Arc::new(keys)).versions(min, ProtocolVersion::Dtls12);
        }
        if let Some(groups) = self.groups {
            builder = builder.groups(groups);
        }
        for set in self.set {
            builder = set(builder);
        }
        let config = builder.build().map_err(|error| unimplemented(error.to_string()))?;
        self.options.config = Arc::new(config);
        Ok(self.options)
    }

    /// The alert that certificates are refused with. Without being asked to verify, BoringSSL takes what it finds wrong.
    fn rejection(&self) -> Option<AlertDescription> {
        match (self.rejects, self.verifies_itself) {
            (true, true) => Some(AlertDescription::CERTIFICATE_UNKNOWN),
            (true, false) if self.verifies || self.asks_clients => Some(AlertDescription::HANDSHAKE_FAILURE),
            _ => None,
        }
    }

    /// The versions that are allowed. They count down.
    fn versions(&self) -> Result<(ProtocolVersion, ProtocolVersion), Failure> {
        let min = match self.min_version {
            0xfefc => ProtocolVersion::Dtls13,
            _ => ProtocolVersion::Dtls12,
        };
        let max = match self.max_version {
            0xfefc => ProtocolVersion::Dtls13,
            0xfefd => ProtocolVersion::Dtls12,
            _ => return Err(unimplemented("DTLS 1.0")),
        };
        Ok((min, max))
    }
}

/// A new self-signed certificate, for when the case names none: there is no connection without one.
fn own_certificate() -> Result<Certificate, Failure> {
    let day = Duration::from_secs(86400);
    let from = SystemTime::UNIX_EPOCH + 20_000 * day;
    Certificate::self_signed(&CryptoProvider::default(), &seed()?, from, from + 20_000 * day)
        .map_err(|error| Failure::failed(error.to_string()))
}

/// A seed from the system.
pub(crate) fn seed() -> Result<Seed, Failure> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::failed("no randomness"))?;
    Ok(Seed(bytes))
}

fn read(path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::failed(format!("{path}: {error}")))
}

/// The certificates of a file, the leaf first.
fn certificates(path: &str) -> Result<Vec<Vec<u8>>, Failure> {
    Ok(pem::blocks(&read(path)?, "CERTIFICATE"))
}

fn load(certificate: &str, key: &str) -> Result<Certificate, Failure> {
    let mut chain = certificates(certificate)?;
    let key = pem::blocks(&read(key)?, "PRIVATE KEY").pop().ok_or_else(|| unimplemented("the key's form"))?;
    if chain.is_empty() {
        return Err(unimplemented("no certificate"));
    }
    let intermediates = chain.split_off(1);
    let leaf = chain.swap_remove(0);
    Certificate::from_der(&CryptoProvider::default(), leaf, &key)
        .map(|certificate| certificate.with_intermediates(intermediates))
        .map_err(|error| unimplemented(format!("a certificate or its key: {error}")))
}

/// The group of a code point.
pub(crate) fn group(id: u16) -> Result<KeyExchangeGroup, Failure> {
    Ok(match id {
        23 => KeyExchangeGroup::Secp256r1,
        24 => KeyExchangeGroup::Secp384r1,
        29 => KeyExchangeGroup::X25519,
        0x11ec => KeyExchangeGroup::X25519MlKem768,
        _ => return Err(unimplemented(format!("group {id}"))),
    })
}

/// A profile by OpenSSL's name.
fn srtp_profile(name: &str) -> Result<SrtpProfileId, Failure> {
    Ok(match name {
        "SRTP_AES128_CM_SHA1_80" => SrtpProfileId::AES128_CM_HMAC_SHA1_80,
        "SRTP_AES128_CM_SHA1_32" => SrtpProfileId::AES128_CM_HMAC_SHA1_32,
        "SRTP_AEAD_AES_128_GCM" => SrtpProfileId::AEAD_AES_128_GCM,
        "SRTP_AEAD_AES_256_GCM" => SrtpProfileId::AEAD_AES_256_GCM,
        _ => return Err(unimplemented(name)),
    })
}

/// A list of names, each with its length before it.
fn alpn(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut protocols = Vec::new();
    while let Some((len, rest)) = bytes.split_first() {
        let (protocol, rest) = rest.split_at_checked(usize::from(*len))?;
        protocols.push(protocol.to_vec());
        bytes = rest;
    }
    Some(protocols)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Options, Failure> {
        Options::parse(&arguments.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    fn is_unimplemented(arguments: &str) -> bool {
        matches!(parse(arguments), Err(Failure::Unimplemented(_)))
    }

    #[test]
    fn arguments_are_read_and_unknown_ones_are_unimplemented() {
        let options =
            parse("-port 5 -shim-id 7 -dtls -server -max-version 65277 -expect-curve-id 29").unwrap();
        assert_eq!((options.port, options.shim_id, options.role), (5, 7, Role::Server));
        assert_eq!((options.expected.group, options.first_writes), (Some(29), 0));
        assert!(is_unimplemented("-port 5"), "TLS");
        assert!(is_unimplemented("-dtls -max-version 65279"), "DTLS 1.0");
        assert!(is_unimplemented("-dtls -quantum"));
        assert!(is_unimplemented("-dtls -resume-count 1"));
        assert!(is_unimplemented("-dtls -curves 25"));
    }

    #[test]
    fn lists_of_protocols() {
        assert_eq!(alpn(b"\x01a\x02bc"), Some(vec![b"a".to_vec(), b"bc".to_vec()]));
        assert_eq!(alpn(b"\x03a"), None);
    }
}
