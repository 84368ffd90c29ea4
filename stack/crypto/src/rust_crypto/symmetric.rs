//! AES-CM and HMAC-SHA1, in turns: SHA-1 is one long chain whose steps wait for each other, and leaves a CPU most of its
//! units for the key stream of the next bytes. Of a packet to open the key stream is put aside until the packet is known to be
//! authentic: it depends on nothing but key and index.
//!
//! The key stream is made block after block where the backend has wide vectors: its groups, of up to 64 blocks, leave most of
//! a packet over. Blocks do not wait for each other, and each one's counter stays in registers; in memory, where it is written in
//! parts, it would have to arrive before it is read as a whole.

use aes::cipher::{
    Array, Block, BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
    ParBlocks, consts::U16, typenum::Unsigned,
};
use aes::{Aes128, Aes256};

use crate::cm::check_tag;
use crate::hmac_sha1::BLOCK as HASH_BLOCK_LEN;
use crate::{AuthError, CM_IV_LEN, CmHmacKey, CryptoError, CtrKey, HmacSha1};

/// Bytes of a block of AES.
const BLOCK_LEN: usize = 16;
/// The largest groups, in blocks, that are encrypted together.
const MAX_GROUP: usize = 8;
/// Bytes that are encrypted, and then hashed, in one turn.
const TURN_LEN: usize = 2 * HASH_BLOCK_LEN;
/// Shorter packets are encrypted and hashed one after the other: there is too little to do in turns.
const MIN_TURNS_LEN: usize = 3 * TURN_LEN;
/// Most bytes of key stream that are made before a packet is known to be authentic: those of a datagram on most paths.
const MAX_AHEAD_LEN: usize = 12 * TURN_LEN;

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

    fn seal(&self, iv: &[u8; CM_IV_LEN], packet: &mut [u8], clear_len: usize, trailer: [u8; 4]) -> [u8; 20] {
        if packet.len() < MIN_TURNS_LEN {
            self.apply_keystream(iv, &mut packet[clear_len..]);
            return self.sign(packet, trailer);
        }
        let mut mac = [0; 20];
        let counter = Counter::new(iv);
        let hmac = &self.mac;
        self.cipher.encrypt_with_backend(Seal { counter, hmac, packet, clear_len, trailer, mac: &mut mac });
        mac
    }

    fn open(
        &self,
        iv: &[u8; CM_IV_LEN],
        packet: &mut [u8],
        clear_len: usize,
        trailer: [u8; 4],
        tag: &[u8],
    ) -> Result<(), AuthError> {
        if packet.len() < MIN_TURNS_LEN {
            self.verify(packet, trailer, tag)?;
            self.apply_keystream(iv, &mut packet[clear_len..]);
            return Ok(());
        }
        let mut opened = Err(AuthError);
        let counter = Counter::new(iv);
        let (hmac, result) = (&self.mac, &mut opened);
        self.cipher.encrypt_with_backend(Open { counter, hmac, packet, clear_len, trailer, tag, result });
        opened
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

    /// Gives each of these blocks the next of the key stream.
    #[inline(always)]
    fn each<B: BlockCipherEncBackend<BlockSize = U16>>(
        &mut self,
        backend: &B,
        mut blocks: &mut [[u8; BLOCK_LEN]],
        give: impl Fn(&mut [u8; BLOCK_LEN], &Array<u8, U16>),
    ) {
        if B::ParBlocksSize::USIZE <= MAX_GROUP {
            let mut groups = blocks.chunks_exact_mut(B::ParBlocksSize::USIZE);
            for group in &mut groups {
                let mut keys = ParBlocks::<B>::from_fn(|_| self.next());
                backend.encrypt_par_blocks((&mut keys).into());
                group.iter_mut().zip(&keys).for_each(|(block, key)| give(block, key));
            }
            blocks = groups.into_remainder();
        }
        for block in blocks {
            let mut key: Block<B> = self.next();
            backend.encrypt_block((&mut key).into());
            give(block, &key);
        }
    }

    /// XORs the next bytes of the key stream onto these. Nothing may follow when they end within a block.
    #[inline(always)]
    fn apply<B: BlockCipherEncBackend<BlockSize = U16>>(&mut self, backend: &B, in_out: &mut [u8]) {
        let (blocks, last) = in_out.as_chunks_mut::<BLOCK_LEN>();
        self.each(backend, blocks, xor);
        if !last.is_empty() {
            let mut key = [[0; BLOCK_LEN]];
            self.each(backend, &mut key, xor);
            last.iter_mut().zip(key.as_flattened()).for_each(|(byte, key)| *byte ^= key);
        }
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
        self.counter.apply(backend, self.in_out);
    }
}

/// Encrypts a few blocks and hashes those before them, which have left the CPU's store buffer by then: blocks of SHA-1 lie
/// across those of AES, and a load from two stores waits until both are in the cache.
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
        let (mut encrypted, mut hashed) = (self.clear_len, 0);
        while encrypted < self.packet.len() {
            let end = self.packet.len().min(encrypted + TURN_LEN);
            self.counter.apply(backend, &mut self.packet[encrypted..end]);
            let ready = encrypted / HASH_BLOCK_LEN * HASH_BLOCK_LEN;
            hash.update(self.packet[hashed..ready].as_chunks().0);
            (encrypted, hashed) = (end, ready);
        }
        *self.mac = hash.finish(&self.packet[hashed..], self.trailer);
    }
}

/// Hashes a few blocks and makes key stream, and puts that onto the packet when the tag is right.
struct Open<'a> {
    counter: Counter,
    hmac: &'a HmacSha1,
    packet: &'a mut [u8],
    clear_len: usize,
    trailer: [u8; 4],
    tag: &'a [u8],
    result: &'a mut Result<(), AuthError>,
}

impl BlockSizeUser for Open<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Open<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, backend: &B) {
        let mut hash = self.hmac.start();
        let mut stream = [[0; BLOCK_LEN]; MAX_AHEAD_LEN / BLOCK_LEN];
        let ahead_len = MAX_AHEAD_LEN.min(self.packet.len() - self.clear_len);
        let mut turns = stream[..ahead_len.div_ceil(BLOCK_LEN)].chunks_mut(TURN_LEN / BLOCK_LEN);
        let mut make = |blocks: &mut [[u8; BLOCK_LEN]]| self.counter.each(backend, blocks, xor);
        let (blocks, rest) = self.packet.as_chunks();
        for blocks in blocks.chunks(TURN_LEN / HASH_BLOCK_LEN) {
            hash.update(blocks);
            turns.next().into_iter().for_each(&mut make);
        }
        turns.for_each(make);
        *self.result = check_tag(&hash.finish(rest, self.trailer), self.tag);
        if self.result.is_ok() {
            let (text, beyond) = self.packet[self.clear_len..].split_at_mut(ahead_len);
            text.iter_mut().zip(stream.as_flattened()).for_each(|(byte, key)| *byte ^= key);
            self.counter.apply(backend, beyond);
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
