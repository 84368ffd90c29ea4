use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, KeyInit, consts::U16};
use aes::{Aes128, Aes256};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _, StreamCipherSeek as _};
use zeroize::Zeroizing;

use crate::{AeadAlgorithm, CryptoError, MASK_LEN, MASK_SAMPLE_LEN, MaskKey};

struct Aes<C>(C);

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync> MaskKey for Aes<C> {
    fn mask(&self, sample: &[u8; MASK_SAMPLE_LEN]) -> [u8; MASK_LEN] {
        let mut block = (*sample).into();
        self.0.encrypt_block(&mut block);
        let mut mask = [0; MASK_LEN];
        mask.copy_from_slice(&block[..MASK_LEN]);
        mask
    }
}

struct ChaCha(Zeroizing<[u8; 32]>);

impl MaskKey for ChaCha {
    fn mask(&self, sample: &[u8; MASK_SAMPLE_LEN]) -> [u8; MASK_LEN] {
        let [c0, c1, c2, c3, nonce @ ..] = *sample;
        let mut cipher = ChaCha20::new(&(*self.0).into(), &nonce.into());
        cipher.seek(u64::from(u32::from_le_bytes([c0, c1, c2, c3])) * 64);
        let mut mask = [0; MASK_LEN];
        cipher.apply_keystream(&mut mask);
        mask
    }
}

pub(super) fn mask(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn MaskKey>, CryptoError> {
    let malformed = |_| CryptoError::Malformed;
    Ok(match algorithm {
        AeadAlgorithm::Aes128Gcm => Box::new(Aes(Aes128::new_from_slice(key).map_err(malformed)?)),
        AeadAlgorithm::Aes256Gcm => Box::new(Aes(Aes256::new_from_slice(key).map_err(malformed)?)),
        AeadAlgorithm::ChaCha20Poly1305 => {
            let key: [u8; 32] = key.try_into().map_err(|_| CryptoError::Malformed)?;
            Box::new(ChaCha(Zeroizing::new(key)))
        }
    })
}
