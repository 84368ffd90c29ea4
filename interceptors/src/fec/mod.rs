//! Forward error correction: what is lost is computed from what came, without asking.
//!
//! | type | what | from |
//! |---|---|---|
//! | [`Encoder`] | repair packets for groups of packets | RFC 5109 §8, RFC 8627 §6.2 |
//! | [`Decoder`] | lost packets from what came of a group | RFC 5109 §9, RFC 8627 §6.3 |
//! | [`flexfec`] | repair packets on a stream of their own, as Chromium has them | draft-ietf-payload-flexible-fec-scheme-03 §4.2 |
//! | [`ulpfec`] | repair packets among the media, in RED | RFC 5109 §7, §14 |
//! | [`Protector`] | how many repair packets a frame is worth | |
//! | [`RedSender`] | sound that is sent again with what follows it, as far back as losses ask for | RFC 2198 |
//!
//! A repair packet is the exclusive or of packets that its mask names: of eight bytes of their headers, of their lengths, and
//! of all that follows the fixed header. Whoever has all of them but one has that one.
//!
//! # What is protected
//!
//! Packets as they go into SRTP, with the media's own payload type where RED is around them, and with those header extensions set to
//! zero that a pacer fills in at the last moment (transport-wide sequence numbers, send times): [`zero_extensions`]. Chromium does the same
//! on both ends. A receiver gives the decoder every packet of the stream, retransmitted ones too.
//!
//! # Hostile repair packets
//!
//! A peer that can send repair packets can send any packet of its stream anyway; SRTP has authenticated both. Still nothing that is
//! recovered is believed: it must be an RTP packet of the stream with the number that was missing and a payload type that was agreed, its
//! length lies within the repair packet, and all that is kept is bounded.
//!
//! # What is left out
//!
//! Protection levels above 0 (RFC 5109 §7.4), FlexFEC's retransmissions, fixed masks and repair of several streams at once:
//! nobody sends them. Received ones are dropped, and counted.

mod decoder;
mod encoder;
pub mod flexfec;
mod masks;
mod parity;
mod protector;
mod red;
pub mod ulpfec;

pub use decoder::{Decoder, DecoderConfig, DecoderStats};
pub use encoder::Encoder;
pub use parity::Repair;
pub use protector::{Protector, ProtectorConfig};
pub use red::RedSender;

use tombolo_rtp::RtpPacket;

/// Most packets in a group: what the masks of both formats can name.
pub const MAX_GROUP: usize = 46;
/// Most repair packets for a group.
pub const MAX_REPAIRS: usize = 24;
/// The longest packet that is protected or recovered, in bytes.
pub const MAX_PACKET: usize = 2048;
/// Bytes of the fixed RTP header.
const FIXED_LEN: usize = 12;

/// How repair packets are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// [`flexfec`], for the stream with this SSRC.
    FlexFec(tombolo_net::Ssrc),
    /// [`ulpfec`].
    UlpFec,
}

/// Sets the values of header extensions to zero in an RTP packet: those with these ids. Does nothing to what is no RTP packet.
pub fn zero_extensions(packet: &mut [u8], ids: &[u8]) {
    let Ok(parsed) = RtpPacket::parse(packet) else { return };
    let start = packet.as_ptr().addr();
    // At most as many as there are ids: a header has each once (RFC 8285 §5).
    let mut found = [(0, 0); 16];
    let mut count = 0;
    for (id, value) in parsed.extensions() {
        if ids.contains(&id) && count < found.len() {
            found[count] = (value.as_ptr().addr() - start, value.len());
            count += 1;
        }
    }
    for (at, len) in &found[..count] {
        packet[*at..at + len].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::{RtpTime, SeqNo, Ssrc};
    use tombolo_rtp::{ExtensionForm, RtpHeader};

    use super::*;

    #[test]
    fn only_the_values_of_the_named_extensions_become_zero() {
        let header =
            RtpHeader { marker: true, payload_type: 96, seq: SeqNo(7), timestamp: RtpTime(9), ssrc: Ssrc(1) };
        let write = |second: [u8; 2]| {
            let mut packet = Vec::new();
            let mut extensions = header.write(&mut packet, ExtensionForm::OneByte);
            extensions.push(1, b"mid").unwrap();
            extensions.push(3, &second).unwrap();
            extensions.push(4, &[5; 3]).unwrap();
            packet.extend_from_slice(b"payload");
            packet
        };
        let mut packet = write([0x12, 0x34]);
        zero_extensions(&mut packet, &[3, 9]);
        assert_eq!(packet, write([0, 0]));
        let mut short = [0xff; 5];
        zero_extensions(&mut short, &[3]);
        assert_eq!(short, [0xff; 5]);
    }
}
