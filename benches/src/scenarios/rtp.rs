//! RTP and RTCP parsing and writing.

use std::hint::black_box;
use std::time::Duration;

use tombolo_net::{Ecn, NtpTime, RtpTime, SeqNo, Ssrc};
use tombolo_rtp::ext::dependency::{
    DependencyStructure, DescriptorFields, DescriptorReader, FrameDependencies, Indication, Indications,
    Layer, List, Resolution, write_descriptor,
};
use tombolo_rtp::ext::{AbsSendTime, ExtensionKind, ExtensionMap, TransportSeq};
use tombolo_rtp::rtcp::{
    ArrivalOffset, Compound, CongestionFeedbackWriter, Packet, PacketArrival, ReportBlock, SdesItem,
    SenderInfo, write_nack, write_sdes, write_sender_report, write_transport_feedback,
};
use tombolo_rtp::{ExtensionForm, RtpHeader, RtpPacket};

use super::{Scenario, Work};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("rtp-parse", parse),
    Scenario::new("rtp-parse-extensions", parse_extensions),
    Scenario::new("rtp-rewrite", rewrite),
    Scenario::new("rtcp-parse", parse_rtcp),
    Scenario::new("rtcp-write-transport-feedback", write_feedback),
    Scenario::new("rtcp-read-congestion-feedback", read_congestion_feedback),
    Scenario::new("rtcp-write-congestion-feedback", write_congestion_feedback),
    Scenario::new("dependency-descriptor-read", read_descriptors),
    Scenario::new("dependency-descriptor-write", write_descriptors),
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

/// Congestion feedback about 100 packets, one in 20 lost.
fn congestion_feedback(out: &mut Vec<u8>) -> usize {
    let arrivals = (0..100u64).map(|n| {
        let offset = ArrivalOffset::from_age(Duration::from_micros(200_000 - n * 1_300));
        (n % 20 != 7).then_some(PacketArrival { ecn: Ecn::Ect1, offset })
    });
    CongestionFeedbackWriter::new(out, Ssrc(1), NtpTime(1 << 40), 1200).stream(
        Ssrc(2),
        SeqNo(65_500),
        arrivals,
    )
}

fn write_congestion_feedback() -> Work {
    let mut out = Vec::with_capacity(1500);
    Box::new(move || {
        out.clear();
        assert_eq!(congestion_feedback(black_box(&mut out)), 100);
    })
}

fn read_congestion_feedback() -> Work {
    let mut data = Vec::new();
    congestion_feedback(&mut data);
    Box::new(move || {
        let Some(Ok(Packet::CongestionFeedback(feedback))) = Compound::new(black_box(&data)).next() else {
            unreachable!("what was written")
        };
        let arrived = feedback.streams().flat_map(|stream| stream.packets());
        assert_eq!(arrived.filter_map(|(_, arrival)| arrival?.offset.age()).count(), 95);
    })
}

/// Two spatial and three temporal layers with two chains, as an encoder with full scalability has them.
fn structure() -> DependencyStructure {
    use Indication::{Discardable as D, NotPresent as N, Required as R, Switch as S};
    let frame =
        |spatial, temporal, indications: [Indication; 6], frame_diffs: &[u16], chain_diffs: [u8; 2]| {
            FrameDependencies {
                layer: Layer { spatial, temporal },
                indications: Indications::new(&indications),
                frame_diffs: List::new(frame_diffs).expect("room for it"),
                chain_diffs: List::new(&chain_diffs).expect("room for it"),
            }
        };
    let templates = [
        frame(0, 0, [S, S, S, S, S, S], &[], [0, 0]),
        frame(0, 0, [S, S, S, R, R, R], &[8], [8, 7]),
        frame(0, 1, [N, S, S, N, R, R], &[4], [4, 3]),
        frame(0, 2, [N, N, D, N, N, R], &[2], [2, 1]),
        frame(1, 0, [N, N, N, S, S, S], &[1], [1, 1]),
        frame(1, 0, [N, N, N, S, S, S], &[8, 1], [1, 1]),
        frame(1, 1, [N, N, N, N, S, S], &[4, 1], [5, 4]),
        frame(1, 2, [N, N, N, N, N, D], &[2, 1], [3, 2]),
    ];
    let sizes = [Resolution { width: 640, height: 360 }, Resolution { width: 1280, height: 720 }];
    DependencyStructure::new(0, 6, &[0, 0, 0, 1, 1, 1], &templates)
        .and_then(|structure| structure.with_resolutions(&sizes))
        .expect("a good structure")
}

/// The packets of ten frames: one with the structure, seven that a template describes, two that need more.
fn write_ten(structure: &DependencyStructure, out: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    for n in 0..10_u16 {
        let mut frame = structure.templates()[usize::from(n) % 8];
        if n >= 8 {
            frame.frame_diffs = List::new(&[20]).expect("room for it");
            frame.indications = Indications::new(&[Indication::Switch; 6]);
        }
        let fields = DescriptorFields {
            start_of_frame: true,
            end_of_frame: true,
            frame_number: n,
            attach_structure: n == 0,
            active_decode_targets: (n == 9).then_some(7),
        };
        out.clear();
        write_descriptor(out, structure, &fields, &frame).expect("a frame of the structure");
        each(out);
    }
}

/// The descriptors of ten packets.
fn read_descriptors() -> Work {
    let mut elements = Vec::new();
    write_ten(&structure(), &mut Vec::new(), |element| elements.push(element.to_vec()));
    let mut reader = DescriptorReader::default();
    Box::new(move || {
        for element in &elements {
            let read = reader.read(black_box(element)).expect("a good descriptor");
            black_box((read.frame, read.active_decode_targets, read.resolution()));
        }
    })
}

/// The same, written.
fn write_descriptors() -> Work {
    let structure = structure();
    let mut out = Vec::with_capacity(300);
    Box::new(move || {
        write_ten(&structure, &mut out, |element| {
            black_box(element);
        });
    })
}
