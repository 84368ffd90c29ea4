//! A provider whose ciphers do nothing: what is left is the cost of the protocol.

use tombolo_crypto::{AeadKey, AuthError, CM_IV_LEN, CmHmacKey, CryptoProvider, CtrKey};

struct Null;

impl AeadKey for Null {
    fn seal_in_place(&self, _nonce: &[u8; 12], _aad: &[u8], _in_out: &mut [u8]) -> [u8; 16] {
        [0; 16]
    }

    fn open_in_place(&self, _nonce: &[u8; 12], _aad: &[u8], in_out: &mut [u8]) -> Result<usize, AuthError> {
        in_out.len().checked_sub(16).ok_or(AuthError)
    }
}

impl CtrKey for Null {
    fn apply_keystream(&self, _iv: &[u8; CM_IV_LEN], _in_out: &mut [u8]) {}
}

impl CmHmacKey for Null {
    fn sign(&self, _message: &[u8], _trailer: [u8; 4]) -> [u8; 20] {
        [0; 20]
    }
}

/// The default provider with null ciphers for SRTP.
#[must_use]
pub fn null_provider() -> CryptoProvider {
    CryptoProvider {
        name: "null",
        aead: |_, _| Ok(Box::new(Null)),
        aes_cm: |_| Ok(Box::new(Null)),
        aes_cm_hmac_sha1: |_, _| Ok(Box::new(Null)),
        ..CryptoProvider::default()
    }
}
