//! Where the WebRTC legs join the media task.

use std::time::Instant;

use tombolo_net::{Ecn, FiveTuple, Transmit};

use super::Stage;
use crate::core::Output;
use crate::rtc;
use crate::rtc::command::RtcCommand;

/// The WebRTC side of the media task: all peer connections, and the way between them and the core.
///
/// All calls come from one task. None may block.
pub trait Legs: Send + 'static {
    /// Does what a task asks.
    fn handle_command(&mut self, now: Instant, stage: &mut Stage, command: RtcCommand);

    /// Takes a datagram that the port gave to WebRTC; it is decrypted in place.
    fn handle_datagram(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        path: FiveTuple,
        ecn: Ecn,
        data: &mut [u8],
    );

    /// Takes what the core has for the legs: packets, what concerns tracks that the legs publish, and the
    /// roster as each participant is told of it. Subscriptions and tracks of others are passed over.
    fn handle_output(&mut self, now: Instant, stage: &mut Stage, output: Output);

    /// Called at the end of each turn, after the last datagram and output of it: what came of them can be
    /// handed on in one go.
    fn handle_turn_end(&mut self, now: Instant, stage: &mut Stage);

    /// Does what is due; an early call is a no-op.
    fn handle_timeout(&mut self, now: Instant, stage: &mut Stage);

    /// When [`Legs::handle_timeout`] is due.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Appends the next datagram, or run of datagrams, to `out`.
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit>;

    /// Counts.
    fn stats(&self) -> rtc::Stats;

    /// Closes all peer connections; what they still send is fetched after this.
    fn stop(&mut self, now: Instant, stage: &mut Stage);
}

/// No WebRTC: datagrams are dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoLegs;

impl Legs for NoLegs {
    fn handle_command(&mut self, _: Instant, _: &mut Stage, command: RtcCommand) {
        // The sender of the answer is dropped with it, which says that there is nothing here.
        drop(command);
    }

    fn handle_datagram(&mut self, _: Instant, _: &mut Stage, _: FiveTuple, _: Ecn, _: &mut [u8]) {}

    fn handle_output(&mut self, _: Instant, _: &mut Stage, _: Output) {}

    fn handle_turn_end(&mut self, _: Instant, _: &mut Stage) {}

    fn handle_timeout(&mut self, _: Instant, _: &mut Stage) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self, _: Instant, _: &mut Vec<u8>) -> Option<Transmit> {
        None
    }

    fn stats(&self) -> rtc::Stats {
        rtc::Stats::default()
    }

    fn stop(&mut self, _: Instant, _: &mut Stage) {}
}
