//! RTCP: the compound iterator, a view for each message, and encoders that append.
//!
//! `[V=2 P count | packet type | length in words − 1 | body]*` (RFC 3550 §6.1, §A.2)
//!
//! [`Compound`] walks a datagram. A length that does not add up ends it; a message with a bad body is an error
//! item and the next one is read; unknown types are [`Packet::Unknown`].

mod bye;
mod ccfb;
mod keyframe;
mod nack;
mod remb;
mod report;
mod sdes;
mod twcc;
mod xr;

pub use bye::{App, Bye, write_app, write_bye};
pub use ccfb::{ArrivalOffset, CongestionFeedback, CongestionFeedbackWriter, PacketArrival, StreamFeedback};
pub use keyframe::{Fir, FirEntries, FirEntry, Pli, write_fir, write_pli};
pub use nack::{LostSeqs, Nack, write_nack};
pub use remb::{Remb, write_remb};
pub use report::{
    ReceiverReport, ReportBlock, ReportBlocks, SenderInfo, SenderReport, write_receiver_report,
    write_sender_report,
};
pub use sdes::{Sdes, SdesChunk, SdesItem, write_sdes};
pub use twcc::{ArrivalStatuses, TransportFeedback, write_transport_feedback};
pub use xr::{DlrrEntries, DlrrEntry, ExtendedReport, ExtendedReportWriter, XrBlock};

use tombolo_net::Ssrc;

use crate::DecodeError;

/// RTCP packet types (RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §6.1).
pub mod packet_type {
    /// Sender report.
    pub const SR: u8 = 200;
    /// Receiver report.
    pub const RR: u8 = 201;
    /// Source description.
    pub const SDES: u8 = 202;
    /// Goodbye.
    pub const BYE: u8 = 203;
    /// Application-defined.
    pub const APP: u8 = 204;
    /// Transport-layer feedback.
    pub const RTPFB: u8 = 205;
    /// Payload-specific feedback.
    pub const PSFB: u8 = 206;
    /// Extended report.
    pub const XR: u8 = 207;
}

const HEADER_LEN: usize = 4;

/// Most bytes of a message whose writer is told what to put in bit by bit: what fits into a datagram.
const MAX_LEN: usize = 65_532;

/// One message of a compound packet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Packet<'a> {
    /// Sender report (RFC 3550 §6.4.1).
    SenderReport(SenderReport<'a>),
    /// Receiver report (RFC 3550 §6.4.2).
    ReceiverReport(ReceiverReport<'a>),
    /// Source description (RFC 3550 §6.5).
    Sdes(Sdes<'a>),
    /// Goodbye (RFC 3550 §6.6).
    Bye(Bye<'a>),
    /// Application-defined (RFC 3550 §6.7).
    App(App<'a>),
    /// Generic negative acknowledgement (RFC 4585 §6.2.1).
    Nack(Nack<'a>),
    /// Picture loss indication (RFC 4585 §6.3.1).
    Pli(Pli),
    /// Full intra request (RFC 5104 §4.3.1).
    Fir(Fir<'a>),
    /// Receiver estimated maximum bitrate (draft-alvestrand-rmcat-remb-03).
    Remb(Remb<'a>),
    /// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).
    TransportFeedback(TransportFeedback<'a>),
    /// Congestion control feedback (RFC 8888).
    CongestionFeedback(CongestionFeedback<'a>),
    /// Extended report (RFC 3611).
    ExtendedReport(ExtendedReport<'a>),
    /// Anything else, to be skipped silently (RFC 4585 §4.2).
    Unknown(Unknown<'a>),
}

/// A message whose type or feedback format has no view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The packet type, 192..=223.
    pub packet_type: u8,
    /// The five bits of the count or feedback message type.
    pub count: u8,
    /// What follows the first four bytes, without padding.
    pub body: &'a [u8],
}

/// Iterator over the messages of one datagram.
#[derive(Clone, Debug)]
pub struct Compound<'a> {
    rest: &'a [u8],
}

impl<'a> Compound<'a> {
    /// Starts at the first message.
    #[must_use]
    pub const fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    /// Whether the datagram does not begin with a report: then it is legal only where reduced-size RTCP was
    /// negotiated (RFC 3550 §6.1, RFC 5506 §3.4.2). Ask before iterating.
    #[must_use]
    pub fn is_reduced_size(&self) -> bool {
        !matches!(self.rest, [_, packet_type::SR | packet_type::RR, ..])
    }

    fn split(&mut self) -> Result<(u8, u8, &'a [u8]), DecodeError> {
        let Some((&[first, packet_type, l0, l1], _)) = self.rest.split_first_chunk() else {
            return Err(DecodeError::Truncated);
        };
        if first >> 6 != 2 {
            return Err(DecodeError::Version);
        }
        if !(192..=223).contains(&packet_type) {
            return Err(DecodeError::Malformed);
        }
        let len = HEADER_LEN + usize::from(u16::from_be_bytes([l0, l1])) * 4;
        let Some((packet, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Truncated);
        };
        let mut body = &packet[HEADER_LEN..];
        if first & 0x20 != 0 {
            // Padding stands in the last message only (RFC 3550 §6.4.1, §A.2).
            // Deviation: RFC 3550 §6.4.1, the count need not be a multiple of four, because Chromium pads its
            // transport-wide feedback with one to three bytes.
            let padding = body.last().map_or(0, |&count| usize::from(count));
            if !rest.is_empty() || padding == 0 || padding > body.len() {
                return Err(DecodeError::Padding);
            }
            body = &body[..body.len() - padding];
        }
        self.rest = rest;
        Ok((packet_type, first & 0x1f, body))
    }
}

impl<'a> Iterator for Compound<'a> {
    type Item = Result<Packet<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let (packet_type, count, body) = match self.split() {
            Ok(parts) => parts,
            Err(error) => {
                self.rest = &[];
                return Some(Err(error));
            }
        };
        Some(parse(packet_type, count, body))
    }
}

fn parse(packet_type: u8, count: u8, body: &[u8]) -> Result<Packet<'_>, DecodeError> {
    Ok(match (packet_type, count) {
        (packet_type::SR, _) => Packet::SenderReport(SenderReport::parse(count, body)?),
        (packet_type::RR, _) => Packet::ReceiverReport(ReceiverReport::parse(count, body)?),
        (packet_type::SDES, _) => Packet::Sdes(Sdes::parse(count, body)?),
        (packet_type::BYE, _) => Packet::Bye(Bye::parse(count, body)?),
        (packet_type::APP, _) => Packet::App(App::parse(count, body)?),
        (packet_type::RTPFB, nack::FORMAT) => Packet::Nack(Nack::parse(body)?),
        (packet_type::RTPFB, twcc::FORMAT) => Packet::TransportFeedback(TransportFeedback::parse(body)?),
        (packet_type::RTPFB, ccfb::FORMAT) => Packet::CongestionFeedback(CongestionFeedback::parse(body)?),
        (packet_type::PSFB, keyframe::PLI_FORMAT) => Packet::Pli(Pli::parse(body)?),
        (packet_type::PSFB, keyframe::FIR_FORMAT) => Packet::Fir(Fir::parse(body)?),
        (packet_type::PSFB, remb::FORMAT) if remb::is_remb(body) => Packet::Remb(Remb::parse(body)?),
        (packet_type::XR, _) => Packet::ExtendedReport(ExtendedReport::parse(body)?),
        _ => Packet::Unknown(Unknown { packet_type, count, body }),
    })
}

/// Appends a message: the header, what `body` appends, zero bytes up to a whole word, and then the length.
fn write_packet(out: &mut Vec<u8>, packet_type: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = begin_packet(out, packet_type, count);
    body(out);
    let words = (out.len() - start).div_ceil(4);
    out.resize(start + words * 4, 0);
    write_length(out, start);
}

/// Appends a header whose length is not known yet, and tells where it stands.
fn begin_packet(out: &mut Vec<u8>, packet_type: u8, count: u8) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0x80 | count & 0x1f, packet_type, 0, 0]);
    start
}

/// Writes the length of the message that begins at `start` and is whole.
fn write_length(out: &mut [u8], start: usize) {
    let words = (out.len() - start) / 4;
    out[start + 2..start + 4].copy_from_slice(&((words - 1) as u16).to_be_bytes());
}

/// Appends a feedback message: sender and media source before the FCI (RFC 4585 §6.1).
fn write_feedback(
    out: &mut Vec<u8>,
    (packet_type, format): (u8, u8),
    (sender, media): (Ssrc, Ssrc),
    fci: impl FnOnce(&mut Vec<u8>),
) {
    write_packet(out, packet_type, format, |out| {
        out.extend_from_slice(&sender.0.to_be_bytes());
        out.extend_from_slice(&media.0.to_be_bytes());
        fci(out);
    });
}

fn take_u32(body: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    let (word, rest) = body.split_first_chunk().ok_or(DecodeError::Truncated)?;
    Ok((u32::from_be_bytes(*word), rest))
}

fn take_ssrc(body: &[u8]) -> Result<(Ssrc, &[u8]), DecodeError> {
    take_u32(body).map(|(word, rest)| (Ssrc(word), rest))
}

/// Sender, media source and FCI of a feedback message.
fn take_feedback(body: &[u8]) -> Result<(Ssrc, Ssrc, &[u8]), DecodeError> {
    let (sender, rest) = take_ssrc(body)?;
    let (media, fci) = take_ssrc(rest)?;
    Ok((sender, media, fci))
}

/// The words of a list of sources.
fn ssrcs(words: &[u8]) -> impl ExactSizeIterator<Item = Ssrc> + use<'_> {
    words.chunks_exact(4).map(|c| Ssrc(u32::from_be_bytes([c[0], c[1], c[2], c[3]])))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receiver_report() -> Vec<u8> {
        let mut out = Vec::new();
        write_receiver_report(&mut out, Ssrc(1), &[]);
        out
    }

    /// RTCP-06: an unknown type in the middle does not cost what stands around it.
    #[test]
    fn an_unknown_message_is_stepped_over() {
        let mut data = receiver_report();
        data.extend_from_slice(&[0x80, 208, 0, 1, 9, 9, 9, 9]);
        write_pli(&mut data, Ssrc(1), Ssrc(2));
        let compound = Compound::new(&data);
        assert!(!compound.is_reduced_size());
        let all: Vec<_> = compound.collect::<Result<_, _>>().unwrap();
        assert!(matches!(all[0], Packet::ReceiverReport(_)));
        let unknown = Unknown { packet_type: 208, count: 0, body: &[9; 4] };
        assert!(matches!(all[1], Packet::Unknown(found) if found == unknown));
        assert!(matches!(all[2], Packet::Pli(Pli { sender: Ssrc(1), media: Ssrc(2) })));
        assert_eq!(all.len(), 3);
    }

    /// RTCP-06: a length that does not add up ends the datagram; what came before it counts.
    #[test]
    fn a_bad_length_stops_the_walk() {
        let mut data = receiver_report();
        data.extend_from_slice(&[0x81, 206, 0, 200, 0, 0, 0, 1]);
        let mut compound = Compound::new(&data);
        assert!(matches!(compound.next(), Some(Ok(Packet::ReceiverReport(_)))));
        assert!(matches!(compound.next(), Some(Err(DecodeError::Truncated))));
        assert!(compound.next().is_none());
    }

    /// RTCP-06: version, and packet types that are RTP's.
    #[test]
    fn wrong_versions_and_types_stop_the_walk() {
        let mut bad = receiver_report();
        bad[0] = 0x40;
        assert!(matches!(Compound::new(&bad).next(), Some(Err(DecodeError::Version))));
        bad[0] = 0x80;
        bad[1] = 96;
        assert!(matches!(Compound::new(&bad).next(), Some(Err(DecodeError::Malformed))));
    }

    /// RTCP-06: padding is legal in the last message only.
    #[test]
    fn padding_stands_only_in_the_last_message() {
        let padded = |count: u8| {
            let mut data = receiver_report();
            data[0] |= 0x20;
            data[3] += 1;
            data.extend_from_slice(&[0, 0, 0, count]);
            data
        };
        assert!(matches!(Compound::new(&padded(4)).next(), Some(Ok(Packet::ReceiverReport(_)))));
        for bad in [0, 12, 255] {
            assert!(matches!(Compound::new(&padded(bad)).next(), Some(Err(DecodeError::Padding))), "{bad}");
        }
        let mut data = padded(4);
        data.extend_from_slice(&receiver_report());
        assert!(matches!(Compound::new(&data).next(), Some(Err(DecodeError::Padding))));
    }

    /// Transport-wide feedback as Chromium 156 sent it: one byte of padding.
    #[test]
    fn chromiums_short_padding_is_taken() {
        let data = [
            0xaf, 0xcd, 0, 6, 0x98, 0xc6, 0x82, 0x5d, 0x3b, 0xa1, 0x12, 0x4d, 0x8c, 0x17, 0, 5, 1, 0x43,
            0x32, 1, 0x20, 5, 0xc8, 0x7f, 0, 0x67, 2, 1,
        ];
        let Some(Ok(Packet::TransportFeedback(feedback))) = Compound::new(&data).next() else {
            panic!("no feedback");
        };
        assert_eq!(feedback.statuses().filter(|(_, arrival)| arrival.is_some()).count(), 5);
    }

    /// RTCP-08: feedback with an empty FCI or an unknown format is ignored, and the rest is used.
    #[test]
    fn bad_feedback_does_not_hide_the_next_message() {
        let mut data = receiver_report();
        data.extend_from_slice(&[0x81, 205, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        data.extend_from_slice(&[0x9f, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        write_pli(&mut data, Ssrc(1), Ssrc(2));
        let all: Vec<_> = Compound::new(&data).collect();
        assert!(matches!(all[1], Err(DecodeError::Truncated)));
        assert!(matches!(all[2], Ok(Packet::Unknown(Unknown { count: 31, .. }))));
        assert!(matches!(all[3], Ok(Packet::Pli(_))));
    }

    /// Reduced-size packets are seen as such (RFC 5506).
    #[test]
    fn reduced_size_is_recognised() {
        let mut data = Vec::new();
        write_pli(&mut data, Ssrc(1), Ssrc(2));
        assert!(Compound::new(&data).is_reduced_size());
    }

    /// Reads everything that can be read of a message.
    fn exhaust(packet: &Packet<'_>) -> usize {
        match packet {
            Packet::SenderReport(report) => report.reports.count(),
            Packet::ReceiverReport(report) => report.reports.count(),
            Packet::Sdes(sdes) => sdes.chunks().map(|chunk| chunk.items().count()).sum(),
            Packet::Bye(bye) => bye.ssrcs().count() + bye.reason().map_or(0, <[u8]>::len),
            Packet::App(app) => app.data.len(),
            Packet::Nack(nack) => nack.lost().count(),
            Packet::Pli(_) => 0,
            Packet::Fir(fir) => fir.entries().count(),
            Packet::Remb(remb) => remb.ssrcs().count(),
            Packet::TransportFeedback(feedback) => feedback.statuses().count(),
            Packet::CongestionFeedback(feedback) => {
                feedback.streams().map(|stream| stream.packets().count()).sum()
            }
            Packet::ExtendedReport(report) => report.blocks().count(),
            Packet::Unknown(unknown) => unknown.body.len(),
        }
    }

    proptest! {
        /// RTCP-06: no bytes make the views panic.
        #[test]
        fn any_bytes_are_survived(
            bodies in proptest::collection::vec((192u8..224, any::<u8>(), proptest::collection::vec(any::<u32>(), 0..12)), 0..5),
            tail in proptest::collection::vec(any::<u8>(), 0..8),
        ) {
            let mut data = Vec::new();
            for (packet_type, count, words) in bodies {
                // Mostly the types that have a parser.
                let packet_type = if packet_type % 4 == 0 { packet_type } else { 200 + packet_type % 8 };
                data.extend_from_slice(&[0x80 | count & 0x3f, packet_type, 0, words.len() as u8]);
                data.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            }
            data.extend_from_slice(&tail);
            for packet in Compound::new(&data).flatten() {
                exhaust(&packet);
            }
        }
    }
}
