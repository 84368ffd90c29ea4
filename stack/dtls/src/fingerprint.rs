//! Certificate fingerprints as SDP carries them (RFC 8122 §5).

use std::fmt;
use std::str::FromStr;

use tombolo_crypto::{CryptoError, CryptoProvider, HashAlgorithm};

/// The hash of a certificate: `sha-256 4A:AD:…`. Compared byte by byte; read in upper or lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    algorithm: HashAlgorithm,
    value: Vec<u8>,
}

/// What is wrong with the text of a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FingerprintError {
    /// The hash function is not SHA-256, SHA-384 or SHA-512. RFC 8122 §5 forbids MD2 and MD5; SHA-1 proves nothing
    /// any more.
    #[error("the hash function is not one of sha-256, sha-384, sha-512")]
    UnsupportedHash,
    /// It is no hash function, a blank and pairs of hexadecimal digits with colons between, as many as the hash
    /// function gives.
    #[error("malformed fingerprint")]
    Malformed,
}

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] when the provider lacks the hash.
    pub fn of(
        provider: &CryptoProvider,
        algorithm: HashAlgorithm,
        certificate: &[u8],
    ) -> Result<Self, CryptoError> {
        let mut hash = (provider.hash)(algorithm)?;
        hash.update(certificate);
        Ok(Self { algorithm, value: hash.finish().to_vec() })
    }

    /// The hash function.
    #[must_use]
    pub const fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// The hash.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The rank of the hash function among those that a peer signals: the longest is preferred.
    pub(crate) const fn strength(&self) -> usize {
        self.algorithm.output_len()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.algorithm {
            HashAlgorithm::Sha384 => "sha-384",
            HashAlgorithm::Sha512 => "sha-512",
            _ => "sha-256",
        })?;
        for (at, byte) in self.value.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let (name, digits) = text.trim().split_once(' ').ok_or(FingerprintError::Malformed)?;
        let algorithm = match name.to_ascii_lowercase().as_str() {
            "sha-256" => HashAlgorithm::Sha256,
            "sha-384" => HashAlgorithm::Sha384,
            "sha-512" => HashAlgorithm::Sha512,
            _ => return Err(FingerprintError::UnsupportedHash),
        };
        let value: Vec<u8> = digits
            .trim()
            .split(':')
            .map(hex_byte)
            .collect::<Option<_>>()
            .ok_or(FingerprintError::Malformed)?;
        if value.len() != algorithm.output_len() {
            return Err(FingerprintError::Malformed);
        }
        Ok(Self { algorithm, value })
    }
}

fn hex_byte(digits: &str) -> Option<u8> {
    let [high, low] = digits.as_bytes() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(*high)? << 4 | digit(*low)?) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "sha-256 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:\
                        19:E5:7C:AB:4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF";

    #[test]
    fn the_text_comes_back_in_either_case() {
        let fingerprint: Fingerprint = TEXT.parse().unwrap();
        assert_eq!(fingerprint.to_string(), TEXT);
        assert_eq!(TEXT.to_lowercase().parse(), Ok(fingerprint.clone()));
        assert_eq!(TEXT.replace("sha", "SHA").parse(), Ok(fingerprint));
        let hash =
            Fingerprint::of(&CryptoProvider::default(), HashAlgorithm::Sha512, b"certificate").unwrap();
        assert_eq!(hash.to_string().parse(), Ok(hash));
    }

    /// DTLS-11: MD5 and its like are errors.
    #[test]
    fn weak_hashes_and_malformed_texts_are_refused() {
        for weak in ["md5", "md2", "sha-1", "sha-224", "x"] {
            let text = TEXT.replace("sha-256", weak);
            assert_eq!(text.parse::<Fingerprint>(), Err(FingerprintError::UnsupportedHash), "{weak}");
        }
        for bad in [
            "",
            "sha-256",
            "sha-256 ",
            &TEXT[..TEXT.len() - 3],
            &TEXT.replace("sha-256", "sha-384"),
            &TEXT.replace(':', ""),
            &TEXT.replace("4A", "4G"),
            &TEXT.replace("4A", "+A"),
            &format!("{TEXT}:00"),
        ] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError::Malformed), "{bad}");
        }
    }
}
