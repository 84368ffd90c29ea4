//! How much the way to the receiver carries: what every estimator is told and what it tells.
//!
//! A [`BandwidthEstimator`] sees one stream of events, however the feedback came: a packet left, and later it arrived
//! (when, and with which mark) or did not. [`twcc::SendHistory`](crate::twcc::SendHistory) and
//! [`ccfb::SendHistory`](crate::ccfb::SendHistory) make [`PacketResult`]s of their feedback. It tells an estimate, and which
//! [`Probe`]s to send to find out more.
//!
//! [`PacedSender`] puts an estimator, the [`Pacer`](crate::pacer::Pacer) and the numbering of a transport together.

mod config;
mod sender;

use std::time::Instant;

use tombolo_net::{Bitrate, Ecn, ExtSeqNo};

pub use config::EstimatorConfig;
pub use sender::{Departure, PacedSender, Sent};

/// A packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPacket {
    /// Its number among all packets of the transport: each is one more than the one before.
    pub number: ExtSeqNo,
    /// Its size in bytes, whichever the owner's bitrates mean.
    pub size_bytes: u32,
    /// Whether it carries nothing that anybody waits for, and was sent for the sake of a probe.
    pub is_padding: bool,
    /// The probe that it is part of.
    pub probe: Option<ProbeId>,
}

/// What feedback tells about one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketResult {
    /// Its number among all packets of the transport.
    pub number: ExtSeqNo,
    /// When it was sent.
    pub sent: Instant,
    /// Its size in bytes, as told when it was sent.
    pub size_bytes: u32,
    /// When it arrived, in µs on the receiver's clock (an origin of its own, wraps removed); `None` when it had
    /// not arrived. A packet told as missing may be told as arrived later.
    pub arrival_us: Option<i64>,
    /// The mark that it arrived with; `NotEct` where the feedback does not tell.
    pub ecn: Ecn,
    /// Whether it was told as missing before.
    pub was_missing: bool,
}

/// Tells the probes of one estimator apart; it wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProbeId(pub u8);

/// Packets to be sent in a row at a rate above the estimate, media first and padding where there is not enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which one.
    pub id: ProbeId,
    /// How fast they are to leave.
    pub rate: Bitrate,
    /// How many bytes at least.
    pub min_bytes: u32,
    /// How many packets at least.
    pub min_packets: u8,
}

/// Estimates what the way to the receiver carries.
///
/// The owner tells what leaves and what became of it, calls [`handle_timeout`](Self::handle_timeout) when it is due, and
/// after each of these asks for the estimate and for probes. One that neither probes nor has timers needs two methods
/// (`examples/own_estimator.rs`).
pub trait BandwidthEstimator {
    /// Takes note of a packet that leaves.
    fn on_sent(&mut self, _now: Instant, _packet: &SentPacket) {}

    /// Takes note of what one feedback message told, in order of numbers. The order of `results` may be changed.
    fn on_feedback(&mut self, now: Instant, results: &mut [PacketResult]);

    /// Time has passed. An early call does nothing.
    fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// The next probe to send.
    fn poll_probe(&mut self, _now: Instant) -> Option<Probe> {
        None
    }

    /// What the way carries, as far as is known.
    fn estimate(&self) -> Bitrate;

    /// Tells how much the application would send if it could, so that it may be found out whether that is possible;
    /// `None`, as at first: what it sends is what it wants.
    fn set_wanted(&mut self, _now: Instant, _wanted: Option<Bitrate>) {}
}
