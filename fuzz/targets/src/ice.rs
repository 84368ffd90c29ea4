//! STUN messages, candidates, and an ICE agent under any operations.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use tombolo_ice::stun::{
    AttributeType, Class, Encoder, ErrorCode, IntegrityKey, Message, Method, TransactionId,
};
use tombolo_ice::{Agent, Candidate, Config, Credentials, Role, State, is_stun};
use tombolo_net::{FiveTuple, Seed};
use tombolo_netsim::start;

/// Any bytes as a STUN message: every accessor, and the attributes lie within.
pub fn stun(data: &[u8]) {
    let Ok(message) = Message::parse(data) else { return };
    assert_eq!(is_stun(data), data[0] < 4, "other methods than Binding may look like other protocols");
    let attributes: usize = message.attributes().map(|(_, value)| value.len() + 4).sum();
    assert!(attributes + 20 <= data.len());
    let _ = (message.ufrags(), message.xor_mapped_address(), message.error_code(), message.priority());
    let _ = (message.ice_controlled(), message.ice_controlling(), message.use_candidate());
    assert!(message.unknown_attributes().count() + message.not_understood().count() <= data.len());
    assert!(!message.verify_integrity(&IntegrityKey::new(b"a password nobody has")));
}

/// Any text as a candidate. What is accepted is written, and reads as the same again.
pub fn ice_candidate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(candidate) = text.parse::<Candidate>() {
        assert_eq!(candidate.to_string().parse::<Candidate>(), Ok(candidate));
    }
}

#[derive(Arbitrary, Debug)]
enum Op {
    /// Unsigned bytes from somewhere.
    Raw(u8, Vec<u8>),
    /// A check of the peer.
    Request {
        from: u8,
        id: u8,
        priority: u32,
        tiebreaker: u64,
        controlled: bool,
        nominates: bool,
        unknown: bool,
    },
    /// A response to one of the agent's requests, signed or not, from where it went or from elsewhere.
    Response {
        to: u8,
        signed: bool,
        from: Option<u8>,
        error: Option<u16>,
    },
    Wait(u16),
    RemoteCandidate(u8, u32),
    LocalCandidate(u8),
    RemoteCredentials,
    RemoteIsLite(bool),
    EndOfCandidates,
    Role(bool),
    Close,
}

/// An agent, full or lite, under any operations: it answers only to where a request came from, sends nothing after the
/// end, selects only authenticated paths, and its timers move on.
pub fn ice_agent(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok((lite, ops)) = <(bool, Vec<Op>)>::arbitrary(&mut data) else { return };
    let mut run = Run::new(lite);
    for op in ops.into_iter().take(200) {
        run.step(op);
    }
    run.wait(Duration::from_secs(200));
}

struct Run {
    agent: Agent,
    remote: Credentials,
    now: Instant,
    requests: Vec<(FiveTuple, TransactionId)>,
}

fn address(host: u8) -> SocketAddr {
    ([198, 51, 100, host], 1000).into()
}

fn path(host: u8) -> FiveTuple {
    FiveTuple::udp(([192, 0, 2, 1], 1).into(), address(host))
}

impl Run {
    fn new(lite: bool) -> Self {
        let config = Config::builder().lite(lite).max_pairs(8).build().expect("a valid configuration");
        let agent = Agent::new(Arc::new(config), Seed::from_number(1), start());
        let remote = Credentials::random(&mut Seed::from_number(2).rng());
        Self { agent, remote, now: start(), requests: Vec::new() }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Raw(from, bytes) => self.deliver(path(from), bytes),
            Op::Request { from, id, priority, tiebreaker, controlled, nominates, unknown } => {
                let role =
                    if controlled { AttributeType::ICE_CONTROLLED } else { AttributeType::ICE_CONTROLLING };
                let mut request = Vec::new();
                let local = self.agent.local_credentials();
                let mut encoder =
                    Encoder::new(&mut request, Class::Request, Method::BINDING, TransactionId([id; 12]))
                        .ice_username(local.ufrag(), self.remote.ufrag())
                        .attribute(AttributeType::PRIORITY, &priority.to_be_bytes())
                        .attribute(role, &tiebreaker.to_be_bytes());
                if nominates {
                    encoder = encoder.attribute(AttributeType::USE_CANDIDATE, &[]);
                }
                if unknown {
                    encoder = encoder.attribute(AttributeType(0x7ffe), &[1]);
                }
                encoder.integrity(&IntegrityKey::new(local.pwd().as_bytes())).finish_with_fingerprint();
                self.deliver(path(from), request);
            }
            Op::Response { to, signed, from, error } => self.respond(to, signed, from, error),
            Op::Wait(ms) => self.wait(Duration::from_millis(u64::from(ms))),
            Op::RemoteCandidate(host, priority) => {
                let candidate = Candidate { priority, ..Candidate::host(address(host)) };
                self.agent.add_remote_candidate(self.now, candidate);
            }
            Op::LocalCandidate(port) => {
                let local = SocketAddr::from(([192, 0, 2, 1], u16::from(port)));
                let _ = self.agent.add_local_candidate(self.now, Candidate::host(local));
            }
            Op::RemoteCredentials => {
                let _ = self.agent.set_remote_credentials(self.now, self.remote.clone());
            }
            Op::RemoteIsLite(lite) => self.agent.set_remote_lite(lite),
            Op::EndOfCandidates => self.agent.end_of_candidates(self.now),
            Op::Role(controlling) => {
                self.agent.set_role(if controlling { Role::Controlling } else { Role::Controlled });
            }
            Op::Close => self.agent.close(self.now),
        }
        self.drain(None);
    }

    fn respond(&mut self, to: u8, signed: bool, from: Option<u8>, error: Option<u16>) {
        let Some((asked, id)) = self.requests.get(usize::from(to)).copied() else { return };
        let class = if error.is_some() { Class::Error } else { Class::Success };
        let mut response = Vec::new();
        let mut encoder = Encoder::new(&mut response, class, Method::BINDING, id);
        encoder = match error {
            Some(code) => encoder.error_code(ErrorCode(code)),
            None => encoder.xor_mapped_address(asked.local),
        };
        if signed {
            encoder = encoder.integrity(&IntegrityKey::new(self.remote.pwd().as_bytes()));
        }
        encoder.finish_with_fingerprint();
        self.deliver(from.map_or(asked, path), response);
    }

    fn deliver(&mut self, from: FiveTuple, mut bytes: Vec<u8>) {
        let len = bytes.len();
        self.agent.handle_datagram(self.now, from, &mut bytes);
        self.drain(Some((from, len)));
    }

    /// Lets time pass, with every timeout on the way. A timer that does not move on is caught.
    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut at_this_instant = 0;
        while let Some(at) = self.agent.poll_timeout().filter(|at| *at <= end) {
            at_this_instant = if at > self.now { 0 } else { at_this_instant + 1 };
            assert!(at_this_instant < 1000, "the timer stays at {:?}", at - start());
            self.now = self.now.max(at);
            self.agent.handle_timeout(self.now);
            self.drain(None);
        }
        self.now = end;
    }

    /// Takes everything out. `from`: where a datagram just came from, and how long it was.
    fn drain(&mut self, from: Option<(FiveTuple, usize)>) {
        let mut out = Vec::new();
        while let Some(transmit) = self.agent.poll_transmit(self.now, &mut out) {
            let message = Message::parse(&out).expect("agents send well-formed messages");
            assert_eq!(transmit.len, out.len());
            if message.class() == Class::Request {
                self.requests.push((transmit.path, message.transaction_id()));
            } else {
                let (from, len) = from.expect("a reply needs a request");
                assert_eq!(transmit.path, from, "a reply goes to where the request came from");
                assert!(message.has_integrity() || out.len() <= len, "a stranger gets no more than was sent");
            }
            out.clear();
        }
        while self.agent.poll_event().is_some() {}
        if matches!(self.agent.state(), State::Failed | State::Closed) {
            assert_eq!((self.agent.poll_timeout(), self.agent.can_send()), (None, false));
        } else if let Some(selected) = self.agent.selected_path() {
            assert!(self.agent.is_authenticated(&selected));
        }
    }
}
