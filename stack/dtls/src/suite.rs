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

/// The code point of a signature scheme; 0, which is none, for those that DTLS does not use here.
pub(crate) const fn scheme_id(scheme: SignatureScheme) -> u16 {
    match scheme {
        SignatureScheme::EcdsaSecp256r1Sha256 => 0x0403,
        SignatureScheme::EcdsaSecp384r1Sha384 => 0x0503,
        SignatureScheme::RsaPkcs1Sha256 => 0x0401,
        SignatureScheme::Ed25519 => 0x0807,
        _ => 0,
    }
}
