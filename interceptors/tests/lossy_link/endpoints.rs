//! A sender and a receiver of one video stream, made of the crate's parts as an application would.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tombolo_interceptors::bwe::PacketResult;
use tombolo_interceptors::feedback::{Composer, Report, Source};
use tombolo_interceptors::keyframe::{Handler, Requester, RequesterConfig};
use tombolo_interceptors::nack::{
    Arrival, Cache, CacheConfig, Generator, GeneratorConfig, Responder, ResponderConfig,
};
use tombolo_interceptors::report::{
    Interval, IntervalConfig, Members, ReceiverReports, RoundTrip, SenderReports,
};
use tombolo_interceptors::rtx::{self, Primary};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig, SendHistory};
use tombolo_net::{Epoch, ExtSeqNo, FiveTuple, RtpTime, Seed, SeqNo, SeqUnwrapper, Ssrc, Transmit};
use tombolo_netsim::Machine;
use tombolo_rtp::rtcp::{self, Compound, Packet};
use tombolo_rtp::{ExtensionForm, RtpHeader, RtpPacket};

pub(crate) const MEDIA: Ssrc = Ssrc(0x1111);
pub(crate) const RTX: Ssrc = Ssrc(0x2222);
pub(crate) const RECEIVER: Ssrc = Ssrc(0x3333);
const MEDIA_PT: u8 = 96;
const RTX_PT: u8 = 97;
const TWCC_ID: u8 = 3;
const CLOCK_HZ: u32 = 90_000;
const FRAME: Duration = Duration::from_millis(33);
/// With SRTP's and UDP's overhead this passes an MTU of 600.
const PAYLOAD_LEN: usize = 480;
const PACKETS_PER_FRAME: u64 = 4;
const PACKETS_PER_KEYFRAME: u64 = 20;

fn path(local: u16, remote: u16) -> FiveTuple {
    FiveTuple::udp(([127, 0, 0, 1], local).into(), ([127, 0, 0, 1], remote).into())
}

fn epoch() -> Epoch {
    let system = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Epoch { instant: tombolo_netsim::start(), system }
}

/// The payload of packet `n`: its number, and whether it begins a keyframe.
fn payload(n: u64, keyframe: bool) -> Vec<u8> {
    let mut payload = vec![n as u8; PAYLOAD_LEN];
    payload[..8].copy_from_slice(&n.to_be_bytes());
    payload[8] = u8::from(keyframe);
    payload
}

struct Stored {
    header: RtpHeader,
    payload: Vec<u8>,
}

/// Sends a frame every 33 ms until `frames` are sent; the first one and each asked-for one is a keyframe.
pub(crate) struct Sender {
    next_frame: Option<Instant>,
    pub(crate) frames_left: u64,
    pub(crate) packets: u64,
    pub(crate) keyframes: u64,
    keyframe_due: bool,
    seq: SeqNo,
    timestamp: RtpTime,
    cache: Cache<Stored>,
    pub(crate) responder: Responder,
    rtx: rtx::Sender,
    pub(crate) history: SendHistory,
    pub(crate) results: Vec<PacketResult>,
    pub(crate) rtt: RoundTrip,
    reports: SenderReports,
    interval: Interval,
    composer: Composer,
    handler: Handler,
    queue: Vec<Vec<u8>>,
}

const SENDER_MEMBERS: Members = Members { total: 2, senders: 1, we_sent: true };
const RECEIVER_MEMBERS: Members = Members { we_sent: false, ..SENDER_MEMBERS };

impl Sender {
    pub(crate) fn new(frames: u64) -> Self {
        let now = tombolo_netsim::start();
        Self {
            next_frame: Some(now),
            frames_left: frames,
            packets: 0,
            keyframes: 0,
            keyframe_due: true,
            seq: SeqNo(65_000),
            timestamp: RtpTime(u32::MAX - 90_000),
            cache: Cache::new(CacheConfig::default()),
            responder: Responder::new(ResponderConfig::default()),
            rtx: rtx::Sender::new(RTX, SeqNo(100)),
            history: SendHistory::new(SeqNo(65_500)),
            results: Vec::new(),
            rtt: RoundTrip::default(),
            reports: SenderReports::new(MEDIA, CLOCK_HZ),
            interval: Interval::new(
                IntervalConfig::default(),
                Seed::from_number(1).rng(),
                now,
                SENDER_MEMBERS,
            ),
            composer: Composer::new("sender", true),
            handler: Handler::new(),
            queue: Vec::new(),
        }
    }

    fn send_frame(&mut self, now: Instant) {
        let keyframe = std::mem::take(&mut self.keyframe_due);
        let packets = if keyframe { PACKETS_PER_KEYFRAME } else { PACKETS_PER_FRAME };
        if keyframe {
            self.keyframes += 1;
            self.handler.on_keyframe_sent(now);
        }
        for n in 0..packets {
            let payload = payload(self.packets, keyframe && n == 0);
            let header = RtpHeader {
                marker: n + 1 == packets,
                payload_type: MEDIA_PT,
                seq: self.seq,
                timestamp: self.timestamp,
                ssrc: MEDIA,
            };
            self.send(now, &header, None, &payload);
            self.reports.on_packet(now, self.timestamp, payload.len());
            let ext = self.responder.on_sent(self.seq, payload.len());
            self.cache.insert(now, ext, payload.len(), Stored { header, payload });
            self.seq = self.seq.next();
            self.packets += 1;
        }
        self.timestamp = self.timestamp + CLOCK_HZ * 33 / 1000;
    }

    fn send(&mut self, now: Instant, header: &RtpHeader, osn: Option<SeqNo>, payload: &[u8]) {
        let mut out = Vec::new();
        let number = self.history.on_sent(now, payload.len() as u32).wire();
        header
            .write(&mut out, ExtensionForm::OneByte)
            .push(TWCC_ID, &number.0.to_be_bytes())
            .expect("room for one element");
        match osn {
            Some(osn) => rtx::write_payload(&mut out, osn, payload),
            None => out.extend_from_slice(payload),
        }
        self.queue.push(out);
    }

    fn resend(&mut self, now: Instant, seq: SeqNo) {
        let Ok((_, stored)) = self.responder.resend(now, seq, &self.cache, |stored| stored.payload.len())
        else {
            return;
        };
        let (header, payload) = (stored.header, stored.payload.clone());
        let wrapped = self.rtx.wrap(&header, RTX_PT);
        self.send(now, &wrapped, Some(seq), &payload);
    }
}

impl Machine for Sender {
    fn handle_datagram(&mut self, now: Instant, _path: FiveTuple, data: &mut [u8]) {
        for packet in Compound::new(data).flatten() {
            match packet {
                Packet::Nack(nack) if nack.media == MEDIA => {
                    nack.lost().for_each(|seq| self.resend(now, seq));
                }
                Packet::Pli(pli) if pli.media == MEDIA => {
                    self.keyframe_due |= self.handler.on_pli(now);
                }
                Packet::ReceiverReport(report) => {
                    for block in report.reports.filter(|block| block.ssrc == MEDIA) {
                        self.rtt.on_report(epoch().ntp_at(now), &block);
                    }
                    if let Some(rtt) = self.rtt.smoothed() {
                        self.responder.set_rtt(rtt);
                        self.handler.set_rtt(rtt);
                    }
                }
                Packet::TransportFeedback(feedback) => {
                    let results = &mut self.results;
                    self.history.on_feedback(&feedback, |result| results.push(result));
                }
                _ => {}
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next_frame.is_some_and(|next| next <= now) {
            self.send_frame(now);
            self.frames_left -= 1;
            self.next_frame = (self.frames_left > 0).then_some(now + FRAME);
        }
        if self.interval.is_due(now) {
            let info = self.reports.sender_info(now, epoch().ntp_at(now));
            let sources: Vec<_> = info.map(|info| Source { info, mid: None }).into_iter().collect();
            let mut report = Report { reporter: MEDIA, reporter_mid: None, sources: &sources, blocks: &[] };
            let mut out = Vec::new();
            self.composer.write_report(&mut out, 560, &mut report);
            self.interval.on_rtcp(out.len() + 28);
            self.interval.schedule(now, SENDER_MEMBERS);
            self.queue.push(out);
        }
    }

    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.queue.is_empty() {
            return None;
        }
        let datagram = self.queue.remove(0);
        out.extend_from_slice(&datagram);
        Some(Transmit::datagram(path(1, 2), datagram.len()))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [self.next_frame, self.interval.poll_timeout()].into_iter().flatten().min()
    }
}

/// Receives the stream, repairs it, and keeps what an application would get.
pub(crate) struct Receiver {
    unwrapper: SeqUnwrapper,
    generator: Generator,
    recorder: Recorder,
    pub(crate) requester: Requester,
    reports: ReceiverReports,
    interval: Interval,
    composer: Composer,
    /// The number in the payload and the arrival of each delivered packet, by sequence number.
    pub(crate) delivered: BTreeMap<ExtSeqNo, (u64, Instant)>,
    pub(crate) duplicates: u64,
    pub(crate) lost: u64,
    pub(crate) keyframes: Vec<Instant>,
    queue: Vec<Vec<u8>>,
}

impl Receiver {
    pub(crate) fn new(rtt: Duration) -> Self {
        let now = tombolo_netsim::start();
        let mut generator = Generator::new(GeneratorConfig::default());
        generator.set_rtt(rtt);
        let mut requester = Requester::new(RequesterConfig::default());
        requester.set_rtt(rtt);
        Self {
            unwrapper: SeqUnwrapper::default(),
            generator,
            recorder: Recorder::new(RecorderConfig::default().max_len_bytes(560)),
            requester,
            reports: ReceiverReports::new(MEDIA, CLOCK_HZ),
            interval: Interval::new(
                IntervalConfig::default(),
                Seed::from_number(2).rng(),
                now,
                RECEIVER_MEMBERS,
            ),
            composer: Composer::new("receiver", true),
            delivered: BTreeMap::new(),
            duplicates: 0,
            lost: 0,
            keyframes: Vec::new(),
            queue: Vec::new(),
        }
    }

    fn on_media(&mut self, now: Instant, header: &RtpHeader, payload: &[u8], retransmitted: bool) {
        let seq = self.unwrapper.unwrap(header.seq);
        match self.generator.on_packet(now, seq) {
            Arrival::Duplicate | Arrival::TooOld => {
                self.duplicates += 1;
                return;
            }
            Arrival::New | Arrival::Recovered { .. } | Arrival::Restarted => {}
        }
        self.reports.on_packet(now, seq, header.timestamp, retransmitted);
        let number = u64::from_be_bytes(payload[..8].try_into().expect("eight bytes"));
        assert!(self.delivered.insert(seq, (number, now)).is_none(), "{seq:?} delivered twice");
        if payload[8] == 1 {
            self.keyframes.push(now);
            self.requester.on_keyframe();
        }
    }

    fn write_feedback(&mut self, now: Instant) {
        while self.feedback(now, |this, out| this.generator.write_feedback(now, RECEIVER, MEDIA, out) > 0) {}
        if let Some(lost) = self.generator.poll_lost() {
            self.lost += lost.packets;
            self.requester.request(now);
        }
        while self.feedback(now, |this, out| this.recorder.write_feedback(now, RECEIVER, MEDIA, out)) {}
        while self.feedback(now, |this, out| this.requester.write_request(now, RECEIVER, MEDIA, out)) {}
    }

    fn feedback(&mut self, _now: Instant, write: impl FnOnce(&mut Self, &mut Vec<u8>) -> bool) -> bool {
        let mut message = Vec::new();
        let wrote = write(self, &mut message);
        if wrote {
            let mut out = Vec::new();
            self.composer.begin_feedback(&mut out, RECEIVER, None);
            out.extend_from_slice(&message);
            self.queue.push(out);
        }
        wrote
    }
}

impl Machine for Receiver {
    fn handle_datagram(&mut self, now: Instant, _path: FiveTuple, data: &mut [u8]) {
        if tombolo_rtp::is_rtcp(data) {
            for packet in Compound::new(data).flatten() {
                if let Packet::SenderReport(report) = packet {
                    self.reports.on_sender_report(now, report.info.ntp);
                }
            }
            return;
        }
        let packet = RtpPacket::parse(data).expect("an RTP packet");
        let number = packet.extension(TWCC_ID).expect("a transport-wide number");
        self.recorder.on_packet(now, SeqNo(u16::from_be_bytes(number.try_into().expect("two bytes"))));
        if packet.ssrc() == RTX {
            let primary = Primary { ssrc: MEDIA, payload_type: MEDIA_PT };
            let (header, payload) = rtx::unwrap(&packet, primary).expect("an original inside");
            self.on_media(now, &header, payload, true);
        } else {
            self.on_media(now, &packet.header(), packet.payload(), false);
        }
        self.write_feedback(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.write_feedback(now);
        if self.interval.is_due(now) {
            let blocks: Vec<_> = self.reports.report_block(now).into_iter().collect();
            let mut report = Report { reporter: RECEIVER, reporter_mid: None, sources: &[], blocks: &blocks };
            let mut out = Vec::new();
            self.composer.write_report(&mut out, 560, &mut report);
            self.interval.on_rtcp(out.len() + 28);
            self.interval.schedule(now, RECEIVER_MEMBERS);
            self.queue.push(out);
        }
    }

    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.queue.is_empty() {
            return None;
        }
        let datagram = self.queue.remove(0);
        out.extend_from_slice(&datagram);
        Some(Transmit::datagram(path(2, 1), datagram.len()))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        [
            self.generator.poll_timeout(),
            self.recorder.poll_timeout(),
            self.requester.poll_timeout(),
            self.interval.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// The media SSRCs and packets that the NACKs in a datagram name.
pub(crate) fn nacks(datagram: &[u8]) -> Vec<(Ssrc, usize)> {
    Compound::new(datagram)
        .flatten()
        .filter_map(|packet| match packet {
            rtcp::Packet::Nack(nack) => Some((nack.media, nack.lost().count())),
            _ => None,
        })
        .collect()
}

/// Whether a datagram holds a PLI.
pub(crate) fn has_pli(datagram: &[u8]) -> bool {
    Compound::new(datagram).flatten().any(|packet| matches!(packet, rtcp::Packet::Pli(_)))
}
