//! Retransmission on a stream of its own (RFC 4588, session multiplexed by SSRC).
//!
//! The retransmitted packet `[header | ext | payload | padding]` becomes
//! `[header' | ext' | OSN 2 | payload]`: header' has the SSRC, payload type and sequence numbers of the RTX stream
//! and the original's timestamp, marker and CSRCs; OSN is the original sequence number; padding is left out
//! (RFC 4588 §4).
//!
//! Header extensions are per transmission (transport-wide sequence numbers among them): the owner writes them
//! between header and OSN.

use tombolo_net::{SeqNo, Ssrc};
use tombolo_rtp::{RtpHeader, RtpPacket};

/// Bytes of the original sequence number.
pub const OSN_LEN: usize = 2;

/// Numbers the packets of one outgoing RTX stream.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    ssrc: Ssrc,
    next_seq: SeqNo,
}

impl Sender {
    /// A stream with this SSRC, which must differ from the primary's, and a random first sequence number.
    #[must_use]
    pub const fn new(ssrc: Ssrc, first_seq: SeqNo) -> Self {
        Self { ssrc, next_seq: first_seq }
    }

    /// The SSRC of the RTX stream.
    #[must_use]
    pub const fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// The header under which `original` is sent again with payload type `rtx_payload_type` (the one whose `apt`
    /// is the original's); takes the next sequence number. Write it, its extensions, then
    /// [`write_payload`].
    pub fn wrap(&mut self, original: &RtpHeader, rtx_payload_type: u8) -> RtpHeader {
        let seq = self.next_seq;
        self.next_seq = seq.next();
        RtpHeader { payload_type: rtx_payload_type, seq, ssrc: self.ssrc, ..*original }
    }
}

/// Appends the payload of an RTX packet: the original's sequence number, then its payload without padding.
pub fn write_payload(out: &mut Vec<u8>, original_seq: SeqNo, payload: &[u8]) {
    out.extend_from_slice(&original_seq.0.to_be_bytes());
    out.extend_from_slice(payload);
}

/// The stream that an RTX stream repairs: how received RTX packets are turned back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primary {
    /// The SSRC of the repaired stream.
    pub ssrc: Ssrc,
    /// The payload type that the RTX payload type's `apt` parameter names (RFC 4588 §8.1).
    pub payload_type: u8,
}

/// The original header and payload in an RTX packet. Extensions and CSRCs are as in `packet`.
///
/// `None` when there is no original inside: padding probes and payloads of 0 or 1 byte.
/// A payload of the sequence number alone is an original with an empty payload, which no payload format here
/// sends: it is dropped too.
#[must_use]
pub fn unwrap<'a>(packet: &RtpPacket<'a>, primary: Primary) -> Option<(RtpHeader, &'a [u8])> {
    let (osn, payload) = packet.payload().split_first_chunk::<OSN_LEN>()?;
    if payload.is_empty() {
        return None;
    }
    let header = RtpHeader {
        payload_type: primary.payload_type,
        seq: SeqNo(u16::from_be_bytes(*osn)),
        ssrc: primary.ssrc,
        ..packet.header()
    };
    Some((header, payload))
}

#[cfg(test)]
mod tests {
    use tombolo_net::RtpTime;
    use tombolo_rtp::ExtensionForm;

    use super::*;

    const PRIMARY: Primary = Primary { ssrc: Ssrc(7), payload_type: 96 };

    fn original(seq: u16, payload: &[u8], padding: u8) -> Vec<u8> {
        let header = RtpHeader {
            marker: true,
            payload_type: 96,
            seq: SeqNo(seq),
            timestamp: RtpTime(90_000),
            ssrc: Ssrc(7),
        };
        let mut bytes = Vec::new();
        header.write(&mut bytes, ExtensionForm::OneByte);
        bytes.extend_from_slice(payload);
        if padding > 0 {
            bytes[0] |= 0x20;
            bytes.resize(bytes.len() + usize::from(padding) - 1, 0);
            bytes.push(padding);
        }
        bytes
    }

    fn rtx_packet(payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let header = RtpHeader { payload_type: 97, ssrc: Ssrc(8), ..RtpHeader::default() };
        header.write(&mut bytes, ExtensionForm::OneByte);
        bytes.extend_from_slice(payload);
        bytes
    }

    /// RTX-01: own SSRC and contiguous sequence numbers, version 2, OSN first, timestamp and marker copied,
    /// padding removed; unwrapping gives the original back.
    #[test]
    fn wrapping_and_unwrapping_give_the_original() {
        let mut sender = Sender::new(Ssrc(8), SeqNo(65535));
        for (n, seq) in [3, 9, 4].into_iter().enumerate() {
            let bytes = original(seq, &[1, 2, 3, seq as u8], 5);
            let packet = RtpPacket::parse(&bytes).unwrap();
            let mut wire = Vec::new();
            sender.wrap(&packet.header(), 97).write(&mut wire, ExtensionForm::OneByte);
            write_payload(&mut wire, packet.seq(), packet.payload());

            assert_eq!(wire[0], 0x80, "version 2, no padding");
            assert_eq!(wire[12..], [0, seq as u8, 1, 2, 3, seq as u8]);
            let rtx = RtpPacket::parse(&wire).unwrap();
            assert_eq!((rtx.ssrc(), rtx.payload_type()), (Ssrc(8), 97));
            assert_eq!(rtx.seq(), SeqNo(65535_u16.wrapping_add(n as u16)));
            assert_eq!((rtx.timestamp(), rtx.marker()), (RtpTime(90_000), true));
            assert_eq!(unwrap(&rtx, PRIMARY), Some((packet.header(), packet.payload())));
        }
    }

    /// RTX-01: a payload of 0 or 1 byte, padding alone (a bandwidth probe) and an empty original are dropped.
    #[test]
    fn packets_without_an_original_are_dropped() {
        for payload in [&[][..], &[1], &[1, 2]] {
            let bytes = rtx_packet(payload);
            assert_eq!(unwrap(&RtpPacket::parse(&bytes).unwrap(), PRIMARY), None);
        }
        let mut probe = rtx_packet(&[0; 200]);
        probe[0] |= 0x20;
        probe[211] = 200;
        assert_eq!(unwrap(&RtpPacket::parse(&probe).unwrap(), PRIMARY), None);
    }
}
