//! The receiving side: asking for a keyframe, often enough and not more.

use std::time::{Duration, Instant};

use tombolo_net::{RtpTime, Ssrc};
use tombolo_rtp::rtcp::{self, FirEntry};

use super::budget::{Budget, BudgetConfig};
use super::cost::{CostMeter, Share};

/// The round trip that is assumed before one is measured.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// What an encoder and the sending of a keyframe take, beside the round trip, before a request is repeated.
const ENCODE_TIME: Duration = Duration::from_millis(100);

/// Which message asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Picture loss indication: `a=rtcp-fb:* nack pli`.
    #[default]
    Pli,
    /// Full intra request: `a=rtcp-fb:* ccm fir`.
    Fir,
}

/// How a [`Requester`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct RequesterConfig {
    kind: Option<Kind>,
    min_interval: Duration,
    refill: Duration,
    max_tokens: u8,
    share: Option<Share>,
}

impl Default for RequesterConfig {
    fn default() -> Self {
        Self {
            kind: Some(Kind::Pli),
            min_interval: Duration::from_millis(200),
            refill: Duration::from_secs(1),
            max_tokens: 4,
            share: None,
        }
    }
}

impl RequesterConfig {
    /// Which message was negotiated; `None`: neither, and nothing is ever asked for (RFC 4585 §4.2). Default PLI.
    #[must_use]
    pub const fn kind(mut self, kind: Option<Kind>) -> Self {
        self.kind = kind;
        self
    }

    /// The shortest time between two requests. Default 200 ms.
    #[must_use]
    pub const fn min_interval(mut self, interval: Duration) -> Self {
        self.min_interval = interval;
        self
    }

    /// How often the budget gains a request: the rate in the long run. Default once a second.
    #[must_use]
    pub const fn refill(mut self, refill: Duration) -> Self {
        self.refill = refill;
        self
    }

    /// How many requests the budget holds at most, at least 1. Default 4.
    #[must_use]
    pub const fn max_tokens(mut self, tokens: u8) -> Self {
        self.max_tokens = if tokens == 0 { 1 } else { tokens };
        self
    }

    /// Lets what keyframes cost decide how often the budget gains a request, once that is known by
    /// [`Requester::on_packet`]. Default: it does not.
    #[must_use]
    pub const fn share(mut self, share: Share) -> Self {
        self.share = Some(share);
        self
    }
}

/// Asks the sender of one stream for keyframes on behalf of everybody who watches it.
///
/// A request goes out at once when the budget allows, is repeated when no keyframe comes within a round trip and
/// the time of an encoder, and ends with [`Requester::on_keyframe`].
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    kind: Option<Kind>,
    min_interval: Duration,
    budget: Budget,
    share: Option<Share>,
    cost: CostMeter,
    fir_seq: u8,
    merged: u64,
    sent: u64,
}

impl Requester {
    /// A requester with a full budget.
    #[must_use]
    pub fn new(config: RequesterConfig) -> Self {
        let RequesterConfig { kind, min_interval, refill, max_tokens, share } = config;
        let repeat = patience(INITIAL_RTT, min_interval);
        let budget = BudgetConfig { burst: max_tokens, refill, spacing: min_interval, repeat };
        let (budget, cost) = (Budget::new(budget), CostMeter::default());
        Self { kind, min_interval, budget, share, cost, fir_seq: 0, merged: 0, sent: 0 }
    }

    /// Tells the round-trip time, which paces repeats.
    pub fn set_rtt(&mut self, rtt: Duration) {
        self.budget.set_repeat(patience(rtt, self.min_interval));
    }

    /// Somebody needs a keyframe. While one is being asked for this changes nothing.
    pub fn request(&mut self, now: Instant) {
        if self.budget.want(now) {
            // A new command, where FIR is used; repeats carry the same number (RFC 5104 §4.3.1.2).
            self.fir_seq = self.fir_seq.wrapping_add(1);
        } else {
            self.merged += 1;
        }
    }

    /// A keyframe of the stream has arrived: whoever asked is served.
    pub fn on_keyframe(&mut self) {
        self.budget.forget();
    }

    /// A packet of the stream has arrived, by which keyframes are measured; only needed where they are to keep to a
    /// [`Share`]. `keyframe`: whether it is known to be of a keyframe, which still has to be told to [`Self::on_keyframe`].
    pub fn on_packet(&mut self, now: Instant, timestamp: RtpTime, bytes: usize, keyframe: bool) {
        let Some(share) = self.share else { return };
        if self.cost.on_packet(now, timestamp, bytes, keyframe)
            && let Some(interval) = share.interval(self.cost.keyframe_bytes(), self.cost.rate())
        {
            self.budget.set_refill(interval);
        }
    }

    /// Whether a keyframe is being asked for.
    #[must_use]
    pub const fn is_wanted(&self) -> bool {
        self.budget.is_wanted()
    }

    /// Appends the request when one is due at `now`, and tells whether it did.
    pub fn write_request(&mut self, now: Instant, sender: Ssrc, media: Ssrc, out: &mut Vec<u8>) -> bool {
        let Some(kind) = self.kind.filter(|_| self.budget.poll(now)) else { return false };
        match kind {
            Kind::Pli => rtcp::write_pli(out, sender, media),
            Kind::Fir => rtcp::write_fir(out, sender, &[FirEntry { ssrc: media, seq: self.fir_seq }]),
        }
        self.sent += 1;
        true
    }

    /// When [`Requester::write_request`] has something to do next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.kind?;
        self.budget.poll_timeout()
    }

    /// How many wishes joined one that was under way.
    #[must_use]
    pub const fn merged(&self) -> u64 {
        self.merged
    }

    /// How many requests were written.
    #[must_use]
    pub const fn sent(&self) -> u64 {
        self.sent
    }
}

/// How long a keyframe may take to come before the request is repeated.
fn patience(rtt: Duration, min_interval: Duration) -> Duration {
    (rtt + rtt / 2 + ENCODE_TIME).max(min_interval)
}

#[cfg(test)]
mod tests {
    use tombolo_rtp::rtcp::{Compound, Packet};

    use super::*;
    use crate::keyframe::{Requesters, RequestersConfig};
    use crate::test_clock::at;

    fn write(requester: &mut Requester, ms: u64) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        requester.write_request(at(ms), Ssrc(1), Ssrc(2), &mut out).then_some(out)
    }

    fn sends(requester: &mut Requester, ms: u64) -> bool {
        write(requester, ms).is_some()
    }

    #[test]
    fn wishes_merge_and_a_request_repeats_until_the_keyframe_comes() {
        let mut requester = Requester::new(RequesterConfig::default());
        requester.set_rtt(Duration::from_millis(100));
        assert!(!sends(&mut requester, 0) && requester.poll_timeout().is_none());
        for _ in 0..5 {
            requester.request(at(10));
        }
        assert_eq!(requester.poll_timeout(), Some(at(10)));
        let pli = write(&mut requester, 10).unwrap();
        assert!(matches!(Compound::new(&pli).next(), Some(Ok(Packet::Pli(pli))) if pli.media == Ssrc(2)));
        assert!(!sends(&mut requester, 259));
        assert_eq!(requester.poll_timeout(), Some(at(260)), "one round trip and a half, and 100 ms");
        assert!(sends(&mut requester, 260));
        requester.on_keyframe();
        assert_eq!((requester.poll_timeout(), requester.is_wanted()), (None, false));
        assert!(!sends(&mut requester, 5000));
        assert_eq!((requester.sent(), requester.merged()), (2, 4));
    }

    #[test]
    fn a_new_wish_waits_for_the_interval_and_then_goes_out() {
        let mut requester = Requester::new(RequesterConfig::default());
        requester.request(at(0));
        assert!(sends(&mut requester, 0));
        requester.on_keyframe();
        requester.request(at(50));
        assert!(!sends(&mut requester, 50));
        assert_eq!(requester.poll_timeout(), Some(at(200)));
        assert!(sends(&mut requester, 200));
    }

    /// A storm of viewers that need a keyframe again and again costs the publisher the budget and no more.
    #[test]
    fn a_storm_costs_the_budget_and_no_more() {
        let mut requester = Requester::new(RequesterConfig::default());
        let mut sent = Vec::new();
        for ms in 0..10_000 {
            requester.request(at(ms));
            if sends(&mut requester, ms) {
                sent.push(ms);
                requester.on_keyframe();
            }
        }
        assert_eq!(sent[..4], [0, 200, 400, 600]);
        assert!(sent[4..].windows(2).all(|pair| pair[1] - pair[0] == 1000), "{sent:?}");
        assert_eq!(sent.len(), 13);
        requester.on_keyframe();
        requester.request(at(60_000));
        assert!(sends(&mut requester, 60_000));
    }

    /// What a source sends in ten minutes while everybody asks for keyframes all the time (jitsi-videobridge#2442: at an unchanged bit
    /// rate keyframes took what the pictures needed, for an hour). Returns the keyframes and their share of the bytes.
    fn storm(kbps: u64, share: Option<Share>) -> (u64, f64) {
        const KEYFRAME_PACKETS: u64 = 60;
        let config = RequesterConfig::default();
        let mut requester = Requester::new(share.map_or(config, |share| config.share(share)));
        let mut heard = Requesters::new(RequestersConfig::default());
        let frame_bytes = kbps * 1000 / 8 / 25;
        let (mut debt, mut keyframes, mut total) = (0, 0, 0);
        for frame in 0..25 * 600_u64 {
            let now = at(frame * 40);
            let time = RtpTime(frame as u32 * 3600);
            // Thirty receivers and one that nobody knows each ask with every frame.
            for who in (0..30).map(Some).chain([None]) {
                if heard.hear(now, who, None) {
                    requester.request(now);
                }
            }
            let mut out = Vec::new();
            if requester.write_request(now, Ssrc(1), Ssrc(2), &mut out) {
                keyframes += 1;
                for part in 0..KEYFRAME_PACKETS {
                    requester.on_packet(now, time, 1000, part == 0);
                }
                requester.on_keyframe();
                total += KEYFRAME_PACKETS * 1000;
                debt += KEYFRAME_PACKETS * 1000;
                continue;
            }
            // The encoder keeps to its rate: what the keyframes took is missing in the other pictures.
            let paid = debt.min(frame_bytes * 9 / 10);
            debt -= paid;
            total += frame_bytes - paid;
            requester.on_packet(now, time, (frame_bytes - paid) as usize, false);
        }
        (keyframes, (keyframes * KEYFRAME_PACKETS * 1000) as f64 / total as f64)
    }

    /// The keyframe storm that Jitsi met in 2026. A fixed interval cannot tell a source for which keyframes are dear from one for
    /// which they are cheap; their cost can.
    #[test]
    fn the_jitsi_keyframe_storm_of_2026() {
        let share = Share { percent: 5, min: Duration::from_millis(500), max: Duration::from_secs(30) };
        let (_, unlimited) = storm(1200, None);
        assert!(unlimited > 0.3, "the storm is one: {unlimited}");
        let (few, small) = storm(1200, Some(share));
        assert!(small < 0.07, "{small} of the bytes of a slow source");
        let (many, large) = storm(12_000, Some(share));
        assert!(large < 0.07, "{large} of the bytes of a quick source");
        assert!(few > 50 && many > 8 * few, "{few} and {many} keyframes");
    }

    #[test]
    fn an_empty_budget_is_woken_when_it_refills() {
        let mut requester = Requester::new(RequesterConfig::default().max_tokens(1));
        requester.request(at(0));
        assert!(sends(&mut requester, 0));
        requester.on_keyframe();
        requester.request(at(10));
        assert_eq!(requester.poll_timeout(), Some(at(1000)));
        assert!(!sends(&mut requester, 999));
        assert!(sends(&mut requester, 1000));
    }

    /// RTCP-09: media SSRC 0, the target in the FCI; a repeat has the same number, a new command the next.
    #[test]
    fn fir_commands_are_numbered_and_repeats_are_not() {
        let mut requester = Requester::new(RequesterConfig::default().kind(Some(Kind::Fir)));
        let number = |ms, requester: &mut Requester| {
            let bytes = write(requester, ms).unwrap();
            assert_eq!(bytes[8..12], [0; 4]);
            let Some(Ok(Packet::Fir(fir))) = Compound::new(&bytes).next() else { panic!() };
            let entry = fir.entries().next().unwrap();
            assert_eq!(entry.ssrc, Ssrc(2));
            entry.seq
        };
        requester.request(at(0));
        let first = number(0, &mut requester);
        assert_eq!(number(1000, &mut requester), first);
        requester.on_keyframe();
        requester.request(at(2000));
        assert_eq!(number(2000, &mut requester), first + 1);
    }

    /// RTCP-03: what was not negotiated is not sent.
    #[test]
    fn without_negotiation_nothing_is_asked() {
        let mut requester = Requester::new(RequesterConfig::default().kind(None));
        requester.request(at(0));
        assert_eq!(requester.poll_timeout(), None);
        assert!(!sends(&mut requester, 1000));
    }
}
