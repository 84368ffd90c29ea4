//! Sender and receiver reports (RFC 3550 §6), and the clocks that they tell.
//!
//! | type | what |
//! |---|---|
//! | [`SenderReports`] | what one outgoing stream sent, and its RTP time on the wall clock |
//! | [`ReceiverReports`] | what one incoming stream lost and how it jitters |
//! | [`RoundTrip`] | the round trip from LSR and DLSR, smoothed |
//! | [`Interval`] | when the next report goes out |
//! | [`ClockMap`], [`ParticipantClock`] | the RTP times of all streams of a participant on one clock |

mod clock_map;
mod interval;
mod receiver;
mod round_trip;
mod sender;

pub use clock_map::{ClockMap, ParticipantClock};
pub use interval::{Interval, IntervalConfig, Members};
pub use receiver::ReceiverReports;
pub use round_trip::RoundTrip;
pub use sender::SenderReports;
