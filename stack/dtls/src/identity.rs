//! Who the peer is: the certificate it proved against the fingerprints that were signalled (RFC 8122 §5), or what a
//! verifier says of it.

use tombolo_crypto::CryptoProvider;

use crate::error::{FailReason, PeerError};
use crate::fingerprint::Fingerprint;

/// What was signalled about the peer and what it showed, in whatever order they come.
#[derive(Debug, Default)]
pub(crate) struct PeerIdentity {
    expected: Option<Vec<Fingerprint>>,
    certificate: Option<Vec<u8>>,
    /// Whether it has proved itself otherwise, or need not.
    is_trusted: bool,
}

impl PeerIdentity {
    pub(crate) fn expect(&mut self, fingerprints: Vec<Fingerprint>) {
        self.expected = Some(fingerprints);
    }

    pub(crate) fn show(&mut self, certificate: &[u8]) {
        self.certificate = Some(certificate.to_vec());
    }

    /// The peer is who it is to be also without a fingerprint.
    pub(crate) const fn trust(&mut self) {
        self.is_trusted = true;
    }

    pub(crate) fn certificate(&self) -> Option<&[u8]> {
        self.certificate.as_deref()
    }

    /// Compares certificate and fingerprints. `Ok(false)`: one of the two is not here yet. Without fingerprints, whether the
    /// peer is trusted otherwise.
    ///
    /// Of fingerprints with several hash functions, those of the strongest one count and no others: a weaker one
    /// that fits does not make up for a stronger one that does not.
    pub(crate) fn check(&self, provider: &CryptoProvider) -> Result<bool, FailReason> {
        let (expected, certificate) = match (&self.expected, &self.certificate) {
            (Some(expected), Some(certificate)) => (expected, certificate),
            (None, _) => return Ok(self.is_trusted),
            (Some(_), None) => return Ok(false),
        };
        let strongest = expected.iter().max_by_key(|fingerprint| fingerprint.strength());
        let algorithm = strongest.ok_or(PeerError::FingerprintMismatch)?.algorithm();
        let shown = Fingerprint::of(provider, algorithm, certificate)?;
        if expected.contains(&shown) { Ok(true) } else { Err(PeerError::FingerprintMismatch.into()) }
    }
}

#[cfg(test)]
mod tests {
    use tombolo_crypto::HashAlgorithm;

    use super::*;

    fn check(fingerprints: &[(HashAlgorithm, &[u8])]) -> Result<bool, FailReason> {
        let provider = CryptoProvider::default();
        let mut identity = PeerIdentity::default();
        assert_eq!(identity.check(&provider), Ok(false));
        identity.show(b"certificate");
        assert_eq!(identity.check(&provider), Ok(false));
        let of = |(algorithm, bytes): &(HashAlgorithm, &[u8])| {
            Fingerprint::of(&provider, *algorithm, bytes).unwrap()
        };
        identity.expect(fingerprints.iter().map(of).collect());
        identity.check(&provider)
    }

    /// DTLS-11: of several hash functions the preferred one decides; of several fingerprints with it, any.
    #[test]
    fn the_strongest_hash_decides() {
        use HashAlgorithm::{Sha256, Sha512};
        let mismatch = Err(PeerError::FingerprintMismatch.into());
        let (right, wrong) = (&b"certificate"[..], &b"another"[..]);
        assert_eq!(check(&[(Sha256, right)]), Ok(true));
        assert_eq!(check(&[(Sha256, wrong)]), mismatch);
        assert_eq!(check(&[(Sha256, wrong), (Sha256, right)]), Ok(true));
        assert_eq!(check(&[(Sha512, wrong), (Sha256, right)]), mismatch);
        assert_eq!(check(&[(Sha256, wrong), (Sha512, right)]), Ok(true));
        assert_eq!(check(&[]), mismatch, "an empty list lets nobody in");
    }
}
