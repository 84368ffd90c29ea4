use ring::aead::quic::{AES_128, AES_256, CHACHA20, HeaderProtectionKey};

use crate::{AeadAlgorithm, CryptoError, MASK_LEN, MASK_SAMPLE_LEN, MaskKey};

struct Key(HeaderProtectionKey);

impl MaskKey for Key {
    fn mask(&self, sample: &[u8; MASK_SAMPLE_LEN]) -> [u8; MASK_LEN] {
        self.0.new_mask(sample).expect("invariant: the sample has the length that every algorithm takes")
    }
}

pub(super) fn mask(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn MaskKey>, CryptoError> {
    let algorithm = match algorithm {
        AeadAlgorithm::Aes128Gcm => &AES_128,
        AeadAlgorithm::Aes256Gcm => &AES_256,
        AeadAlgorithm::ChaCha20Poly1305 => &CHACHA20,
    };
    Ok(Box::new(Key(HeaderProtectionKey::new(algorithm, key).map_err(|_| CryptoError::Malformed)?)))
}
