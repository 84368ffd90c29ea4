//! A sans-I/O WebRTC PeerConnection: offers and answers (RFC 9429), one bundled transport of ICE, DTLS and SRTP, and
//! RTP with what makes it usable: retransmission, forward error correction, reports, transport-wide feedback, keyframe requests.
//!
//! | module | what |
//! |---|---|
//! | [`sdp`] | descriptions: text to a typed model and back |
//! | `jsep` | the offer/answer state machine |
//! | `transport` | ICE, DTLS and SRTP put together; who may say what when |
//! | `media` | streams in and out, and the RTCP about them |
//! | `bandwidth` | [`BandwidthEstimation`]: which estimator paces what is sent |
//! | `connection` | [`PeerConnection`], which joins the three |
//!
//! Left out: data channels (an `m=application` section is rejected), TURN, provisional answers, RTCP on a
//! port of its own, SDES.
//!
//! # How to drive it
//!
//! A connection has no socket and no clock: it is given datagrams and the time, and is asked for datagrams, events and
//! the time at which it wants to be called again. After any input or verb ask for all three.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use tombolo::net::{Epoch, FiveTuple, Seed};
//! use tombolo::sdp::{Direction, SessionDescription};
//! use tombolo::{Config, Event, MediaKind, PeerConnection, TransceiverInit};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (now, system) = (Instant::now(), SystemTime::now());
//! // Once for a process: a certificate and the settings. A driver takes its seeds from the operating system.
//! let provider = tombolo::crypto::CryptoProvider::default();
//! let month = Duration::from_secs(30 * 86_400);
//! let certificate = tombolo::dtls::Certificate::self_signed(&provider, &Seed([1; 32]), system, system + month)?;
//! let config = Arc::new(Config::builder(certificate).ice_lite(true).build()?);
//!
//! // A peer's offer. Here another connection makes it; a browser's is taken as it is.
//! let epoch = Epoch { instant: now, system };
//! let mut browser = PeerConnection::new(config.clone(), &Seed([2; 32]), epoch, now);
//! browser.add_transceiver(MediaKind::Audio, Direction::SendRecv, &TransceiverInit::default());
//! let offer = browser.create_offer()?;
//! browser.set_local_description(now, &offer)?;
//!
//! // The answer: a refusal names the line that is wrong.
//! let mut pc = PeerConnection::new(config, &Seed([3; 32]), epoch, now);
//! pc.add_local_candidate(now, "192.0.2.1:4433".parse()?)?;
//! pc.set_remote_description(now, SessionDescription::offer(&offer.to_string())?)?;
//! for id in pc.transceivers().iter().map(|transceiver| transceiver.id()).collect::<Vec<_>>() {
//!     // Sections that the peer sends are received anyway; this one is sent on as well.
//!     pc.set_direction(id, Direction::SendRecv)?;
//! }
//! let answer = pc.create_answer()?;
//! pc.set_local_description(now, &answer)?;
//! assert!(answer.to_string().contains("a=sendrecv"));
//!
//! // The loop of a driver, once around.
//! let mut datagram = vec![0; 1500];
//! let path = FiveTuple::udp("192.0.2.1:4433".parse()?, "203.0.113.7:5000".parse()?);
//! pc.handle_datagram(now, path, &mut datagram);
//! let mut out = Vec::new();
//! while let Some(transmit) = pc.poll_transmit(now, &mut out) {
//!     // Send the last `transmit.len` bytes of `out` to `transmit.path.remote`.
//!     out.clear();
//! }
//! while let Some(event) = pc.poll_event() {
//!     match event {
//!         Event::Rtp(packet) => println!("{} bytes of {:?}", packet.payload.len(), packet.codec),
//!         Event::Failed(reason) => println!("failed: {reason}"),
//!         _ => {}
//!     }
//! }
//! if let Some(at) = pc.poll_timeout() {
//!     // Wait for a datagram until then, and call `handle_timeout` if none comes.
//!     assert!(at >= now);
//! }
//! # Ok(())
//! # }
//! ```

mod bandwidth;
mod codec;
mod config;
mod connection;
mod error;
mod event;
mod jsep;
mod media;
pub mod sdp;
mod stats;
mod transceiver;
mod transport;

pub use bandwidth::BandwidthEstimation;
pub use codec::{Codec, CodecCapability, Feedback, H264Format, MediaKind, NegotiatedCodec};
pub use config::{Config, ConfigBuilder, ConfigError, DtlsRolePreference};
pub use connection::PeerConnection;
pub use error::UseError;
pub use event::{ConnectionState, Event, FailReason, ReceivedPacket, ReceivedSenderReport};
pub use jsep::SignalingState;
pub use media::OutgoingPacket;
pub use stats::{DropReason, Drops, InboundStats, OutboundStats, Stats};
pub use transceiver::{
    Encoding, MAX_SIGNALLED_SSRCS, NegotiatedMedia, NegotiatedRed, SignalledSsrc, Transceiver, TransceiverId,
    TransceiverInit,
};
pub use transport::Restart;

pub use tombolo_crypto as crypto;
pub use tombolo_dtls as dtls;
pub use tombolo_ice as ice;
pub use tombolo_interceptors as interceptors;
pub use tombolo_net as net;
pub use tombolo_rtp as rtp;
