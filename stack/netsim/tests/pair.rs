//! The harness itself: order, determinism, caps, injection, the tap.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::{FiveTuple, Transmit};
use tombolo_netsim::{Fate, Link, LinkDrop, Machine, Pair, Side, Silent, start};

/// Sends a numbered datagram every 10 ms, `left` times, and notes what arrives when.
struct Ticker {
    path: FiveTuple,
    next: Option<Instant>,
    left: u8,
    outbox: VecDeque<u8>,
    heard: Vec<(Duration, FiveTuple, u8)>,
}

impl Ticker {
    fn new(path: FiveTuple, left: u8) -> Self {
        Self { path, next: Some(start()), left, outbox: VecDeque::new(), heard: Vec::new() }
    }
}

impl Machine for Ticker {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.heard.push((now - start(), path, data[0]));
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.next.is_some_and(|next| next <= now) && self.left > 0 {
            self.outbox.push_back(self.left);
            self.left -= 1;
            self.next = (self.left > 0).then_some(now + Duration::from_millis(10));
        }
    }

    fn poll_transmit(&mut self, _now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        out.push(self.outbox.pop_front()?);
        Some(Transmit::datagram(self.path, 1))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.next
    }
}

fn path() -> FiveTuple {
    FiveTuple::udp("10.0.0.1:1".parse().expect("an address"), "10.0.0.2:2".parse().expect("an address"))
}

fn pair(seed: u64, link: &Link) -> Pair<Ticker, Ticker> {
    let mut pair = Pair::new(Ticker::new(path(), 100), Ticker::new(path().reversed(), 100), seed);
    pair.set_links(link);
    pair
}

#[test]
fn the_clock_jumps_and_a_datagram_takes_the_latency() {
    let mut pair = pair(1, &Link::default().latency(Duration::from_millis(25)));
    assert!(pair.run_until(|_, b| b.heard.len() == 3));
    let heard: Vec<_> = pair.b.heard.iter().map(|(at, path, _)| (at.as_millis(), *path)).collect();
    let at_b = path().reversed();
    assert_eq!(heard, [(25, at_b), (35, at_b), (45, at_b)]);
    assert_eq!(pair.elapsed(), Duration::from_millis(45));
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_one_another() {
    let link =
        Link::default().loss(0.3).jitter(Duration::from_millis(40)).reorder(0.2, Duration::from_millis(20));
    let run = |seed| {
        let mut pair = pair(seed, &link.clone().duplicate(0.1));
        pair.run_for(Duration::from_secs(3));
        std::mem::take(&mut pair.b.heard)
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_link_can_change_at_run_time_and_in_one_direction() {
    let mut pair = pair(1, &Link::default());
    pair.run_for(Duration::from_millis(95));
    pair.set_link(Side::B, Link::default().cut());
    pair.run_for(Duration::from_secs(2));
    assert_eq!((pair.a.heard.len(), pair.b.heard.len()), (100, 10));
}

#[test]
fn the_tap_tells_what_became_of_each_datagram() {
    let mut pair = pair(1, &Link::default().drop_indices([1]));
    pair.run_for(Duration::from_millis(15));
    let fates: Vec<Fate> = pair.records().iter().filter(|r| r.to == Side::B).map(|r| r.fate).collect();
    assert_eq!(fates, [Fate::Arrives(Duration::from_millis(1)), Fate::Lost(LinkDrop::Scripted)]);
}

#[test]
fn injection_passes_a_cut_link_and_translation_changes_the_path() {
    let mut pair = pair(1, &Link::default());
    pair.set_link(Side::B, Link::default().cut());
    let seen = FiveTuple::udp(path().remote, "192.0.2.9:9".parse().expect("an address"));
    pair.inject(Side::B, seen, &[200]);
    pair.translate(Side::A, Box::new(move |_| Some(seen)));
    pair.run_for(Duration::from_millis(5));
    assert_eq!(pair.b.heard, [(Duration::ZERO, seen, 200)]);
    assert_eq!(pair.a.heard, [(Duration::from_millis(1), seen, 100)]);
}

#[test]
fn run_until_ends_when_nothing_is_pending_and_at_the_time_limit() {
    let mut idle = Pair::new(Silent, Silent, 1);
    assert!(!idle.run_until(|_, _| false));
    assert!(!idle.step());
    let mut pair = pair(1, &Link::default());
    pair.set_time_limit(Duration::from_millis(200));
    assert!(!pair.run_until(|_, _| false));
    assert!(pair.elapsed() <= Duration::from_millis(200));
}

#[test]
#[should_panic(expected = "livelock")]
fn a_timeout_that_never_moves_is_a_livelock() {
    struct Stuck;
    impl Machine for Stuck {
        fn handle_datagram(&mut self, _: Instant, _: FiveTuple, _: &mut [u8]) {}
        fn handle_timeout(&mut self, _: Instant) {}
        fn poll_transmit(&mut self, _: Instant, _: &mut Vec<u8>) -> Option<Transmit> {
            None
        }
        fn poll_timeout(&self) -> Option<Instant> {
            Some(start())
        }
    }
    let machine: Box<dyn Machine> = Box::new(Stuck);
    Pair::new(machine, Silent, 1).run_for(Duration::from_secs(1));
}

#[test]
fn a_pcap_holds_every_datagram() {
    let mut pair = pair(1, &Link::default());
    pair.run_for(Duration::from_millis(95));
    let file = std::env::temp_dir().join(format!("netsim-test-{}.pcap", std::process::id()));
    pair.write_pcap(&file).expect("a writable folder for temporary files");
    let bytes = std::fs::read(&file).expect("the file just written");
    std::fs::remove_file(&file).expect("the file just read");
    // 20 datagrams of 1 byte: a pcap record header, IPv4, UDP.
    assert_eq!(bytes.len(), 24 + 20 * (16 + 20 + 8 + 1));
    assert_eq!(bytes[..4], [0xd4, 0xc3, 0xb2, 0xa1]);
}
