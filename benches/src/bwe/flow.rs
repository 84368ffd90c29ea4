//! [`MediaSender`]: a codec model in front of a contender's sender.

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, FiveTuple, Seed, Transmit};
use tombolo_netsim::{Codec, CodecConfig, Machine, start};

/// The largest datagram of media.
const MTU: usize = 1200;

/// A contender's sender.
pub(super) trait Stack {
    /// Takes a packet of a frame, of so many bytes as a datagram.
    fn enqueue(&mut self, now: Instant, len: usize, is_keyframe: bool);
    /// Appends the next datagram, if one is due.
    fn poll(&mut self, now: Instant, out: &mut Vec<u8>) -> bool;
    /// A datagram from the receiver.
    fn handle_feedback(&mut self, now: Instant, data: &[u8]);
    fn handle_timeout(&mut self, now: Instant);
    fn poll_timeout(&self) -> Option<Instant>;
    /// What the codec is to produce, with packet headers.
    fn estimate(&self) -> Bitrate;
}

/// Both ends of a contender's flow.
pub(super) struct Ends {
    pub(super) sender: Box<dyn Stack>,
    pub(super) receiver: Box<dyn Machine>,
}

/// An end of a flow.
pub(super) enum Endpoint {
    Media(Box<MediaSender>),
    Plain(Plain),
}

/// An end of which nothing is asked.
pub(super) struct Plain(pub(super) Box<dyn Machine>);

impl Endpoint {
    fn machine(&self) -> &dyn Machine {
        match self {
            Self::Media(sender) => &**sender,
            Self::Plain(plain) => &*plain.0,
        }
    }

    fn machine_mut(&mut self) -> &mut dyn Machine {
        match self {
            Self::Media(sender) => &mut **sender,
            Self::Plain(plain) => &mut *plain.0,
        }
    }

    /// The sender's estimates and when each was made.
    pub(super) fn estimates(&self) -> &[(Duration, Bitrate)] {
        match self {
            Self::Media(sender) => &sender.estimates,
            Self::Plain(_) => &[],
        }
    }
}

impl Machine for Endpoint {
    fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.machine_mut().handle_datagram(now, path, data);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine_mut().handle_timeout(now);
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.machine_mut().poll_transmit(now, out)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine().poll_timeout()
    }
}

/// Encodes frames as the contender's sender estimates, and sends them with it.
pub(super) struct MediaSender {
    stack: Box<dyn Stack>,
    codec: Codec,
    begin: Instant,
    pause: Option<(Instant, Instant)>,
    estimates: Vec<(Duration, Bitrate)>,
    path: FiveTuple,
}

impl MediaSender {
    /// From `begin` on, but for the time of the pause.
    pub(super) fn new(
        stack: Box<dyn Stack>,
        config: CodecConfig,
        begin: Instant,
        pause: Option<(Instant, Instant)>,
        seed: &Seed,
    ) -> Self {
        let codec = Codec::new(config, begin, stack.estimate(), seed);
        let path = FiveTuple::udp(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into());
        Self { stack, codec, begin, pause, estimates: Vec::new(), path }
    }

    fn follow(&mut self, now: Instant) {
        let estimate = self.stack.estimate();
        if self.estimates.last().is_none_or(|(_, last)| *last != estimate) {
            self.estimates.push((now.saturating_duration_since(start()), estimate));
            self.codec.set_bitrate(now, estimate);
        }
    }
}

impl Machine for MediaSender {
    fn handle_datagram(&mut self, now: Instant, _: FiveTuple, data: &mut [u8]) {
        self.stack.handle_feedback(now, data);
        self.follow(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.stack.poll_timeout().is_some_and(|at| at <= now) {
            self.stack.handle_timeout(now);
            self.follow(now);
        }
        while let Some(frame) = self.codec.poll_frame(now) {
            if self.pause.is_some_and(|(from, until)| (from..until).contains(&now)) {
                continue;
            }
            let packets = frame.len_bytes.div_ceil(MTU);
            for _ in 0..packets {
                self.stack.enqueue(now, (frame.len_bytes / packets).max(50), frame.is_keyframe);
            }
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let begun = now >= self.begin && self.stack.poll(now, out);
        begun.then(|| Transmit::datagram(self.path, out.len()))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let stack = self.stack.poll_timeout().map(|at| at.max(self.begin));
        stack.into_iter().chain([self.codec.next_frame()]).min()
    }
}
