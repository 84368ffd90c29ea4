//! A publisher by WHIP and a viewer by WHEP, over a socket each.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tombolo::crypto::CryptoProvider;
use tombolo::dtls::Certificate;
use tombolo::net::{Epoch, FiveTuple, RtpTime, Seed, SeqNo};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{
    Codec, Config, Event, MediaKind, OutgoingPacket, PeerConnection, TransceiverId, TransceiverInit,
};
use tombolo_rtp::codec::Packetizer;

use super::media::{Camera, Sample, Seen};
use super::process::Gateway;
use super::{CHANNEL, PUBLISHER};

/// The most payload of a packet: what browsers take.
const MAX_PAYLOAD_BYTES: usize = 1160;

/// Publishes for as long as the runtime lives.
pub(super) async fn publish(gateway: &Gateway) {
    let path = format!("/whip/{CHANNEL}?name={PUBLISHER}");
    let peer = Peer::open(gateway, &path, Direction::SendOnly, 1).await;
    let mut sender = Sender::new(&peer.pc);
    tokio::spawn(async move {
        let mut peer = peer;
        let mut camera = Camera::new();
        loop {
            let event = peer.turn(Some(camera.due())).await;
            if let Some(Event::KeyframeRequested { .. }) = event {
                camera.request_keyframe();
            }
            while camera.due() <= Instant::now() {
                sender.send(&mut peer.pc, &camera.take());
            }
        }
    });
}

/// Watches for as long as the runtime lives.
pub(super) async fn watch(gateway: &Gateway, seen: Arc<Seen>) {
    let path = format!("/whep/{CHANNEL}?publisher={PUBLISHER}");
    let mut peer = Peer::open(gateway, &path, Direction::RecvOnly, 2).await;
    tokio::spawn(async move {
        loop {
            if let Some(Event::Rtp(packet)) = peer.turn(None).await {
                match packet.codec {
                    Codec::Opus => seen.count(MediaKind::Audio),
                    _ if packet.marker => seen.count(MediaKind::Video),
                    _ => {}
                }
            }
        }
    });
}

struct Peer {
    pc: PeerConnection,
    socket: UdpSocket,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

impl Peer {
    async fn open(gateway: &Gateway, path: &str, direction: Direction, seed: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let system = SystemTime::now();
        let (provider, seed) = (CryptoProvider::default(), Seed::from_number(seed));
        let day = Duration::from_secs(86_400);
        let certificate =
            Certificate::self_signed(&provider, &seed, system - day, system + day).expect("a certificate");
        let config = Config::builder(certificate).allow_loopback(true).build().expect("a configuration");
        let now = Instant::now();
        let mut pc = PeerConnection::new(Arc::new(config), &seed, Epoch { instant: now, system }, now);
        let address = socket.local_addr().expect("bound");
        pc.add_local_candidate(now, address).expect("a candidate");
        for kind in [MediaKind::Audio, MediaKind::Video] {
            pc.add_transceiver(kind, direction, &TransceiverInit::default());
        }
        let offer = pc.create_offer().expect("an offer");
        pc.set_local_description(now, &offer).expect("a local description");
        let (_, answer) = gateway.request("POST", path, "application/sdp", &offer.to_string());
        let answer = SessionDescription::answer(&answer).expect("an answer");
        pc.set_remote_description(now, answer).expect("a remote description");
        Self { pc, socket, buffer: vec![0; 2048], out: Vec::new() }
    }

    /// Sends what is due, then waits for a datagram, a timeout or `wake`; returns an event if there is one.
    async fn turn(&mut self, wake: Option<Instant>) -> Option<Event> {
        self.flush().await;
        if let Some(event) = self.pc.poll_event() {
            return Some(event);
        }
        let due = [self.pc.poll_timeout(), wake].into_iter().flatten().min();
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => pending().await,
            }
        };
        tokio::select! {
            received = self.socket.recv_from(&mut self.buffer) => {
                let (len, from) = received.expect("a datagram");
                let path = FiveTuple::udp(self.socket.local_addr().expect("bound"), from);
                self.pc.handle_datagram(Instant::now(), path, &mut self.buffer[..len]);
            }
            () = sleep => self.pc.handle_timeout(Instant::now()),
        }
        self.flush().await;
        self.pc.poll_event()
    }

    async fn flush(&mut self) {
        while let Some(transmit) = self.pc.poll_transmit(Instant::now(), &mut self.out) {
            // One call each, as browsers do.
            let size = transmit.segment_size.unwrap_or(transmit.len).max(1);
            for datagram in self.out.chunks(size) {
                self.socket.send_to(datagram, transmit.path.remote).await.expect("sent");
            }
            self.out.clear();
        }
    }
}

/// Cuts samples into packets.
struct Sender {
    audio: Stream,
    video: Stream,
}

struct Stream {
    id: TransceiverId,
    codec: Codec,
    packetizer: Packetizer,
    seq: u16,
}

impl Sender {
    fn new(pc: &PeerConnection) -> Self {
        let stream = |kind, codec| {
            let transceiver = pc.transceivers().iter().find(|transceiver| transceiver.kind() == kind);
            let id = transceiver.expect("a transceiver of each kind").id();
            Stream { id, codec, packetizer: Packetizer::new(codec, 0), seq: 0 }
        };
        Self { audio: stream(MediaKind::Audio, Codec::Opus), video: stream(MediaKind::Video, Codec::Vp8) }
    }

    fn send(&mut self, pc: &mut PeerConnection, sample: &Sample) {
        let stream = if sample.kind == MediaKind::Audio { &mut self.audio } else { &mut self.video };
        let mut payloads: Vec<Bytes> = Vec::new();
        let cut = stream.packetizer.packetize(&sample.data, MAX_PAYLOAD_BYTES, &mut payloads);
        cut.expect("a frame that can be cut");
        let ticks = sample.media_time_us * u64::from(stream.codec.clock_rate_hz()) / 1_000_000;
        let last = payloads.len() - 1;
        for (n, payload) in payloads.into_iter().enumerate() {
            stream.seq = stream.seq.wrapping_add(1);
            let marker = sample.kind == MediaKind::Video && n == last;
            let (seq, timestamp) = (SeqNo(stream.seq), RtpTime(ticks as u32));
            let packet = OutgoingPacket {
                media_time_us: Some(sample.media_time_us as i64),
                keyframe: sample.keyframe,
                ..OutgoingPacket::new(stream.codec, seq, timestamp, marker, payload)
            };
            // What is made before the connection stands is not sent.
            let _ = pc.send_rtp(Instant::now(), stream.id, packet);
        }
    }
}
