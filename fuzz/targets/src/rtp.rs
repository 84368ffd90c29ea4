//! RTP and RTCP.

use tombolo_rtp::RtpPacket;
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
