//! A certificate and the key that proves it.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData, SigningKey,
};
use tombolo_crypto::{CryptoError, CryptoProvider, HashAlgorithm, SignatureScheme, Signer};
use tombolo_net::Seed;

use crate::fingerprint::Fingerprint;
use crate::suite::key_kind;
use crate::x509::{KeyKind, PublicKey};

/// A certificate with its private key. Cheap to clone.
///
/// WebRTC knows a certificate by its [`Fingerprint`], which is signalled; names and validity are not looked at by
/// browsers, nor here.
#[derive(Clone)]
pub struct Certificate {
    inner: Arc<Inner>,
    intermediates: Arc<[Vec<u8>]>,
}

struct Inner {
    der: Vec<u8>,
    signer: Box<dyn Signer>,
    provider: CryptoProvider,
}

/// Why a certificate could not be made or loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate is not valid DER.
    #[error("malformed certificate")]
    Malformed,
    /// The private key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    WrongKey,
    /// The validity cannot be written as X.509 dates.
    #[error("the validity is out of range")]
    Validity,
    /// The provider cannot make or read the key.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl Certificate {
    /// Makes a self-signed certificate with a fresh P-256 key, valid from `not_before` to `not_after`.
    ///
    /// The key is drawn from `seed` as far as the provider draws from it (see
    /// [`tombolo_crypto::CryptoProvider::generate_key`]).
    ///
    /// # Errors
    /// [`CertificateError::Validity`] when a date cannot be encoded, [`CertificateError::Crypto`] when the provider
    /// fails.
    pub fn self_signed(
        provider: &CryptoProvider,
        seed: &Seed,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<Self, CertificateError> {
        let signer = (provider.signer)(&(provider.generate_key)(&mut seed.rng())?)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // A name like that of browsers' certificates: nothing about the machine, another one each time.
        let name: String =
            signer.public_key().iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date(not_before)?;
        params.not_after = date(not_after)?;
        let certificate = params
            .self_signed(&Key(&*signer))
            .map_err(|_| CertificateError::Crypto(CryptoError::Malformed))?;
        let der = certificate.der().to_vec();
        Ok(Self::alone(Inner { der, signer, provider: *provider }))
    }

    /// Loads a certificate in DER and its private key in PKCS#8.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] or [`CertificateError::Crypto`] when one of them cannot be read,
    /// [`CertificateError::WrongKey`] when they do not belong together.
    pub fn from_der(
        provider: &CryptoProvider,
        certificate: Vec<u8>,
        pkcs8: &[u8],
    ) -> Result<Self, CertificateError> {
        Self::with_signer(provider, certificate, (provider.signer)(pkcs8)?)
    }

    /// Uses a certificate in DER with a key that is held elsewhere.
    ///
    /// # Errors
    /// As [`Certificate::from_der`].
    pub fn with_signer(
        provider: &CryptoProvider,
        certificate: Vec<u8>,
        signer: Box<dyn Signer>,
    ) -> Result<Self, CertificateError> {
        let key = PublicKey::of_certificate(&certificate).map_err(|_| CertificateError::Malformed)?;
        let kind = signer.schemes().first().and_then(|scheme| key_kind(*scheme));
        if kind.is_none() || key.kind != kind || key.bytes != signer.public_key() {
            return Err(CertificateError::WrongKey);
        }
        Ok(Self::alone(Inner { der: certificate, signer, provider: *provider }))
    }

    fn alone(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), intermediates: Arc::new([]) }
    }

    /// Sends these certificates too, in DER, each of which certifies the one before, up to one that the peer trusts. Default:
    /// none, as for those that are known by their fingerprint.
    #[must_use]
    pub fn with_intermediates(self, intermediates: Vec<Vec<u8>>) -> Self {
        Self { intermediates: intermediates.into(), ..self }
    }

    /// All that is sent, the leaf first.
    pub(crate) fn chain(&self) -> impl Iterator<Item = &[u8]> {
        std::iter::once(self.der()).chain(self.intermediates.iter().map(Vec::as_slice))
    }

    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.inner.der
    }

    /// The fingerprint to signal.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] when the provider lacks the hash; SHA-256 every provider has.
    pub fn fingerprint(&self, algorithm: HashAlgorithm) -> Result<Fingerprint, CryptoError> {
        Fingerprint::of(&self.inner.provider, algorithm, self.der())
    }

    /// The kind of the private key.
    pub(crate) fn kind(&self) -> Option<KeyKind> {
        self.signer().schemes().first().and_then(|scheme| key_kind(*scheme))
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        &*self.inner.signer
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("der_bytes", &self.inner.der.len()).finish_non_exhaustive()
    }
}

fn date(time: SystemTime) -> Result<time::OffsetDateTime, CertificateError> {
    // X.509 dates end with the year 9999, and `time` panics beyond.
    let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| CertificateError::Validity)?;
    let seconds = i64::try_from(since_1970.as_secs()).map_err(|_| CertificateError::Validity)?;
    time::OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| CertificateError::Validity)
}

/// A signer as rcgen wants to see it.
struct Key<'a>(&'a dyn Signer);

impl PublicKeyData for Key<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.0.sign(SignatureScheme::EcdsaSecp256r1Sha256, message).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    /// A certificate for tests; the same seed gives the same one.
    pub(crate) fn certificate(seed: u64) -> Certificate {
        let day = Duration::from_secs(86400);
        let not_before = SystemTime::UNIX_EPOCH + day * 20_000;
        let provider = tombolo_crypto::rust_crypto::provider();
        Certificate::self_signed(&provider, &Seed::from_number(seed), not_before, not_before + day * 30)
            .unwrap()
    }

    #[test]
    fn the_same_seed_gives_the_same_certificate_with_the_deterministic_backend() {
        assert_eq!(certificate(1).der(), certificate(1).der());
        assert_ne!(certificate(1).der(), certificate(2).der());
    }

    #[test]
    fn a_certificate_is_loaded_with_its_own_key_only() {
        let provider = CryptoProvider::default();
        let mut rng = Seed::from_number(1).rng();
        let deterministic = tombolo_crypto::rust_crypto::provider();
        let key = (deterministic.generate_key)(&mut rng).unwrap();
        let other_key = (deterministic.generate_key)(&mut rng).unwrap();
        let der = certificate(1).der().to_vec();
        let loaded = Certificate::from_der(&provider, der.clone(), &key).unwrap();
        let fingerprint = |certificate: &Certificate| certificate.fingerprint(HashAlgorithm::Sha256).unwrap();
        assert_eq!(fingerprint(&loaded), fingerprint(&certificate(1)));
        let wrong = Certificate::from_der(&provider, der.clone(), &other_key).map(|_| ());
        assert_eq!(wrong, Err(CertificateError::WrongKey));
        let cut = Certificate::from_der(&provider, der[..50].to_vec(), &key).map(|_| ());
        assert_eq!(cut, Err(CertificateError::Malformed));
    }

    #[test]
    fn dates_out_of_range_are_an_error() {
        let provider = CryptoProvider::default();
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(400_000 * 31_557_600);
        let made = Certificate::self_signed(&provider, &Seed::from_number(1), SystemTime::UNIX_EPOCH, far)
            .map(|_| ());
        assert_eq!(made, Err(CertificateError::Validity));
    }
}
