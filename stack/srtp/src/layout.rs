//! Where the parts of RTP and RTCP packets stand, as far as protection needs to know.

/// Bytes of an RTP header without CSRCs and extension.
pub(crate) const RTP_FIXED_LEN: usize = 12;

/// Bytes at the start of an RTCP packet that stay in the clear (RFC 3711 §3.4).
pub(crate) const RTCP_CLEAR_LEN: usize = 8;

/// Bytes of the E flag and the SRTCP index.
pub(crate) const INDEX_LEN: usize = 4;

/// The E flag: the packet is encrypted.
pub(crate) const ENCRYPTED: u32 = 1 << 31;

/// The last index of a source: rollover counter and sequence number (RFC 3711 §3.3.1).
pub(crate) const MAX_RTP_INDEX: u64 = (1 << 48) - 1;

/// The last SRTCP index of a source (RFC 3711 §3.4).
pub(crate) const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// Bytes of the fields in front of a header extension: what the profile defines, and the length.
pub(crate) const EXTENSION_HEADER_LEN: usize = 4;

/// The header fields that keys and indices depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RtpLayout {
    /// All of it, with sources and extension.
    pub(crate) header_len: usize,
    /// The contributing sources, which stand behind the first 12 bytes.
    pub(crate) csrc_len: usize,
    /// The value that says what kind of extension follows the sources, if one does.
    pub(crate) extension: Option<u16>,
    pub(crate) seq: u16,
    pub(crate) ssrc: u32,
}

impl RtpLayout {
    /// `None` when this is no version 2 packet or its header reaches beyond the end.
    pub(crate) fn parse(packet: &[u8]) -> Option<Self> {
        let fixed: &[u8; RTP_FIXED_LEN] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let csrc_len = usize::from(fixed[0] & 0x0f) * 4;
        let mut header_len = RTP_FIXED_LEN + csrc_len;
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let &[kind_high, kind_low, words_high, words_low] = packet.get(header_len..)?.first_chunk()?;
            let words = usize::from(u16::from_be_bytes([words_high, words_low]));
            header_len += EXTENSION_HEADER_LEN + words * 4;
            extension = Some(u16::from_be_bytes([kind_high, kind_low]));
        }
        (header_len <= packet.len()).then_some(Self {
            header_len,
            csrc_len,
            extension,
            seq: u16::from_be_bytes([fixed[2], fixed[3]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        })
    }

    /// Where the extension begins, or would.
    pub(crate) const fn extension_at(&self) -> usize {
        RTP_FIXED_LEN + self.csrc_len
    }
}

/// The sender of an RTCP packet, from its clear part; `None` when it is no version 2 packet or too short.
pub(crate) fn rtcp_ssrc(packet: &[u8]) -> Option<u32> {
    let &[first, _, _, _, a, b, c, d] = packet.first_chunk()?;
    (first >> 6 == 2).then_some(u32::from_be_bytes([a, b, c, d]))
}

/// The index of a packet with this sequence number: the one closest to the highest so far (RFC 3711 §3.3.1, appendix
/// A), or rollover counter zero for a source's first packet. `None` for one before the first or after the last.
pub(crate) fn estimate_index(highest: Option<u64>, seq: u16) -> Option<u64> {
    let Some(highest) = highest else { return Some(u64::from(seq)) };
    let distance = seq.wrapping_sub(highest as u16) as i16;
    highest.checked_add_signed(i64::from(distance)).filter(|&index| index <= MAX_RTP_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_lengths_count_sources_and_extension() {
        let mut packet = vec![0x92, 96, 0x12, 0x34, 0, 0, 0, 0, 0, 0, 0, 9];
        packet.extend_from_slice(&[0; 8]);
        packet.extend_from_slice(&[0xbe, 0xde, 0, 1, 0, 0, 0, 0, 7]);
        let expected =
            RtpLayout { header_len: 28, csrc_len: 8, extension: Some(0xbede), seq: 0x1234, ssrc: 9 };
        assert_eq!(RtpLayout::parse(&packet), Some(expected));
        for cut in 0..28 {
            assert_eq!(RtpLayout::parse(&packet[..cut]), None, "{cut}");
        }
        packet[0] = 0x12;
        assert_eq!(RtpLayout::parse(&packet), None);
    }

    /// SRTP-07: the guess around the wrap, in both directions.
    #[test]
    fn indices_are_guessed_around_the_wrap() {
        assert_eq!(estimate_index(None, 65535), Some(65535));
        assert_eq!(estimate_index(Some(65535), 0), Some(65536));
        assert_eq!(estimate_index(Some(65536), 65535), Some(65535));
        assert_eq!(estimate_index(Some(65000), 100), Some(65636));
        assert_eq!(estimate_index(Some(5), 65535), None);
        assert_eq!(estimate_index(Some(MAX_RTP_INDEX), 0), None);
        assert_eq!(estimate_index(Some(MAX_RTP_INDEX), 65534), Some(MAX_RTP_INDEX - 1));
    }
}
