//! What a [`Pair`](crate::Pair) can drive.

use std::time::Instant;

use tombolo_net::{FiveTuple, Transmit};

/// The part of the sans-I/O vocabulary that a network sees. Object-safe: `Box<dyn Machine>` is a machine too.
pub trait Machine {
    /// A datagram has arrived on `path`, which is named from this machine's side.
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]);
    /// Time has passed.
    fn handle_timeout(&mut self, now: Instant);
    /// The next datagram to send, appended to `out`.
    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit>;
    /// When to call [`Machine::handle_timeout`] next.
    fn poll_timeout(&self) -> Option<Instant>;
}

impl<M: Machine + ?Sized> Machine for Box<M> {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        (**self).handle_datagram(now, path, data);
    }

    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        (**self).poll_transmit(now, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }
}

/// A machine that swallows everything and says nothing: the other end of a test of one side only.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Machine for Silent {
    fn handle_datagram(&mut self, _now: Instant, _path: FiveTuple, _data: &mut [u8]) {}

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_transmit(&mut self, _now: Instant, _out: &mut Vec<u8>) -> Option<Transmit> {
        None
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
