//! HMAC-SHA1 (RFC 2104) from the compression function, with its two keyed states kept.
//!
//! The libraries' HMAC copies, pads and wipes a context of several hundred bytes for each message, and has no way to
//! take blocks of several messages in turns. A message here costs its blocks and one more.

use sha1::block_api::compress;
use zeroize::Zeroize;

use crate::cm::CM_LANES;

const BLOCK: usize = 64;
/// The state that SHA-1 starts from (FIPS 180-4 §5.3.1).
const INITIAL: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];

/// A keyed HMAC-SHA1: the SHA-1 states after the inner and after the outer block of the key. Wiped when dropped.
#[derive(Clone)]
pub struct HmacSha1 {
    inner: [u32; 5],
    outer: [u32; 5],
}

impl HmacSha1 {
    /// Takes a key of any length.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let mut block = [0; BLOCK];
        if key.len() > BLOCK {
            let mut hash = Running::new(INITIAL, 0);
            hash.update(key);
            block[..20].copy_from_slice(&bytes(hash.finish()));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        let keyed = |pad: u8| {
            let mut state = INITIAL;
            let mut padded = block.map(|byte| byte ^ pad);
            compress(&mut state, &[padded]);
            padded.zeroize();
            state
        };
        let hmac = Self { inner: keyed(0x36), outer: keyed(0x5c) };
        block.zeroize();
        hmac
    }

    /// The MAC over the concatenation of `parts`.
    #[must_use]
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 20] {
        let mut hash = self.start();
        for part in parts {
            hash.update(part);
        }
        self.finish(hash)
    }

    /// The MACs over each message and its trailer, of [`CM_LANES`] at most; further ones are left out. Their blocks are
    /// compressed in turns, so that the CPU can work at several chains at a time.
    pub(crate) fn sign_together<'a>(
        messages: impl Iterator<Item = (&'a Self, &'a [u8], [u8; 4])>,
    ) -> [[u8; 20]; CM_LANES] {
        let mut lanes: [Option<Lane<'a>>; CM_LANES] = Default::default();
        let mut blocks = 0;
        for (lane, (key, message, trailer)) in lanes.iter_mut().zip(messages) {
            let made = Lane::new(key, message, trailer);
            blocks = blocks.max(made.blocks());
            *lane = Some(made);
        }
        for at in 0..blocks {
            for lane in lanes.iter_mut().flatten() {
                lane.compress(at);
            }
        }
        let mut outer = lanes.map(|lane| lane.map(|lane| (lane.key.outer, outer_block(lane.state))));
        for (state, block) in outer.iter_mut().flatten() {
            compress(state, std::slice::from_ref(block));
        }
        outer.map(|made| made.map_or([0; 20], |(state, _)| bytes(state)))
    }

    /// The inner hash, to be fed and given to [`Self::finish`].
    pub(crate) const fn start(&self) -> Running {
        Running::new(self.inner, BLOCK as u64)
    }

    pub(crate) fn finish(&self, inner: Running) -> [u8; 20] {
        let mut state = self.outer;
        compress(&mut state, &[outer_block(inner.finish())]);
        bytes(state)
    }
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// The one message block of the outer hash.
fn outer_block(inner: [u32; 5]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..20].copy_from_slice(&bytes(inner));
    block[20] = 0x80;
    block[56..].copy_from_slice(&(8 * (BLOCK as u64 + 20)).to_be_bytes());
    block
}

fn bytes(state: [u32; 5]) -> [u8; 20] {
    let mut out = [0; 20];
    out.as_chunks_mut::<4>().0.iter_mut().zip(state).for_each(|(bytes, word)| *bytes = word.to_be_bytes());
    out
}

/// A SHA-1 that runs.
pub(crate) struct Running {
    state: [u32; 5],
    /// Bytes that went in, the key's block included.
    len: u64,
    /// The start of the next block.
    pending: [u8; BLOCK],
    fill: usize,
}

impl Running {
    const fn new(state: [u32; 5], len: u64) -> Self {
        Self { state, len, pending: [0; BLOCK], fill: 0 }
    }

    pub(crate) fn update(&mut self, mut data: &[u8]) {
        self.len += data.len() as u64;
        if self.fill > 0 {
            let taken = data.len().min(BLOCK - self.fill);
            self.pending[self.fill..self.fill + taken].copy_from_slice(&data[..taken]);
            self.fill += taken;
            data = &data[taken..];
            if self.fill < BLOCK {
                return;
            }
            compress(&mut self.state, &[self.pending]);
        }
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        compress(&mut self.state, blocks);
        self.pending[..rest.len()].copy_from_slice(rest);
        self.fill = rest.len();
    }

    fn finish(mut self) -> [u32; 5] {
        let (tail, blocks) = padded(&self.pending[..self.fill], &[], self.len);
        compress(&mut self.state, &tail[..blocks]);
        self.state
    }
}

/// The last one or two blocks: less than a block and up to 4 bytes that are left, and the padding (FIPS 180-4 §5.1.1).
fn padded(rest: &[u8], trailer: &[u8], len: u64) -> ([[u8; BLOCK]; 2], usize) {
    let mut tail = [[0; BLOCK]; 2];
    let bytes = tail.as_flattened_mut();
    bytes[..rest.len()].copy_from_slice(rest);
    let end = rest.len() + trailer.len();
    bytes[rest.len()..end].copy_from_slice(trailer);
    bytes[end] = 0x80;
    let blocks = (end + 9).div_ceil(BLOCK);
    bytes[blocks * BLOCK - 8..blocks * BLOCK].copy_from_slice(&(8 * len).to_be_bytes());
    (tail, blocks)
}

/// One message of several.
struct Lane<'a> {
    key: &'a HmacSha1,
    state: [u32; 5],
    body: &'a [[u8; BLOCK]],
    tail: [[u8; BLOCK]; 2],
    tail_blocks: usize,
}

impl<'a> Lane<'a> {
    fn new(key: &'a HmacSha1, message: &'a [u8], trailer: [u8; 4]) -> Self {
        let (body, rest) = message.as_chunks::<BLOCK>();
        let (tail, tail_blocks) = padded(rest, &trailer, (BLOCK + message.len() + trailer.len()) as u64);
        Self { key, state: key.inner, body, tail, tail_blocks }
    }

    const fn blocks(&self) -> usize {
        self.body.len() + self.tail_blocks
    }

    fn compress(&mut self, at: usize) {
        let block = match at.checked_sub(self.body.len()) {
            None => &self.body[at],
            Some(behind) if behind < self.tail_blocks => &self.tail[behind],
            Some(_) => return,
        };
        compress(&mut self.state, std::slice::from_ref(block));
    }
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};

    use super::*;

    fn library(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(key).unwrap();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// Beside the library's, at every length around the ends of blocks, in one part and in two.
    #[test]
    fn it_agrees_with_the_library() {
        let data: Vec<u8> = (0..300u32).map(|n| (n * 7) as u8).collect();
        for key_len in [0, 1, 20, 63, 64, 65, 128] {
            let key = &data[..key_len];
            let hmac = HmacSha1::new(key);
            for len in 0..=data.len() {
                let expected = library(key, &[&data[..len]]);
                assert_eq!(hmac.sign(&[&data[..len]]), expected, "key {key_len}, {len} bytes");
                let (head, tail) = data[..len].split_at(len / 3);
                assert_eq!(hmac.sign(&[head, tail]), expected, "key {key_len}, {len} bytes in parts");
            }
        }
    }

    /// Messages of different lengths and keys, one to as many as there are lanes.
    #[test]
    fn messages_together_have_the_macs_that_they_have_alone() {
        let data: Vec<u8> = (0..300u32).map(|n| (n * 11) as u8).collect();
        let keys: Vec<_> = (0..CM_LANES as u8).map(|n| HmacSha1::new(&[n; 20])).collect();
        for count in 1..=CM_LANES {
            for len in 0..200 {
                let messages: Vec<_> = (0..count).map(|n| (&keys[n], &data[..len + n * 29])).collect();
                let trailer = [1, 2, 3, len as u8];
                let macs = HmacSha1::sign_together(messages.iter().map(|&(key, data)| (key, data, trailer)));
                for ((key, data), mac) in messages.iter().zip(macs) {
                    assert_eq!(mac, key.sign(&[data, &trailer]), "{count} messages, {len} bytes");
                }
            }
        }
    }
}
