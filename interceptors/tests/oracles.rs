//! The bounded, incremental structures beside naive models that remember everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tombolo_interceptors::nack::{Arrival, Generator, GeneratorConfig};
use tombolo_interceptors::twcc::{Recorder, RecorderConfig, SendHistory};
use tombolo_net::{ExtSeqNo, SeqNo, Ssrc};
use tombolo_rtp::rtcp::{Compound, Packet};

const FIRST: u64 = 0x1_fff0;

fn at(ms: u64) -> Instant {
    tombolo_netsim::start() + Duration::from_millis(ms)
}

/// The rules of [`Generator`], spelled out over the whole history: `(since, asked at)` of all that ever went missing.
#[derive(Default)]
struct NackModel {
    arrived: BTreeSet<u64>,
    first: u64,
    highest: u64,
    missing: BTreeMap<u64, (u64, Vec<u64>)>,
    lost: BTreeSet<u64>,
}

const REPEAT_MS: u64 = 50;
const MAX_REQUESTS: usize = 4;
const MAX_AGE_MS: u64 = 300;

impl NackModel {
    fn on_packet(&mut self, ms: u64, seq: u64) -> Arrival {
        if self.arrived.is_empty() || seq > self.highest {
            if !self.arrived.is_empty() {
                for lacking in self.highest + 1..seq {
                    self.missing.insert(lacking, (ms, Vec::new()));
                }
            }
            if self.arrived.is_empty() {
                self.first = seq;
            }
            self.highest = seq;
            self.arrived.insert(seq);
            return Arrival::New;
        }
        let early = !self.arrived.contains(&seq) && seq < self.first;
        self.arrived.insert(seq);
        if early {
            return Arrival::Recovered { requests: 0 };
        }
        match self.missing.remove(&seq) {
            Some((_, asked)) => Arrival::Recovered { requests: asked.len() as u8 },
            None => Arrival::Duplicate,
        }
    }

    fn due(&mut self, ms: u64) -> Vec<u16> {
        let over: Vec<u64> = self
            .missing
            .iter()
            .filter(|(_, (since, asked))| {
                let spent =
                    asked.len() >= MAX_REQUESTS && asked.last().is_some_and(|last| last + REPEAT_MS <= ms);
                spent || ms - since >= MAX_AGE_MS
            })
            .map(|(&seq, _)| seq)
            .collect();
        for seq in over {
            self.missing.remove(&seq);
            self.lost.insert(seq);
        }
        let mut due = Vec::new();
        for (&seq, (since, asked)) in &mut self.missing {
            let ask = match asked.last() {
                None => self.highest >= seq + 2 || ms >= *since + 10,
                Some(last) => asked.len() < MAX_REQUESTS && ms >= last + REPEAT_MS,
            };
            if ask {
                asked.push(ms);
                due.push(seq as u16);
            }
        }
        due
    }
}

/// What happens next on a link: time passes, and a packet ahead of or behind the newest arrives, or none.
fn link_event() -> impl Strategy<Value = (u64, Option<i64>)> {
    let packet = prop_oneof![
        6 => Just(Some(1)),
        2 => (2_i64..6).prop_map(Some),
        3 => (-12_i64..1).prop_map(Some),
        1 => Just(None),
    ];
    (prop_oneof![3 => 0_u64..4, 1 => 0_u64..120], packet)
}

proptest! {
    /// Requests, their times, arrivals and losses are those of the model.
    #[test]
    fn nack_requests_match_the_model(events in proptest::collection::vec(link_event(), 1..150)) {
        let config = GeneratorConfig::default()
            .max_requests(MAX_REQUESTS as u8)
            .max_age(Duration::from_millis(MAX_AGE_MS));
        let mut generator = Generator::new(config);
        generator.set_rtt(Duration::from_millis(REPEAT_MS * 4 / 5));
        let mut model = NackModel::default();
        let (mut ms, mut newest, mut lost) = (0, FIRST, 0);
        for (wait, step) in events {
            // Time passes one timeout after the other, as an event loop would have it.
            let end = ms + wait;
            while let Some(wake) = generator.poll_timeout().filter(|wake| *wake <= at(end)) {
                // What a packet has made due is due at once, and its timeout may lie in the past.
                let wake = wake.max(at(ms));
                ms = (wake - at(0)).as_millis().try_into().unwrap();
                let mut due = [SeqNo(0); 128];
                let named = generator.take_due(wake, &mut due);
                let asked: Vec<u16> = due[..named].iter().map(|seq| seq.0).collect();
                prop_assert_eq!(&asked, &model.due(ms));
                lost += generator.poll_lost().map_or(0, |lost| lost.packets);
                prop_assert_eq!(lost, model.lost.len() as u64);
                prop_assert!(generator.poll_timeout().is_none_or(|next| next > wake), "woken for nothing");
            }
            ms = end;
            prop_assert!(model.due(ms).is_empty(), "the generator slept through a request");
            let Some(step) = step else { continue };
            let seq = newest.saturating_add_signed(step).max(FIRST);
            newest = newest.max(seq);
            prop_assert_eq!(generator.on_packet(at(ms), ExtSeqNo(seq)), model.on_packet(ms, seq));
            prop_assert_eq!(generator.missing(), model.missing.len());
        }
    }

    /// Each packet that arrived is acknowledged once, at the time it first arrived; what is told as missing at the
    /// end never came.
    #[test]
    fn transport_feedback_tells_the_truth(
        events in proptest::collection::vec(link_event(), 1..200),
        max_len in 60_usize..400,
        jump in prop_oneof![3 => Just(0_u64), 1 => 0_u64..900],
    ) {
        let mut recorder = Recorder::new(RecorderConfig::default().max_len_bytes(max_len));
        let mut history = SendHistory::new(SeqNo(FIRST as u16));
        let mut truth: BTreeMap<u16, i64> = BTreeMap::new();
        let mut acked: BTreeMap<u16, i64> = BTreeMap::new();
        let mut missing = BTreeSet::new();
        let (mut ms, mut newest, mut sent) = (0, FIRST, FIRST);
        let count = events.len();
        let mut origin = None;
        for (index, (wait, step)) in events.into_iter().chain([(1000, None)]).enumerate() {
            let end = ms + wait;
            while let Some(wake) = recorder.poll_timeout().filter(|wake| *wake <= at(end)) {
                let mut out = Vec::new();
                prop_assert!(recorder.write_feedback(wake, Ssrc(1), Ssrc(2), &mut out), "woken for nothing");
                prop_assert!(out.len() <= max_len);
                let Some(Ok(Packet::TransportFeedback(feedback))) = Compound::new(&out).next() else {
                    panic!("no feedback")
                };
                history.on_feedback(&feedback, |result| {
                    let seq = result.number.wire().0;
                    match result.arrival_us {
                        Some(us) => {
                            assert!(acked.insert(seq, us).is_none(), "{seq} acknowledged twice");
                            missing.remove(&seq);
                        }
                        None => assert!(missing.insert(seq) && !acked.contains_key(&seq)),
                    }
                });
            }
            ms = end;
            let Some(step) = step else { continue };
            let step = if index == count / 2 { step + jump as i64 } else { step };
            let seq = newest.saturating_add_signed(step).max(FIRST);
            newest = newest.max(seq);
            while sent <= newest {
                history.on_sent(at(ms), 1000);
                sent += 1;
            }
            let origin = *origin.get_or_insert(ms);
            truth.entry(seq as u16).or_insert((ms - origin) as i64 * 1000);
            recorder.on_packet(at(ms), SeqNo(seq as u16));
        }
        prop_assert_eq!(&acked, &truth);
        prop_assert!(missing.iter().all(|seq| !truth.contains_key(seq)));
    }
}
