//! A whole connection against a peer that has authenticated and then misbehaves.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use tombolo::net::{Epoch, FiveTuple, RtpTime, Seed, SeqNo};
use tombolo::sdp::{Direction, SessionDescription};
use tombolo::{Codec, Config, ConnectionState, Event, OutgoingPacket, PeerConnection, TransceiverId};
use tombolo_crypto::HashAlgorithm;
use tombolo_dtls as dtls;
use tombolo_ice::is_stun;
use tombolo_ice::stun::{AttributeType, Class, Encoder, IntegrityKey, Method, TransactionId};
use tombolo_netsim::start;
use tombolo_srtp::{InboundContext, MAX_OVERHEAD, MasterKey, OutboundContext, Profile};

use crate::dtls::config as dtls_config;

const UFRAG: &str = "peer";
const PWD: &str = "aPasswordOfThePeersOwn+/";

#[derive(Arbitrary, Debug)]
enum Op {
    /// RTP of the peer: any bytes behind a header that SRTP can seal.
    Rtp {
        section: bool,
        rtx: bool,
        ssrc: u8,
        seq: u16,
        timestamp: u16,
        extension: Vec<u8>,
        payload: Vec<u8>,
    },
    /// RTCP of the peer: a header and any bytes.
    Rtcp {
        count: u8,
        packet_type: u8,
        body: Vec<u8>,
    },
    /// Anything that is not sealed.
    Raw(Vec<u8>),
    /// A record inside DTLS.
    ApplicationData(Vec<u8>),
    /// A connectivity check from some port, possibly nominating.
    Check(u8, bool),
    /// This side sends a packet, which the peer may then claim to have lost.
    Send(u8),
    RequestKeyframe,
    Wait(u16),
}

/// Media, feedback, records and checks of an authenticated peer, in any order: nothing panics, nothing goes elsewhere
/// than to the peer, and what is sealed can be opened.
pub fn peer(data: &[u8]) {
    let mut data = Unstructured::new(data);
    let Ok(ops) = Vec::<Op>::arbitrary(&mut data) else { return };
    let mut run = Run::connect();
    for op in ops.into_iter().take(300) {
        run.step(op);
    }
    run.wait(Duration::from_secs(40));
}

struct Run {
    connection: PeerConnection,
    transceivers: Vec<TransceiverId>,
    dtls: dtls::Connection,
    seal: OutboundContext,
    open: InboundContext,
    credentials: (String, String),
    now: Instant,
    next_seq: u16,
    next_check: u8,
}

fn path() -> FiveTuple {
    FiveTuple::udp(([192, 0, 2, 1], 1).into(), ([192, 0, 2, 2], 2).into())
}

fn offer() -> String {
    let fingerprint = dtls_config().certificate().fingerprint(HashAlgorithm::Sha256).expect("a fingerprint");
    let transport = format!(
        "c=IN IP4 0.0.0.0\r\na=ice-ufrag:{UFRAG}\r\na=ice-pwd:{PWD}\r\na=fingerprint:{fingerprint}\r\n\
         a=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\na=rtcp-rsize\r\n\
         a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
         a=extmap:4 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n",
    );
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n{transport}a=mid:0\r\n\
         a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\n\
         a=extmap:11 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 goog-remb\r\n\
         a=rtcp-fb:96 ccm fir\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
         a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n{transport}a=mid:1\r\na=rtpmap:111 opus/48000/2\r\n\
         a=rtcp-fb:111 transport-cc\r\n"
    )
}

impl Run {
    /// Negotiates, checks connectivity and shakes hands, as an honest peer does.
    fn connect() -> Self {
        let certificate = dtls_config().certificate().clone();
        let provider = tombolo_crypto::rust_crypto::provider();
        let config =
            Config::builder(certificate).crypto(provider).ice_lite(true).build().expect("a configuration");
        let epoch =
            Epoch { instant: start(), system: std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000) };
        let mut connection = PeerConnection::new(Arc::new(config), &Seed::from_number(1), epoch, start());
        connection.add_local_candidate(start(), path().local).expect("a usable address");
        let offer = SessionDescription::offer(&offer()).expect("an offer");
        connection.set_remote_description(start(), offer).expect("an offer that fits");
        let transceivers: Vec<TransceiverId> = connection.transceivers().iter().map(|t| t.id()).collect();
        for id in &transceivers {
            connection.set_direction(*id, Direction::SendRecv).expect("a transceiver");
        }
        let answer = connection.create_answer().expect("an answer");
        connection.set_local_description(start(), &answer).expect("its own answer");
        let text = answer.to_string();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.expect("an attribute of the transport").trim().to_owned()
        };
        let mut dtls =
            dtls::Connection::new(dtls_config(), dtls::Role::Server, &Seed::from_number(2), start());
        dtls.set_path(path());
        dtls.set_remote_fingerprints(start(), vec![value("a=fingerprint:").parse().expect("a fingerprint")]);
        let credentials = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
        let mut check = check(&credentials, 255, true);
        connection.handle_datagram(start(), path(), &mut check);
        let (seal, open) = shake_hands(&mut connection, &mut dtls);
        let mut run = Self {
            connection,
            transceivers,
            dtls,
            seal,
            open,
            credentials,
            now: start(),
            next_seq: 0,
            next_check: 0,
        };
        let connected = Event::ConnectionStateChanged(ConnectionState::Connected);
        assert!(std::iter::from_fn(|| run.connection.poll_event()).any(|event| event == connected));
        run
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Rtp { section, rtx, ssrc, seq, timestamp, extension, payload } => {
                let payload_type = if section { 111 } else { 96 + u8::from(rtx) };
                let mut packet = vec![0x80, payload_type];
                packet.extend_from_slice(&seq.to_be_bytes());
                packet.extend_from_slice(&(u32::from(timestamp) << 8).to_be_bytes());
                packet.extend_from_slice(&[0, 0, 0, ssrc % 8]);
                if !extension.is_empty() {
                    packet[0] |= 0x10;
                    let words = extension.len().min(40).div_ceil(4);
                    packet.extend_from_slice(&[0xbe, 0xde, 0, words as u8]);
                    packet.extend(extension.into_iter().chain([0; 4]).take(words * 4));
                }
                packet.extend(payload.into_iter().take(200));
                self.deliver_sealed(packet, false);
            }
            Op::Rtcp { count, packet_type, body } => {
                let words = body.len().min(120) / 4;
                let mut packet = vec![0x80 | (count & 0x1f), 200 + packet_type % 8, 0, words as u8];
                packet.extend(body.into_iter().take(words * 4));
                self.deliver_sealed(packet, true);
            }
            Op::Raw(bytes) => self.deliver(path(), bytes),
            Op::ApplicationData(bytes) => {
                let _ = self.dtls.write(self.now, &bytes);
                for datagram in sent_by(&mut self.dtls, self.now) {
                    self.deliver(path(), datagram);
                }
            }
            Op::Check(port, nominates) => {
                self.next_check = self.next_check.wrapping_add(1);
                let from = FiveTuple::udp(path().local, ([192, 0, 2, 2], 2 + u16::from(port % 4)).into());
                self.deliver(from, check(&self.credentials, self.next_check, nominates));
            }
            Op::Send(len) => self.send(len),
            Op::RequestKeyframe => {
                let _ = self.connection.request_keyframe(self.now, self.transceivers[0], None);
            }
            Op::Wait(ms) => self.wait(Duration::from_millis(u64::from(ms % 2000))),
        }
        self.drain();
    }

    fn send(&mut self, len: u8) {
        self.next_seq = self.next_seq.wrapping_add(1);
        let payload = vec![0x10; 1 + usize::from(len)];
        let timestamp = RtpTime(u32::from(self.next_seq) * 3000);
        let packet = OutgoingPacket::new(Codec::Vp8, SeqNo(self.next_seq), timestamp, true, payload.into());
        // Each packet may be lost and asked for again, each time it is asked for.
        let _ = self.connection.send_rtp(self.now, self.transceivers[0], packet);
    }

    fn deliver_sealed(&mut self, mut packet: Vec<u8>, is_rtcp: bool) {
        let len = packet.len();
        packet.resize(len + MAX_OVERHEAD, 0);
        let sealed = if is_rtcp {
            self.seal.protect_rtcp(&mut packet, len)
        } else {
            self.seal.protect_rtp(&mut packet, len)
        };
        if let Ok(len) = sealed {
            packet.truncate(len);
            self.deliver(path(), packet);
        }
    }

    fn deliver(&mut self, from: FiveTuple, mut bytes: Vec<u8>) {
        self.connection.handle_datagram(self.now, from, &mut bytes);
        self.drain();
    }

    fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut at_this_instant = 0;
        while let Some(at) = self.connection.poll_timeout().filter(|at| *at <= end) {
            at_this_instant = if at > self.now { 0 } else { at_this_instant + 1 };
            assert!(at_this_instant < 1000, "the timer stays at {:?}", at - start());
            self.now = self.now.max(at);
            self.connection.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
    }

    /// What goes out is for the peer, and what is sealed can be opened.
    fn drain(&mut self) {
        let mut out = Vec::new();
        while let Some(transmit) = self.connection.poll_transmit(self.now, &mut out) {
            assert_eq!(transmit.path.remote.ip(), path().remote.ip());
            let is_rtcp = out.get(1).is_some_and(|kind| (192..224).contains(kind));
            if out[0] >> 6 == 2 && is_rtcp {
                self.open.unprotect_rtcp(&mut out).expect("RTCP that the peer can open");
            } else if out[0] >> 6 == 2 {
                self.open.unprotect_rtp(&mut out).expect("RTP that the peer can open");
            } else if !is_stun(&out) {
                self.dtls.handle_datagram(self.now, path(), &mut out);
            }
            out.clear();
        }
        while let Some(event) = self.connection.poll_event() {
            assert!(!matches!(event, Event::ConnectionStateChanged(ConnectionState::New)));
        }
    }
}

/// A signed check of the peer.
fn check((ufrag, pwd): &(String, String), id: u8, nominates: bool) -> Vec<u8> {
    let mut request = Vec::new();
    let mut encoder = Encoder::new(&mut request, Class::Request, Method::BINDING, TransactionId([id; 12]))
        .ice_username(ufrag, UFRAG)
        .attribute(AttributeType::PRIORITY, &0x6e00_1eff_u32.to_be_bytes())
        .attribute(AttributeType::ICE_CONTROLLING, &7_u64.to_be_bytes());
    if nominates {
        encoder = encoder.attribute(AttributeType::USE_CANDIDATE, &[]);
    }
    encoder.integrity(&IntegrityKey::new(pwd.as_bytes())).finish_with_fingerprint();
    request
}

fn sent_by(dtls: &mut dtls::Connection, now: Instant) -> Vec<Vec<u8>> {
    let next = || {
        let mut out = Vec::new();
        dtls.poll_transmit(now, &mut out).map(|_| out)
    };
    std::iter::from_fn(next).collect()
}

/// The handshake to its end; what the peer seals and opens with.
fn shake_hands(
    connection: &mut PeerConnection,
    dtls: &mut dtls::Connection,
) -> (OutboundContext, InboundContext) {
    for _ in 0..8 {
        let mut out = Vec::new();
        while connection.poll_transmit(start(), &mut out).is_some() {
            if !is_stun(&out) {
                dtls.handle_datagram(start(), path(), &mut out);
            }
            out.clear();
        }
        for mut datagram in sent_by(dtls, start()) {
            connection.handle_datagram(start(), path(), &mut datagram);
        }
    }
    let keys = std::iter::from_fn(|| dtls.poll_event()).find_map(|event| match event {
        dtls::Event::Connected { srtp } => srtp,
        _ => None,
    });
    let keys = keys.expect("keys for SRTP");
    let profile = Profile::from_dtls_id(keys.profile.0).expect("a known profile");
    let (provider, config) = (tombolo_crypto::rust_crypto::provider(), tombolo_srtp::Config::default());
    let local = MasterKey::new(profile, &keys.local_key, &keys.local_salt);
    let remote = MasterKey::new(profile, &keys.remote_key, &keys.remote_salt);
    let seal = OutboundContext::new(&provider, &local, &config);
    let open = InboundContext::new(&provider, &remote, &config);
    (seal.expect("keys of the profile"), open.expect("keys of the profile"))
}
