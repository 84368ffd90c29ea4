//! AES-CM and HMAC-SHA1.
//!
//! The key stream is made in groups of eight blocks, next to each other, so that the CPU's AES unit is never idle. The
//! `ctr` crate takes the backend's own group, which with AVX-512 has 64 blocks: a packet is mostly the rest that it
//! encrypts block after block.

use aes::cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
    consts::U16, typenum::Unsigned,
};
use aes::{Aes128, Aes256};

use crate::{CM_IV_LEN, CmHmacKey, CryptoError, CtrKey, HmacSha1};

/// Blocks of a group.
const GROUP: usize = 8;
/// Bytes of a group.
const GROUP_LEN: usize = GROUP * 16;
/// Bytes of a block of SHA-1.
const HASH_BLOCK: usize = 64;

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
    fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        self.mac.sign(parts)
    }

    fn seal(&self, iv: &[u8; CM_IV_LEN], packet: &mut [u8], clear_len: usize, trailer: [u8; 4]) -> [u8; 20] {
        let mut mac = [0; 20];
        let counter = Counter::new(iv);
        let hmac = &self.mac;
        self.cipher.encrypt_with_backend(Seal { counter, hmac, packet, clear_len, trailer, mac: &mut mac });
        mac
    }

    fn open(&self, iv: &[u8; CM_IV_LEN], packet: &mut [u8], clear_len: usize, trailer: [u8; 4]) -> [u8; 20] {
        let mut mac = [0; 20];
        let counter = Counter::new(iv);
        let hmac = &self.mac;
        self.cipher.encrypt_with_backend(Open { counter, hmac, packet, clear_len, trailer, mac: &mut mac });
        mac
    }

    fn hmac(&self) -> Option<&HmacSha1> {
        Some(&self.mac)
    }
}

/// The counter block that comes next.
struct Counter(u128);

impl Counter {
    fn new(iv: &[u8; CM_IV_LEN]) -> Self {
        let mut block = [0; 16];
        block[..CM_IV_LEN].copy_from_slice(iv);
        Self(u128::from_be_bytes(block))
    }

    /// XORs the next key stream onto `in_out`, of [`GROUP_LEN`] bytes at most.
    #[inline(always)]
    fn apply<B: BlockCipherEncBackend<BlockSize = U16>>(&mut self, backend: &B, in_out: &mut [u8]) {
        let mut stream: [Block<B>; GROUP] = Default::default();
        for block in &mut stream {
            *block = self.0.to_be_bytes().into();
            self.0 += 1;
        }
        if B::ParBlocksSize::USIZE <= GROUP {
            let (groups, rest) = Array::<_, B::ParBlocksSize>::slice_as_chunks_mut(&mut stream);
            groups.iter_mut().for_each(|group| backend.encrypt_par_blocks(group.into()));
            rest.iter_mut().for_each(|block| backend.encrypt_block(block.into()));
        } else {
            let blocks = in_out.len().div_ceil(16);
            stream[..blocks].iter_mut().for_each(|block| backend.encrypt_block(block.into()));
        }
        let stream = Array::cast_slice_to_core(&stream).as_flattened();
        in_out.iter_mut().zip(stream).for_each(|(byte, key)| *byte ^= key);
    }
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
        let (groups, rest) = self.in_out.as_chunks_mut::<GROUP_LEN>();
        for group in groups {
            self.counter.apply(backend, group);
        }
        if !rest.is_empty() {
            self.counter.apply(backend, rest);
        }
    }
}

/// Encrypts a group and hashes what was encrypted before: neither waits for the other, so the CPU does both at once.
struct Seal<'a> {
    counter: Counter,
    hmac: &'a HmacSha1,
    packet: &'a mut [u8],
    clear_len: usize,
    trailer: [u8; 4],
    mac: &'a mut [u8; 20],
}

impl BlockSizeUser for Seal<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Seal<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, backend: &B) {
        let mut hash = self.hmac.start();
        let (mut at, mut hashed) = (self.clear_len, 0);
        while at < self.packet.len() {
            let end = self.packet.len().min(at + GROUP_LEN);
            self.counter.apply(backend, &mut self.packet[at..end]);
            let ready = at / HASH_BLOCK * HASH_BLOCK;
            hash.update(&self.packet[hashed..ready]);
            (at, hashed) = (end, ready);
        }
        hash.update(&self.packet[hashed..]);
        hash.update(&self.trailer);
        *self.mac = self.hmac.finish(hash);
    }
}

/// Hashes a group and decrypts it.
struct Open<'a> {
    counter: Counter,
    hmac: &'a HmacSha1,
    packet: &'a mut [u8],
    clear_len: usize,
    trailer: [u8; 4],
    mac: &'a mut [u8; 20],
}

impl BlockSizeUser for Open<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Open<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, backend: &B) {
        let mut hash = self.hmac.start();
        let (mut at, mut hashed) = (self.clear_len, 0);
        while at < self.packet.len() {
            let end = self.packet.len().min(at + GROUP_LEN);
            let ready = self.packet.len().min(end.next_multiple_of(HASH_BLOCK));
            hash.update(&self.packet[hashed..ready]);
            self.counter.apply(backend, &mut self.packet[at..end]);
            (at, hashed) = (end, ready);
        }
        hash.update(&self.packet[hashed..]);
        hash.update(&self.trailer);
        *self.mac = self.hmac.finish(hash);
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
        let expected: Vec<u8> = (0..40u16)
            .flat_map(|number| {
                let mut block = [0; 16];
                block[..14].copy_from_slice(&iv);
                block[14..].copy_from_slice(&number.to_be_bytes());
                let mut block = block.into();
                aes.encrypt_block(&mut block);
                <[u8; 16]>::from(block)
            })
            .collect();
        for len in 0..expected.len() {
            let mut stream = vec![0; len];
            key.apply_keystream(&iv, &mut stream);
            assert_eq!(stream, expected[..len], "{len} bytes");
        }
    }
}
