//! [`Cipher`]: the session keys of one protocol and direction, and the transforms on a packet whose index is known.

use std::fmt;

use subtle::ConstantTimeEq;
use tombolo_crypto::{AeadKey, CtrKey, MacKey};
use zeroize::Zeroizing;

use crate::layout::{ENCRYPTED, INDEX_LEN, RTCP_CLEAR_LEN};

/// Bytes of the tag of `AES_CM_128_HMAC_SHA1_80`.
pub(crate) const CM_TAG_LEN: usize = 10;
/// Bytes of the tag of `AEAD_AES_128_GCM`.
pub(crate) const GCM_TAG_LEN: usize = 16;
/// Bytes of the longer of the two session salts.
pub(crate) const SALT_LEN: usize = 14;

/// The tag does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadTag;

pub(crate) enum Cipher {
    Cm { ctr: Box<dyn CtrKey>, mac: Box<dyn MacKey>, salt: Zeroizing<[u8; SALT_LEN]> },
    Gcm { aead: Box<dyn AeadKey>, salt: Zeroizing<[u8; 12]> },
}

impl Cipher {
    pub(crate) fn cm(ctr: Box<dyn CtrKey>, mac: Box<dyn MacKey>, salt: &[u8; SALT_LEN]) -> Self {
        Self::Cm { ctr, mac, salt: Zeroizing::new(*salt) }
    }

    /// Takes the first 12 bytes of the salt.
    pub(crate) fn gcm(aead: Box<dyn AeadKey>, salt: &[u8; SALT_LEN]) -> Self {
        let mut short = Zeroizing::new([0; 12]);
        short.copy_from_slice(&salt[..12]);
        Self::Gcm { aead, salt: short }
    }

    /// Bytes of the tag.
    pub(crate) const fn tag_len(&self) -> usize {
        match self {
            Self::Cm { .. } => CM_TAG_LEN,
            Self::Gcm { .. } => GCM_TAG_LEN,
        }
    }

    /// Protects the packet in the first `len` bytes of `buf`, behind which the tag finds room.
    pub(crate) fn seal_rtp(&self, buf: &mut [u8], len: usize, header_len: usize, ssrc: u32, index: u64) {
        let (packet, tail) = buf.split_at_mut(len);
        let (header, payload) = packet.split_at_mut(header_len);
        match self {
            Self::Cm { ctr, mac, salt } => {
                ctr.apply_keystream(&cm_iv(salt, ssrc, index), payload);
                let tag = mac.sign(&[packet, &roc(index)]);
                tail[..CM_TAG_LEN].copy_from_slice(&tag[..CM_TAG_LEN]);
            }
            Self::Gcm { aead, salt } => {
                let tag = aead.seal_in_place(&gcm_rtp_iv(salt, ssrc, index), header, payload);
                tail[..GCM_TAG_LEN].copy_from_slice(&tag);
            }
        }
    }

    /// Opens a packet of at least header and tag. The plaintext has the returned length.
    pub(crate) fn open_rtp(
        &self,
        buf: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, BadTag> {
        let len = buf.len() - self.tag_len();
        match self {
            Self::Cm { ctr, mac, salt } => {
                let (packet, tag) = buf.split_at_mut(len);
                verify(&mac.sign(&[packet, &roc(index)]), tag)?;
                ctr.apply_keystream(&cm_iv(salt, ssrc, index), &mut packet[header_len..]);
            }
            Self::Gcm { aead, salt } => {
                let (header, sealed) = buf.split_at_mut(header_len);
                let iv = gcm_rtp_iv(salt, ssrc, index);
                aead.open_in_place(&iv, header, sealed).map_err(|_| BadTag)?;
            }
        }
        Ok(len)
    }

    /// Protects the packet in the first `len` bytes of `buf`, behind which index and tag find room.
    pub(crate) fn seal_rtcp(&self, buf: &mut [u8], len: usize, ssrc: u32, index: u32) {
        let word = (ENCRYPTED | index).to_be_bytes();
        let (packet, tail) = buf.split_at_mut(len);
        let (clear, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
        match self {
            Self::Cm { ctr, mac, salt } => {
                ctr.apply_keystream(&cm_iv(salt, ssrc, u64::from(index)), rest);
                let tag = mac.sign(&[packet, &word]);
                tail[..INDEX_LEN].copy_from_slice(&word);
                tail[INDEX_LEN..INDEX_LEN + CM_TAG_LEN].copy_from_slice(&tag[..CM_TAG_LEN]);
            }
            Self::Gcm { aead, salt } => {
                let tag = aead.seal_in_place(&gcm_rtcp_iv(salt, ssrc, index), &rtcp_aad(clear, word), rest);
                tail[..GCM_TAG_LEN].copy_from_slice(&tag);
                tail[GCM_TAG_LEN..GCM_TAG_LEN + INDEX_LEN].copy_from_slice(&word);
            }
        }
    }

    /// The word of E flag and index of a packet of at least its overhead.
    pub(crate) fn rtcp_word(&self, packet: &[u8]) -> u32 {
        let at = match self {
            Self::Cm { .. } => packet.len() - CM_TAG_LEN - INDEX_LEN,
            Self::Gcm { .. } => packet.len() - INDEX_LEN,
        };
        u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
    }

    /// Opens a packet of at least its clear part and overhead, with the word that stands in it. The plaintext has the
    /// returned length.
    pub(crate) fn open_rtcp(&self, buf: &mut [u8], ssrc: u32, word: u32) -> Result<usize, BadTag> {
        let len = buf.len() - self.tag_len() - INDEX_LEN;
        let encrypted = word & ENCRYPTED != 0;
        let index = word & !ENCRYPTED;
        match self {
            Self::Cm { ctr, mac, salt } => {
                let (signed, tag) = buf.split_at_mut(len + INDEX_LEN);
                verify(&mac.sign(&[signed]), tag)?;
                if encrypted {
                    let iv = cm_iv(salt, ssrc, u64::from(index));
                    ctr.apply_keystream(&iv, &mut signed[RTCP_CLEAR_LEN..len]);
                }
            }
            Self::Gcm { aead, salt } => {
                let iv = gcm_rtcp_iv(salt, ssrc, index);
                let (packet, tail) = buf.split_at_mut(len + GCM_TAG_LEN);
                if encrypted {
                    let (clear, sealed) = packet.split_at_mut(RTCP_CLEAR_LEN);
                    let aad = rtcp_aad(clear, word.to_be_bytes());
                    aead.open_in_place(&iv, &aad, sealed).map_err(|_| BadTag)?;
                } else {
                    // All is associated data (RFC 7714 §9.3): the packet, and the word right behind it.
                    let (packet, tag_place) = packet.split_at_mut(len);
                    let mut tag = [0; GCM_TAG_LEN];
                    tag.copy_from_slice(tag_place);
                    tag_place[..INDEX_LEN].copy_from_slice(tail);
                    let aad_len = packet.len() + INDEX_LEN;
                    aead.open_in_place(&iv, &buf[..aad_len], &mut tag).map_err(|_| BadTag)?;
                }
            }
        }
        Ok(len)
    }
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cm { .. } => "Cm(..)",
            Self::Gcm { .. } => "Gcm(..)",
        })
    }
}

fn verify(computed: &[u8; 20], tag: &[u8]) -> Result<(), BadTag> {
    if bool::from(computed[..CM_TAG_LEN].ct_eq(tag)) { Ok(()) } else { Err(BadTag) }
}

/// The rollover counter, which the tag covers though it is not sent (RFC 3711 §4.2).
const fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// `(salt · 2^16) XOR (SSRC · 2^64) XOR (index · 2^16)` (RFC 3711 §4.1.1).
fn cm_iv(salt: &[u8; SALT_LEN], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0; 16];
    iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
    iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}

/// `00 00 | SSRC | ROC | SEQ`, XOR the salt (RFC 7714 §8.1).
fn gcm_rtp_iv(salt: &[u8; 12], ssrc: u32, index: u64) -> [u8; 12] {
    let mut iv = [0; 12];
    iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
    iv[6..].copy_from_slice(&index.to_be_bytes()[2..]);
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}

/// `00 00 | SSRC | 00 00 | 0 index`, XOR the salt (RFC 7714 §9.1).
fn gcm_rtcp_iv(salt: &[u8; 12], ssrc: u32, index: u32) -> [u8; 12] {
    let mut iv = [0; 12];
    iv[2..6].copy_from_slice(&ssrc.to_be_bytes());
    iv[8..].copy_from_slice(&index.to_be_bytes());
    iv.iter_mut().zip(salt).for_each(|(byte, salt)| *byte ^= salt);
    iv
}

/// The clear part and the word behind it (RFC 7714 §9.2).
fn rtcp_aad(clear: &[u8], word: [u8; 4]) -> [u8; RTCP_CLEAR_LEN + INDEX_LEN] {
    let mut aad = [0; RTCP_CLEAR_LEN + INDEX_LEN];
    aad[..RTCP_CLEAR_LEN].copy_from_slice(clear);
    aad[RTCP_CLEAR_LEN..].copy_from_slice(&word);
    aad
}

#[cfg(test)]
mod tests {
    use tombolo_crypto::{AeadAlgorithm, CryptoProvider};

    use super::*;
    use crate::{Config, InboundContext, OutboundContext, UnprotectError};

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap())
            .collect()
    }

    fn providers() -> [CryptoProvider; 2] {
        [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()]
    }

    /// The session keys of RFC 7714 §16 and §17: 00 01 … 0f and "Quid pro quo".
    fn gcm_cipher(provider: &CryptoProvider) -> Cipher {
        let key: Vec<u8> = (0..16).collect();
        Cipher::gcm((provider.aead)(AeadAlgorithm::Aes128Gcm, &key).unwrap(), b"Quid pro quo\0\0")
    }

    const GCM_RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
         696e2070 61727465 73207472 6573";
    const GCM_SRTP: &str = "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
         42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce";
    const GCM_RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef \
         deadbeef deadbeef deadbeef deadbeef";
    const GCM_SRTCP: &str = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
         730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";

    /// SRTP-09: RFC 7714 §16.1.1 and §16.1.2.
    #[test]
    fn rfc_7714_rtp_vector() {
        for provider in providers() {
            let cipher = gcm_cipher(&provider);
            let (plain, sealed) = (hex(GCM_RTP), hex(GCM_SRTP));
            let mut buf = plain.clone();
            buf.resize(sealed.len(), 0);
            cipher.seal_rtp(&mut buf, plain.len(), 12, 0x5501_a0b2, 0xf17b);
            assert_eq!(buf, sealed);
            assert_eq!(cipher.open_rtp(&mut buf, 12, 0x5501_a0b2, 0xf17b), Ok(plain.len()));
            assert_eq!(buf[..plain.len()], plain);
        }
    }

    /// SRTP-09: RFC 7714 §17.1 and §17.2.
    #[test]
    fn rfc_7714_rtcp_vector() {
        for provider in providers() {
            let cipher = gcm_cipher(&provider);
            let (plain, sealed) = (hex(GCM_RTCP), hex(GCM_SRTCP));
            let mut buf = plain.clone();
            buf.resize(sealed.len(), 0);
            cipher.seal_rtcp(&mut buf, plain.len(), 0x4d61_7273, 0x5d4);
            assert_eq!(buf, sealed);
            let word = cipher.rtcp_word(&buf);
            assert_eq!(word, 0x8000_05d4);
            assert_eq!(cipher.open_rtcp(&mut buf, 0x4d61_7273, word), Ok(plain.len()));
            assert_eq!(buf[..plain.len()], plain);
        }
    }

    /// RFC 3711 appendix B.2: the key stream at the blocks that the appendix lists.
    #[test]
    fn rfc_3711_counter_mode_vector() {
        for provider in providers() {
            let ctr = (provider.aes_ctr)(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
            let mut salt = [0; SALT_LEN];
            salt.copy_from_slice(&hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD"));
            let mut stream = vec![0; 0xff02 * 16];
            ctr.apply_keystream(&cm_iv(&salt, 0, 0), &mut stream);
            let block = |at: usize| &stream[at * 16..][..16];
            assert_eq!(block(0), hex("E03EAD0935C95E80E166B16DD92B4EB4"));
            assert_eq!(block(1), hex("D23513162B02D0F72A43A2FE4A5F97AB"));
            assert_eq!(block(2), hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
            assert_eq!(block(0xfeff), hex("EC8CDF7398607CB0F2D21675EA9EA1E4"));
            assert_eq!(block(0xff00), hex("362B7C3C6773516318A077D7FC5073AE"));
            assert_eq!(block(0xff01), hex("6A2CC3787889374FBEB4C81B17BA6C44"));
        }
    }

    /// SRTP-08: the E flag is honoured with both profiles: an authentic packet in the clear is taken as it is, and the
    /// same with the flag set is no authentic one.
    #[test]
    fn an_authentic_packet_in_the_clear_is_taken_as_it_is() {
        let provider = CryptoProvider::default();
        let plain = hex(GCM_RTCP);
        let word = 7u32.to_be_bytes();
        let cm = || {
            let ctr = (provider.aes_ctr)(&[1; 16]).unwrap();
            Cipher::cm(ctr, (provider.hmac_sha1)(&[2; 20]), &[3; SALT_LEN])
        };
        let gcm = || gcm_cipher(&provider);
        let Cipher::Cm { mac, .. } = cm() else { unreachable!() };
        let cm_packet = [&plain[..], &word, &mac.sign(&[&plain, &word])[..CM_TAG_LEN]].concat();
        let Cipher::Gcm { aead, salt } = gcm() else { unreachable!() };
        let aad = [&plain[..], &word].concat();
        let tag = aead.seal_in_place(&gcm_rtcp_iv(&salt, 0x4d61_7273, 7), &aad, &mut []);
        let gcm_packet = [&plain[..], &tag, &word].concat();
        let makers: [(&dyn Fn() -> Cipher, Vec<u8>); 2] = [(&cm, cm_packet), (&gcm, gcm_packet)];
        for (cipher, packet) in makers {
            let mut inbound = InboundContext::with_ciphers(cipher(), cipher(), &Config::default());
            let mut flagged = packet.clone();
            let flag_at =
                if cipher().tag_len() == CM_TAG_LEN { plain.len() } else { packet.len() - INDEX_LEN };
            flagged[flag_at] |= 0x80;
            assert_eq!(inbound.unprotect_rtcp(&mut flagged), Err(UnprotectError::Auth));
            let mut good = packet.clone();
            assert_eq!(inbound.unprotect_rtcp(&mut good), Ok(plain.len()));
            assert_eq!(good[..plain.len()], plain);
            assert_eq!(inbound.unprotect_rtcp(&mut packet.clone()), Err(UnprotectError::Replayed));
        }
    }

    /// SRTP-04: the last index of a source is used, and nothing after it, by either side.
    #[test]
    fn the_index_space_ends() {
        use crate::layout::MAX_RTP_INDEX;

        let provider = CryptoProvider::default();
        let cipher = || gcm_cipher(&provider);
        let mut outbound = OutboundContext::with_ciphers(cipher(), cipher(), &Config::default());
        let mut inbound = InboundContext::with_ciphers(cipher(), cipher(), &Config::default());
        outbound.start_at(9, MAX_RTP_INDEX - 1);
        inbound.start_at(9, MAX_RTP_INDEX - 1);
        let send = |outbound: &mut OutboundContext, seq: u16| {
            let [high, low] = seq.to_be_bytes();
            let mut buf = vec![0x80, 96, high, low, 0, 0, 0, 0, 0, 0, 0, 9, 1, 2, 3];
            buf.resize(buf.len() + GCM_TAG_LEN, 0);
            outbound.protect_rtp(&mut buf, 15).map(|_| buf)
        };
        let mut last = send(&mut outbound, 65535).unwrap();
        assert_eq!(inbound.unprotect_rtp(&mut last), Ok(15));
        assert_eq!(send(&mut outbound, 0).unwrap_err(), crate::ProtectError::Lifetime);
        let mut beyond = [vec![0x80, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], vec![0; GCM_TAG_LEN]].concat();
        cipher().seal_rtp(&mut beyond, 12, 12, 9, MAX_RTP_INDEX + 1);
        assert_eq!(inbound.unprotect_rtp(&mut beyond), Err(UnprotectError::Lifetime));
    }
}
