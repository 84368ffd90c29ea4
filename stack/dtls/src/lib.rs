//! DTLS 1.2 and 1.3, client and server, sans-I/O.
//!
//! A [`Connection`] implements RFC 6347 and RFC 9147. Key exchange is X25519MLKEM768 (1.3 alone), X25519, P-256 or P-384,
//! with HelloRetryRequest; ciphers are AES-GCM and ChaCha20-Poly1305 (RFC 5289, RFC 7905, RFC 8446); the extended master
//! secret (RFC 7627) is required in 1.2; there is use_srtp with its exporter (RFC 5764, RFC 5705), ALPN, the server's
//! name, KeyUpdate, connection ids (RFC 9146), and certificates that are known by their fingerprints (RFC 8122) or that a
//! [`CertificateVerifier`] accepts, or in 1.2 [`PreSharedKeys`] in their place. It reads no clock, no
//! randomness of its own and no socket.
//!
//! Left out: resumption and early data, renegotiation (answered with no_renegotiation in 1.2), CBC suites,
//! pre-shared keys without a key exchange and in 1.3, connection ids of ours that change.
//!
//! A server behind ICE makes its connections itself: the peer's address is known to be its own. One without ICE has a
//! [`Listener`] make them, which asks for cookies first.
//!
//! | module | what |
//! |---|---|
//! | `connection`, `receive`, `key_update` | the machine: verbs and timers, what comes in, what is special after the handshake of 1.3 |
//! | `listener`, `cookie` | the ear of a server without ICE |
//! | `handshake` | the states of client and server, one struct each; the messages |
//! | `flight`, `fragment`, `pieces`, `ack` | sending and sending again; cutting and reassembly; acknowledging |
//! | `record`, `connection_id`, `cipher`, `replay` | headers, ids in them, protection, the replay window |
//! | `extension`, `codec`, `suite`, `version`, `alert` | the encoding and the code points |
//! | `keys`, `schedule`, `transcript`, `session` | the key schedules of 1.2 and of 1.3 |
//! | `key_log` | secrets for Wireshark |
//! | `psk` | keys that were known before |
//! | `identity`, `fingerprint`, `verifier`, `certificate`, `x509` | who is who |
//!
//! # Errors and alerts
//!
//! A [`PeerError`] ends the connection with [`Event::Failed`] and tells the peer with a fatal alert:
//!
//! | error | alert |
//! |---|---|
//! | [`PeerError::Version`] | protocol_version |
//! | [`PeerError::CipherSuite`], [`PeerError::Group`], [`PeerError::SignatureScheme`], [`PeerError::NoExtendedMasterSecret`], [`PeerError::NoCertificate`], [`PeerError::NoPreSharedKey`] | handshake_failure |
//! | [`PeerError::FingerprintMismatch`], [`PeerError::BadCertificate`] | bad_certificate |
//! | [`PeerError::Rejected`] | what the verifier says |
//! | [`PeerError::UnsupportedCertificate`] | unsupported_certificate |
//! | [`PeerError::BadSignature`], [`PeerError::BadFinished`] | decrypt_error |
//! | [`PeerError::IllegalParameter`] | illegal_parameter |
//! | [`PeerError::NoApplicationProtocol`] | no_application_protocol |
//! | [`PeerError::MissingExtension`] | missing_extension |
//! | [`PeerError::UnsolicitedExtension`] | unsupported_extension |
//! | [`PeerError::RecordOverflow`] | record_overflow |
//! | [`PeerError::UnexpectedMessage`] | unexpected_message |
//! | [`PeerError::Malformed`] | decode_error |
//! | [`FailReason::Crypto`], [`FailReason::Exhausted`] | internal_error |
//! | [`FailReason::Timeout`], [`FailReason::PeerAlert`] | none |
//!
//! What does not authenticate, or cannot be parsed while nothing is authenticated yet, is dropped without an alert
//! (RFC 6347 §4.1.2.7) and counted in [`Stats`]. A plaintext alert during the handshake may be anyone's: the
//! handshake fails with it only when nothing else comes for a second.

mod ack;
mod alert;
#[cfg(test)]
mod ceiling;
mod certificate;
mod cipher;
mod codec;
mod config;
mod connection;
mod connection_id;
mod cookie;
mod error;
mod event;
mod extension;
mod fingerprint;
mod flight;
mod fragment;
mod handshake;
mod identity;
mod key_log;
mod key_update;
mod keys;
mod listener;
mod pieces;
mod psk;
mod queue;
mod receive;
mod record;
mod replay;
mod schedule;
mod session;
mod srtp;
mod stats;
mod suite;
mod transcript;
mod verifier;
mod version;
#[cfg(feature = "webpki")]
mod webpki;
mod x509;

pub use alert::AlertDescription;
pub use certificate::{Certificate, CertificateError};
pub use config::{Config, ConfigBuilder, ConfigError};
pub use connection::{Connection, Role};
pub use error::{DecodeError, FailReason, PeerError, UseError};
pub use event::Event;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use key_log::{KeyLog, LoggedSecret};
pub use listener::{Heard, Listener};
pub use psk::{PreSharedKey, PreSharedKeys};
pub use session::Parameters;
pub use srtp::{SrtpKeys, SrtpProfileId};
pub use stats::{DropReason, Stats};
pub use suite::CipherSuite;
pub use verifier::{CertificateVerifier, ShownChain};
pub use version::ProtocolVersion;
#[cfg(feature = "webpki")]
pub use webpki::WebPkiVerifier;
