//! What can go wrong, sorted by blame, and the one table from errors to alerts.

use tombolo_crypto::CryptoError;

use crate::alert::AlertDescription;

/// The bytes are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A length points past the end.
    #[error("truncated")]
    Truncated,
    /// Bytes are left over.
    #[error("trailing bytes")]
    TrailingBytes,
    /// A vector has a length that its elements do not fill, or that the RFC does not allow.
    #[error("bad length")]
    BadLength,
    /// A value that the RFC does not allow here, or the same extension twice.
    #[error("bad value")]
    BadValue,
}

/// The peer misbehaves, or the two sides have nothing in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// No protocol version in common.
    #[error("no protocol version in common")]
    Version,
    /// No cipher suite in common.
    #[error("no cipher suite in common")]
    CipherSuite,
    /// No key exchange group in common.
    #[error("no key exchange group in common")]
    Group,
    /// No signature scheme in common.
    #[error("no signature scheme in common")]
    SignatureScheme,
    /// The peer does not support the extended master secret (RFC 7627), without which nothing may be exported.
    #[error("the peer does not support the extended master secret")]
    NoExtendedMasterSecret,
    /// Both sides name application protocols (RFC 7301), and none in common.
    #[error("no application protocol in common")]
    NoApplicationProtocol,
    /// The peer sent an empty list of certificates.
    #[error("the peer has no certificate")]
    NoCertificate,
    /// There is no pre-shared key for this server.
    #[error("no pre-shared key for this server")]
    NoPreSharedKey,
    /// The certificate matches none of the fingerprints that were signalled.
    #[error("the certificate does not match the fingerprint")]
    FingerprintMismatch,
    /// The verifier does not accept the certificate.
    #[error("the verifier does not accept the certificate: {0}")]
    Rejected(AlertDescription),
    /// The certificate cannot be parsed.
    #[error("the certificate is malformed")]
    BadCertificate,
    /// The certificate's key does not fit the cipher suite or the signature.
    #[error("the certificate's key is of an unsupported kind")]
    UnsupportedCertificate,
    /// A handshake signature does not verify.
    #[error("a handshake signature does not verify")]
    BadSignature,
    /// The Finished message does not verify.
    #[error("the Finished message does not verify")]
    BadFinished,
    /// A choice that was not offered, or a share that is no point.
    #[error("illegal parameter")]
    IllegalParameter,
    /// The server answered an extension that was not offered.
    #[error("an extension that was not offered")]
    UnsolicitedExtension,
    /// A message of DTLS 1.3 without an extension that it must have.
    #[error("an extension is missing")]
    MissingExtension,
    /// An authenticated record with more than 2¹⁴ bytes.
    #[error("a record is too long")]
    RecordOverflow,
    /// A handshake message out of turn.
    #[error("unexpected message")]
    UnexpectedMessage,
    /// An authenticated message that does not parse.
    #[error("malformed message: {0}")]
    Malformed(DecodeError),
}

impl PeerError {
    /// The alert that tells the peer.
    #[must_use]
    pub const fn alert(self) -> AlertDescription {
        match self {
            Self::Version => AlertDescription::PROTOCOL_VERSION,
            Self::CipherSuite
            | Self::Group
            | Self::SignatureScheme
            | Self::NoExtendedMasterSecret
            | Self::NoPreSharedKey
            | Self::NoCertificate => AlertDescription::HANDSHAKE_FAILURE,
            Self::FingerprintMismatch | Self::BadCertificate => AlertDescription::BAD_CERTIFICATE,
            Self::Rejected(description) => description,
            Self::UnsupportedCertificate => AlertDescription::UNSUPPORTED_CERTIFICATE,
            Self::BadSignature | Self::BadFinished => AlertDescription::DECRYPT_ERROR,
            Self::IllegalParameter => AlertDescription::ILLEGAL_PARAMETER,
            Self::UnsolicitedExtension => AlertDescription::UNSUPPORTED_EXTENSION,
            Self::NoApplicationProtocol => AlertDescription::NO_APPLICATION_PROTOCOL,
            Self::MissingExtension => AlertDescription::MISSING_EXTENSION,
            Self::RecordOverflow => AlertDescription::RECORD_OVERFLOW,
            Self::UnexpectedMessage => AlertDescription::UNEXPECTED_MESSAGE,
            Self::Malformed(_) => AlertDescription::DECODE_ERROR,
        }
    }
}

/// The caller is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UseError {
    /// The connection is not up yet: no [`crate::Event::Connected`] was given out.
    #[error("not connected")]
    NotConnected,
    /// The connection has failed or was closed.
    #[error("closed")]
    Closed,
    /// The version that was agreed on does not have this.
    #[error("not in this version of the protocol")]
    Version,
    /// The data does not fit one datagram.
    #[error("longer than the {max} bytes of one datagram")]
    TooLong {
        /// The longest data that fits.
        max: usize,
    },
    /// The crypto provider failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// Too much waits to be polled with `poll_transmit`.
    #[error("the send queue is full")]
    QueueFull,
}

/// Why a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailReason {
    /// The peer did not answer the last retransmission of a flight.
    #[error("the handshake timed out")]
    Timeout,
    /// The peer sent a fatal alert.
    #[error("the peer sent the alert {0}")]
    PeerAlert(AlertDescription),
    /// The peer misbehaved, or there is nothing in common.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The crypto provider failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A limit of what one key may do was reached, and it cannot be changed any more (RFC 9147 §4.5.3).
    #[error("the keys are used up")]
    Exhausted,
}

impl FailReason {
    /// The alert that tells the peer, when it is to be told.
    #[must_use]
    pub const fn alert(self) -> Option<AlertDescription> {
        match self {
            Self::Timeout | Self::PeerAlert(_) => None,
            Self::Peer(error) => Some(error.alert()),
            Self::Crypto(_) | Self::Exhausted => Some(AlertDescription::INTERNAL_ERROR),
        }
    }
}
