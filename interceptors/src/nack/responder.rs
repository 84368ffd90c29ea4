//! The sending side: which of the packets that a NACK names are sent again.

use std::time::{Duration, Instant};

use tombolo_net::{ExtSeqNo, SeqNo, SeqUnwrapper};

use super::Cache;

/// How many of the last sequence numbers are answered; a power of two.
const WINDOW: usize = 1024;
/// The round trip that is assumed before one is measured.
const INITIAL_RTT: Duration = Duration::from_millis(50);

/// How a [`Responder`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct ResponderConfig {
    max_resends: u8,
    share_percent: u16,
    burst_bytes: usize,
}

impl Default for ResponderConfig {
    fn default() -> Self {
        Self { max_resends: 12, share_percent: 50, burst_bytes: 96 << 10 }
    }
}

impl ResponderConfig {
    /// How often one packet is resent at most. Default 12.
    #[must_use]
    pub const fn max_resends(mut self, resends: u8) -> Self {
        self.max_resends = resends;
        self
    }

    /// Retransmitted bytes as a share of first-time bytes in the long run, in per cent. Default 50.
    #[must_use]
    pub const fn share_percent(mut self, percent: u16) -> Self {
        self.share_percent = percent;
        self
    }

    /// Retransmitted bytes that may go out beyond the share at once. Default 96 KiB.
    #[must_use]
    pub const fn burst_bytes(mut self, bytes: usize) -> Self {
        self.burst_bytes = bytes;
        self
    }
}

/// Why a packet is not resent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It was never sent, or too long ago, or is no longer kept.
    #[error("no such packet is kept")]
    Unknown,
    /// It was resent less than a round trip ago: that copy may still be under way.
    #[error("resent less than a round trip ago")]
    TooSoon,
    /// It was resent as often as allowed.
    #[error("resent as often as allowed")]
    TooOften,
    /// Retransmissions have used up their share of the stream.
    #[error("retransmissions have used up their share")]
    OverBudget,
}

/// Which packet a slot speaks of, when it was last resent (milliseconds since the first NACK) and how often.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    seq: u32,
    at_ms: u32,
    resends: u8,
}

/// Decides what one subscriber of one stream is sent again. 12 KiB once the first NACK has come, nothing before.
#[derive(Debug)]
pub struct Responder {
    config: ResponderConfig,
    sent: SeqUnwrapper,
    slots: Vec<Slot>,
    base: Option<Instant>,
    rtt: Duration,
    /// Bytes that may be resent now.
    allowance: usize,
    resent: u64,
    refused: u64,
}

impl Responder {
    /// A responder for a stream of which nothing was sent.
    #[must_use]
    pub fn new(config: ResponderConfig) -> Self {
        Self {
            config,
            sent: SeqUnwrapper::default(),
            slots: Vec::new(),
            base: None,
            rtt: INITIAL_RTT,
            allowance: config.burst_bytes,
            resent: 0,
            refused: 0,
        }
    }

    /// Tells the round-trip time: the shortest time between two copies of one packet.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    /// Takes note of a packet that goes out for the first time.
    pub fn on_sent(&mut self, seq: SeqNo, size_bytes: usize) -> ExtSeqNo {
        let earned = size_bytes * usize::from(self.config.share_percent) / 100;
        self.allowance = (self.allowance + earned).min(self.config.burst_bytes);
        self.sent.unwrap(seq)
    }

    /// The number, without its wraps, of a packet that a NACK names; `None` when it lies outside the last 1024.
    #[must_use]
    pub fn find(&self, seq: SeqNo) -> Option<ExtSeqNo> {
        let highest = self.sent.highest()?;
        let found = self.sent.peek(seq)?;
        (found <= highest && highest.0 - found.0 < WINDOW as u64).then_some(found)
    }

    /// Whether the packet that [`Responder::find`] found, of `size_bytes`, may go out again now; if so, it counts
    /// as resent.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn permit(&mut self, now: Instant, seq: ExtSeqNo, size_bytes: usize) -> Result<(), Refusal> {
        let verdict = self.judge(now, seq, size_bytes);
        match verdict {
            Ok(()) => self.resent += 1,
            Err(_) => self.refused += 1,
        }
        verdict
    }

    /// For a stream that goes out with the numbers of its cache: the packet that a NACK names, to be resent now.
    /// `size_of` tells a packet's size in bytes.
    ///
    /// # Errors
    ///
    /// The reason why it is not resent.
    pub fn resend<'c, P>(
        &mut self,
        now: Instant,
        seq: SeqNo,
        cache: &'c Cache<P>,
        size_of: impl FnOnce(&P) -> usize,
    ) -> Result<(ExtSeqNo, &'c P), Refusal> {
        let found = self.find(seq).and_then(|found| Some((found, cache.get(now, found)?)));
        let Some((found, packet)) = found else {
            self.refused += 1;
            return Err(Refusal::Unknown);
        };
        self.permit(now, found, size_of(packet))?;
        Ok((found, packet))
    }

    /// How many packets were resent.
    #[must_use]
    pub const fn resent(&self) -> u64 {
        self.resent
    }

    /// How many requests were refused, for any reason.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    fn judge(&mut self, now: Instant, seq: ExtSeqNo, size_bytes: usize) -> Result<(), Refusal> {
        if self.slots.is_empty() {
            self.slots.resize(WINDOW, Slot::default());
        }
        let base = *self.base.get_or_insert(now);
        // Both wrap: numbers after 2³² packets, time after 49 days, far beyond the window.
        let now_ms = now.saturating_duration_since(base).as_millis() as u32;
        let number = seq.0 as u32;
        let slot = &mut self.slots[seq.0 as usize & (WINDOW - 1)];
        if slot.seq != number {
            *slot = Slot { seq: number, ..Slot::default() };
        }
        if slot.resends > 0 {
            if slot.resends >= self.config.max_resends {
                return Err(Refusal::TooOften);
            }
            if u128::from(now_ms.wrapping_sub(slot.at_ms)) < self.rtt.as_millis() {
                return Err(Refusal::TooSoon);
            }
        }
        if size_bytes > self.allowance {
            return Err(Refusal::OverBudget);
        }
        self.allowance -= size_bytes;
        slot.resends += 1;
        slot.at_ms = now_ms;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nack::CacheConfig;
    use crate::test_clock::at;

    fn nth(number: u16) -> SeqNo {
        SeqNo(65530_u16.wrapping_add(number))
    }

    fn sender(config: ResponderConfig, packets: u16) -> (Responder, Cache<Vec<u8>>) {
        let mut responder = Responder::new(config);
        let mut cache = Cache::new(CacheConfig::default());
        for number in 0..packets {
            let seq = responder.on_sent(nth(number), 100);
            cache.insert(at(0), seq, 100, vec![number as u8; 100]);
        }
        (responder, cache)
    }

    #[test]
    fn a_named_packet_is_resent_across_the_wrap() {
        let (mut responder, cache) = sender(ResponderConfig::default(), 10);
        let (seq, packet) = responder.resend(at(1), SeqNo(1), &cache, Vec::len).unwrap();
        assert_eq!((seq.wire(), packet[0]), (SeqNo(1), 7));
        assert_eq!(responder.resend(at(1), SeqNo(65530), &cache, Vec::len).unwrap().1[0], 0);
        assert_eq!(responder.resent(), 2);
    }

    #[test]
    fn what_was_never_sent_or_long_ago_is_refused() {
        let (mut responder, cache) = sender(ResponderConfig::default(), 10);
        for seq in [4, 5, 30_000, 65_529, 64_500] {
            assert_eq!(responder.resend(at(1), SeqNo(seq), &cache, Vec::len), Err(Refusal::Unknown));
        }
        assert_eq!((responder.resent(), responder.refused()), (0, 5));
    }

    #[test]
    fn the_same_packet_goes_out_once_a_round_trip_and_not_for_ever() {
        let (mut responder, cache) = sender(ResponderConfig::default().max_resends(3), 4);
        responder.set_rtt(Duration::from_millis(40));
        let mut resend = |ms| responder.resend(at(ms), SeqNo(65530), &cache, Vec::len).map(drop);
        assert_eq!(resend(10), Ok(()));
        assert_eq!(resend(49), Err(Refusal::TooSoon));
        assert_eq!(resend(50), Ok(()));
        assert_eq!(resend(90), Ok(()));
        assert_eq!(resend(1000), Err(Refusal::TooOften));
    }

    #[test]
    fn a_storm_ends_at_the_share_of_what_was_sent() {
        let config = ResponderConfig::default().burst_bytes(1000).share_percent(50);
        let (mut responder, cache) = sender(config, 200);
        let all = |responder: &mut Responder, ms| {
            (0..200).filter(|&n| responder.resend(at(ms), nth(n), &cache, Vec::len).is_ok()).count()
        };
        assert_eq!(all(&mut responder, 1), 10, "the burst");
        assert_eq!(all(&mut responder, 500), 0, "nothing is earned by waiting");
        for number in 200..204 {
            responder.on_sent(nth(number), 100);
        }
        assert_eq!(all(&mut responder, 600), 2, "half of the 400 new bytes");
    }
}
