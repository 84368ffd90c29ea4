//! Code points that are negotiated: cipher suites (RFC 5289, RFC 7905, RFC 8446 §B.4), groups and signature schemes
//! (RFC 8422, RFC 8446 §4.2.3, §4.2.7, draft-ietf-tls-ecdhe-mlkem).

use tombolo_crypto::{AeadAlgorithm, HashAlgorithm, KeyExchangeGroup, SignatureScheme};

use crate::version::ProtocolVersion;
use crate::x509::KeyKind;

/// A cipher suite: in DTLS 1.3 the AEAD and the hash; in 1.2 ECDHE and the kind of signature too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CipherSuite {
    /// TLS_AES_128_GCM_SHA256, DTLS 1.3.
    Aes128GcmSha256,
    /// TLS_AES_256_GCM_SHA384, DTLS 1.3.
    Aes256GcmSha384,
    /// TLS_CHACHA20_POLY1305_SHA256, DTLS 1.3.
    ChaCha20Poly1305Sha256,
    /// TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, DTLS 1.2. Ed25519 keys go with the ECDSA suites.
    EcdheEcdsaAes128GcmSha256,
    /// TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, DTLS 1.2.
    EcdheRsaAes128GcmSha256,
    /// TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, DTLS 1.2.
    EcdheEcdsaAes256GcmSha384,
    /// TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, DTLS 1.2.
    EcdheRsaAes256GcmSha384,
    /// TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, DTLS 1.2.
    EcdheEcdsaChaCha20Poly1305Sha256,
    /// TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, DTLS 1.2.
    EcdheRsaChaCha20Poly1305Sha256,
    /// TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256, DTLS 1.2 (RFC 8442).
    EcdhePskAes128GcmSha256,
    /// TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256, DTLS 1.2 (RFC 7905).
    EcdhePskChaCha20Poly1305Sha256,
}

impl CipherSuite {
    /// All with certificates, in order of preference.
    pub const ALL: [Self; 9] = [
        Self::Aes128GcmSha256,
        Self::Aes256GcmSha384,
        Self::ChaCha20Poly1305Sha256,
        Self::EcdheEcdsaAes128GcmSha256,
        Self::EcdheRsaAes128GcmSha256,
        Self::EcdheEcdsaAes256GcmSha384,
        Self::EcdheRsaAes256GcmSha384,
        Self::EcdheEcdsaChaCha20Poly1305Sha256,
        Self::EcdheRsaChaCha20Poly1305Sha256,
    ];

    /// Those with pre-shared keys, in order of preference.
    pub const PSK: [Self; 2] = [Self::EcdhePskAes128GcmSha256, Self::EcdhePskChaCha20Poly1305Sha256];

    /// Whether it is one with pre-shared keys.
    pub(crate) fn is_psk(self) -> bool {
        Self::PSK.contains(&self)
    }

    /// The IANA code point.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Aes128GcmSha256 => 0x1301,
            Self::Aes256GcmSha384 => 0x1302,
            Self::ChaCha20Poly1305Sha256 => 0x1303,
            Self::EcdheEcdsaAes128GcmSha256 => 0xc02b,
            Self::EcdheRsaAes128GcmSha256 => 0xc02f,
            Self::EcdheEcdsaAes256GcmSha384 => 0xc02c,
            Self::EcdheRsaAes256GcmSha384 => 0xc030,
            Self::EcdheEcdsaChaCha20Poly1305Sha256 => 0xcca9,
            Self::EcdheRsaChaCha20Poly1305Sha256 => 0xcca8,
            Self::EcdhePskAes128GcmSha256 => 0xd001,
            Self::EcdhePskChaCha20Poly1305Sha256 => 0xccac,
        }
    }

    /// The version that the suite belongs to.
    #[must_use]
    pub const fn version(self) -> ProtocolVersion {
        match self {
            Self::Aes128GcmSha256 | Self::Aes256GcmSha384 | Self::ChaCha20Poly1305Sha256 => {
                ProtocolVersion::Dtls13
            }
            _ => ProtocolVersion::Dtls12,
        }
    }

    /// Whether a 1.2 server with a key of this kind may choose it (RFC 8422 §2, §5.10).
    pub(crate) fn fits(self, kind: KeyKind) -> bool {
        let rsa = matches!(
            self,
            Self::EcdheRsaAes128GcmSha256
                | Self::EcdheRsaAes256GcmSha384
                | Self::EcdheRsaChaCha20Poly1305Sha256
        );
        !self.is_psk() && rsa == (kind == KeyKind::Rsa)
    }

    pub(crate) const fn aead(self) -> AeadAlgorithm {
        match self {
            Self::Aes128GcmSha256
            | Self::EcdheEcdsaAes128GcmSha256
            | Self::EcdheRsaAes128GcmSha256
            | Self::EcdhePskAes128GcmSha256 => AeadAlgorithm::Aes128Gcm,
            Self::Aes256GcmSha384 | Self::EcdheEcdsaAes256GcmSha384 | Self::EcdheRsaAes256GcmSha384 => {
                AeadAlgorithm::Aes256Gcm
            }
            Self::ChaCha20Poly1305Sha256
            | Self::EcdheEcdsaChaCha20Poly1305Sha256
            | Self::EcdheRsaChaCha20Poly1305Sha256
            | Self::EcdhePskChaCha20Poly1305Sha256 => AeadAlgorithm::ChaCha20Poly1305,
        }
    }

    pub(crate) const fn hash(self) -> HashAlgorithm {
        match self {
            Self::Aes256GcmSha384 | Self::EcdheEcdsaAes256GcmSha384 | Self::EcdheRsaAes256GcmSha384 => {
                HashAlgorithm::Sha384
            }
            _ => HashAlgorithm::Sha256,
        }
    }
}

/// TLS_EMPTY_RENEGOTIATION_INFO_SCSV (RFC 5746 §3.3).
pub(crate) const RENEGOTIATION_SCSV: u16 = 0x00ff;

/// The groups with their code points, in order of preference.
const GROUPS: [(u16, KeyExchangeGroup); 4] = [
    (0x11ec, KeyExchangeGroup::X25519MlKem768),
    (29, KeyExchangeGroup::X25519),
    (23, KeyExchangeGroup::Secp256r1),
    (24, KeyExchangeGroup::Secp384r1),
];

/// The code point of a group. `None` for one that TLS does not have.
pub(crate) fn group_id(group: KeyExchangeGroup) -> Option<u16> {
    GROUPS.iter().find(|(_, known)| *known == group).map(|(id, _)| *id)
}

const BOTH: &[ProtocolVersion] = &[ProtocolVersion::Dtls12, ProtocolVersion::Dtls13];
const ONLY_1_2: &[ProtocolVersion] = &[ProtocolVersion::Dtls12];

/// The signature schemes with their code points, the kind of key and the versions whose handshake may be signed so.
///
/// In TLS 1.2 a scheme of ECDSA names the hash and leaves the curve open (RFC 8422 §5.1.1, RFC 8446 §4.2.3).
const SCHEMES: [(u16, SignatureScheme, KeyKind, &[ProtocolVersion]); 7] = [
    (0x0403, SignatureScheme::EcdsaSecp256r1Sha256, KeyKind::P256, BOTH),
    (0x0503, SignatureScheme::EcdsaSecp384r1Sha384, KeyKind::P384, BOTH),
    (0x0807, SignatureScheme::Ed25519, KeyKind::Ed25519, BOTH),
    (0x0804, SignatureScheme::RsaPssRsaeSha256, KeyKind::Rsa, BOTH),
    (0x0401, SignatureScheme::RsaPkcs1Sha256, KeyKind::Rsa, ONLY_1_2),
    (0x0503, SignatureScheme::EcdsaSecp256r1Sha384, KeyKind::P256, ONLY_1_2),
    (0x0403, SignatureScheme::EcdsaSecp384r1Sha256, KeyKind::P384, ONLY_1_2),
];

/// The schemes that may sign handshakes of these versions, with their code points.
pub(crate) fn schemes_of(
    versions: &[ProtocolVersion],
) -> impl Iterator<Item = (u16, SignatureScheme, KeyKind)> {
    SCHEMES
        .iter()
        .filter(|(.., of)| of.iter().any(|version| versions.contains(version)))
        .map(|(id, scheme, kind, _)| (*id, *scheme, *kind))
}

/// The kind of key that signs with a scheme.
pub(crate) fn key_kind(scheme: SignatureScheme) -> Option<KeyKind> {
    SCHEMES.iter().find(|(_, known, ..)| *known == scheme).map(|(_, _, kind, _)| *kind)
}
