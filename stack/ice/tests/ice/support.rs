//! Agents on a simulated network, and a STUN builder that shares no code with the crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use tombolo_ice::stun::{Class, Message};
use tombolo_ice::{Agent, Candidate, Config, ConfigBuilder, Credentials, Event, Role, State};
use tombolo_net::{FiveTuple, Seed, Transmit};
use tombolo_netsim::{Machine, Pair, Record, Side, start};

/// An agent and what it told.
pub(crate) struct Peer {
    pub(crate) agent: Agent,
    pub(crate) events: Vec<Event>,
}

impl Peer {
    pub(crate) fn new(config: ConfigBuilder, seed: u64) -> Self {
        let agent = Agent::new(Arc::new(config.build().unwrap()), Seed::from_number(seed), start());
        Self { agent, events: Vec::new() }
    }

    /// With a host candidate, and the other side's credentials.
    pub(crate) fn prepare(&mut self, role: Role, address: &str, remote: &Credentials) {
        self.agent.set_role(role);
        self.agent.add_local_candidate(start(), Candidate::host(address.parse().unwrap())).unwrap();
        self.agent.set_remote_credentials(start(), remote.clone()).unwrap();
    }

    pub(crate) fn state(&self) -> State {
        self.agent.state()
    }

    pub(crate) fn states(&self) -> Vec<State> {
        let states = self.events.iter().filter_map(|event| match event {
            Event::StateChanged(state) => Some(*state),
            _ => None,
        });
        states.collect()
    }

    pub(crate) fn drain(&mut self) {
        while let Some(event) = self.agent.poll_event() {
            self.events.push(event);
        }
    }
}

impl Machine for Peer {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.agent.handle_datagram(now, path, data);
        self.drain();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.agent.handle_timeout(now);
        self.drain();
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.agent.poll_transmit(now, out);
        self.drain();
        transmit
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.agent.poll_timeout()
    }
}

pub(crate) const A: &str = "192.0.2.1:1000";
pub(crate) const B: &str = "192.0.2.2:2000";

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// From A to B, as A sees it.
pub(crate) fn a_to_b() -> FiveTuple {
    FiveTuple::udp(addr(A), addr(B))
}

pub(crate) fn host(text: &str) -> Candidate {
    Candidate::host(addr(text))
}

/// Two agents that know each other's credentials and, where told so, candidates. A controls.
pub(crate) fn pair_of(a: ConfigBuilder, b: ConfigBuilder, seed: u64) -> Pair<Peer, Peer> {
    let (mut a, mut b) = (Peer::new(a, seed * 2), Peer::new(b, seed * 2 + 1));
    let (a_credentials, b_credentials) =
        (a.agent.local_credentials().clone(), b.agent.local_credentials().clone());
    let (a_is_lite, b_is_lite) = (a.agent.is_lite(), b.agent.is_lite());
    a.agent.set_remote_lite(b_is_lite);
    b.agent.set_remote_lite(a_is_lite);
    a.prepare(Role::Controlling, A, &b_credentials);
    b.prepare(Role::Controlled, B, &a_credentials);
    Pair::new(a, b, seed)
}

/// The same, and each knows the other's candidate.
pub(crate) fn signaled(a: ConfigBuilder, b: ConfigBuilder, seed: u64) -> Pair<Peer, Peer> {
    let mut pair = pair_of(a, b, seed);
    pair.a.agent.add_remote_candidate(start(), host(B));
    pair.b.agent.add_remote_candidate(start(), host(A));
    pair
}

pub(crate) fn full() -> ConfigBuilder {
    Config::builder()
}

pub(crate) fn lite() -> ConfigBuilder {
    Config::builder().lite(true)
}

pub(crate) fn both_connected(a: &mut Peer, b: &mut Peer) -> bool {
    a.state() == State::Connected && b.state() == State::Connected
}

/// Both full, connected, and nomination done.
pub(crate) fn connected(seed: u64) -> Pair<Peer, Peer> {
    let mut pair = signaled(full(), full(), seed);
    assert!(pair.run_until(both_connected));
    pair.run_for(std::time::Duration::from_secs(1));
    pair
}

/// The STUN messages of one class that went to one side.
pub(crate) fn stun_to(records: &[Record], to: Side, class: Class) -> Vec<(&Record, Message<'_>)> {
    let parsed = records
        .iter()
        .filter(|record| record.to == to)
        .map(|record| (record, Message::parse(&record.data).expect("agents send well-formed messages")));
    parsed.filter(|(_, message)| message.class() == class).collect()
}

/// Builds messages byte by byte.
#[derive(Clone)]
pub(crate) struct Raw(Vec<u8>);

impl Raw {
    pub(crate) fn new(kind: u16, id: u8) -> Self {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0, 0, 0x21, 0x12, 0xa4, 0x42]);
        bytes.extend_from_slice(&[id; 12]);
        Self(bytes)
    }

    pub(crate) fn with_id(kind: u16, id: [u8; 12]) -> Self {
        let mut raw = Self::new(kind, 0);
        raw.0[8..20].copy_from_slice(&id);
        raw
    }

    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend_from_slice(&kind.to_be_bytes());
        self.0.extend_from_slice(&(value.len() as u16).to_be_bytes());
        self.0.extend_from_slice(value);
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        self.fix_length(0)
    }

    fn fix_length(mut self, more: usize) -> Self {
        let length = (self.0.len() - 20 + more) as u16;
        self.0[2..4].copy_from_slice(&length.to_be_bytes());
        self
    }

    pub(crate) fn sign(self, pwd: &str) -> Self {
        let signed = self.fix_length(24);
        let mut mac = Hmac::<Sha1>::new_from_slice(pwd.as_bytes()).unwrap();
        mac.update(&signed.0);
        let tag: [u8; 20] = mac.finalize().into_bytes().into();
        signed.attribute(0x0008, &tag)
    }

    pub(crate) fn fingerprint(self) -> Self {
        let fixed = self.fix_length(8);
        let crc = crc32fast::hash(&fixed.0) ^ 0x5354_554e;
        fixed.attribute(0x8028, &crc.to_be_bytes())
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A check to `agent` that is right in everything but the signature.
pub(crate) fn unsigned_check(agent: &Agent, id: u8) -> Raw {
    Raw::new(0x0001, id)
        .attribute(0x0006, format!("{}:peer", agent.local_credentials().ufrag()).as_bytes())
        .attribute(0x0024, &0x6e00_1eff_u32.to_be_bytes())
        .attribute(0x802a, &7_u64.to_be_bytes())
}

/// A right check to `agent`, of a controlling peer, as bytes.
pub(crate) fn check(agent: &Agent, id: u8, use_candidate: bool) -> Vec<u8> {
    let raw = unsigned_check(agent, id);
    let raw = if use_candidate { raw.attribute(0x0025, &[]) } else { raw };
    raw.sign(agent.local_credentials().pwd()).fingerprint().bytes()
}

/// Everything that the agent wants to send now.
pub(crate) fn sent(peer: &mut Peer, now: Instant) -> Vec<(FiveTuple, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        let Some(transmit) = peer.poll_transmit(now, &mut out) else { return all };
        all.push((transmit.path, out));
    }
}
