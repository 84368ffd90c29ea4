//! AES-CM and HMAC-SHA1, one after the other: a CPU that looks ahead no further than a few hundred instructions gains nothing
//! by work at both in turns, since a block of SHA-1 alone is a hundred.
//!
//! The key stream is made block after block where the backend has wide vectors: its groups, of up to 64 blocks, leave most of
//! a packet over. Blocks do not wait for each other, and each one's counter stays in registers; in memory, where it is written in
//! parts, it would have to arrive before it is read as a whole.

use aes::cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
    ParBlocks, consts::U16, typenum::Unsigned,
};
use aes::{Aes128, Aes256};

use crate::{CM_IV_LEN, CmHmacKey, CryptoError, CtrKey, HmacSha1};

/// Bytes of a block of AES.
const BLOCK_LEN: usize = 16;
/// The largest groups, in blocks, that are encrypted together.
const MAX_GROUP: usize = 8;

struct Ctr<C>(C);

struct CmHmac<C> {
    cipher: C,
    mac: HmacSha1,
}

impl<C> CtrKey for Ctr<C>
where
    C: BlockCipherEncrypt<BlockSize = U16> + Send + Sync,
{
    fn apply_keystream(&self, iv: &[u8; CM_IV_LEN], in_out: &mut [u8]) {
        self.0.encrypt_with_backend(Apply { counter: Counter::new(iv), in_out });
    }
}

impl<C> CtrKey for CmHmac<C>
where
    C: BlockCipherEncrypt<BlockSize = U16> + Send + Sync,
{
    fn apply_keystream(&self, iv: &[u8; CM_IV_LEN], in_out: &mut [u8]) {
        self.cipher.encrypt_with_backend(Apply { counter: Counter::new(iv), in_out });
    }
}

impl<C> CmHmacKey for CmHmac<C>
where
    C: BlockCipherEncrypt<BlockSize = U16> + Send + Sync,
{
    fn sign(&self, message: &[u8], trailer: [u8; 4]) -> [u8; 20] {
        self.mac.sign(message, trailer)
    }

    fn hmac(&self) -> Option<&HmacSha1> {
        Some(&self.mac)
    }
}

/// The counter block that comes next, as the bytes of its halves; its last two bytes are zero in the second.
struct Counter {
    first: u64,
    second: u64,
    number: u64,
}

impl Counter {
    fn new(iv: &[u8; CM_IV_LEN]) -> Self {
        let mut block = [0; BLOCK_LEN];
        block[..CM_IV_LEN].copy_from_slice(iv);
        let block = u128::from_le_bytes(block);
        Self { first: block as u64, second: (block >> 64) as u64, number: 0 }
    }

    #[inline(always)]
    fn next(&mut self) -> Array<u8, U16> {
        let number = u64::from((self.number as u16).swap_bytes()) << 48;
        self.number += 1;
        (u128::from(self.first) | u128::from(self.second | number) << 64).to_le_bytes().into()
    }
}

#[inline(always)]
fn xor(in_out: &mut [u8; BLOCK_LEN], key: &Array<u8, U16>) {
    *in_out = (u128::from_ne_bytes(*in_out) ^ u128::from_ne_bytes(key.0)).to_ne_bytes();
}

struct Apply<'a> {
    counter: Counter,
    in_out: &'a mut [u8],
}

impl BlockSizeUser for Apply<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Apply<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, backend: &B) {
        let (mut blocks, last) = self.in_out.as_chunks_mut::<BLOCK_LEN>();
        if B::ParBlocksSize::USIZE <= MAX_GROUP {
            let mut groups = blocks.chunks_exact_mut(B::ParBlocksSize::USIZE);
            for group in &mut groups {
                let mut keys = ParBlocks::<B>::from_fn(|_| self.counter.next());
                backend.encrypt_par_blocks((&mut keys).into());
                group.iter_mut().zip(&keys).for_each(|(block, key)| xor(block, key));
            }
            blocks = groups.into_remainder();
        }
        let mut next_key = || {
            let mut key: Block<B> = self.counter.next();
            backend.encrypt_block((&mut key).into());
            key
        };
        blocks.iter_mut().for_each(|block| xor(block, &next_key()));
        if !last.is_empty() {
            last.iter_mut().zip(next_key()).for_each(|(byte, key)| *byte ^= key);
        }
    }
}

pub(crate) fn aes_cm(key: &[u8]) -> Result<Box<dyn CtrKey>, CryptoError> {
    let malformed = |_| CryptoError::Malformed;
    Ok(match key.len() {
        16 => Box::new(Ctr(Aes128::new_from_slice(key).map_err(malformed)?)),
        32 => Box::new(Ctr(Aes256::new_from_slice(key).map_err(malformed)?)),
        _ => return Err(CryptoError::Malformed),
    })
}

pub(crate) fn aes_cm_hmac_sha1(key: &[u8], auth_key: &[u8]) -> Result<Box<dyn CmHmacKey>, CryptoError> {
    let malformed = |_| CryptoError::Malformed;
    let mac = HmacSha1::new(auth_key);
    Ok(match key.len() {
        16 => Box::new(CmHmac { cipher: Aes128::new_from_slice(key).map_err(malformed)?, mac }),
        32 => Box::new(CmHmac { cipher: Aes256::new_from_slice(key).map_err(malformed)?, mac }),
        _ => return Err(CryptoError::Malformed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside the cipher block by block.
    #[test]
    fn the_key_stream_is_that_of_the_cipher() {
        let aes = Aes128::new(&[5; 16].into());
        let key = aes_cm(&[5; 16]).unwrap();
        let iv = std::array::from_fn(|at| at as u8 + 1);
        // Past the numbers of one byte.
        let expected: Vec<u8> = (0..260u16)
            .flat_map(|number| {
                let mut block = [0; 16];
                block[..14].copy_from_slice(&iv);
                block[14..].copy_from_slice(&number.to_be_bytes());
                let mut block = block.into();
                aes.encrypt_block(&mut block);
                <[u8; 16]>::from(block)
            })
            .collect();
        for len in (0..640).chain(4000..expected.len()) {
            let mut stream = vec![0; len];
            key.apply_keystream(&iv, &mut stream);
            assert_eq!(stream, expected[..len], "{len} bytes");
        }
    }
}
