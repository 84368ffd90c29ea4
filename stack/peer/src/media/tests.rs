//! Which packets reach which section: plain packets given to the media of a negotiated connection.

use std::time::UNIX_EPOCH;

use tombolo_crypto::CryptoProvider;
use tombolo_dtls::Certificate;
use tombolo_net::RtpTime;
use tombolo_rtp::rtcp::{SdesItem, write_bye, write_nack, write_sdes};
use tombolo_rtp::{ExtensionForm, Mid, RtpHeader, RtpPacket};
use tombolo_srtp::{MasterKey, OutboundContext, Profile};

use super::*;
use crate::codec::Codec;
use crate::event::ReceivedPacket;
use crate::jsep::{Jsep, LocalTransport};
use crate::sdp::SessionDescription;

const TRANSPORT: &str = "a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\na=setup:actpass\n\
    a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\n";
const EXTENSIONS: &str = "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\n\
    a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\n\
    a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\n";
const MID: u8 = 4;
const RID: u8 = 10;
const REPAIRED_RID: u8 = 11;
const OPUS: u8 = 111;
const VP8: u8 = 96;
const RTX: u8 = 97;

fn audio(mid: &str) -> String {
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:{mid}\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n{EXTENSIONS}{TRANSPORT}"
    )
}

fn video(mid: &str, more: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96 97\na=mid:{mid}\na=rtcp-mux\na=rtpmap:96 VP8/90000\na=rtcp-fb:96 nack\n\
         a=rtpmap:97 rtx/90000\na=fmtp:97 apt=96\n{more}{EXTENSIONS}{TRANSPORT}"
    )
}

/// The media of a connection that has answered an offer of these sections, and what came out of it so far.
struct Negotiated {
    media: Media,
    transceivers: Vec<Transceiver>,
    events: VecDeque<Event>,
    now: Instant,
}

impl Negotiated {
    fn new(sections: &[String]) -> Self {
        let now = tombolo_netsim::start();
        let year = Duration::from_secs(365 * 86_400);
        let (from, to) = (UNIX_EPOCH + 50 * year, UNIX_EPOCH + 51 * year);
        let certificate =
            Certificate::self_signed(&CryptoProvider::default(), &Seed::from_number(1), from, to).unwrap();
        let config = Arc::new(Config::builder(certificate).build().unwrap());
        let mids: Vec<_> = (0..sections.len()).map(|mid| mid.to_string()).collect();
        let head = format!("v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE {}\n", mids.join(" "));
        let mut jsep = Jsep::new(config.clone(), Seed::from_number(2).rng());
        jsep.set_remote(SessionDescription::offer(&(head + &sections.concat())).unwrap()).unwrap();
        let ids: Vec<_> = jsep.transceivers().iter().map(Transceiver::id).collect();
        for id in ids {
            jsep.transceiver_mut(id).unwrap().direction = Direction::SendRecv;
        }
        let transport = LocalTransport {
            ufrag: "abcd".into(),
            pwd: "0123456789012345678901".into(),
            fingerprint: config.identity.fingerprint.clone(),
            tls_id: String::new(),
            candidates: Vec::new(),
            default: None,
            end_of_candidates: false,
        };
        let answer = jsep.create_answer(&transport).unwrap();
        jsep.set_local(&answer).unwrap();
        let epoch = Epoch { instant: now, system: from };
        let mut media = Media::new(&config, Seed::from_number(3).rng(), epoch, now, "us");
        let mut events = VecDeque::new();
        media.configure(jsep.transceivers(), &mut events);
        events.clear();
        Self { media, transceivers: jsep.transceivers().to_vec(), events, now }
    }

    /// Gives it one packet; the one that came out, and the section it came out of.
    fn rtp(&mut self, packet: &Sent) -> Option<(String, ReceivedPacket)> {
        self.media.receive_rtp(
            self.now,
            tombolo_net::Ecn::NotEct,
            &mut packet.bytes(),
            &self.transceivers,
            &mut self.events,
        );
        let event = self.events.drain(..).find_map(|event| match event {
            Event::Rtp(packet) => Some(packet),
            _ => None,
        });
        event.map(|packet| (self.mid(packet.transceiver), packet))
    }

    fn section(&mut self, packet: &Sent) -> Option<String> {
        self.rtp(packet).map(|(mid, _)| mid)
    }

    fn rtcp(&mut self, datagram: &[u8]) -> Vec<Event> {
        self.media.receive_rtcp(self.now, datagram, &self.transceivers, None, &mut self.events);
        self.events.drain(..).collect()
    }

    fn mid(&self, id: TransceiverId) -> String {
        let transceiver = self.transceivers.iter().find(|transceiver| transceiver.id() == id);
        transceiver.unwrap().mid().unwrap().to_string()
    }

    fn drops(&self, reason: DropReason) -> u64 {
        self.media.drops.count(reason)
    }
}

/// A packet to give.
#[derive(Clone)]
struct Sent {
    ssrc: u32,
    payload_type: u8,
    seq: u16,
    labels: Vec<(u8, &'static str)>,
    payload: Vec<u8>,
}

impl Sent {
    fn new(ssrc: u32, payload_type: u8, seq: u16) -> Self {
        Self { ssrc, payload_type, seq, labels: Vec::new(), payload: vec![0x10, 1, 2, 3] }
    }

    fn label(mut self, id: u8, value: &'static str) -> Self {
        self.labels.push((id, value));
        self
    }

    /// The retransmission of the packet `seq` by the stream `ssrc`.
    fn repair(ssrc: u32, own_seq: u16, seq: u16) -> Self {
        let mut payload = seq.to_be_bytes().to_vec();
        payload.extend_from_slice(&[0x10, 1, 2, 3]);
        Self { payload, ..Self::new(ssrc, RTX, own_seq) }
    }

    fn bytes(&self) -> Vec<u8> {
        let header = RtpHeader {
            marker: true,
            payload_type: self.payload_type,
            seq: SeqNo(self.seq),
            timestamp: RtpTime(u32::from(self.seq) * 900),
            ssrc: Ssrc(self.ssrc),
        };
        let mut bytes = Vec::new();
        let mut extensions = header.write(&mut bytes, ExtensionForm::OneByte);
        for (id, value) in &self.labels {
            extensions.push(*id, value.as_bytes()).unwrap();
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

fn call() -> Negotiated {
    Negotiated::new(&[audio("0"), video("1", "")])
}

/// RTP-01: a payload type that was not negotiated is dropped and counted, on a known stream and on a new one.
#[test]
fn unknown_payload_types_are_dropped() {
    let mut call = call();
    assert_eq!(call.section(&Sent::new(7, VP8, 1)).as_deref(), Some("1"));
    assert_eq!(call.section(&Sent::new(7, 98, 2)), None);
    assert_eq!(call.drops(DropReason::UnknownPayloadType), 1);
    assert_eq!(call.section(&Sent::new(8, 98, 1)), None);
    assert_eq!(call.section(&Sent::new(9, 98, 1).label(MID, "1")), None);
    assert_eq!(call.media.drops.total(), 3);
    assert_eq!(call.media.inbound.len(), 1, "no state was made for them");
}

/// RTP-02: a source that belongs to one section does not carry another section's payload types, and stays where it is.
#[test]
fn a_payload_type_of_another_section_is_discarded() {
    let mut call = call();
    assert_eq!(call.section(&Sent::new(7, OPUS, 1)).as_deref(), Some("0"));
    assert_eq!(call.section(&Sent::new(7, VP8, 2)), None);
    assert_eq!(call.drops(DropReason::UnknownPayloadType), 1);
    assert_eq!(call.section(&Sent::new(7, OPUS, 3)).as_deref(), Some("0"));
}

/// RTP-03: a source that was not announced is bound by MID, else by a payload type of one section only, else not.
#[test]
fn unannounced_sources_are_bound_or_left_alone() {
    let mut call = Negotiated::new(&[audio("0"), video("1", ""), video("2", "")]);
    assert_eq!(call.section(&Sent::new(10, OPUS, 1)).as_deref(), Some("0"), "only one section has Opus");
    assert_eq!(call.section(&Sent::new(11, VP8, 1)), None, "two sections have VP8");
    assert_eq!(call.drops(DropReason::UnknownSsrc), 1);
    assert_eq!(call.section(&Sent::new(11, VP8, 2).label(MID, "2")).as_deref(), Some("2"));
    assert_eq!(call.section(&Sent::new(11, VP8, 3)).as_deref(), Some("2"), "bound from now on");
    assert_eq!(call.section(&Sent::new(12, VP8, 1).label(MID, "9")), None);
    assert_eq!(call.drops(DropReason::UnknownMid), 1);
}

/// RTP-03: a source that the description announces is bound by it.
#[test]
fn announced_sources_are_bound_by_the_description() {
    let announced = "a=ssrc:21 cname:x\na=ssrc:22 cname:x\na=ssrc-group:FID 21 22\n";
    let mut call = Negotiated::new(&[audio("0"), video("1", announced), video("2", "")]);
    assert_eq!(call.section(&Sent::new(21, VP8, 5)).as_deref(), Some("1"));
    let (mid, packet) = call.rtp(&Sent::repair(22, 1, 4)).unwrap();
    assert_eq!(
        (mid.as_str(), packet.ssrc, packet.seq.wire(), packet.retransmitted),
        ("1", Ssrc(21), SeqNo(4), true)
    );
}

/// RTP-07: the newest MID counts; one in an older packet changes nothing.
#[test]
fn an_older_mid_changes_nothing() {
    let mut call = Negotiated::new(&[video("0", ""), video("1", "")]);
    assert_eq!(call.section(&Sent::new(7, VP8, 100).label(MID, "0")).as_deref(), Some("0"));
    assert_eq!(
        call.section(&Sent::new(7, VP8, 102).label(MID, "1")).as_deref(),
        Some("1"),
        "a newer one moves it"
    );
    assert_eq!(call.section(&Sent::new(7, VP8, 101).label(MID, "0")).as_deref(), Some("1"));
    assert_eq!(call.section(&Sent::new(7, VP8, 103)).as_deref(), Some("1"));
}

/// RTP-04: the peer uses a source of ours: we say goodbye for it and go on with another, and its packets are taken.
#[test]
fn a_collision_moves_our_own_source() {
    let mut call = call();
    let ours: Vec<Ssrc> =
        call.media.outbound.iter().flat_map(|stream| [stream.ssrc, stream.rtx.ssrc()]).collect();
    let (taken, other) = (ours[2], ours[0]);
    assert_eq!(call.section(&Sent::new(taken.0, VP8, 1)).as_deref(), Some("1"));
    assert_eq!(call.media.leaving, [taken]);
    let now: Vec<Ssrc> =
        call.media.outbound.iter().flat_map(|stream| [stream.ssrc, stream.rtx.ssrc()]).collect();
    assert!(!now.contains(&taken) && now.contains(&other));
    assert_eq!(now.iter().collect::<std::collections::BTreeSet<_>>().len(), 4, "all are different");
    assert_eq!(call.section(&Sent::new(taken.0, VP8, 2)).as_deref(), Some("1"));
    assert_eq!(call.media.leaving.len(), 1, "resolved once");
}

/// RTP-05: a goodbye ends the stream; stragglers still find their place, later packets begin anew, and a goodbye for
/// nobody is harmless.
#[test]
fn a_goodbye_ends_the_stream_after_a_while() {
    let mut call = Negotiated::new(&[video("0", ""), video("1", "")]);
    call.section(&Sent::new(7, VP8, 1).label(MID, "1"));
    let mut bye = Vec::new();
    write_bye(&mut bye, &[Ssrc(99), Ssrc(7)], b"");
    let ended = call.rtcp(&bye);
    assert!(matches!(ended[..], [Event::StreamEnded { ssrc: Ssrc(7), .. }]), "{ended:?}");
    assert!(call.rtcp(&bye).is_empty(), "told once");
    assert_eq!(call.section(&Sent::new(7, VP8, 2)).as_deref(), Some("1"), "a straggler");
    assert_eq!(call.media.poll_timeout().map(|at| at > call.now), Some(true));
    call.now += STRAGGLERS;
    assert_eq!(call.media.poll_gone(), None);
    call.media.forget_ended(call.now);
    assert!(call.media.inbound.is_empty());
    assert_eq!([call.media.poll_gone(), call.media.poll_gone()], [Some(Ssrc(7)), None]);
    assert_eq!(call.section(&Sent::new(7, VP8, 3)), None, "the binding is gone");
}

/// RTP-14: three layers and their retransmissions, told apart by MID, RID and repaired RID alone, in any order.
#[test]
fn layers_and_their_repairs_are_told_apart_in_any_order() {
    let rids = "a=rid:l send\na=rid:m send\na=rid:h send\na=simulcast:send l;m;h\n";
    for seed in 0..20 {
        let mut rng = Seed::from_number(seed).rng();
        let mut call = Negotiated::new(&[audio("0"), video("1", rids)]);
        let mut packets = Vec::new();
        for (layer, rid) in (0..).zip(["l", "m", "h"]) {
            for n in 0..5 {
                let media = Sent::new(100 + layer, VP8, 2 * n).label(MID, "1").label(RID, rid);
                let repair = Sent::repair(200 + layer, n, 2 * n + 1).label(MID, "1").label(REPAIRED_RID, rid);
                packets.push((rid, media));
                packets.push((rid, repair));
            }
        }
        for index in (1..packets.len()).rev() {
            packets.swap(index, rng.next_u32() as usize % (index + 1));
        }
        let mut taken = 0;
        for (rid, sent) in &packets {
            let Some((mid, packet)) = call.rtp(sent) else {
                assert_eq!(sent.payload_type, RTX, "only a repair of what is not known yet is dropped");
                continue;
            };
            taken += 1;
            let ssrc = if sent.ssrc >= 200 { sent.ssrc - 100 } else { sent.ssrc };
            assert_eq!((mid.as_str(), packet.ssrc), ("1", Ssrc(ssrc)));
            assert_eq!(packet.rid.unwrap().as_str(), *rid);
            assert_eq!(packet.retransmitted, sent.payload_type == RTX);
        }
        assert!(taken >= 15, "{taken}");
        assert_eq!(call.media.inbound.len(), 3);
        assert_eq!(call.section(&Sent::new(300, VP8, 1).label(MID, "1").label(RID, "x")), None);
        assert_eq!(call.drops(DropReason::UnknownRid), 1);
    }
}

/// RTCP-01: an SDES that names source and section binds the source before its first packet.
#[test]
fn a_source_description_binds_before_the_first_packet() {
    let mut call = Negotiated::new(&[video("0", ""), video("1", "")]);
    let mid: Mid = "1".parse().unwrap();
    let mut sdes = Vec::new();
    write_sdes(&mut sdes, &[(Ssrc(7), &[SdesItem::Cname(b"them"), SdesItem::Mid(mid)])]);
    call.rtcp(&sdes);
    assert_eq!(call.section(&Sent::new(7, VP8, 1)).as_deref(), Some("1"));
    assert_eq!(call.section(&Sent::new(8, VP8, 1)), None);
}

/// RTX-01: probes, that is padding alone or nothing, make no packet and no state.
#[test]
fn empty_repairs_are_dropped() {
    let mut call = call();
    call.section(&Sent::new(7, VP8, 1));
    for payload in [vec![], vec![1], vec![0, 1]] {
        assert_eq!(call.section(&Sent { payload, ..Sent::new(8, RTX, 1) }), None);
    }
    assert_eq!(call.media.inbound.len(), 1);
}

/// RTX-03: a NACK brings back a packet of ours as a retransmission; one that names the RTX stream brings nothing. Both
/// streams say goodbye together.
#[test]
fn only_original_packets_are_asked_for_and_resent() {
    let mut call = call();
    let profile = Profile::Aes128CmHmacSha1_80;
    let (key, salt) = (vec![1; profile.key_len()], vec![2; profile.salt_len()]);
    let master = MasterKey::new(profile, &key, &salt);
    let srtp = &mut OutboundContext::new(&CryptoProvider::default(), &master, &Default::default()).unwrap();
    let egress = &mut Egress::default();
    let video = call.transceivers[1].clone();
    let mut payload = BytesMut::zeroed(100);
    payload[0] = 0x10;
    let packet = OutgoingPacket::new(Codec::Vp8, SeqNo(5), RtpTime(9), true, payload.freeze());
    call.media.send_rtp(call.now, &video, packet, srtp, egress).unwrap();
    let sent = |egress: &mut Egress| {
        let mut datagram = Vec::new();
        egress.pop(&mut datagram).map(|_| RtpPacket::parse(&datagram).unwrap().header())
    };
    let primary = sent(egress).unwrap();
    assert_eq!((primary.ssrc, primary.seq), (video.encodings()[0].ssrc, SeqNo(5)));

    let rtx = video.encodings()[0].rtx_ssrc;
    for (media, resent) in [(rtx, false), (Ssrc(77), false), (primary.ssrc, true)] {
        let mut nack = Vec::new();
        write_nack(&mut nack, Ssrc(7), media, [SeqNo(5)]);
        call.media.receive_rtcp(call.now, &nack, &call.transceivers, Some((srtp, egress)), &mut call.events);
        let header = sent(egress);
        assert_eq!(header.map(|header| (header.ssrc, header.payload_type)), resent.then_some((rtx, RTX)));
    }
    call.media.close(call.now, srtp, egress);
    assert!(call.media.leaving.is_empty());
    let mut bye = Vec::new();
    assert!(egress.pop(&mut bye).is_some(), "a goodbye for both");
}

/// A crowd of sources is bounded.
#[test]
fn sources_are_bounded() {
    let mut call = call();
    for ssrc in 0..10 * MAX_STREAMS as u32 {
        call.section(&Sent::new(1000 + ssrc, VP8, 1));
    }
    assert_eq!(call.media.inbound.len(), MAX_STREAMS);
    assert_eq!(call.drops(DropReason::TooManyStreams), 9 * MAX_STREAMS as u64);
}
