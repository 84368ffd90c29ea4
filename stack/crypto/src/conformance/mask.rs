use super::{array, hex};
use crate::{AeadAlgorithm, CryptoError, CryptoProvider};

/// RFC 9001 §A.2 (AES-128, the client's Initial) and §A.5 (ChaCha20); AES-256 is FIPS 197 §C.3.
const VECTORS: [(AeadAlgorithm, &str, &str, &str); 3] = [
    (
        AeadAlgorithm::Aes128Gcm,
        "9f50449e04a0e810283a1e9933adedd2",
        "d1b1c98dd7689fb8ec11d242b123dc9b",
        "437b9aec36",
    ),
    (
        AeadAlgorithm::Aes256Gcm,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "00112233445566778899aabbccddeeff",
        "8ea2b7ca51",
    ),
    (
        AeadAlgorithm::ChaCha20Poly1305,
        "25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4",
        "5e5cd55c41f69080575d7999c25a5bfb",
        "aefefe7d03",
    ),
];

pub(super) fn check(provider: &CryptoProvider) {
    for (algorithm, key, sample, mask) in VECTORS {
        if !provider.aeads.contains(&algorithm) {
            continue;
        }
        let made = (provider.mask)(algorithm, &hex(key)).expect("a mask key");
        assert_eq!(made.mask(&array(sample))[..], hex(mask), "{algorithm:?}");
        let wrong_length = (provider.mask)(algorithm, &hex(key)[1..]).map(|_| ());
        assert_eq!(wrong_length, Err(CryptoError::Malformed), "{algorithm:?}: key length");
    }
}
