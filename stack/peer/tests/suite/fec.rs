//! Forward error correction between two connections.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use tombolo::interceptors::stats::{Inbound, Outbound};
use tombolo::net::{RtpTime, SeqNo};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{Codec, ConfigBuilder, DropReason, MediaKind, OutgoingPacket, TransceiverInit};
use tombolo_netsim::{Link, Pair, Side};

use crate::peer::{Call, Peer, config};

const FLEXFEC: u8 = 49;
/// Packets of a frame; of a keyframe five times as many.
const PACKETS: u16 = 6;

/// A connected call with pictures from `a` to `b`, after its descriptions were edited.
fn video_call(a: ConfigBuilder, b: ConfigBuilder, edit: impl Fn(String) -> String) -> Call {
    let now = tombolo_netsim::start();
    let (mut a, mut b) = (Peer::new(a, 1), Peer::new(b, 2));
    a.pc.add_transceiver(MediaKind::Video, Direction::SendOnly, &TransceiverInit::default());
    let offer = a.pc.create_offer().unwrap();
    a.pc.set_local_description(now, &offer).unwrap();
    b.pc.set_remote_description(now, SessionDescription::offer(&edit(offer.to_string())).unwrap()).unwrap();
    let answer = b.pc.create_answer().unwrap();
    b.pc.set_local_description(now, &answer).unwrap();
    let answer = SessionDescription::answer(&edit(answer.to_string())).unwrap();
    a.pc.set_remote_description(now, answer).unwrap();
    let mut call = Pair::new(a, b, 7);
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    call
}

fn flexfec(seed: u64) -> ConfigBuilder {
    config(seed).flexfec(Some(FLEXFEC))
}

fn without_nack(text: String) -> String {
    text.lines().filter(|line| !line.ends_with(" nack")).map(|line| format!("{line}\r\n")).collect()
}

/// The payload of a packet: of different lengths, and unlike that of any other.
fn payload(seq: u16) -> Bytes {
    let mut payload = vec![0x10, 0x01];
    payload.resize(300 + usize::from(seq % 7) * 100, seq as u8);
    payload.extend_from_slice(&seq.to_be_bytes());
    Bytes::from(payload)
}

/// Sends `frames` of 33 ms over a way of 50 ms each way that loses `loss`; the payloads that arrived, by number, and how
/// many packets were sent.
fn send(call: &mut Call, frames: u16, loss: f64) -> (BTreeMap<u16, Bytes>, u16) {
    let way = Link::default().latency(Duration::from_millis(50));
    call.set_link(Side::A, way.clone());
    call.set_link(Side::B, way.clone().loss(loss));
    let id = call.a.first(MediaKind::Video);
    let mut seq = 0_u16;
    for frame in 0..frames {
        let is_keyframe = frame % 100 == 0;
        let packets = if is_keyframe { 5 * PACKETS } else { PACKETS };
        for at in 0..packets {
            let timestamp = RtpTime(u32::from(frame) * 3000);
            let marker = at + 1 == packets;
            let mut packet = OutgoingPacket::new(Codec::Vp8, SeqNo(seq), timestamp, marker, payload(seq));
            packet.keyframe = is_keyframe;
            let now = call.now();
            call.a.pc.send_rtp(now, id, packet).unwrap();
            seq += 1;
        }
        call.run_for(Duration::from_millis(33));
    }
    call.set_link(Side::B, way);
    call.run_for(Duration::from_secs(2));
    (call.b.packets().map(|packet| (packet.seq.wire().0, packet.payload.clone())).collect(), seq)
}

fn counters(call: &Call) -> (Outbound, Inbound) {
    (call.a.pc.stats().outbound[0].counters, call.b.pc.stats().inbound[0].counters)
}

/// FEC-05: with losses, repair packets bring back what was lost, byte for byte and once, and it is not asked for.
#[test]
fn what_is_lost_is_recovered_and_not_asked_for() {
    for loss in [0.05, 0.2] {
        let mut plain = video_call(config(1), config(2), |text| text);
        send(&mut plain, 600, loss);
        let mut call = video_call(flexfec(1), flexfec(2), |text| text);
        let (arrived, sent) = send(&mut call, 600, loss);
        let (outbound, inbound) = counters(&call);
        assert!(outbound.fec_packets_sent > 0 && inbound.fec_packets_received > 0);
        assert!(inbound.fec_packets_received <= outbound.fec_packets_sent);
        assert!(inbound.fec_bytes_received > 300 * inbound.fec_packets_received);
        assert!(inbound.fec_packets_discarded < inbound.fec_packets_received);
        let recovered = call.b.packets().filter(|packet| packet.recovered).count();
        assert_eq!(recovered as u64, inbound.packets_recovered);
        let lost = f64::from(sent) * loss;
        assert!(recovered as f64 > lost * 0.4, "{recovered} of {lost} at {loss}");
        let (plain, _) = counters(&plain);
        let (repeated, without) = (outbound.retransmitted_packets_sent, plain.retransmitted_packets_sent);
        assert!(repeated * 3 < without * 2, "{repeated} instead of {without} packets sent again at {loss}");
        // NACK brings the rest; what came last may be lost without anything after it to tell.
        assert!(arrived.len() + 4 >= usize::from(sent), "{} of {sent} at {loss}", arrived.len());
        assert!(arrived.iter().all(|(&seq, bytes)| *bytes == payload(seq)));
        assert_eq!(call.b.packets().count(), arrived.len(), "each once");
        assert_eq!(call.b.pc.stats().drops.count(DropReason::UnknownRepair), 0);
    }
}

/// A peer that does not send again is protected so that hardly a packet is missing.
#[test]
fn without_nack_repair_packets_do_it_alone() {
    let mut call = video_call(flexfec(1), flexfec(2), without_nack);
    let (arrived, sent) = send(&mut call, 600, 0.05);
    let (outbound, inbound) = counters(&call);
    assert_eq!((outbound.retransmitted_packets_sent, inbound.nack_count), (0, 0));
    let missing = usize::from(sent) - arrived.len();
    // 5 % of packets are lost. The first second goes unprotected: nobody has told of losses yet.
    assert!(missing * 100 < usize::from(sent), "{missing} of {sent}");
}

/// A call that loses nothing pays nothing.
#[test]
fn without_losses_nothing_is_sent() {
    let mut call = video_call(flexfec(1), flexfec(2), |text| text);
    let (arrived, sent) = send(&mut call, 200, 0.0);
    let (outbound, inbound) = counters(&call);
    assert_eq!((outbound.fec_packets_sent, inbound.fec_packets_received), (0, 0));
    assert_eq!(arrived.len(), usize::from(sent));
}

#[test]
fn only_both_sides_together_protect() {
    for (a, b) in [(flexfec(1), config(2)), (config(1), flexfec(2))] {
        let mut call = video_call(a, b, |text| text);
        send(&mut call, 200, 0.1);
        let (outbound, inbound) = counters(&call);
        assert_eq!((outbound.fec_packets_sent, inbound.fec_packets_received), (0, 0));
    }
}

/// The lines that Chromium needs before it takes repair packets.
#[test]
fn descriptions_name_the_protected_stream() {
    let mut call = video_call(flexfec(1), flexfec(2), |text| text);
    let offer = call.a.pc.local_description().unwrap().to_string();
    let [encoding] = call.a.pc.transceivers()[0].encodings() else { panic!("one stream") };
    for line in [
        "a=rtpmap:49 flexfec-03/90000".into(),
        "a=fmtp:49 repair-window=10000000".into(),
        "a=rtcp-fb:49 transport-cc".into(),
        format!("a=ssrc-group:FEC-FR {} {}", encoding.ssrc.0, encoding.fec_ssrc.0),
        format!("a=ssrc-group:FID {} {}", encoding.ssrc.0, encoding.rtx_ssrc.0),
    ] {
        assert!(offer.lines().any(|known| known == line), "{line} in\n{offer}");
    }
    assert!(!offer.contains("a=rtcp-fb:49 nack"));
    // A later offer keeps the number, and the stream goes on.
    let now = call.now();
    let again = call.a.pc.create_offer().unwrap();
    assert!(again.to_string().contains("a=rtpmap:49 flexfec-03/90000"));
    call.a.pc.set_local_description(now, &again).unwrap();
    call.b.pc.set_remote_description(now, again).unwrap();
    let answer = call.b.pc.create_answer().unwrap();
    call.b.pc.set_local_description(now, &answer).unwrap();
    call.a.pc.set_remote_description(now, answer).unwrap();
    send(&mut call, 200, 0.1);
    assert!(counters(&call).1.packets_recovered > 0);
}
