//! HMAC-SHA1 (RFC 2104) from the compression function, with its two keyed states kept.
//!
//! The libraries' HMAC copies, pads and wipes a context of several hundred bytes for each message, and has no way to
//! take blocks of several messages in turns. A message here costs its blocks and one more.

use sha1::block_api::compress;
use zeroize::Zeroize;

use crate::cm::CM_LANES;

/// Bytes of a block of SHA-1.
pub(crate) const BLOCK: usize = 64;
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
            block[..20].copy_from_slice(&bytes(Rest::new(0, key, &[]).hash(INITIAL)));
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

    /// The MAC over `message` and `trailer`.
    #[must_use]
    pub fn sign(&self, message: &[u8], trailer: [u8; 4]) -> [u8; 20] {
        self.start().finish(message, trailer)
    }

    /// The hash of a message that comes in parts.
    pub(crate) const fn start(&self) -> Running<'_> {
        Running { key: self, state: self.inner, len: BLOCK }
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
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// A MAC whose message comes in parts.
pub(crate) struct Running<'a> {
    key: &'a HmacSha1,
    state: [u32; 5],
    /// Bytes that went in, the key's block included.
    len: usize,
}

impl Running<'_> {
    /// Goes on with whole blocks.
    #[inline]
    pub(crate) fn update(&mut self, blocks: &[[u8; BLOCK]]) {
        compress(&mut self.state, blocks);
        self.len += blocks.as_flattened().len();
    }

    /// The MAC over what went in, the rest of the message and the trailer.
    pub(crate) fn finish(self, rest: &[u8], trailer: [u8; 4]) -> [u8; 20] {
        let inner = Rest::new(self.len, rest, &trailer).hash(self.state);
        let mut state = self.key.outer;
        compress(&mut state, &[outer_block(inner)]);
        bytes(state)
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

/// What of a message is still to be compressed: whole blocks, and the last one or two with what is left over and the padding
/// (FIPS 180-4 §5.1.1).
struct Rest<'a> {
    body: &'a [[u8; BLOCK]],
    tail: [[u8; BLOCK]; 2],
    tail_blocks: usize,
}

impl<'a> Rest<'a> {
    /// Of a message after `before` bytes; `trailer` has up to 4.
    fn new(before: usize, message: &'a [u8], trailer: &[u8]) -> Self {
        let (body, rest) = message.as_chunks::<BLOCK>();
        let mut tail = [[0; BLOCK]; 2];
        let bytes = tail.as_flattened_mut();
        bytes[..rest.len()].copy_from_slice(rest);
        let end = rest.len() + trailer.len();
        bytes[rest.len()..end].copy_from_slice(trailer);
        bytes[end] = 0x80;
        let tail_blocks = (end + 9).div_ceil(BLOCK);
        let bits = 8 * (before + message.len() + trailer.len()) as u64;
        bytes[tail_blocks * BLOCK - 8..tail_blocks * BLOCK].copy_from_slice(&bits.to_be_bytes());
        Self { body, tail, tail_blocks }
    }

    fn hash(&self, mut state: [u32; 5]) -> [u32; 5] {
        compress(&mut state, self.body);
        compress(&mut state, &self.tail[..self.tail_blocks]);
        state
    }
}

/// One message of several.
struct Lane<'a> {
    key: &'a HmacSha1,
    state: [u32; 5],
    rest: Rest<'a>,
}

impl<'a> Lane<'a> {
    fn new(key: &'a HmacSha1, message: &'a [u8], trailer: [u8; 4]) -> Self {
        Self { key, state: key.inner, rest: Rest::new(BLOCK, message, &trailer) }
    }

    const fn blocks(&self) -> usize {
        self.rest.body.len() + self.rest.tail_blocks
    }

    fn compress(&mut self, at: usize) {
        let Rest { body, tail, tail_blocks } = &self.rest;
        let block = match at.checked_sub(body.len()) {
            None => &body[at],
            Some(behind) if behind < *tail_blocks => &tail[behind],
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

    /// Beside the library's, at every length around the ends of blocks.
    #[test]
    fn it_agrees_with_the_library() {
        let data: Vec<u8> = (0..300u32).map(|n| (n * 7) as u8).collect();
        for key_len in [0, 1, 20, 63, 64, 65, 128] {
            let key = &data[..key_len];
            let hmac = HmacSha1::new(key);
            for len in 0..=data.len() {
                let trailer = [1, 2, 3, len as u8];
                let expected = library(key, &[&data[..len], &trailer]);
                assert_eq!(hmac.sign(&data[..len], trailer), expected, "key {key_len}, {len} bytes");
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
                    assert_eq!(mac, key.sign(data, trailer), "{count} messages, {len} bytes");
                }
            }
        }
    }
}
