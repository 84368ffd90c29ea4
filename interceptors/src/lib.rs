//! What stands between RTP streams and a useful call: retransmission, reports, feedback, bandwidth
//! estimation, pacing, keyframe requests, jitter buffers.
//!
//! Each feature is a folder with plain structs, one per stream or per transport, that can be used alone. None has
//! a clock or a socket: the owner passes `now`, hands in packets, and asks for RTCP to send with the
//! `write_…` calls, which append to a buffer. Nothing is allocated per packet once a stream is warm, and every
//! structure states its bound.
//!
//! | module | what | RFC |
//! |---|---|---|
//! | [`nack`] | asking for lost packets and answering | 4585 |
//! | [`rtx`] | retransmissions on a stream of their own | 4588 |
//! | [`report`] | sender and receiver reports, round trip, one media clock for sound and picture | 3550 |
//! | [`twcc`] | transport-wide feedback, from which the sender estimates bandwidth | draft-holmer-rmcat-transport-wide-cc-extensions-01 |
//! | [`ccfb`] | the same by source and sequence number, with ECN marks | 8888 |
//! | [`bwe`] | what every bandwidth estimator is told and tells; a paced sender around one | |
//! | [`gcc`] | an estimator from delay, loss and probes | draft-ietf-rmcat-gcc-02 |
//! | [`scream`] | an estimator from a window, delay, losses and marks of L4S | draft-johansson-ccwg-rfc8298bis-screamv2-02 |
//! | [`pacer`] | when packets leave, and in which order | |
//! | [`fec`] | losses repaired without asking: FlexFEC, ULPFEC, redundant sound | 2198, 5109, 8627 |
//! | [`jitter`] | uneven arrivals to even sound and pictures | 3550 |
//! | [`keyframe`] | asking for keyframes and being asked | 4585, 5104 |
//! | [`remb`] | a ceiling for senders that know no other feedback | draft-alvestrand-rmcat-remb-03 |
//! | [`h264`] | parameter sets where encoders leave them out | 6184 |
//! | [`transform`] | encoded frames in the hands of the application; SFrame | 9605 |
//! | [`registry`] | interceptors of one's own, ordered by their distance from the wire | |
//! | [`feedback`] | how RTCP messages are put together into datagrams | 3550, 5506, 9143 |
//! | [`dump`] | packets as pcapng and as rtptools dumps | draft-ietf-opsawg-pcapng |
//! | [`stats`] | counters with the names of the W3C's statistics | |
//!
//! A gap becomes a NACK, and the NACK a packet to send again:
//!
//! ```
//! use std::time::Duration;
//! use tombolo_interceptors::nack::{Cache, CacheConfig, Generator, GeneratorConfig, Responder, ResponderConfig};
//! use tombolo_net::{ExtSeqNo, SeqNo, Ssrc};
//! use tombolo_rtp::rtcp::{Compound, Packet};
//!
//! let now = tombolo_netsim::start(); // Any clock will do: the caller's.
//! let (mut cache, mut responder) = (Cache::new(CacheConfig::default()), Responder::new(ResponderConfig::default()));
//! for (seq, payload) in [(7, "lorem"), (8, "ipsum"), (9, "dolor"), (10, "sit")] {
//!     let number = responder.on_sent(SeqNo(seq), payload.len());
//!     cache.insert(now, number, payload.len(), payload);
//! }
//!
//! let mut generator = Generator::new(GeneratorConfig::default());
//! for seq in [7, 9, 10] {
//!     generator.on_packet(now, ExtSeqNo(seq));
//! }
//! let mut nack = Vec::new();
//! assert_eq!(generator.write_feedback(now, Ssrc(1), Ssrc(2), &mut nack), 1);
//!
//! let Some(Ok(Packet::Nack(nack))) = Compound::new(&nack).next() else { panic!("no NACK") };
//! let again: Vec<_> = nack
//!     .lost()
//!     .filter_map(|seq| responder.resend(now + Duration::from_millis(20), seq, &cache, |text| text.len()).ok())
//!     .map(|(_, payload)| *payload)
//!     .collect();
//! assert_eq!(again, ["ipsum"]);
//! ```

pub mod bwe;
pub mod ccfb;
pub mod dump;
pub mod fec;
pub mod feedback;
pub mod gcc;
pub mod h264;
pub mod jitter;
pub mod keyframe;
pub mod nack;
pub mod pacer;
pub mod registry;
pub mod remb;
pub mod report;
pub mod rtx;
pub mod scream;
pub mod stats;
pub mod transform;
pub mod twcc;

#[cfg(test)]
mod test_clock;
