use aes_gcm::aead::AeadInOut;
use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::{Aes128Gcm, Aes256Gcm, KeyInit, Tag};
use chacha20poly1305::ChaCha20Poly1305;

use crate::{AeadAlgorithm, AeadKey, AuthError, CryptoError, NONCE_LEN, TAG_LEN};

struct Aead<C>(C);

impl<C> AeadKey for Aead<C>
where
    C: AeadInOut<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn seal_in_place(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_LEN] {
        self.0
            .encrypt_inout_detached(nonce.into(), aad, in_out.into())
            .expect("invariant: a datagram is shorter than the cipher's 64 GiB")
            .into()
    }

    fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        in_out: &mut [u8],
    ) -> Result<usize, AuthError> {
        let (text, tag) = in_out.split_last_chunk_mut::<TAG_LEN>().ok_or(AuthError)?;
        let len = text.len();
        self.0
            .decrypt_inout_detached(nonce.into(), aad, text.into(), &Tag::from(*tag))
            .map_err(|_| AuthError)?;
        Ok(len)
    }
}

pub(super) fn aead(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Box<dyn AeadKey>, CryptoError> {
    let malformed = |_| CryptoError::Malformed;
    Ok(match algorithm {
        AeadAlgorithm::Aes128Gcm => Box::new(Aead(Aes128Gcm::new_from_slice(key).map_err(malformed)?)),
        AeadAlgorithm::Aes256Gcm => Box::new(Aead(Aes256Gcm::new_from_slice(key).map_err(malformed)?)),
        AeadAlgorithm::ChaCha20Poly1305 => {
            Box::new(Aead(ChaCha20Poly1305::new_from_slice(key).map_err(malformed)?))
        }
    })
}
