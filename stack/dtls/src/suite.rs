//! Code points that are negotiated: cipher suites (RFC 5289), groups, signature schemes (RFC 8422, RFC 8446 §4.2.3).

use tombolo_crypto::{AeadAlgorithm, HashAlgorithm, KeyExchangeGroup, SignatureScheme};

/// A cipher suite: ECDHE, the kind of signature, the AEAD, the hash of the PRF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CipherSuite {
    EcdsaAes128GcmSha256,
    RsaAes128GcmSha256,
    EcdsaAes256GcmSha384,
    RsaAes256GcmSha384,
}

impl CipherSuite {
    /// In order of preference.
    pub(crate) const ALL: [Self; 4] = [
        Self::EcdsaAes128GcmSha256,
        Self::RsaAes128GcmSha256,
        Self::EcdsaAes256GcmSha384,
        Self::RsaAes256GcmSha384,
    ];

    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::EcdsaAes128GcmSha256 => 0xc02b,
            Self::RsaAes128GcmSha256 => 0xc02f,
            Self::EcdsaAes256GcmSha384 => 0xc02c,
            Self::RsaAes256GcmSha384 => 0xc030,
        }
    }

    /// Whether a server with a key of this scheme may choose it (RFC 8422 §2, §5.10).
    pub(crate) const fn fits(self, scheme: SignatureScheme) -> bool {
        let rsa = matches!(scheme, SignatureScheme::RsaPkcs1Sha256);
        rsa == matches!(self, Self::RsaAes128GcmSha256 | Self::RsaAes256GcmSha384)
    }

    pub(crate) const fn aead(self) -> AeadAlgorithm {
        match self {
            Self::EcdsaAes128GcmSha256 | Self::RsaAes128GcmSha256 => AeadAlgorithm::Aes128Gcm,
            Self::EcdsaAes256GcmSha384 | Self::RsaAes256GcmSha384 => AeadAlgorithm::Aes256Gcm,
        }
    }

    pub(crate) const fn hash(self) -> HashAlgorithm {
        match self {
            Self::EcdsaAes128GcmSha256 | Self::RsaAes128GcmSha256 => HashAlgorithm::Sha256,
            Self::EcdsaAes256GcmSha384 | Self::RsaAes256GcmSha384 => HashAlgorithm::Sha384,
        }
    }
}

/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 §3.3).
pub(crate) const RENEGOTIATION_SCSV: u16 = 0x00ff;

/// The groups in order of preference, with their code points.
pub(crate) const GROUPS: [(u16, KeyExchangeGroup); 2] =
    [(29, KeyExchangeGroup::X25519), (23, KeyExchangeGroup::Secp256r1)];

/// The signature schemes that DTLS 1.2 may use here, with their code points.
///
/// P-384 is not among them: in TLS 1.2 a scheme names the hash and leaves the curve open, so that a P-384 key signs
/// with SHA-256 as well, and RFC 8827 §6.5 asks for P-256 alone.
pub(crate) const SCHEMES: [(u16, SignatureScheme); 3] = [
    (0x0403, SignatureScheme::EcdsaSecp256r1Sha256),
    (0x0807, SignatureScheme::Ed25519),
    (0x0401, SignatureScheme::RsaPkcs1Sha256),
];

/// The code point of a signature scheme, if it may be used here.
pub(crate) fn scheme_id(scheme: SignatureScheme) -> Option<u16> {
    SCHEMES.iter().find(|(_, known)| *known == scheme).map(|(id, _)| *id)
}
