//! When packets leave: a frame at a time from an encoder, evenly on the wire.
//!
//! Packets wait in one queue per stream, in order. Streams take turns by bytes; before all others go those with sound, then
//! retransmissions, then those of which a keyframe waits (with what waits before it, so that a stream never overtakes
//! itself). Sound is not held back at all, but what it takes is taken from the rest.
//!
//! Packets leave in batches of a few milliseconds' worth, so that a driver can hand the system many at a time. While a
//! [`Probe`] is sent they leave one by one at its rate, with padding where nothing waits.

mod queue;

use std::time::{Duration, Instant};

use tombolo_net::{Bitrate, Ssrc};

use crate::bwe::{Probe, ProbeId};
use queue::Queue;

/// Probes that wait at most.
const MAX_PROBES: usize = 4;
/// The smallest packet of padding.
const MIN_PADDING: u32 = 200;

/// How urgent a packet is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// Sound. It does not wait.
    Audio,
    /// Something that was lost: somebody waits for it already.
    Retransmission,
    /// A part of a keyframe: without it nothing can be shown.
    Keyframe,
    /// Anything else.
    Video,
}

impl Class {
    const COUNT: usize = 4;
}

/// A packet on its way into the queue.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<P> {
    /// The stream in which it keeps its place.
    pub stream: Ssrc,
    /// How urgent it is.
    pub class: Class,
    /// Its size, in whichever bytes the rate means.
    pub size_bytes: u32,
    /// What the owner needs to send it.
    pub packet: P,
}

/// How a [`Pacer`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct PacerConfig {
    factor: f64,
    burst: Duration,
    max_wait: Duration,
    max_bytes: usize,
    padding_bytes: u32,
}

impl Default for PacerConfig {
    fn default() -> Self {
        Self {
            factor: 1.5,
            burst: Duration::from_millis(5),
            max_wait: Duration::from_secs(1),
            max_bytes: 4 << 20,
            padding_bytes: 1200,
        }
    }
}

impl PacerConfig {
    /// How much faster than the estimate packets leave, 1.0 to 5.0: frames differ in size. Default 1.5.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.clamp(1.0, 5.0);
        self
    }

    /// How much may leave at once, as time at the pacer's rate. Default 5 ms.
    #[must_use]
    pub const fn burst(mut self, burst: Duration) -> Self {
        self.burst = burst;
        self
    }

    /// How long what waits may take to leave; if it takes longer, it leaves faster. Default 1 s.
    #[must_use]
    pub const fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// How many bytes may wait. Default 4 MiB.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The size of a packet of padding at most, in bytes, at least 200. Default 1200.
    #[must_use]
    pub const fn padding_bytes(mut self, bytes: u32) -> Self {
        self.padding_bytes = if bytes < MIN_PADDING { MIN_PADDING } else { bytes };
        self
    }
}

/// What leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release<P> {
    /// A packet that was enqueued.
    Packet {
        /// The packet.
        packet: P,
        /// Its size, as told when it was enqueued.
        size_bytes: u32,
    },
    /// Padding for a probe.
    Padding {
        /// About how many bytes.
        size_bytes: u32,
    },
}

/// What leaves, and as part of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released<P> {
    /// What it is.
    pub what: Release<P>,
    /// The probe that it is part of.
    pub probe: Option<ProbeId>,
}

/// A probe that is being sent.
#[derive(Clone, Copy, Debug)]
struct Probing {
    probe: Probe,
    /// When the next packet is due.
    due: Instant,
    bytes: u32,
    packets: u8,
}

/// Decides when the packets of one transport leave.
#[derive(Debug)]
pub struct Pacer<P> {
    config: PacerConfig,
    rate: Bitrate,
    queue: Queue<P>,
    /// When what was sent has left at the pacer's rate.
    next: Option<Instant>,
    /// The batch that leaves now.
    batch: Option<Instant>,
    probing: Option<Probing>,
    probes: [Option<Probe>; MAX_PROBES],
}

impl<P> Pacer<P> {
    /// A pacer in which nothing waits, at 300 kb/s.
    #[must_use]
    pub const fn new(config: PacerConfig) -> Self {
        let rate = Bitrate::from_kbps(300);
        Self {
            config,
            rate,
            queue: Queue::new(),
            next: None,
            batch: None,
            probing: None,
            probes: [None; MAX_PROBES],
        }
    }

    /// Tells the estimate.
    pub const fn set_rate(&mut self, rate: Bitrate) {
        self.rate = rate;
    }

    /// Puts a packet into the queue.
    ///
    /// # Errors
    ///
    /// The packet, when so many bytes wait that it does not fit.
    pub fn enqueue(&mut self, now: Instant, packet: Outgoing<P>) -> Result<(), P> {
        if self.queue.bytes() + packet.size_bytes as usize > self.config.max_bytes {
            return Err(packet.packet);
        }
        self.queue.push(now, packet);
        Ok(())
    }

    /// Drops what waits and all probes. The rate stays.
    pub fn clear(&mut self) {
        *self = Self { rate: self.rate, ..Self::new(self.config) };
    }

    /// Sends a probe as soon as those before it are sent. Of more than four the last are left out.
    pub fn probe(&mut self, now: Instant, probe: Probe) {
        if self.probing.is_none() {
            self.probing = Some(Probing { probe, due: now, bytes: 0, packets: 0 });
        } else if let Some(free) = self.probes.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(probe);
        }
    }

    /// What leaves now, if anything. Call until `None`.
    pub fn poll(&mut self, now: Instant) -> Option<Released<P>> {
        if let Some(probing) = self.probing {
            return self.poll_probe(now, probing);
        }
        let class = self.queue.first_class()?;
        if class != Class::Audio && !self.may_leave(now) {
            return None;
        }
        let (packet, size_bytes) = self.queue.pop()?;
        self.account(now, size_bytes);
        Some(Released { what: Release::Packet { packet, size_bytes }, probe: None })
    }

    /// When [`Pacer::poll`] has something again; `None` when nothing waits.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let class = self.queue.first_class();
        if class == Some(Class::Audio) {
            return self.queue.first_since();
        }
        if let Some(probing) = self.probing {
            return Some(probing.due);
        }
        class?;
        let since = self.queue.first_since()?;
        Some(self.next.map_or(since, |next| next.max(since)))
    }

    /// Bytes of a class that wait.
    #[must_use]
    pub const fn waiting_bytes(&self, class: Class) -> usize {
        self.queue.bytes_of(class)
    }

    /// How long what waits now takes to leave.
    #[must_use]
    pub fn waiting_time(&self) -> Duration {
        self.pace().time_for(self.queue.bytes() as u64)
    }

    fn poll_probe(&mut self, now: Instant, mut probing: Probing) -> Option<Released<P>> {
        let is_audio = self.queue.first_class() == Some(Class::Audio);
        if now < probing.due && !is_audio {
            return None;
        }
        let probe = probing.probe;
        let what = match self.queue.pop() {
            Some((packet, size_bytes)) => {
                self.account(now, size_bytes);
                Release::Packet { packet, size_bytes }
            }
            None => {
                let share = probe.min_bytes / u32::from(probe.min_packets.max(1));
                Release::Padding { size_bytes: share.clamp(MIN_PADDING, self.config.padding_bytes) }
            }
        };
        let (Release::Packet { size_bytes, .. } | Release::Padding { size_bytes }) = what;
        // A probe that the owner polls late does not catch up: its packets would come in a burst.
        let tolerance = Duration::from_millis(1);
        let from = now.checked_sub(tolerance).map_or(probing.due, |earliest| probing.due.max(earliest));
        probing.due = from + probe.rate.time_for(size_bytes.into()).min(Duration::from_secs(1));
        probing.bytes = probing.bytes.saturating_add(size_bytes);
        probing.packets = probing.packets.saturating_add(1);
        let is_over = probing.bytes >= probe.min_bytes && probing.packets >= probe.min_packets;
        self.probing = if is_over { self.next_probe(now) } else { Some(probing) };
        Some(Released { what, probe: Some(probe.id) })
    }

    fn next_probe(&mut self, now: Instant) -> Option<Probing> {
        self.probes.rotate_left(1);
        let probe = self.probes[MAX_PROBES - 1].take()?;
        Some(Probing { probe, due: now, bytes: 0, packets: 0 })
    }

    /// Whether a packet that is paced may leave: the time has come, or the batch of this instant has room.
    fn may_leave(&mut self, now: Instant) -> bool {
        let Some(next) = self.next else {
            self.batch = Some(now);
            return true;
        };
        if next <= now {
            self.batch = Some(now);
            return true;
        }
        self.batch == Some(now) && next <= now + self.config.burst
    }

    /// Takes what a packet costs from the rate. Time in which nothing waited is not saved up, but for a burst's worth.
    fn account(&mut self, now: Instant, size_bytes: u32) {
        let earliest = now.checked_sub(self.config.burst).unwrap_or(now);
        let from = self.next.map_or(earliest, |next| next.max(earliest));
        self.next = Some(from + self.pace().time_for(size_bytes.into()).min(self.config.max_wait));
    }

    /// How fast packets leave.
    fn pace(&self) -> Bitrate {
        let usual = Bitrate::from_bps((self.rate.as_bps() as f64 * self.config.factor) as u64);
        usual.max(Bitrate::from_bytes_in(self.queue.bytes() as u64, self.config.max_wait))
    }
}

#[cfg(test)]
mod tests;
