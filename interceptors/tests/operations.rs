//! Any order of operations with any values: nothing panics, bounds hold, and what was polled comes to rest.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use tombolo_interceptors::keyframe::{Handler, Requester, RequesterConfig};
use tombolo_interceptors::nack::{
    Cache, CacheConfig, Generator, GeneratorConfig, Responder, ResponderConfig,
};
use tombolo_interceptors::report::{ClockMap, ParticipantClock, ReceiverReports, RoundTrip, SenderReports};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig, SendHistory};
use tombolo_net::{NtpTime, RtpTime, SeqNo, SeqUnwrapper, Ssrc};
use tombolo_rtp::rtcp::{Compound, Packet, ReportBlock};

#[derive(Clone, Debug)]
enum Operation {
    Wait(u32),
    Receive { seq: u16, timestamp: u32 },
    Send { seq: u16, size: u16 },
    Nack(u16),
    SenderReport { ntp: u64, rtp: u32 },
    ReportBlock { lsr: u32, dlsr: u32 },
    TransportFeedback(Vec<u16>),
    Keyframe,
    WantKeyframe,
    Pli,
    Fir { requester: u32, number: u8 },
    Rtt(u32),
}

fn near() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 65_500_u16..65_535, 4 => 0_u16..40, 1 => any::<u16>()]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (0_u32..60).prop_map(Operation::Wait),
        1 => any::<u32>().prop_map(Operation::Wait),
        6 => (near(), any::<u32>()).prop_map(|(seq, timestamp)| Operation::Receive { seq, timestamp }),
        6 => (near(), any::<u16>()).prop_map(|(seq, size)| Operation::Send { seq, size }),
        3 => near().prop_map(Operation::Nack),
        2 => (any::<u64>(), any::<u32>()).prop_map(|(ntp, rtp)| Operation::SenderReport { ntp, rtp }),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(lsr, dlsr)| Operation::ReportBlock { lsr, dlsr }),
        3 => proptest::collection::vec(any::<u16>(), 4..40).prop_map(Operation::TransportFeedback),
        1 => Just(Operation::Keyframe),
        2 => Just(Operation::WantKeyframe),
        2 => Just(Operation::Pli),
        1 => (0_u32..4, any::<u8>()).prop_map(|(requester, number)| Operation::Fir { requester, number }),
        1 => any::<u32>().prop_map(Operation::Rtt),
    ]
}

struct Everything {
    now: Instant,
    unwrapper: SeqUnwrapper,
    generator: Generator,
    responder: Responder,
    cache: Cache<u16>,
    recorder: Recorder,
    history: SendHistory,
    requester: Requester,
    handler: Handler,
    received: ReceiverReports,
    sent: SenderReports,
    rtt: RoundTrip,
    clock: ParticipantClock,
    map: ClockMap,
    out: Vec<u8>,
}

impl Everything {
    fn new() -> Self {
        let now = tombolo_netsim::start();
        Self {
            now,
            unwrapper: SeqUnwrapper::default(),
            generator: Generator::new(GeneratorConfig::default().max_missing(64)),
            responder: Responder::new(ResponderConfig::default()),
            cache: Cache::new(CacheConfig::default().max_packets(100).max_bytes(500_000)),
            recorder: Recorder::new(RecorderConfig::default()),
            history: SendHistory::new(SeqNo(65_500)),
            requester: Requester::new(RequesterConfig::default()),
            handler: Handler::new(),
            received: ReceiverReports::new(Ssrc(1), 90_000),
            sent: SenderReports::new(Ssrc(1), 90_000),
            rtt: RoundTrip::default(),
            clock: ParticipantClock::new(now),
            map: ClockMap::new(90_000),
            out: Vec::new(),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        let now = self.now;
        match *operation {
            Operation::Wait(ms) => self.now += Duration::from_millis(ms.into()),
            Operation::Receive { seq, timestamp } => {
                let ext = self.unwrapper.unwrap(SeqNo(seq));
                self.generator.on_packet(now, ext);
                self.recorder.on_packet(now, SeqNo(seq));
                self.received.on_packet(now, ext, RtpTime(timestamp), seq % 2 == 0);
                self.map.on_packet(&self.clock, now, RtpTime(timestamp));
                assert!(self.map.media_time(RtpTime(timestamp)).is_some());
            }
            Operation::Send { seq, size } => {
                let ext = self.responder.on_sent(SeqNo(seq), size.into());
                self.cache.insert(now, ext, size.into(), seq);
                self.sent.on_packet(now, RtpTime(seq.into()), size.into());
                self.history.on_sent(now, size.into());
            }
            Operation::Nack(seq) => {
                if let Ok((_, &kept)) = self.responder.resend(now, SeqNo(seq), &self.cache, |_| 1200) {
                    assert_eq!(kept, seq, "another packet than the one asked for");
                }
            }
            Operation::SenderReport { ntp, rtp } => {
                self.received.on_sender_report(now, NtpTime(ntp));
                self.map.on_sender_report(&mut self.clock, now, NtpTime(ntp), RtpTime(rtp));
            }
            Operation::ReportBlock { lsr, dlsr } => {
                let block = ReportBlock { last_sr: lsr, delay_since_last_sr: dlsr, ..ReportBlock::default() };
                self.rtt.on_report(NtpTime(u64::from(dlsr) << 20), &block);
            }
            Operation::TransportFeedback(ref words) => self.feed(words),
            Operation::Keyframe => {
                self.requester.on_keyframe();
                self.handler.on_keyframe_sent(now);
            }
            Operation::WantKeyframe => {
                self.requester.request(now);
                self.generator.on_keyframe_request(now);
            }
            Operation::Pli => drop(self.handler.on_pli(now)),
            Operation::Fir { requester, number } => {
                self.handler.on_fir(now, Ssrc(requester), number);
            }
            Operation::Rtt(ms) => {
                let rtt = Duration::from_millis(ms.into());
                self.generator.set_rtt(rtt);
                self.responder.set_rtt(rtt);
                self.requester.set_rtt(rtt);
                self.handler.set_rtt(rtt);
            }
        }
        self.drive();
    }

    /// A transport feedback message with any content.
    fn feed(&mut self, words: &[u16]) {
        let mut message = vec![0x8f, 205, 0, (words.len() / 2 + 2) as u8];
        message.extend_from_slice(&[0; 8]);
        message.extend(words[..words.len() / 2 * 2].iter().flat_map(|word| word.to_be_bytes()));
        for packet in Compound::new(&message).flatten() {
            if let Packet::TransportFeedback(feedback) = packet {
                let now = self.now;
                self.history.on_feedback(&feedback, |result| assert!(result.sent <= now));
            }
        }
    }

    /// What an owner does after each input; it must end, and leave no timeout in the past.
    fn drive(&mut self) {
        let (now, ssrc) = (self.now, Ssrc(1));
        for _ in 0..100 {
            self.out.clear();
            let asked = self.generator.write_feedback(now, ssrc, ssrc, &mut self.out) > 0;
            let told = self.recorder.write_feedback(now, ssrc, ssrc, &mut self.out);
            let wanted = self.requester.write_request(now, ssrc, ssrc, &mut self.out);
            if self.generator.poll_lost().is_some() {
                self.requester.request(now);
            } else if !(asked || told || wanted) {
                break;
            }
        }
        assert!(self.out.is_empty(), "it did not come to rest");
        for timeout in
            [self.generator.poll_timeout(), self.recorder.poll_timeout(), self.requester.poll_timeout()]
        {
            assert!(timeout.is_none_or(|timeout| timeout > now), "a timeout that nothing answers");
        }
        assert!(self.generator.missing() <= 64);
        assert!(self.cache.len() <= 100 && self.cache.bytes() <= 500_000);
        assert!(self.received.report_block(now).is_none_or(|block| block.ssrc == ssrc));
        assert!(self.sent.sender_info(now, NtpTime(0)).is_none_or(|info| info.ssrc == ssrc));
    }
}

proptest! {
    #[test]
    fn any_operations_are_survived(operations in proptest::collection::vec(operation(), 1..200)) {
        let mut everything = Everything::new();
        for operation in &operations {
            everything.apply(operation);
        }
    }
}
