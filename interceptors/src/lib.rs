//! What stands between RTP streams and a useful call: retransmission, reports, feedback, keyframe requests.
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
//! | [`keyframe`] | asking for keyframes and being asked | 4585, 5104 |
//! | [`remb`] | a ceiling for senders that know no other feedback | draft-alvestrand-rmcat-remb-03 |
//! | [`feedback`] | how RTCP messages are put together into datagrams | 3550, 5506, 9143 |
//! | [`stats`] | counters with the names of the W3C's statistics | |

pub mod feedback;
pub mod keyframe;
pub mod nack;
pub mod remb;
pub mod report;
pub mod rtx;
pub mod stats;
pub mod twcc;

#[cfg(test)]
mod test_clock;
