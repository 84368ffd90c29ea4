//! A native WebRTC client on a real UDP socket: what a camera or a player without a browser does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tombolo::crypto::CryptoProvider;
use tombolo::dtls::Certificate;
use tombolo::net::{Epoch, FiveTuple, RtpTime, Seed, SeqNo};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{
    Codec, Config, ConnectionState, Event, MediaKind, OutgoingPacket, PeerConnection, ReceivedPacket,
    TransceiverInit,
};

use super::support::request;

/// A client with one audio section, and what it has heard.
pub(crate) struct Client {
    pub(crate) pc: PeerConnection,
    pub(crate) socket: UdpSocket,
    /// Where its HTTP session lives.
    pub(crate) session: String,
    /// The gateway's description.
    pub(crate) answer: String,
    pub(crate) packets: Vec<ReceivedPacket>,
    /// The datagrams of media that it sent last, as they were on the wire.
    pub(crate) sent_media: Vec<Vec<u8>>,
    seq: u16,
}

impl Client {
    /// Publishes sound by WHIP; the connection is up.
    pub(crate) async fn publish(server: SocketAddr, path: &str, seed: u64) -> Self {
        let mut client = Self::open(server, path, Direction::SendOnly, seed).await;
        client.connect().await;
        client
    }

    /// Watches by WHEP; the connection is up.
    pub(crate) async fn watch(server: SocketAddr, path: &str, seed: u64) -> Self {
        let mut client = Self::open(server, path, Direction::RecvOnly, seed).await;
        client.connect().await;
        client
    }

    /// Offers and takes the answer; nothing was sent over UDP yet.
    pub(crate) async fn open(server: SocketAddr, path: &str, direction: Direction, seed: u64) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let system = SystemTime::now();
        let (provider, seed) = (CryptoProvider::default(), Seed::from_number(seed));
        let certificate =
            Certificate::self_signed(&provider, &seed, system, system + Duration::from_secs(86_400)).unwrap();
        let config = Config::builder(certificate).allow_loopback(true).build().unwrap();
        let now = Instant::now();
        let mut pc = PeerConnection::new(Arc::new(config), &seed, Epoch { instant: now, system }, now);
        pc.add_local_candidate(now, socket.local_addr().unwrap()).unwrap();
        pc.add_transceiver(MediaKind::Audio, direction, &TransceiverInit::default());
        let offer = pc.create_offer().unwrap();
        pc.set_local_description(now, &offer).unwrap();
        let sdp = ("content-type", "application/sdp");
        let reply = request(server, "POST", path, &[sdp], offer.to_string().as_bytes()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        let session = reply.header("location").unwrap().to_owned();
        pc.set_remote_description(now, SessionDescription::answer(&reply.body).unwrap()).unwrap();
        Self { pc, socket, session, answer: reply.body, packets: Vec::new(), sent_media: Vec::new(), seq: 0 }
    }

    /// Ends the HTTP session, and with it the connection.
    pub(crate) async fn leave(self, server: SocketAddr) {
        assert_eq!(request(server, "DELETE", &self.session, &[], b"").await.status, 200);
    }

    async fn connect(&mut self) {
        let up = |client: &Self| client.pc.state() == ConnectionState::Connected;
        assert!(self.run_until(Duration::from_secs(10), up).await, "{:?}", self.pc.state());
    }

    /// Sends a packet of sound whose payload is `number`.
    pub(crate) fn speak(&mut self, number: u32) {
        self.seq = self.seq.wrapping_add(1);
        let payload = Bytes::copy_from_slice(&[&[0xfc], &number.to_be_bytes()[..]].concat());
        let timestamp = RtpTime(u32::from(self.seq) * 960);
        let packet = OutgoingPacket::new(Codec::Opus, SeqNo(self.seq), timestamp, false, payload);
        let id = self.pc.transceivers()[0].id();
        self.pc.send_rtp(Instant::now(), id, packet).unwrap();
    }

    /// Lets the connection work for a while.
    pub(crate) async fn run_for(&mut self, time: Duration) {
        self.run_until(time, |_| false).await;
    }

    /// Lets the connection work until `done` or for `limit`; whether it was done.
    pub(crate) async fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = Instant::now() + limit;
        let mut buffer = vec![0; 2048];
        loop {
            self.flush().await;
            if done(self) {
                return true;
            }
            let now = Instant::now();
            if now >= end {
                return false;
            }
            let wake = self.pc.poll_timeout().map_or(end, |wake| wake.min(end));
            match tokio::time::timeout_at(wake.into(), self.socket.recv_from(&mut buffer)).await {
                Ok(received) => {
                    let (len, from) = received.unwrap();
                    let path = FiveTuple::udp(self.socket.local_addr().unwrap(), from);
                    self.pc.handle_datagram(Instant::now(), path, &mut buffer[..len]);
                }
                Err(_) => self.pc.handle_timeout(Instant::now()),
            }
        }
    }

    async fn flush(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.pc.poll_transmit(Instant::now(), &mut out) {
            if matches!(out[..], [128..=191, 0..=191 | 224.., ..]) {
                self.sent_media.push(out.clone());
            }
            self.socket.send_to(&out, transmit.path.remote).await.unwrap();
            out.clear();
        }
        while let Some(event) = self.pc.poll_event() {
            if let Event::Rtp(packet) = event {
                self.packets.push(packet);
            }
        }
    }

    /// The numbers that were heard.
    pub(crate) fn heard(&self) -> Vec<u32> {
        let number = |packet: &ReceivedPacket| packet.payload[1..5].try_into().map(u32::from_be_bytes);
        self.packets.iter().map(|packet| number(packet).unwrap()).collect()
    }
}
