//! RTP, RTCP and the payload formats.

use std::time::Duration;

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_netsim::start;
use tombolo_rtp::RtpPacket;
use tombolo_rtp::codec::{Assembler, AssemblerInput, Codec, is_keyframe};
use tombolo_rtp::rtcp::{Compound, Packet, XrBlock};

/// Any bytes as an RTP packet: what is accepted lies within them.
pub fn rtp(data: &[u8]) {
    let Ok(packet) = RtpPacket::parse(data) else { return };
    let extensions: usize = packet.extensions().map(|(_, value)| value.len()).sum();
    let csrcs = packet.csrcs().count() * 4;
    assert!(packet.header_len() >= 12 + csrcs + extensions);
    assert_eq!(packet.header_len() + packet.payload().len() + packet.padding_len(), data.len());
    assert_eq!(&data[packet.payload_range()], packet.payload());
}

/// Any bytes as compound RTCP, every view read to its end.
pub fn rtcp(data: &[u8]) {
    let messages = Compound::new(data).flatten();
    for message in messages {
        let items = match message {
            Packet::SenderReport(report) => report.reports.count(),
            Packet::ReceiverReport(report) => report.reports.count(),
            Packet::Sdes(sdes) => sdes.chunks().map(|chunk| chunk.items().count()).sum(),
            Packet::Bye(bye) => bye.ssrcs().count(),
            Packet::Nack(nack) => nack.lost().count() / 17,
            Packet::Fir(fir) => fir.entries().count(),
            Packet::Remb(remb) => remb.ssrcs().count(),
            Packet::TransportFeedback(feedback) => feedback.statuses().count() / 0x2000,
            Packet::CongestionFeedback(feedback) => {
                feedback.streams().map(|stream| stream.packets().count()).sum()
            }
            Packet::ExtendedReport(report) => report.blocks().map(entries).sum(),
            _ => 0,
        };
        assert!(items <= data.len(), "{items} items in {} bytes", data.len());
    }
}

fn entries(block: XrBlock<'_>) -> usize {
    match block {
        XrBlock::DelaySinceLastReceiverReport(entries) => 1 + entries.count(),
        _ => 1,
    }
}

/// VP8 payloads in any order, with losses.
pub fn vp8(data: &[u8]) {
    assemble(Codec::Vp8, data);
}

/// H.264 payloads in any order, with losses.
pub fn h264(data: &[u8]) {
    assemble(Codec::H264, data);
}

/// Opus payloads in any order, with losses.
pub fn opus(data: &[u8]) {
    assemble(Codec::Opus, data);
}

/// The bytes are packets: `[sequence step | flags and time | payload length | payload]*`.
fn assemble(codec: Codec, mut data: &[u8]) {
    let mut assembler = Assembler::new(codec);
    let (mut seq, mut timestamp, mut now) = (0x1_0000_u64, 0_u32, start());
    let mut last = None;
    while let [step, flags, len, rest @ ..] = data {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        data = rest;
        // A step from -64 to 191, so that packets come late, twice and after gaps.
        seq = seq.saturating_add_signed(i64::from(*step) - 64).max(1);
        timestamp = timestamp.wrapping_add(u32::from(flags >> 4) * 3000);
        now += Duration::from_millis(u64::from(flags >> 1 & 7) * 10);
        let _ = is_keyframe(codec, payload);
        assembler.handle_timeout(now);
        assembler.push(AssemblerInput {
            seq: ExtSeqNo(seq),
            timestamp: RtpTime(timestamp),
            marker: flags & 1 == 1,
            payload: Bytes::copy_from_slice(payload),
            arrival: now,
        });
        while let Some(frame) = assembler.pop() {
            assert!(frame.first_seq <= frame.last_seq);
            assert!(last.is_none_or(|last| last < frame.first_seq), "frames come in order, each once");
            last = Some(frame.last_seq);
        }
    }
}
