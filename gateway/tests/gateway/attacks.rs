//! Strangers at the UDP port while a call is going on: what they send is dropped and counted, nobody answers them more
//! than a STUN error, and the call does not notice.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::UdpSocket;
use tombolo_gateway::server::Server;
use tombolo_ice::stun::{AttributeType, Class, Encoder, IntegrityKey, Message, Method, TransactionId};

use super::client::Client;
use super::support::{gateway, request};

/// A gateway, one who speaks and one who listens.
struct Call {
    server: Server,
    publisher: Client,
    viewer: Client,
    spoken: u32,
}

impl Call {
    async fn new() -> Self {
        let server = gateway().await;
        let at = server.local_addr();
        let publisher = Client::publish(at, "/whip/demo?name=alice", 1).await;
        let viewer = Client::watch(at, "/whep/demo?publisher=alice", 2).await;
        let mut call = Self { server, publisher, viewer, spoken: 0 };
        // The viewer joins at the live edge: what was said before that is not for it.
        while call.viewer.packets.is_empty() {
            call.publisher.speak(call.spoken);
            call.spoken += 1;
            call.publisher.run_for(Duration::from_millis(5)).await;
            call.viewer.run_for(Duration::from_millis(5)).await;
            assert!(call.spoken < 500, "nothing is heard");
        }
        call.assert_alive().await;
        call
    }

    fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// What is spoken now is heard, all of it.
    async fn assert_alive(&mut self) {
        let first = self.spoken;
        self.viewer.packets.clear();
        for _ in 0..20 {
            self.publisher.speak(self.spoken);
            self.spoken += 1;
            self.publisher.run_for(Duration::from_millis(5)).await;
        }
        let expected: Vec<u32> = (first..self.spoken).collect();
        let all = |viewer: &Client| viewer.packets.len() >= expected.len();
        assert!(self.viewer.run_until(Duration::from_secs(5), all).await, "{:?}", self.viewer.heard());
        let mut heard = self.viewer.heard();
        heard.sort_unstable();
        assert_eq!(heard, expected);
    }

    /// A figure of `/metrics`; 0 when it is not there yet.
    async fn metric(&self, name: &str) -> u64 {
        let metrics = request(self.address(), "GET", "/metrics", &[], b"").await.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse::<f64>().unwrap() as u64)
    }

    async fn drops(&self, reason: &str) -> u64 {
        self.metric(&format!("tombolo_webrtc_dropped_total{{reason=\"{reason}\"}}")).await
    }

    /// All that was dropped of what looked like WebRTC.
    async fn all_drops(&self) -> u64 {
        let metrics = request(self.address(), "GET", "/metrics", &[], b"").await.body;
        let values = metrics.lines().filter(|line| line.starts_with("tombolo_webrtc_dropped_total{"));
        values.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    async fn end(mut self) {
        self.assert_alive().await;
        assert_eq!(self.metric("tombolo_webrtc_legs_connected ").await, 2);
        self.server.stop().await;
    }
}

/// Somebody who was not invited.
struct Stranger {
    socket: UdpSocket,
    target: SocketAddr,
}

impl Stranger {
    async fn new(target: SocketAddr) -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), target }
    }

    async fn send(&self, datagram: &[u8]) {
        self.socket.send_to(datagram, self.target).await.unwrap();
    }

    /// What comes back within a short while.
    async fn answers(&self) -> Vec<Vec<u8>> {
        let mut answers = Vec::new();
        let mut buffer = vec![0; 2048];
        let wait = Duration::from_millis(200);
        while let Ok(received) = tokio::time::timeout(wait, self.socket.recv_from(&mut buffer)).await {
            answers.push(buffer[..received.unwrap().0].to_vec());
        }
        answers
    }
}

/// `a=ice-ufrag` of a description.
fn ufrag(sdp: &str) -> &str {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().trim()
}

/// A DTLS 1.2 ClientHello with nothing in it but a version, a random and one suite.
fn client_hello() -> Vec<u8> {
    let body = [&[0xfe, 0xfd][..], &[7; 32], &[0, 0, 0, 2, 0xc0, 0x2b, 1, 0]].concat();
    let len = body.len() as u8;
    let handshake = [&[1, 0, 0, len, 0, 0, 0, 0, 0, 0, 0, len][..], &body].concat();
    [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, handshake.len() as u8][..], &handshake].concat()
}

/// MUX-01: every first byte, with bodies of many sizes, from an address that nobody knows.
#[tokio::test]
async fn datagrams_of_any_content_are_counted_and_harm_nobody() {
    let mut call = Call::new().await;
    let stranger = Stranger::new(call.address()).await;
    let before = call.metric("tombolo_datagrams_dropped_total{reason=\"unknown_first_byte\"}").await;
    for first in 0..=255_u8 {
        for size in [1, 2, 13, 20, 600, 1400] {
            let mut datagram = vec![first ^ 0x55; size];
            datagram[0] = first;
            stranger.send(&datagram).await;
        }
        if first % 32 == 0 {
            call.assert_alive().await;
        }
    }
    stranger.send(&[]).await;
    let answers = stranger.answers().await;
    assert!(
        answers.iter().all(|answer| answer.first().is_some_and(|first| *first >= 192 || *first < 4)),
        "only QUIC's and STUN's refusals: {answers:?}"
    );
    assert!(call.metric("tombolo_datagrams_dropped_total{reason=\"unknown_first_byte\"}").await > before);
    assert!(call.all_drops().await > 0);
    call.end().await;
}

/// DTLS-01, ICE-02: a hello, media and feedback from a source that has passed no check get no answer and reach nobody.
#[tokio::test]
async fn a_stranger_gets_no_handshake_and_no_hearing() {
    let call = Call::new().await;
    let stranger = Stranger::new(call.address()).await;
    let before = call.all_drops().await;
    let captured = call.publisher.sent_media.last().unwrap().clone();
    for _ in 0..10 {
        stranger.send(&client_hello()).await;
        stranger.send(&captured).await;
        stranger.send(&[&[0x81, 206, 0, 2][..], &[0; 30]].concat()).await;
    }
    assert_eq!(stranger.answers().await, Vec::<Vec<u8>>::new());
    assert_eq!(call.all_drops().await - before, 30);
    call.end().await;
}

/// SRTP-01: media of the publisher's own source with a byte changed, played again, or in the clear, from the
/// publisher's own address.
#[tokio::test]
async fn changed_and_replayed_media_is_dropped() {
    let mut call = Call::new().await;
    let before = call.drops("srtp_authentication").await;
    let good = call.publisher.sent_media.last().unwrap().clone();
    let (mut tag, mut header) = (good.clone(), good.clone());
    *tag.last_mut().unwrap() ^= 1;
    header[3] ^= 0x40;
    let clear = [&good[..12], &[0xfc, 0xff, 0xff, 0xff, 0xff]].concat();
    for datagram in [&tag, &header, &good, &clear] {
        call.publisher.socket.send_to(datagram, call.server.local_addr()).await.unwrap();
    }
    call.assert_alive().await;
    assert_eq!(call.drops("srtp_authentication").await - before, 4);
    call.end().await;
}

/// RTP before DTLS: from a path that has passed a check, before there are keys.
#[tokio::test]
async fn media_before_the_handshake_is_dropped() {
    let call = Call::new().await;
    let at = call.address();
    let before = call.all_drops().await;
    let early = Client::open(at, "/whip/demo?name=bob", tombolo::sdp::Direction::SendOnly, 3).await;
    let captured = call.publisher.sent_media.last().unwrap().clone();
    for _ in 0..5 {
        early.socket.send_to(&captured, at).await.unwrap();
    }
    let mut early = early;
    let up = |client: &Client| client.pc.state() == tombolo::ConnectionState::Connected;
    assert!(early.run_until(Duration::from_secs(10), up).await, "it connects all the same");
    assert!(call.all_drops().await - before >= 5);
    early.leave(at).await;
    call.end().await;
}

/// The chains *WHIP takeover* and *Hijack*: with both user fragments sniffed, a stranger asks unsigned, signed with a
/// guess, and to be nominated; then says hello. It gets STUN errors and nothing else, and the publisher stays.
#[tokio::test]
async fn a_sniffed_user_fragment_takes_nothing_over() {
    let mut call = Call::new().await;
    let stranger = Stranger::new(call.address()).await;
    let ours = ufrag(&call.publisher.answer).to_owned();
    let theirs = call.publisher.pc.local_ice_credentials().ufrag().to_owned();
    for (number, signed) in [(1, false), (2, true), (3, false), (4, true)] {
        let mut check = Vec::new();
        let id = TransactionId([number; 12]);
        let encoder = Encoder::new(&mut check, Class::Request, Method::BINDING, id)
            .ice_username(&ours, &theirs)
            .attribute(AttributeType::PRIORITY, &[0x6e, 0, 0x1e, 0xff])
            .attribute(AttributeType::ICE_CONTROLLING, &[9; 8])
            .attribute(AttributeType::USE_CANDIDATE, &[]);
        if signed {
            encoder.integrity(&IntegrityKey::new(b"a-password-that-is-a-guess")).finish_with_fingerprint();
        } else {
            encoder.finish_with_fingerprint();
        }
        stranger.send(&check).await;
        stranger.send(&client_hello()).await;
    }
    for answer in stranger.answers().await {
        let message = Message::parse(&answer).expect("nothing but STUN");
        assert!(message.error_code().is_some(), "nothing but an error");
    }
    call.assert_alive().await;
    let path = call.publisher.pc.stats().path.unwrap();
    assert_eq!(path.remote, call.address());
    call.end().await;
}
