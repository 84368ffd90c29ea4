use aes::{Aes128, Aes256};
use ctr::CtrCore;
use ctr::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, KeyInit, StreamCipherCore, consts::U16};
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::{CryptoError, CtrKey, MacKey};

struct Ctr<C>(C);

impl<C> CtrKey for Ctr<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn apply_keystream(&self, iv: &[u8; 16], in_out: &mut [u8]) {
        CtrCore::<&C, Ctr128BE>::inner_iv_init(&self.0, iv.into()).apply_keystream_partial(in_out.into());
    }
}

pub(crate) fn aes_ctr(key: &[u8]) -> Result<Box<dyn CtrKey>, CryptoError> {
    let malformed = |_| CryptoError::Malformed;
    Ok(match key.len() {
        16 => Box::new(Ctr(Aes128::new_from_slice(key).map_err(malformed)?)),
        32 => Box::new(Ctr(Aes256::new_from_slice(key).map_err(malformed)?)),
        _ => return Err(CryptoError::Malformed),
    })
}

struct HmacSha1(Hmac<Sha1>);

impl MacKey for HmacSha1 {
    fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

pub(crate) fn hmac_sha1(key: &[u8]) -> Box<dyn MacKey> {
    Box::new(HmacSha1(Hmac::new_from_slice(key).expect("invariant: HMAC takes a key of any length")))
}
