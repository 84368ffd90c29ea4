//! AES in counter mode as SRTP has it, alone and with HMAC-SHA1.

use subtle::ConstantTimeEq;

use crate::{AuthError, HmacSha1};

/// Bytes of the part of the counter block that does not count.
pub const CM_IV_LEN: usize = 14;

/// AES-CM (RFC 3711 §4.1.1): counter blocks of 14 bytes that stay and a big-endian 16-bit number that starts at
/// zero. Nothing is allocated per call and the key schedule is made once.
pub trait CtrKey: Send + Sync {
    /// XORs the key stream onto `in_out`, of 2²⁰ bytes at most, which every datagram is.
    fn apply_keystream(&self, iv: &[u8; CM_IV_LEN], in_out: &mut [u8]);
}

/// AES-CM and HMAC-SHA1 under one pair of session keys (RFC 3711 §4.2). A backend that works at both in turns has its own
/// [`Self::seal`] and [`Self::open`].
pub trait CmHmacKey: CtrKey {
    /// The MAC over `message` and `trailer`: the rollover counter, or the word of the SRTCP index.
    fn sign(&self, message: &[u8], trailer: [u8; 4]) -> [u8; 20];

    /// Whether `tag` is the beginning of the MAC over `message` and `trailer`, of at most 20 bytes.
    ///
    /// # Errors
    /// [`AuthError`] when it is not.
    fn verify(&self, message: &[u8], trailer: [u8; 4], tag: &[u8]) -> Result<(), AuthError> {
        check_tag(&self.sign(message, trailer), tag)
    }

    /// Encrypts `packet` from `clear_len` on, at most its length, and returns the MAC over all of it and `trailer`.
    fn seal(&self, iv: &[u8; CM_IV_LEN], packet: &mut [u8], clear_len: usize, trailer: [u8; 4]) -> [u8; 20] {
        self.apply_keystream(iv, &mut packet[clear_len..]);
        self.sign(packet, trailer)
    }

    /// Decrypts `packet` from `clear_len` on, at most its length, once `tag` is known to be the beginning of the MAC over all
    /// of it and `trailer`.
    ///
    /// # Errors
    /// [`AuthError`] when it is not; the packet is as before.
    fn open(
        &self,
        iv: &[u8; CM_IV_LEN],
        packet: &mut [u8],
        clear_len: usize,
        trailer: [u8; 4],
        tag: &[u8],
    ) -> Result<(), AuthError> {
        self.verify(packet, trailer, tag)?;
        self.apply_keystream(iv, &mut packet[clear_len..]);
        Ok(())
    }

    /// The keyed HMAC, if it is in memory: then [`seal_batch`] works at the MACs of several keys together.
    fn hmac(&self) -> Option<&HmacSha1> {
        None
    }
}

/// Compares a MAC with a tag of at most its length, in a time that does not tell where they differ.
pub(crate) fn check_tag(mac: &[u8; 20], tag: &[u8]) -> Result<(), AuthError> {
    let is_good = mac.get(..tag.len()).is_some_and(|mac| bool::from(mac.ct_eq(tag)));
    if is_good { Ok(()) } else { Err(AuthError) }
}

/// One packet of [`seal_batch`]: the arguments of [`CmHmacKey::seal`] and its result.
pub struct CmJob<'a> {
    /// Seals the packet.
    pub key: &'a dyn CmHmacKey,
    /// See [`CtrKey::apply_keystream`].
    pub iv: [u8; CM_IV_LEN],
    /// Encrypted in place.
    pub packet: &'a mut [u8],
    /// Bytes at the start that are not encrypted, at most the packet's length.
    pub clear_len: usize,
    /// What the MAC covers behind the packet.
    pub trailer: [u8; 4],
    /// The result.
    pub mac: [u8; 20],
}

/// How many packets [`seal_batch`] works at together.
///
/// SHA-1 is one long chain: each step waits for the one before, and a CPU with SHA instructions idles most of the
/// time. With the blocks of a few packets in turns it has something else to do; more than four gain no more.
pub const CM_LANES: usize = 4;

/// [`CmHmacKey::seal`] for each job, under different keys, with the MACs made together.
pub fn seal_batch(jobs: &mut [Option<CmJob<'_>>; CM_LANES]) {
    if jobs.iter().flatten().count() == 1 || jobs.iter().flatten().any(|job| job.key.hmac().is_none()) {
        for job in jobs.iter_mut().flatten() {
            job.mac = job.key.seal(&job.iv, job.packet, job.clear_len, job.trailer);
        }
        return;
    }
    for job in jobs.iter_mut().flatten() {
        job.key.apply_keystream(&job.iv, &mut job.packet[job.clear_len..]);
    }
    let messages = jobs.iter().flatten();
    let messages = messages.filter_map(|job| Some((job.key.hmac()?, &*job.packet, job.trailer)));
    let macs = HmacSha1::sign_together(messages);
    jobs.iter_mut().flatten().zip(macs).for_each(|(job, mac)| job.mac = mac);
}
