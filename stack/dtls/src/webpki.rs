//! Certificates by a chain to an authority that is trusted (RFC 5280), with `rustls-webpki`.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use rustls_pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use tombolo_net::Epoch;
use webpki::ring::{
    ECDSA_P256_SHA256, ECDSA_P256_SHA384, ECDSA_P384_SHA256, ECDSA_P384_SHA384, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
};
use webpki::{EndEntityCert, Error, KeyUsage, anchor_from_trusted_cert};

use crate::alert::AlertDescription;
use crate::connection::Role;
use crate::verifier::{CertificateVerifier, ShownChain};

/// The algorithms that authorities may sign with.
const ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 8] = [
    ECDSA_P256_SHA256,
    ECDSA_P256_SHA384,
    ECDSA_P384_SHA256,
    ECDSA_P384_SHA384,
    ED25519,
    RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512,
];

/// Accepts certificates that lead to one of the authorities, are valid today, are for the purpose, and of a server have the
/// name that it was asked for, if it was asked for one. Revocation is not looked at.
pub struct WebPkiVerifier {
    authorities: Vec<TrustAnchor<'static>>,
    epoch: Epoch,
}

impl WebPkiVerifier {
    /// Trusts these authorities, whose certificates are in DER. `epoch` is what tells the date.
    ///
    /// # Errors
    /// [`crate::CertificateError::Malformed`] when one of them cannot be read.
    pub fn new(authorities: &[Vec<u8>], epoch: Epoch) -> Result<Self, crate::CertificateError> {
        let read = |der: &Vec<u8>| {
            let der = CertificateDer::from(der.as_slice());
            let anchor = anchor_from_trusted_cert(&der).map_err(|_| crate::CertificateError::Malformed)?;
            Ok(anchor.to_owned())
        };
        let authorities = authorities.iter().map(read).collect::<Result<_, crate::CertificateError>>()?;
        Ok(Self { authorities, epoch })
    }

    fn check(&self, chain: &ShownChain<'_>, now: Instant) -> Result<(), Error> {
        let [leaf, intermediates @ ..] = chain.certificates else { return Err(Error::BadDer) };
        let leaf = CertificateDer::from(*leaf);
        let leaf = EndEntityCert::try_from(&leaf)?;
        let intermediates: Vec<_> = intermediates.iter().map(|der| CertificateDer::from(*der)).collect();
        let since_1970 = self.epoch.system_at(now).duration_since(SystemTime::UNIX_EPOCH);
        let time = UnixTime::since_unix_epoch(since_1970.unwrap_or(Duration::ZERO));
        let usage = match chain.of {
            Role::Client => KeyUsage::client_auth(),
            Role::Server => KeyUsage::server_auth(),
        };
        leaf.verify_for_usage(&ALGORITHMS, &self.authorities, &intermediates, time, usage, None, None)?;
        match chain.name {
            None => Ok(()),
            Some(name) => {
                let name = ServerName::try_from(name).map_err(|_| Error::MalformedDnsIdentifier)?;
                leaf.verify_is_valid_for_subject_name(&name)
            }
        }
    }
}

impl CertificateVerifier for WebPkiVerifier {
    fn verify(&self, chain: &ShownChain<'_>, now: Instant) -> Result<(), AlertDescription> {
        self.check(chain, now).map_err(|error| match error {
            Error::CertExpired { .. } | Error::CertNotValidYet { .. } => {
                AlertDescription::CERTIFICATE_EXPIRED
            }
            Error::UnknownIssuer => AlertDescription::UNKNOWN_CA,
            _ => AlertDescription::BAD_CERTIFICATE,
        })
    }
}

impl fmt::Debug for WebPkiVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPkiVerifier").field("authorities", &self.authorities.len()).finish_non_exhaustive()
    }
}
