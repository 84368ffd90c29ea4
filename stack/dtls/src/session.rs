//! What a handshake leaves behind: what was agreed on, and the secrets.

use tombolo_crypto::{CryptoError, KeyExchangeGroup};
use zeroize::Zeroizing;

use crate::keys::Secrets;
use crate::schedule::{Exporter, TrafficSecret};
use crate::srtp::{SrtpKeys, SrtpProfileId};
use crate::suite::CipherSuite;
use crate::version::ProtocolVersion;

/// The most bytes that can be exported at once (255 outputs of the hash, RFC 5869 §2.3).
pub(crate) const MAX_EXPORT_LEN: usize = 255 * 32;
/// RFC 5764 §4.2.
const SRTP_LABEL: &[u8] = b"EXTRACTOR-dtls_srtp";

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameters {
    /// The protocol version.
    pub version: ProtocolVersion,
    /// The cipher suite.
    pub cipher_suite: CipherSuite,
    /// The group of the key exchange.
    pub group: KeyExchangeGroup,
    /// The SRTP profile, if there is one in common.
    pub srtp_profile: Option<SrtpProfileId>,
    /// The application protocol (RFC 7301), if both sides have named some.
    pub alpn: Option<Vec<u8>>,
    /// The name that the client asked for (RFC 6066), on both sides.
    pub server_name: Option<Vec<u8>>,
    /// The identity of the pre-shared key, on both sides.
    pub psk_identity: Option<Vec<u8>>,
}

/// An association whose handshake is complete.
pub(crate) struct Session {
    pub(crate) parameters: Parameters,
    pub(crate) secrets: SessionSecrets,
}

pub(crate) enum SessionSecrets {
    Of12(Box<Secrets>),
    Of13(Box<SecretsOf13>),
}

/// The traffic secrets that are in use, and the exporter.
pub(crate) struct SecretsOf13 {
    pub(crate) read: TrafficSecret,
    pub(crate) write: TrafficSecret,
    pub(crate) exporter: Exporter,
    /// By which the key log knows the connection.
    pub(crate) client_random: [u8; 32],
}

impl Session {
    /// Fills `out` with keying material (RFC 5705, RFC 8446 §7.5).
    pub(crate) fn export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        out: &mut [u8],
    ) -> Result<(), CryptoError> {
        match &self.secrets {
            SessionSecrets::Of12(secrets) => secrets.export(label, context, out),
            SessionSecrets::Of13(secrets) => secrets.exporter.export(label, context.unwrap_or_default(), out),
        }
    }

    /// The keys of the profile that was agreed on, if there is one.
    pub(crate) fn export_srtp(&self, is_client: bool) -> Result<Option<SrtpKeys>, CryptoError> {
        let Some(profile) = self.parameters.srtp_profile else { return Ok(None) };
        let Some((key_len, salt_len)) = profile.key_and_salt_len() else { return Ok(None) };
        let mut material = Zeroizing::new(vec![0; 2 * (key_len + salt_len)]);
        self.export(SRTP_LABEL, None, &mut material)?;
        Ok(Some(SrtpKeys::from_material(profile, key_len, salt_len, &material, is_client)))
    }

    /// The secrets of 1.3.
    pub(crate) fn of_1_3(&mut self) -> Option<&mut SecretsOf13> {
        match &mut self.secrets {
            SessionSecrets::Of12(_) => None,
            SessionSecrets::Of13(secrets) => Some(secrets),
        }
    }
}
