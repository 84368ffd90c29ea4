//! [`Dumbbell`]: many flows through one bottleneck each way.
//!
//! Every flow has two machines of its own and shares the links with all others; what it adds to their latency is its own.
//! The clock jumps as that of a [`Pair`](crate::Pair) does, and what became of each datagram is noted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use tombolo_net::{FiveTuple, Seed};

use crate::link::{Link, LinkState};
use crate::machine::Machine;
use crate::pair::Side;

/// Steps at one instant after which a run counts as livelocked.
const STEPS_PER_INSTANT: u32 = 1_000_000;

/// What became of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When it was sent, since the start of the clock.
    pub sent: Duration,
    /// When it arrives; `None`: it was lost.
    pub arrival: Option<Duration>,
    /// How long it waited before the bottleneck.
    pub queued: Duration,
    /// Its UDP payload.
    pub len_bytes: usize,
}

/// Two machines of one flow.
#[derive(Debug)]
pub struct Flow<A, B> {
    /// At the left end.
    pub a: A,
    /// At the right end.
    pub b: B,
    /// Added to the latency of the links, each way.
    extra_latency: Duration,
    /// By receiving side.
    deliveries: [Vec<Delivery>; 2],
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: Instant,
    order: u64,
    flow: usize,
    to: Side,
    data: Vec<u8>,
}

/// Flows that share one link each way, on a virtual clock that starts at [`start`](crate::start).
#[derive(Debug)]
pub struct Dumbbell<A, B> {
    flows: Vec<Flow<A, B>>,
    links: [LinkState; 2],
    now: Instant,
    in_flight: BinaryHeap<Reverse<Arrival>>,
    order: u64,
    buffer: Vec<u8>,
    steps_now: u32,
}

impl<A: Machine, B: Machine> Dumbbell<A, B> {
    /// No flows, and default links. Everything random comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let now = crate::start();
        let mut rng = Seed::from_number(seed).rng();
        let mut link = || LinkState::new(Seed::fork(&mut rng).rng(), now);
        Self {
            flows: Vec::new(),
            links: [link(), link()],
            now,
            in_flight: BinaryHeap::new(),
            order: 0,
            buffer: Vec::new(),
            steps_now: 0,
        }
    }

    /// Adds a flow.
    pub fn add(&mut self, a: A, b: B, extra_latency: Duration) {
        self.flows.push(Flow { a, b, extra_latency, deliveries: [Vec::new(), Vec::new()] });
    }

    /// The flows, in the order in which they were added.
    pub fn flows(&mut self) -> &mut [Flow<A, B>] {
        &mut self.flows
    }

    /// What became of the datagrams that a flow sent towards `to`, in the order of sending.
    ///
    /// # Panics
    /// When there is no such flow.
    #[must_use]
    pub fn deliveries(&self, flow: usize, to: Side) -> &[Delivery] {
        &self.flows[flow].deliveries[to as usize]
    }

    /// Sets the link towards `to`. What is in flight stays as it is; counters and randomness go on. What waits before the
    /// bottleneck leaves at the old rate.
    pub fn set_link(&mut self, to: Side, link: Link) {
        self.links[to as usize].config = link;
    }

    /// The virtual time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(crate::start())
    }

    /// Lets exactly this time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.in_flight.peek().map(|Reverse(arrival)| arrival.at);
            let timeouts = self.flows.iter().flat_map(|flow| [flow.a.poll_timeout(), flow.b.poll_timeout()]);
            let Some(at) = timeouts.chain([arrival]).flatten().min().filter(|at| *at <= end) else { break };
            self.advance(at.max(self.now));
        }
        self.now = end;
        self.steps_now = 0;
    }

    fn advance(&mut self, at: Instant) {
        if at > self.now {
            self.now = at;
            self.steps_now = 0;
        }
        self.steps_now += 1;
        assert!(self.steps_now <= STEPS_PER_INSTANT, "livelock at {:?}", self.elapsed());
        while self.in_flight.peek().is_some_and(|Reverse(arrival)| arrival.at <= at) {
            let Some(Reverse(mut arrival)) = self.in_flight.pop() else { break };
            let path = path(arrival.flow);
            let flow = &mut self.flows[arrival.flow];
            match arrival.to {
                Side::A => flow.a.handle_datagram(at, path, &mut arrival.data),
                Side::B => flow.b.handle_datagram(at, path.reversed(), &mut arrival.data),
            }
            self.flush(arrival.flow);
        }
        for index in 0..self.flows.len() {
            let is_due = |timeout: Option<Instant>| timeout.is_some_and(|timeout| timeout <= at);
            let flow = &mut self.flows[index];
            let (a, b) = (is_due(flow.a.poll_timeout()), is_due(flow.b.poll_timeout()));
            if a {
                flow.a.handle_timeout(at);
            }
            if b {
                flow.b.handle_timeout(at);
            }
            if a || b {
                self.flush(index);
            }
        }
    }

    fn flush(&mut self, flow: usize) {
        let mut buffer = std::mem::take(&mut self.buffer);
        for from in [Side::A, Side::B] {
            loop {
                buffer.clear();
                let transmit = match from {
                    Side::A => self.flows[flow].a.poll_transmit(self.now, &mut buffer),
                    Side::B => self.flows[flow].b.poll_transmit(self.now, &mut buffer),
                };
                let Some(transmit) = transmit else { break };
                let size = transmit.segment_size.unwrap_or(buffer.len()).max(1);
                for datagram in buffer.chunks(size) {
                    self.send(flow, from.other(), datagram);
                }
            }
        }
        self.buffer = buffer;
    }

    fn send(&mut self, flow: usize, to: Side, data: &[u8]) {
        let link = &mut self.links[to as usize];
        let queued = link.waiting(self.now);
        let passed = link.pass(self.now, data.len());
        let extra = self.flows[flow].extra_latency;
        let arrival = passed.ok().map(|(at, duplicate)| {
            for at in [Some(at), duplicate].into_iter().flatten() {
                self.order += 1;
                let data = data.to_vec();
                self.in_flight.push(Reverse(Arrival { at: at + extra, order: self.order, flow, to, data }));
            }
            (at + extra).saturating_duration_since(crate::start())
        });
        let delivery = Delivery { sent: self.elapsed(), arrival, queued, len_bytes: data.len() };
        self.flows[flow].deliveries[to as usize].push(delivery);
    }
}

/// The path of a flow as its left end sees it.
fn path(flow: usize) -> FiveTuple {
    let port = 1024 + flow as u16;
    FiveTuple::udp(([10, 0, 0, 1], port).into(), ([10, 0, 0, 2], port).into())
}
