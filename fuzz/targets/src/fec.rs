//! Forward error correction, driven by operations.

use arbitrary::{Arbitrary, Unstructured};
use tombolo_interceptors::fec::{Decoder, DecoderConfig, Encoder, Format, flexfec, ulpfec};
use tombolo_net::{RtpTime, SeqNo, Ssrc};
use tombolo_rtp::{ExtensionForm, RtpHeader, RtpPacket};

const MEDIA: Ssrc = Ssrc(1);

#[derive(Arbitrary, Debug)]
enum FecOperation {
    /// A packet of the stream with a step of the number, this header and so much payload.
    Packet { step: i8, marker: bool, csrcs: bool, len: u8, is_lost: bool },
    /// The group ends with so many repair packets, of which some are lost.
    Finish { repairs: u8, lost: u8 },
    /// A repair packet as somebody else would write it.
    Repair(Vec<u8>),
    /// A genuine one with a byte changed.
    Changed { at: u8, with: u8 },
}

/// Packets and repair packets in any order, lost, changed and made up: until one was changed, only what was sent is recovered, and
/// what is recovered is always a packet of the stream.
pub fn fec(data: &[u8]) {
    let mut unstructured = Unstructured::new(data);
    let Ok(is_flexfec) = bool::arbitrary(&mut unstructured) else { return };
    let format = if is_flexfec { Format::FlexFec(MEDIA) } else { Format::UlpFec };
    let (mut encoder, mut decoder) = (Encoder::new(format), Decoder::new(DecoderConfig::new(MEDIA)));
    let (mut seq, mut sent, mut last) = (SeqNo(65_500), Vec::<Vec<u8>>::new(), Vec::new());
    let mut is_genuine = true;
    for operation in unstructured.arbitrary_iter::<FecOperation>().expect("any bytes").flatten().take(500) {
        match operation {
            FecOperation::Packet { step, marker, csrcs, len, is_lost } => {
                seq = SeqNo(seq.0.wrapping_add_signed(step.into()));
                let packet = packet(seq, marker, csrcs, len);
                // A number that comes again is another packet, which no sender would do.
                is_genuine &= sent.iter().all(|other| other[2..4] != packet[2..4]);
                encoder.push(&packet);
                if !is_lost {
                    decoder.on_packet(&packet);
                }
                sent.push(packet);
            }
            FecOperation::Finish { repairs, lost } => {
                let mut number = 0;
                encoder.finish(repairs.into(), |payload| {
                    last = payload.to_vec();
                    if number > 7 || lost >> number & 1 == 0 {
                        on_repair(&mut decoder, is_flexfec, payload);
                    }
                    number += 1;
                });
            }
            FecOperation::Repair(payload) => {
                is_genuine = false;
                on_repair(&mut decoder, is_flexfec, &payload);
            }
            FecOperation::Changed { at, with } => {
                is_genuine = false;
                if let Some(byte) = last.get_mut(usize::from(at)) {
                    *byte ^= with;
                }
                on_repair(&mut decoder, is_flexfec, &last);
            }
        }
        while let Some(recovered) = decoder.poll_recovered() {
            let parsed = RtpPacket::parse(recovered).expect("a packet");
            assert_eq!(parsed.ssrc(), MEDIA);
            assert!(!is_genuine || sent.iter().any(|packet| packet == recovered));
        }
    }
}

fn packet(seq: SeqNo, marker: bool, csrcs: bool, len: u8) -> Vec<u8> {
    let header = RtpHeader { marker, payload_type: 96, seq, timestamp: RtpTime(seq.0.into()), ssrc: MEDIA };
    let mut packet = Vec::new();
    let csrcs: &[Ssrc] = if csrcs { &[Ssrc(5), Ssrc(6)] } else { &[] };
    header.write_with_csrcs(&mut packet, ExtensionForm::OneByte, csrcs);
    packet.resize(packet.len() + usize::from(len), seq.0 as u8);
    packet
}

fn on_repair(decoder: &mut Decoder, is_flexfec: bool, payload: &[u8]) {
    match if is_flexfec { flexfec::parse(payload) } else { ulpfec::parse(payload) } {
        Ok(repair) => decoder.on_repair(&repair),
        Err(_) => decoder.on_unreadable(),
    }
}
