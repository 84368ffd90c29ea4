//! The certificate that QUIC and HTTPS show.
//!
//! A browser takes a certificate that nobody signed when the page names its SHA-256 hash
//! (`serverCertificateHashes`), if it is ECDSA on P-256 and valid for at most 14 days. So the gateway makes
//! its own and makes new ones in time:
//!
//! ```text
//! days      0          6          12         18
//! A         [== shown =|.....]
//! B         [. hash .  |== shown =|.....]            [===] shown to new connections
//! C                    [. hash .  |== shown =|.....] [. .] hash served already, valid, not yet shown
//! ```
//!
//! The hash of the next certificate is served beside the current one's, so a page that was loaded just
//! before a change still connects after it. A connection that stands keeps the keys it has.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use ring::digest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use thiserror::Error;

/// How long a certificate is shown to new connections.
pub const ROTATION: Duration = Duration::from_secs(6 * 24 * 3600);
/// How long before its making a certificate is valid from, for clients whose clock is slow.
const BACKDATE: Duration = Duration::from_secs(3600);
/// How long after its making a certificate is valid. With [`BACKDATE`] below the 14 days that browsers allow, and
/// above two [`ROTATION`]s.
const VALIDITY: Duration = Duration::from_secs(13 * 24 * 3600);

/// SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CertificateHash(pub [u8; 32]);

impl CertificateHash {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = digest::digest(&digest::SHA256, certificate);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A self-signed one cannot be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// A file is missing or is not PEM.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        reason: rustls::pki_types::pem::Error,
    },
    /// The key is of an unknown kind, or does not belong to the certificate.
    #[error("certificate and key do not work together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The certificate for new connections, and the next one. Cheap to clone; all clones show the same.
#[derive(Clone, Debug)]
pub struct Certificates {
    state: Arc<RwLock<State>>,
}

#[derive(Debug)]
enum State {
    /// From files: shown as it is.
    Fixed(Arc<CertifiedKey>),
    /// Made here, and made again.
    Rotating { current: Made, next: Made, rotate_at: SystemTime },
}

#[derive(Clone, Debug)]
struct Made {
    key: Arc<CertifiedKey>,
    hash: CertificateHash,
}

impl Certificates {
    /// Self-signed certificates, made now and renewed by [`Certificates::rotate`].
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn self_signed(now: SystemTime) -> Result<Self, CertificateError> {
        let state =
            State::Rotating { current: Made::new(now)?, next: Made::new(now)?, rotate_at: now + ROTATION };
        Ok(Self { state: Arc::new(RwLock::new(state)) })
    }

    /// The chain and key in two PEM files. Browsers check such a chain as they check any; no hash is served.
    ///
    /// # Errors
    /// When a file is missing, is no PEM, or the two do not belong together.
    pub fn from_pem_files(chain: &Path, key: &Path) -> Result<Self, CertificateError> {
        let unreadable =
            |path: &Path, reason| CertificateError::Unreadable { path: path.display().to_string(), reason };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|reason| unreadable(chain, reason))?;
        let key_der = PrivateKeyDer::from_pem_file(key).map_err(|reason| unreadable(key, reason))?;
        let provider = rustls::crypto::ring::default_provider();
        let certified = CertifiedKey::from_der(certificates, key_der, &provider)?;
        Ok(Self { state: Arc::new(RwLock::new(State::Fixed(Arc::new(certified)))) })
    }

    /// The hashes to give to pages, the current one first. Empty for a certificate from files.
    #[must_use]
    pub fn hashes(&self) -> Vec<CertificateHash> {
        match &*self.read() {
            State::Fixed(_) => Vec::new(),
            State::Rotating { current, next, .. } => vec![current.hash, next.hash],
        }
    }

    /// When [`Certificates::rotate`] has to be called next; `None` for a certificate from files.
    #[must_use]
    pub fn rotate_at(&self) -> Option<SystemTime> {
        match &*self.read() {
            State::Fixed(_) => None,
            State::Rotating { rotate_at, .. } => Some(*rotate_at),
        }
    }

    /// Shows the next certificate to new connections, if it is time, and makes the one after it.
    ///
    /// # Errors
    /// When none can be made; the current one stays and the next call tries again.
    pub fn rotate(&self, now: SystemTime) -> Result<(), CertificateError> {
        let Some(late) = self.rotate_at().and_then(|at| now.duration_since(at).ok()) else { return Ok(()) };
        let made = Made::new(now)?;
        // A machine that slept through a whole period has a next one that is about to expire, too.
        let replacement = if late >= ROTATION { Some(Made::new(now)?) } else { None };
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Rotating { current, next, rotate_at } = &mut *state {
            *current = replacement.unwrap_or_else(|| next.clone());
            *next = made;
            *rotate_at = now + ROTATION;
        }
        Ok(())
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(match &*self.read() {
            State::Fixed(key) => Arc::clone(key),
            State::Rotating { current, .. } => Arc::clone(&current.key),
        })
    }
}

impl Made {
    fn new(now: SystemTime) -> Result<Self, CertificateError> {
        let key_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Tombolo");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = (now - BACKDATE).into();
        params.not_after = (now + VALIDITY).into();
        let certificate = params.self_signed(&key_pair)?.der().clone();
        let hash = CertificateHash::of(&certificate);
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der()));
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(vec![certificate], key, &provider)?;
        Ok(Self { key: Arc::new(key), hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn start() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    #[test]
    fn a_hash_is_served_a_whole_period_before_its_certificate_is_shown() {
        let certificates = Certificates::self_signed(start()).expect("made");
        let mut now = start();
        for _ in 0..5 {
            let [current, next] = certificates.hashes()[..] else { panic!("two hashes") };
            assert_ne!(current, next);
            certificates.rotate(now + ROTATION - Duration::from_secs(1)).expect("not yet");
            assert_eq!(certificates.hashes(), [current, next], "nothing changes before its time");
            now = certificates.rotate_at().expect("rotating");
            certificates.rotate(now).expect("made");
            assert_eq!(certificates.hashes()[0], next, "the announced certificate is the one shown");
        }
    }

    #[test]
    fn what_is_shown_is_always_valid_and_never_for_longer_than_14_days() {
        // Made at the start of one period and shown until the end of the next.
        assert!(VALIDITY > 2 * ROTATION + BACKDATE);
        assert!(VALIDITY + BACKDATE <= 14 * DAY);
        let made = Made::new(start()).expect("made");
        let der = &made.key.cert[0];
        let asn1_times: Vec<_> = der.windows(2).enumerate().filter(|(_, w)| *w == [0x17, 13]).collect();
        assert_eq!(asn1_times.len(), 2, "two UTCTimes");
        let text = |at: usize| String::from_utf8(der[at + 2..at + 15].to_vec()).expect("digits");
        let day = |at: usize| text(at)[4..6].parse::<u64>().expect("a day");
        // 2027-01-15 08:00:00 is the start: an hour before, and 13 days after.
        assert_eq!(text(asn1_times[0].0), "270115070000Z");
        assert_eq!(day(asn1_times[1].0), 28);
    }

    #[test]
    fn after_a_long_sleep_neither_certificate_is_an_old_one() {
        let certificates = Certificates::self_signed(start()).expect("made");
        let before = certificates.hashes();
        certificates.rotate(start() + 30 * DAY).expect("made");
        assert!(certificates.hashes().iter().all(|hash| !before.contains(hash)));
    }

    #[test]
    fn files_that_are_missing_or_wrong_are_named() {
        let error =
            Certificates::from_pem_files(Path::new("/nonexistent.pem"), Path::new("/nonexistent.key"))
                .expect_err("no such file");
        assert!(error.to_string().contains("/nonexistent.pem"), "{error}");
    }
}
