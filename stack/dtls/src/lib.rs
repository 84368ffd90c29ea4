//! DTLS 1.2 for WebRTC, client and server, sans-I/O.
//!
//! A [`Connection`] implements RFC 6347 with ECDHE on X25519 and P-256 (RFC 8422), AES-GCM (RFC 5289), the extended
//! master secret (RFC 7627, required), use_srtp with its exporter (RFC 5764, RFC 5705) and certificates on both sides
//! that are known by their fingerprints (RFC 8122). It reads no clock, no randomness of its own and no socket.
//!
//! Left out: resumption, renegotiation (answered with no_renegotiation), CBC and PSK suites, a server's
//! HelloVerifyRequest (behind ICE the peer's address is known to be its own; a client does answer one).
//!
//! | module | what |
//! |---|---|
//! | `connection`, `receive` | the machine |
//! | `handshake` | the states of client and server, one struct each; the messages |
//! | `flight`, `fragment` | sending and sending again; cutting and reassembly |
//! | `record`, `replay` | headers, ciphers, the replay window |
//! | `extension`, `codec`, `suite`, `alert` | the encoding and the code points |
//! | `keys`, `transcript` | the key schedule |
//! | `identity`, `fingerprint`, `certificate`, `x509` | who is who |
//!
//! # Errors and alerts
//!
//! A [`PeerError`] ends the connection with [`Event::Failed`] and tells the peer with a fatal alert:
//!
//! | error | alert |
//! |---|---|
//! | [`PeerError::Version`] | protocol_version |
//! | [`PeerError::CipherSuite`], [`PeerError::Group`], [`PeerError::SignatureScheme`], [`PeerError::NoExtendedMasterSecret`], [`PeerError::NoCertificate`] | handshake_failure |
//! | [`PeerError::FingerprintMismatch`], [`PeerError::BadCertificate`] | bad_certificate |
//! | [`PeerError::UnsupportedCertificate`] | unsupported_certificate |
//! | [`PeerError::BadSignature`], [`PeerError::BadFinished`] | decrypt_error |
//! | [`PeerError::IllegalParameter`] | illegal_parameter |
//! | [`PeerError::UnsolicitedExtension`] | unsupported_extension |
//! | [`PeerError::UnexpectedMessage`] | unexpected_message |
//! | [`PeerError::Malformed`] | decode_error |
//! | [`FailReason::Crypto`] | internal_error |
//! | [`FailReason::Timeout`], [`FailReason::PeerAlert`] | none |
//!
//! What does not authenticate, or cannot be parsed while nothing is authenticated yet, is dropped without an alert
//! (RFC 6347 §4.1.2.7) and counted in [`Stats`]. A plaintext alert during the handshake may be anyone's: the
//! handshake fails with it only when nothing else comes for a second.

mod alert;
mod certificate;
mod codec;
mod config;
mod connection;
mod error;
mod event;
mod extension;
mod fingerprint;
mod flight;
mod fragment;
mod handshake;
mod identity;
mod keys;
mod queue;
mod receive;
mod record;
mod replay;
mod srtp;
mod stats;
mod suite;
mod transcript;
mod x509;

pub use alert::AlertDescription;
pub use certificate::{Certificate, CertificateError};
pub use config::{Config, ConfigBuilder, ConfigError};
pub use connection::{Connection, Role};
pub use error::{DecodeError, FailReason, PeerError, UseError};
pub use event::Event;
pub use fingerprint::{Fingerprint, FingerprintError};
pub use srtp::{SrtpKeys, SrtpProfileId};
pub use stats::{DropReason, Stats};
