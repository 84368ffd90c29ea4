//! Two machines, two links, one clock.
//!
//! The clock jumps to the next arrival or timeout; nothing happens in between. At one instant arrivals come before
//! timeouts, and A before B.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tombolo_net::{FiveTuple, Seed};

use crate::link::{Link, LinkDrop, LinkState};
use crate::machine::Machine;
use crate::record::{Fate, Record, write_pcap};

/// One of the two machines of a [`Pair`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The first.
    A,
    /// The second.
    B,
}

impl Side {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// Turns the path that a sender named into the path on which the receiver sees the datagram, or loses it with `None`.
pub type Translation = Box<dyn FnMut(FiveTuple) -> Option<FiveTuple>>;

/// Steps at one instant after which a run counts as livelocked.
const STEPS_PER_INSTANT: u32 = 100_000;
/// Bytes that the tap keeps.
const RECORD_BYTES: usize = 64 * 1024 * 1024;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Instant,
    order: u64,
    to: Side,
    path: FiveTuple,
    data: Vec<u8>,
}

/// Two machines joined by one link each way, on a virtual clock that starts at [`start`](crate::start).
///
/// A test that panics while it owns a pair leaves a pcap of what was sent, and prints where.
pub struct Pair<A: Machine, B: Machine> {
    /// The first machine.
    pub a: A,
    /// The second machine.
    pub b: B,
    now: Instant,
    links: [LinkState; 2],
    translations: [Option<Translation>; 2],
    in_flight: BinaryHeap<Reverse<Arrival>>,
    order: u64,
    steps: u64,
    step_cap: u64,
    steps_now: u32,
    time_limit: Duration,
    recording: bool,
    records: Vec<Record>,
    record_bytes: usize,
    buffer: Vec<u8>,
}

impl<A: Machine, B: Machine> Pair<A, B> {
    /// Joins two machines with default links. Everything random comes from `seed`.
    #[must_use]
    pub fn new(a: A, b: B, seed: u64) -> Self {
        let now = crate::start();
        let mut rng = Seed::from_number(seed).rng();
        let mut link = || LinkState::new(Seed::fork(&mut rng).rng(), now);
        Self {
            a,
            b,
            now,
            links: [link(), link()],
            translations: [None, None],
            in_flight: BinaryHeap::new(),
            order: 0,
            steps: 0,
            step_cap: 10_000_000,
            steps_now: 0,
            time_limit: Duration::from_secs(120),
            recording: true,
            records: Vec::new(),
            record_bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// The virtual time.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(crate::start())
    }

    /// Sets the link towards `to`. What is in flight stays as it is; counters and randomness go on.
    pub fn set_link(&mut self, to: Side, link: Link) {
        self.links[to as usize].config = link;
    }

    /// Sets both links.
    pub fn set_links(&mut self, link: &Link) {
        self.set_link(Side::A, link.clone());
        self.set_link(Side::B, link.clone());
    }

    /// Puts a network address translator, or a router that knows some paths only, before `to`. Without one, a datagram
    /// arrives on the reverse of the path that it was sent on.
    pub fn translate(&mut self, to: Side, translation: Translation) {
        self.translations[to as usize] = Some(translation);
    }

    /// The number of steps after which a run panics. Default 10 million.
    pub const fn set_step_cap(&mut self, steps: u64) {
        self.step_cap = steps;
    }

    /// The virtual time after which [`Pair::run_until`] gives up. Default 120 s.
    pub const fn set_time_limit(&mut self, limit: Duration) {
        self.time_limit = limit;
    }

    /// Turns the tap on or off. On by default; it keeps the first 64 MiB.
    pub const fn set_recording(&mut self, on: bool) {
        self.recording = on;
    }

    /// What the tap saw so far.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Forgets what the tap saw.
    pub fn clear_records(&mut self) {
        self.records.clear();
        self.record_bytes = 0;
    }

    /// Writes what the tap saw as a pcap file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_pcap(&self, path: &Path) -> std::io::Result<()> {
        write_pcap(path, &self.records)
    }

    /// A datagram from an off-path attacker: it reaches `to` at once, on `path` as `to` sees it, past link and
    /// translation.
    pub fn inject(&mut self, to: Side, path: FiveTuple, data: &[u8]) {
        self.record(to, path.reversed(), data, Fate::Injected);
        self.push(self.now, to, path, data.to_vec());
    }

    /// Sends what the machines have to send, then advances to the next arrival or timeout and lets it happen.
    /// `false`: nothing is pending at all.
    pub fn step(&mut self) -> bool {
        self.flush();
        match self.next_wake() {
            Some(at) => {
                self.advance(at);
                true
            }
            None => false,
        }
    }

    /// Steps until `done` says so, asked before each step. `false`: nothing is pending any more, or the time limit has
    /// passed.
    #[must_use = "says whether the condition was reached"]
    pub fn run_until(&mut self, mut done: impl FnMut(&mut A, &mut B) -> bool) -> bool {
        let limit = self.now + self.time_limit;
        loop {
            self.flush();
            if done(&mut self.a, &mut self.b) {
                self.flush();
                return true;
            }
            match self.next_wake() {
                Some(at) if at <= limit => self.advance(at),
                _ => return false,
            }
        }
    }

    /// Lets exactly this time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.flush();
            match self.next_wake() {
                Some(at) if at <= end => self.advance(at),
                _ => break,
            }
        }
        self.now = end;
        self.steps_now = 0;
    }

    fn next_wake(&self) -> Option<Instant> {
        let arrival = self.in_flight.peek().map(|Reverse(arrival)| arrival.at);
        let wake = [arrival, self.a.poll_timeout(), self.b.poll_timeout()].into_iter().flatten().min()?;
        Some(wake.max(self.now))
    }

    fn advance(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.steps_now = 0;
        }
        self.count_step();
        let due = self.in_flight.peek().is_some_and(|Reverse(arrival)| arrival.at <= at);
        if due && let Some(Reverse(mut arrival)) = self.in_flight.pop() {
            match arrival.to {
                Side::A => self.a.handle_datagram(at, arrival.path, &mut arrival.data),
                Side::B => self.b.handle_datagram(at, arrival.path, &mut arrival.data),
            }
        } else if self.a.poll_timeout().is_some_and(|timeout| timeout <= at) {
            self.a.handle_timeout(at);
        } else {
            self.b.handle_timeout(at);
        }
        self.flush();
    }

    fn count_step(&mut self) {
        self.steps += 1;
        self.steps_now += 1;
        assert!(
            self.steps <= self.step_cap && self.steps_now <= STEPS_PER_INSTANT,
            "livelock at {:?}: {} steps, {} of them at this instant; timeouts: A {:?}, B {:?}; {} in flight",
            self.elapsed(),
            self.steps,
            self.steps_now,
            self.a.poll_timeout().map(since_start),
            self.b.poll_timeout().map(since_start),
            self.in_flight.len(),
        );
    }

    fn flush(&mut self) {
        self.flush_side(Side::A);
        self.flush_side(Side::B);
    }

    fn flush_side(&mut self, from: Side) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for sent in 0.. {
            assert!(
                sent < STEPS_PER_INSTANT,
                "livelock: {from:?} never stops sending at {:?}",
                self.elapsed()
            );
            buffer.clear();
            let transmit = match from {
                Side::A => self.a.poll_transmit(self.now, &mut buffer),
                Side::B => self.b.poll_transmit(self.now, &mut buffer),
            };
            let Some(transmit) = transmit else {
                assert!(buffer.is_empty(), "{from:?} appended bytes and returned no transmit");
                break;
            };
            assert_eq!(transmit.len, buffer.len(), "{from:?} returned a wrong length");
            let size = transmit.segment_size.unwrap_or(buffer.len()).max(1);
            for datagram in buffer.chunks(size) {
                self.send(from.other(), transmit.path, datagram);
            }
        }
        self.buffer = buffer;
    }

    fn send(&mut self, to: Side, path: FiveTuple, data: &[u8]) {
        let passed = self.links[to as usize].pass(self.now, data.len());
        let arrives_on = match &mut self.translations[to as usize] {
            Some(translation) => translation(path),
            None => Some(path.reversed()),
        };
        let fate = match (passed, arrives_on) {
            (Err(drop), _) => Fate::Lost(drop),
            (_, None) => Fate::Lost(LinkDrop::Unroutable),
            (Ok((at, duplicate)), Some(arrives_on)) => {
                self.push(at, to, arrives_on, data.to_vec());
                if let Some(at) = duplicate {
                    self.push(at, to, arrives_on, data.to_vec());
                }
                Fate::Arrives(since_start(at))
            }
        };
        self.record(to, path, data, fate);
    }

    fn push(&mut self, at: Instant, to: Side, path: FiveTuple, data: Vec<u8>) {
        self.order += 1;
        self.in_flight.push(Reverse(Arrival { at, order: self.order, to, path, data }));
    }

    fn record(&mut self, to: Side, path: FiveTuple, data: &[u8], fate: Fate) {
        if self.recording && self.record_bytes + data.len() <= RECORD_BYTES {
            self.record_bytes += data.len();
            self.records.push(Record { sent: self.elapsed(), to, path, data: data.to_vec(), fate });
        }
    }
}

fn since_start(at: Instant) -> Duration {
    at.saturating_duration_since(crate::start())
}

impl<A: Machine, B: Machine> fmt::Debug for Pair<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("elapsed", &self.elapsed())
            .field("in_flight", &self.in_flight.len())
            .finish_non_exhaustive()
    }
}

impl<A: Machine, B: Machine> Drop for Pair<A, B> {
    fn drop(&mut self) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if !std::thread::panicking() || self.records.is_empty() {
            return;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = pcap_path(number);
        match self.write_pcap(&path) {
            Ok(()) => eprintln!("netsim: {} datagrams in {}", self.records.len(), path.display()),
            Err(error) => eprintln!("netsim: no pcap at {}: {error}", path.display()),
        }
    }
}

/// In the system's folder for temporary files, named after the test's thread.
fn pcap_path(number: u32) -> PathBuf {
    let thread = std::thread::current();
    let name: String =
        thread.name().unwrap_or("test").replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-");
    std::env::temp_dir().join(format!("netsim-{}-{number}-{name}.pcap", std::process::id()))
}
