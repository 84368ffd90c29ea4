//! [`Cipher`]: the session keys of one protocol and direction, and the transforms on a packet whose index is known.

use std::fmt;

use tombolo_crypto::{AeadKey, AuthError, CmHmacKey, CmJob};
use zeroize::Zeroizing;

use crate::layout::{ENCRYPTED, EXTENSION_HEADER_LEN, INDEX_LEN, RTCP_CLEAR_LEN, RTP_FIXED_LEN};

/// Bytes of the tag of `AES_CM_128_HMAC_SHA1_80`, and of that of RTCP with `AES_CM_128_HMAC_SHA1_32`.
pub(crate) const CM_TAG_LEN: usize = 10;
/// Bytes of the tag of RTP with `AES_CM_128_HMAC_SHA1_32`.
pub(crate) const CM_SHORT_TAG_LEN: usize = 4;
/// Bytes of the tag of the AEADs.
pub(crate) const GCM_TAG_LEN: usize = 16;
/// Bytes of the longer of the two session salts.
pub(crate) const SALT_LEN: usize = 14;

/// ```text
/// Cm   RTP [clear | text | MKI | tag]   RTCP [8 bytes | text | E index | MKI | tag]
/// Gcm  RTP [clear | text | tag | MKI]   RTCP [8 bytes | text | tag | E index | MKI]
/// ```
pub(crate) enum Cipher {
    Cm { key: Box<dyn CmHmacKey>, salt: Zeroizing<[u8; SALT_LEN]>, tag_len: usize },
    Gcm { key: Box<dyn AeadKey>, salt: Zeroizing<[u8; 12]> },
}

/// An RTP packet whose index is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtpPacket {
    /// Bytes without what protection adds.
    pub(crate) len: usize,
    /// Bytes at the start that stay in the clear, when the sources that follow are put aside.
    pub(crate) clear_len: usize,
    /// Bytes of the sources between the fixed header and the extension's that are encrypted with what follows.
    pub(crate) csrc_len: usize,
    pub(crate) ssrc: u32,
    pub(crate) index: u64,
}

impl Cipher {
    pub(crate) fn cm(key: Box<dyn CmHmacKey>, salt: &[u8; SALT_LEN], tag_len: usize) -> Self {
        Self::Cm { key, salt: Zeroizing::new(*salt), tag_len }
    }

    /// Takes the first 12 bytes of the salt.
    pub(crate) fn gcm(key: Box<dyn AeadKey>, salt: &[u8; SALT_LEN]) -> Self {
        let mut short = Zeroizing::new([0; 12]);
        short.copy_from_slice(&salt[..12]);
        Self::Gcm { key, salt: short }
    }

    /// Bytes of the tag.
    pub(crate) const fn tag_len(&self) -> usize {
        match self {
            Self::Cm { tag_len, .. } => *tag_len,
            Self::Gcm { .. } => GCM_TAG_LEN,
        }
    }

    /// The MKI of a packet of at least its overhead, RTP or RTCP.
    pub(crate) fn mki<'a>(&self, packet: &'a [u8], mki_len: usize) -> &'a [u8] {
        let end = match self {
            Self::Cm { tag_len, .. } => packet.len() - tag_len,
            Self::Gcm { .. } => packet.len(),
        };
        &packet[end - mki_len..end]
    }

    /// Protects the packet at the start of `buf`, behind which MKI and tag find room.
    pub(crate) fn seal_rtp(&self, buf: &mut [u8], packet: &RtpPacket, mki: &[u8]) {
        let (text, tail) = buf.split_at_mut(packet.len);
        match self {
            Self::Cm { key, salt, .. } => {
                let (iv, roc) = (cm_iv(salt, packet.ssrc, packet.index), roc(packet.index));
                let mac = if packet.csrc_len == 0 {
                    key.seal(&iv, text, packet.clear_len, roc)
                } else {
                    put_extension_first(text, packet.csrc_len);
                    key.apply_keystream(&iv, &mut text[packet.clear_len..]);
                    put_sources_first(text, packet.csrc_len);
                    key.sign(text, roc)
                };
                self.put_cm_tail(tail, mki, &mac);
            }
            Self::Gcm { key, salt } => {
                put_extension_first(text, packet.csrc_len);
                let (clear, rest) = text.split_at_mut(packet.clear_len);
                let tag = key.seal_in_place(&gcm_rtp_iv(salt, packet.ssrc, packet.index), clear, rest);
                put_sources_first(text, packet.csrc_len);
                put(tail, &tag, mki);
            }
        }
    }

    /// Whether [`Self::job`] has one for this packet: whether there is anything to gain.
    pub(crate) const fn batches(&self, packet: &RtpPacket) -> bool {
        matches!(self, Self::Cm { .. }) && packet.csrc_len == 0
    }

    /// The same as [`Self::seal_rtp`] of `text` as a job among several; its MAC goes to [`Self::put_cm_tail`].
    pub(crate) fn job<'a>(&'a self, text: &'a mut [u8], packet: &RtpPacket) -> Option<CmJob<'a>> {
        match self {
            Self::Cm { key, salt, .. } if packet.csrc_len == 0 => Some(CmJob {
                key: &**key,
                iv: cm_iv(salt, packet.ssrc, packet.index),
                packet: text,
                clear_len: packet.clear_len,
                trailer: roc(packet.index),
                mac: [0; 20],
            }),
            _ => None,
        }
    }

    pub(crate) fn put_cm_tail(&self, tail: &mut [u8], mki: &[u8], mac: &[u8; 20]) {
        put(tail, mki, &mac[..self.tag_len()]);
    }

    /// Opens a packet with an MKI of so many bytes.
    pub(crate) fn open_rtp(
        &self,
        buf: &mut [u8],
        packet: &RtpPacket,
        mki_len: usize,
    ) -> Result<(), AuthError> {
        match self {
            Self::Cm { key, salt, .. } => {
                let (text, tail) = buf.split_at_mut(packet.len);
                let tag = &tail[mki_len..];
                let (iv, roc) = (cm_iv(salt, packet.ssrc, packet.index), roc(packet.index));
                if packet.csrc_len == 0 {
                    key.open(&iv, text, packet.clear_len, roc, tag)?;
                } else {
                    key.verify(text, roc, tag)?;
                    put_extension_first(text, packet.csrc_len);
                    key.apply_keystream(&iv, &mut text[packet.clear_len..]);
                    put_sources_first(text, packet.csrc_len);
                }
            }
            Self::Gcm { key, salt } => {
                put_extension_first(buf, packet.csrc_len);
                let (clear, sealed) = buf[..packet.len + GCM_TAG_LEN].split_at_mut(packet.clear_len);
                let iv = gcm_rtp_iv(salt, packet.ssrc, packet.index);
                key.open_in_place(&iv, clear, sealed)?;
                put_sources_first(buf, packet.csrc_len);
            }
        }
        Ok(())
    }

    /// Protects the packet in the first `len` bytes of `buf`, behind which index, MKI and tag find room.
    pub(crate) fn seal_rtcp(&self, buf: &mut [u8], len: usize, ssrc: u32, index: u32, mki: &[u8]) {
        let word = (ENCRYPTED | index).to_be_bytes();
        let (packet, tail) = buf.split_at_mut(len);
        match self {
            Self::Cm { key, salt, .. } => {
                let mac = key.seal(&cm_iv(salt, ssrc, u64::from(index)), packet, RTCP_CLEAR_LEN, word);
                let (index_place, tail) = tail.split_at_mut(INDEX_LEN);
                index_place.copy_from_slice(&word);
                self.put_cm_tail(tail, mki, &mac);
            }
            Self::Gcm { key, salt } => {
                let (clear, rest) = packet.split_at_mut(RTCP_CLEAR_LEN);
                let tag = key.seal_in_place(&gcm_rtcp_iv(salt, ssrc, index), &rtcp_aad(clear, word), rest);
                let (tag_place, tail) = tail.split_at_mut(GCM_TAG_LEN);
                tag_place.copy_from_slice(&tag);
                put(tail, &word, mki);
            }
        }
    }

    /// The word of E flag and index of a packet of at least its overhead.
    pub(crate) fn rtcp_word(&self, packet: &[u8], mki_len: usize) -> u32 {
        let behind = match self {
            Self::Cm { tag_len, .. } => mki_len + tag_len,
            Self::Gcm { .. } => mki_len,
        };
        let at = packet.len() - behind - INDEX_LEN;
        u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
    }

    /// Opens a packet of at least its clear part and overhead, with the word that stands in it. The plaintext has the
    /// returned length.
    pub(crate) fn open_rtcp(
        &self,
        buf: &mut [u8],
        ssrc: u32,
        word: u32,
        mki_len: usize,
    ) -> Result<usize, AuthError> {
        let len = buf.len() - self.tag_len() - INDEX_LEN - mki_len;
        let encrypted = word & ENCRYPTED != 0;
        let index = word & !ENCRYPTED;
        match self {
            Self::Cm { key, salt, .. } => {
                let (packet, tail) = buf.split_at_mut(len);
                let tag = &tail[INDEX_LEN + mki_len..];
                if encrypted {
                    let iv = cm_iv(salt, ssrc, u64::from(index));
                    key.open(&iv, packet, RTCP_CLEAR_LEN, word.to_be_bytes(), tag)?;
                } else {
                    key.verify(packet, word.to_be_bytes(), tag)?;
                }
            }
            Self::Gcm { key, salt } => {
                let iv = gcm_rtcp_iv(salt, ssrc, index);
                let (packet, tail) = buf.split_at_mut(len + GCM_TAG_LEN);
                if encrypted {
                    let (clear, sealed) = packet.split_at_mut(RTCP_CLEAR_LEN);
                    let aad = rtcp_aad(clear, word.to_be_bytes());
                    key.open_in_place(&iv, &aad, sealed)?;
                } else {
                    // All is associated data (RFC 7714 §9.3): the packet, and the word right behind it.
                    let (packet, tag_place) = packet.split_at_mut(len);
                    let mut tag = [0; GCM_TAG_LEN];
                    tag.copy_from_slice(tag_place);
                    tag_place[..INDEX_LEN].copy_from_slice(&tail[..INDEX_LEN]);
                    let aad_len = packet.len() + INDEX_LEN;
                    key.open_in_place(&iv, &buf[..aad_len], &mut tag)?;
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

/// Two things at the start of a place that has room for them.
fn put(place: &mut [u8], first: &[u8], second: &[u8]) {
    let (first_place, rest) = place.split_at_mut(first.len());
    first_place.copy_from_slice(first);
    rest[..second.len()].copy_from_slice(second);
}

/// Puts the header of the extension in front of the sources, so that what is encrypted stands together (RFC 9335 §6.2).
fn put_extension_first(packet: &mut [u8], csrc_len: usize) {
    if csrc_len > 0 {
        packet[RTP_FIXED_LEN..RTP_FIXED_LEN + csrc_len + EXTENSION_HEADER_LEN]
            .rotate_right(EXTENSION_HEADER_LEN);
    }
}

/// Takes [`put_extension_first`] back.
fn put_sources_first(packet: &mut [u8], csrc_len: usize) {
    if csrc_len > 0 {
        packet[RTP_FIXED_LEN..RTP_FIXED_LEN + csrc_len + EXTENSION_HEADER_LEN]
            .rotate_left(EXTENSION_HEADER_LEN);
    }
}

/// The rollover counter, which the tag covers though it is not sent (RFC 3711 §4.2).
const fn roc(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

/// `salt XOR (SSRC · 2^48) XOR index`, behind which 16 bits count blocks (RFC 3711 §4.1.1).
pub(crate) fn cm_iv(salt: &[u8; SALT_LEN], ssrc: u32, index: u64) -> [u8; SALT_LEN] {
    let mut iv = [0; SALT_LEN];
    iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
    iv[8..].copy_from_slice(&index.to_be_bytes()[2..]);
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
    gcm_rtp_iv(salt, ssrc, u64::from(index))
}

/// The clear part and the word behind it (RFC 7714 §9.2).
fn rtcp_aad(clear: &[u8], word: [u8; 4]) -> [u8; RTCP_CLEAR_LEN + INDEX_LEN] {
    let mut aad = [0; RTCP_CLEAR_LEN + INDEX_LEN];
    aad[..RTCP_CLEAR_LEN].copy_from_slice(clear);
    aad[RTCP_CLEAR_LEN..].copy_from_slice(&word);
    aad
}

#[cfg(test)]
pub(crate) mod tests {
    use tombolo_crypto::{AeadAlgorithm, CryptoProvider};

    use super::*;
    use crate::keys::SessionKeys;
    use crate::{Config, InboundContext, OutboundContext, Profile, UnprotectError};

    pub(crate) fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| Some(c.to_digit(16)? as u8)).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn providers() -> [CryptoProvider; 2] {
        [tombolo_crypto::ring::provider(), tombolo_crypto::rust_crypto::provider()]
    }

    /// The session keys of RFC 7714 §16 and §17: 00 01 … and "Quid pro quo".
    fn gcm_cipher(provider: &CryptoProvider, algorithm: AeadAlgorithm) -> Cipher {
        let key: Vec<u8> = (0..algorithm.key_len() as u8).collect();
        Cipher::gcm((provider.aead)(algorithm, &key).unwrap(), b"Quid pro quo\0\0")
    }

    fn session_keys(profile: Profile, cipher: impl Fn() -> Cipher) -> SessionKeys {
        SessionKeys {
            profile,
            mki: Vec::new(),
            rtp: cipher(),
            rtcp: cipher(),
            header: None,
            rtp_left: 100,
            rtcp_left: 100,
        }
    }

    const GCM_RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 \
         696e2070 61727465 73207472 6573";
    const GCM_SRTP: [(AeadAlgorithm, &str); 2] = [
        (
            AeadAlgorithm::Aes128Gcm,
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f \
             42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            AeadAlgorithm::Aes256Gcm,
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 \
             b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ];
    const GCM_RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef \
         deadbeef deadbeef deadbeef deadbeef";
    const GCM_SRTCP: [(AeadAlgorithm, &str); 2] = [
        (
            AeadAlgorithm::Aes128Gcm,
            "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 \
             730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4",
        ),
        (
            AeadAlgorithm::Aes256Gcm,
            "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 \
             110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be 800005d4",
        ),
    ];
    /// What stands behind [`GCM_RTCP`] when it is authenticated only.
    const GCM_TAGS: [(AeadAlgorithm, &str); 2] = [
        (AeadAlgorithm::Aes128Gcm, "841dd968 3dd78ec9 2ae58790 125f62b3 000005d4"),
        (AeadAlgorithm::Aes256Gcm, "91db4afb feee5a97 8fab4393 ed2615fe 000005d4"),
    ];

    /// SRTP-09: RFC 7714 §16.1 and §16.2.
    #[test]
    fn rfc_7714_rtp_vector() {
        for (provider, (algorithm, sealed)) in providers().iter().flat_map(|p| GCM_SRTP.map(|v| (p, v))) {
            let cipher = gcm_cipher(provider, algorithm);
            let (plain, sealed) = (hex(GCM_RTP), hex(sealed));
            let mut buf = plain.clone();
            buf.resize(sealed.len(), 0);
            let (len, ssrc, index) = (plain.len(), 0x5501_a0b2, 0xf17b);
            let packet = RtpPacket { len, clear_len: 12, csrc_len: 0, ssrc, index };
            cipher.seal_rtp(&mut buf, &packet, &[]);
            assert_eq!(buf, sealed);
            assert_eq!(cipher.open_rtp(&mut buf, &packet, 0), Ok(()));
            assert_eq!(buf[..plain.len()], plain);
        }
    }

    /// SRTP-09: RFC 7714 §17.1 and §17.2.
    #[test]
    fn rfc_7714_rtcp_vector() {
        for (provider, (algorithm, sealed)) in providers().iter().flat_map(|p| GCM_SRTCP.map(|v| (p, v))) {
            let cipher = gcm_cipher(provider, algorithm);
            let (plain, sealed) = (hex(GCM_RTCP), hex(sealed));
            let mut buf = plain.clone();
            buf.resize(sealed.len(), 0);
            cipher.seal_rtcp(&mut buf, plain.len(), 0x4d61_7273, 0x5d4, &[]);
            assert_eq!(buf, sealed);
            let word = cipher.rtcp_word(&buf, 0);
            assert_eq!(word, 0x8000_05d4);
            assert_eq!(cipher.open_rtcp(&mut buf, 0x4d61_7273, word, 0), Ok(plain.len()));
            assert_eq!(buf[..plain.len()], plain);
        }
    }

    /// SRTP-08, SRTP-09: RFC 7714 §17.3 and §17.4, packets that are authenticated only.
    #[test]
    fn rfc_7714_tagged_rtcp_vector() {
        for (provider, (algorithm, tail)) in providers().iter().flat_map(|p| GCM_TAGS.map(|v| (p, v))) {
            let cipher = gcm_cipher(provider, algorithm);
            let plain = hex(GCM_RTCP);
            let mut buf = [&plain[..], &hex(tail)].concat();
            let word = cipher.rtcp_word(&buf, 0);
            assert_eq!(cipher.open_rtcp(&mut buf, 0x4d61_7273, word, 0), Ok(plain.len()));
            assert_eq!(buf[..plain.len()], plain);
        }
    }

    /// RFC 3711 appendix B.2: the key stream at the blocks that the appendix lists.
    #[test]
    fn rfc_3711_counter_mode_vector() {
        for provider in providers() {
            let ctr = (provider.aes_cm)(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
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
            let key = (provider.aes_cm_hmac_sha1)(&[1; 16], &[2; 20]).unwrap();
            Cipher::cm(key, &[3; SALT_LEN], CM_TAG_LEN)
        };
        let gcm = || gcm_cipher(&provider, AeadAlgorithm::Aes128Gcm);
        let Cipher::Cm { key, .. } = cm() else { unreachable!() };
        let cm_packet = [&plain[..], &word, &key.sign(&plain, word)[..CM_TAG_LEN]].concat();
        let Cipher::Gcm { key, salt } = gcm() else { unreachable!() };
        let aad = [&plain[..], &word].concat();
        let tag = key.seal_in_place(&gcm_rtcp_iv(&salt, 0x4d61_7273, 7), &aad, &mut []);
        let gcm_packet = [&plain[..], &tag, &word].concat();
        let makers: [(&dyn Fn() -> Cipher, Vec<u8>); 2] = [(&cm, cm_packet), (&gcm, gcm_packet)];
        for (cipher, packet) in makers {
            let keys = session_keys(Profile::AeadAes128Gcm, cipher);
            let mut inbound = InboundContext::with_keys(keys, &Config::default());
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
        let cipher = || gcm_cipher(&provider, AeadAlgorithm::Aes128Gcm);
        let keys = || session_keys(Profile::AeadAes128Gcm, cipher);
        let mut outbound = OutboundContext::with_keys(keys(), &Config::default());
        let mut inbound = InboundContext::with_keys(keys(), &Config::default());
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
        let packet = RtpPacket { len: 12, clear_len: 12, csrc_len: 0, ssrc: 9, index: MAX_RTP_INDEX + 1 };
        cipher().seal_rtp(&mut beyond, &packet, &[]);
        assert_eq!(inbound.unprotect_rtp(&mut beyond), Err(UnprotectError::Lifetime));
    }
}
