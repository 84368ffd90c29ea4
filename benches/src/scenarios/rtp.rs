//! RTP and RTCP parsing and writing.

use std::hint::black_box;
use std::time::Duration;

use tombolo_net::{NtpTime, RtpTime, SeqNo, Ssrc};
use tombolo_rtp::ext::{AbsSendTime, ExtensionKind, ExtensionMap, TransportSeq};
use tombolo_rtp::rtcp::{
    Compound, Packet, ReportBlock, SdesItem, SenderInfo, write_nack, write_sdes, write_sender_report,
    write_transport_feedback,
};
use tombolo_rtp::{ExtensionForm, RtpHeader, RtpPacket};

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("rtp-parse", parse),
    Scenario::new("rtp-parse-extensions", parse_extensions),
    Scenario::new("rtp-rewrite", rewrite),
    Scenario::new("rtcp-parse", parse_rtcp),
    Scenario::new("rtcp-write-transport-feedback", write_feedback),
];

/// The ids that a Chromium offer gives them.
fn extensions() -> ExtensionMap {
    let mut map = ExtensionMap::default();
    for (id, kind) in
        [(2, ExtensionKind::AbsSendTime), (3, ExtensionKind::TransportSeq), (4, ExtensionKind::Mid)]
    {
        map.insert(id, kind).expect("ids that are free");
    }
    map
}

/// A packet of 1200 bytes with the extensions that browsers send: send time 2, transport sequence number 3, MID 4.
#[must_use]
pub fn browser_packet() -> Vec<u8> {
    let header = RtpHeader {
        marker: true,
        payload_type: 96,
        seq: SeqNo(1),
        timestamp: RtpTime(90_000),
        ssrc: Ssrc(9),
    };
    let mut out = Vec::new();
    let mut writer = header.write(&mut out, ExtensionForm::OneByte);
    writer.push(2, &AbsSendTime::from_ntp(NtpTime(1 << 40)).encode()).expect("room for it");
    writer.push(3, &TransportSeq(77).encode()).expect("room for it");
    writer.push(4, b"1").expect("room for it");
    out.resize(1200, 7);
    out
}

fn parse() -> Work {
    let data = browser_packet();
    Box::new(move || {
        let view = RtpPacket::parse(black_box(&data)).expect("a good packet");
        black_box((view.header(), view.payload().len()));
    })
}

fn parse_extensions() -> Work {
    let (data, map) = (browser_packet(), extensions());
    Box::new(move || {
        let view = RtpPacket::parse(black_box(&data)).expect("a good packet");
        let read = map.read(&view);
        assert!(read.mid.is_some() && read.transport_seq.is_some());
        black_box(view.payload());
    })
}

/// What forwarding does to a header: read it, write another one, copy the payload.
fn rewrite() -> Work {
    let data = browser_packet();
    let mut out = Vec::with_capacity(1500);
    let mut seq = 0u16;
    Box::new(move || {
        let view = RtpPacket::parse(black_box(&data)).expect("a good packet");
        seq = seq.wrapping_add(1);
        let header = RtpHeader { seq: SeqNo(seq), ssrc: Ssrc(10), payload_type: 100, ..view.header() };
        out.clear();
        let mut writer = header.write(&mut out, ExtensionForm::OneByte);
        writer.push(3, &TransportSeq(seq).encode()).expect("room for it");
        writer.push(4, b"0").expect("room for it");
        out.extend_from_slice(view.payload());
        black_box(&out);
    })
}

/// A compound with a report, a description, a negative acknowledgement and transport feedback about 100 packets.
fn parse_rtcp() -> Work {
    let mut data = Vec::new();
    let info = SenderInfo { ssrc: Ssrc(1), ..SenderInfo::default() };
    write_sender_report(&mut data, &info, &[ReportBlock::default(); 2]);
    write_sdes(&mut data, &[(Ssrc(1), &[SdesItem::Cname(b"0123456789abcdef")])]);
    write_nack(&mut data, Ssrc(1), Ssrc(2), (0..10).map(|n| SeqNo(n * 3)));
    feedback(&mut data);
    Box::new(move || {
        let mut parts = 0;
        for packet in Compound::new(black_box(&data)) {
            parts += match packet.expect("a good packet") {
                Packet::SenderReport(report) => report.reports.count(),
                Packet::Sdes(sdes) => sdes.chunks().map(|chunk| chunk.items().count()).sum(),
                Packet::Nack(nack) => nack.lost().count(),
                Packet::TransportFeedback(feedback) => feedback.statuses().count(),
                _ => 0,
            };
        }
        assert_eq!(parts, 2 + 1 + 10 + 100);
    })
}

/// About 100 packets, one in 20 lost.
fn feedback(out: &mut Vec<u8>) -> usize {
    let arrivals = (0..100u64).map(|n| (n % 20 != 7).then(|| Duration::from_micros(1_000_000 + n * 1_300)));
    write_transport_feedback(out, (Ssrc(1), Ssrc(2)), 0, SeqNo(65_500), arrivals, 1200)
}

fn write_feedback() -> Work {
    let mut out = Vec::with_capacity(1500);
    Box::new(move || {
        out.clear();
        assert_eq!(feedback(black_box(&mut out)), 100);
    })
}
