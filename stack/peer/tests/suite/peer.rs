//! A connection that keeps what it was told, as a machine of a [`Pair`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, UNIX_EPOCH};

use bytes::Bytes;
use tombolo::net::{Ecn, Epoch, FiveTuple, RtpTime, Seed, SeqNo, Transmit};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{
    Codec, Config, ConfigBuilder, ConnectionState, Event, MediaKind, OutgoingPacket, PeerConnection,
    ReceivedPacket, TransceiverId, TransceiverInit,
};
use tombolo_netsim::{Machine, Pair};

/// A connection and all its events so far.
pub(crate) struct Peer {
    pub(crate) pc: PeerConnection,
    pub(crate) events: Vec<Event>,
    /// The mark that datagrams arrive with.
    pub(crate) ecn: Ecn,
    next_seq: BTreeMap<TransceiverId, u16>,
}

/// Two of them on a network.
pub(crate) type Call = Pair<Peer, Peer>;

/// A certificate for each seed, made once: key generation is slow unoptimised.
pub(crate) fn certificate(seed: u64) -> tombolo::dtls::Certificate {
    static MADE: Mutex<BTreeMap<u64, tombolo::dtls::Certificate>> = Mutex::new(BTreeMap::new());
    MADE.lock().unwrap().entry(seed).or_insert_with(|| make_certificate(seed)).clone()
}

fn make_certificate(seed: u64) -> tombolo::dtls::Certificate {
    let not_before = UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let not_after = not_before + Duration::from_secs(30 * 86_400);
    let provider = tombolo::crypto::rust_crypto::provider();
    tombolo::dtls::Certificate::self_signed(&provider, &Seed::from_number(seed), not_before, not_after)
        .unwrap()
}

pub(crate) fn config(seed: u64) -> ConfigBuilder {
    Config::builder(certificate(seed))
}

/// A config whose connections draw everything from their seed, which `ring` does not allow. Slow unoptimised.
pub(crate) fn deterministic(seed: u64) -> ConfigBuilder {
    config(seed).crypto(tombolo::crypto::rust_crypto::provider())
}

pub(crate) fn address(peer: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, peer], 4000 + u16::from(peer)))
}

impl Peer {
    pub(crate) fn new(config: ConfigBuilder, number: u8) -> Self {
        let now = tombolo_netsim::start();
        let epoch = Epoch { instant: now, system: UNIX_EPOCH + Duration::from_secs(1_790_000_000) };
        let seed = Seed::from_number(1000 + u64::from(number));
        let mut pc = PeerConnection::new(Arc::new(config.build().unwrap()), &seed, epoch, now);
        pc.add_local_candidate(now, address(number)).unwrap();
        Self { pc, events: Vec::new(), ecn: Ecn::NotEct, next_seq: BTreeMap::new() }
    }

    fn collect(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.pc.poll_event()));
    }

    pub(crate) fn packets(&self) -> impl Iterator<Item = &ReceivedPacket> {
        self.events.iter().filter_map(|event| match event {
            Event::Rtp(packet) => Some(packet),
            _ => None,
        })
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.pc.state() == ConnectionState::Connected
    }

    pub(crate) fn first(&self, kind: MediaKind) -> TransceiverId {
        self.pc.transceivers().iter().find(|transceiver| transceiver.kind() == kind).unwrap().id()
    }

    /// Sends a packet whose payload names its number; VP8 with a keyframe's first byte where asked for.
    pub(crate) fn send(&mut self, now: Instant, id: TransceiverId, codec: Codec) -> u16 {
        let next = self.next_seq.entry(id).or_insert(65_500);
        let seq = *next;
        *next = seq.wrapping_add(1);
        let packet = packet(codec, seq);
        self.pc.send_rtp(now, id, packet).unwrap();
        self.collect();
        seq
    }
}

pub(crate) fn packet(codec: Codec, seq: u16) -> OutgoingPacket {
    let mut payload = vec![0x10, 0x01];
    payload.extend_from_slice(&seq.to_be_bytes());
    payload.resize(200, 7);
    let ticks = u32::from(seq).wrapping_mul(codec.clock_rate_hz() / 100);
    OutgoingPacket::new(codec, SeqNo(seq), RtpTime(ticks), true, Bytes::from(payload))
}

impl Machine for Peer {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.pc.handle_marked_datagram(now, path, self.ecn, data);
        self.collect();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.pc.handle_timeout(now);
        self.collect();
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.pc.poll_transmit(now, out);
        self.collect();
        transmit
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.pc.poll_timeout()
    }
}

/// An offerer with sound and pictures both ways.
pub(crate) fn offerer(config: ConfigBuilder) -> Peer {
    let mut peer = Peer::new(config, 1);
    for kind in [MediaKind::Audio, MediaKind::Video] {
        peer.pc.add_transceiver(kind, Direction::SendRecv, &TransceiverInit::default());
    }
    peer
}

/// Carries a whole negotiation from `offerer` to `answerer` by text, which sends whatever is asked for.
pub(crate) fn negotiate(now: Instant, offerer: &mut Peer, answerer: &mut Peer) {
    let offer = offerer.pc.create_offer().unwrap();
    offerer.pc.set_local_description(now, &offer).unwrap();
    let offer = SessionDescription::offer(&offer.to_string()).unwrap();
    answer(now, offerer, answerer, offer);
}

fn answer(now: Instant, offerer: &mut Peer, answerer: &mut Peer, offer: SessionDescription) {
    answerer.pc.set_remote_description(now, offer).unwrap();
    let ids: Vec<_> = answerer.pc.transceivers().iter().map(tombolo::Transceiver::id).collect();
    for id in ids {
        answerer.pc.set_direction(id, Direction::SendRecv).unwrap();
    }
    let answer = answerer.pc.create_answer().unwrap();
    answerer.pc.set_local_description(now, &answer).unwrap();
    let answer = SessionDescription::answer(&answer.to_string()).unwrap();
    offerer.pc.set_remote_description(now, answer).unwrap();
    offerer.collect();
    answerer.collect();
}

/// A call between two peers that have negotiated, not yet connected.
pub(crate) fn call(a: ConfigBuilder, b: ConfigBuilder) -> Call {
    let (mut a, mut b) = (offerer(a), Peer::new(b, 2));
    negotiate(tombolo_netsim::start(), &mut a, &mut b);
    Pair::new(a, b, 7)
}

/// A call between two peers that have negotiated, not yet connected; the offer is changed on its way.
pub(crate) fn with_offer(a: ConfigBuilder, b: ConfigBuilder, edit: impl Fn(String) -> String) -> Call {
    let now = tombolo_netsim::start();
    let (mut a, mut b) = (offerer(a), Peer::new(b, 2));
    let offer = a.pc.create_offer().unwrap();
    a.pc.set_local_description(now, &offer).unwrap();
    let offer = SessionDescription::offer(&edit(offer.to_string())).unwrap();
    answer(now, &mut a, &mut b, offer);
    Pair::new(a, b, 9)
}

/// All lines of a description but those that begin so.
pub(crate) fn without(text: &str, start: &str) -> String {
    text.lines().filter(|line| !line.starts_with(start)).map(|line| format!("{line}\r\n")).collect()
}

/// A call that is connected.
pub(crate) fn connected() -> Call {
    let mut call = call(config(1), config(2));
    assert!(call.run_until(|a, b| a.is_connected() && b.is_connected()));
    call
}
