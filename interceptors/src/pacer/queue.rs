//! [`Queue`]: packets by stream, and whose turn it is.

use std::collections::VecDeque;
use std::time::Instant;

use tombolo_net::Ssrc;

use super::{Class, Outgoing};

/// Queues that are kept for streams of which nothing waits.
const MAX_IDLE: usize = 64;

#[derive(Debug)]
struct Waiting<P> {
    since: Instant,
    class: Class,
    size_bytes: u32,
    packet: P,
}

#[derive(Debug)]
struct Stream<P> {
    ssrc: Ssrc,
    waiting: VecDeque<Waiting<P>>,
    /// How many packets of each class wait.
    classes: [u32; Class::COUNT],
    /// Bytes that it was served, on a scale that all streams share.
    served: u64,
}

impl<P> Stream<P> {
    /// The most urgent class of those that wait.
    fn class(&self) -> Option<Class> {
        const CLASSES: [Class; Class::COUNT] =
            [Class::Audio, Class::Retransmission, Class::Keyframe, Class::Video];
        CLASSES.into_iter().find(|class| self.classes[*class as usize] > 0)
    }
}

#[derive(Debug)]
pub(super) struct Queue<P> {
    streams: Vec<Stream<P>>,
    /// What the stream served last had been served.
    turn: u64,
    bytes: [usize; Class::COUNT],
}

impl<P> Queue<P> {
    pub(super) const fn new() -> Self {
        Self { streams: Vec::new(), turn: 0, bytes: [0; Class::COUNT] }
    }

    pub(super) fn push(&mut self, now: Instant, packet: Outgoing<P>) {
        let Outgoing { stream, class, size_bytes, packet } = packet;
        let turn = self.turn;
        let stream = self.stream(stream);
        if stream.waiting.is_empty() {
            // Who had nothing to send has saved nothing up.
            stream.served = stream.served.max(turn);
        }
        stream.classes[class as usize] += 1;
        stream.waiting.push_back(Waiting { since: now, class, size_bytes, packet });
        self.bytes[class as usize] += size_bytes as usize;
    }

    pub(super) fn pop(&mut self) -> Option<(P, u32)> {
        let index = self.first()?;
        let stream = &mut self.streams[index];
        let Waiting { class, size_bytes, packet, .. } = stream.waiting.pop_front()?;
        stream.classes[class as usize] -= 1;
        self.turn = stream.served;
        stream.served += u64::from(size_bytes);
        self.bytes[class as usize] -= size_bytes as usize;
        Some((packet, size_bytes))
    }

    /// How urgent the next packet is.
    pub(super) fn first_class(&self) -> Option<Class> {
        self.first().and_then(|index| self.streams[index].class())
    }

    /// Since when the next packet waits.
    pub(super) fn first_since(&self) -> Option<Instant> {
        let index = self.first()?;
        self.streams[index].waiting.front().map(|waiting| waiting.since)
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.iter().sum()
    }

    pub(super) const fn bytes_of(&self, class: Class) -> usize {
        self.bytes[class as usize]
    }

    fn first(&self) -> Option<usize> {
        let streams = self.streams.iter().enumerate();
        let turn = |(index, stream): (usize, &Stream<P>)| Some((stream.class()?, stream.served, index));
        streams.filter_map(turn).min().map(|(_, _, index)| index)
    }

    fn stream(&mut self, ssrc: Ssrc) -> &mut Stream<P> {
        let found = self.streams.iter().position(|stream| stream.ssrc == ssrc);
        let index = found.unwrap_or_else(|| {
            if self.streams.len() >= MAX_IDLE {
                self.streams.retain(|stream| !stream.waiting.is_empty());
            }
            let (waiting, classes) = (VecDeque::new(), [0; Class::COUNT]);
            self.streams.push(Stream { ssrc, waiting, classes, served: 0 });
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }
}
