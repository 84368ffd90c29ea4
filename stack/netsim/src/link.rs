//! What one direction of the network does to datagrams.
//!
//! A datagram passes, in this order: the scripted drops, drop-one-in-N, the MTU, random and burst loss, the queue and
//! its rate, the latency with its jitter, reordering, duplication.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand_core::Rng as _;
use tombolo_net::{Bitrate, Rng};

/// Two-state burst loss (Gilbert–Elliott). Probabilities are 0.0..=1.0, drawn per datagram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GilbertElliott {
    /// Good state to bad state.
    pub to_bad: f64,
    /// Bad state to good state.
    pub to_good: f64,
    /// Loss in the good state.
    pub loss_good: f64,
    /// Loss in the bad state.
    pub loss_bad: f64,
}

/// The properties of one direction. The default loses nothing, has 1 ms of latency and no limit of rate or size.
#[derive(Clone, Debug)]
pub struct Link {
    latency: Duration,
    jitter: Duration,
    stalls: Option<(Duration, Duration)>,
    rate: Option<Bitrate>,
    queue_bytes: usize,
    mtu_bytes: usize,
    loss: f64,
    drop_one_in: Option<u64>,
    burst: Option<GilbertElliott>,
    reorder: f64,
    reorder_by: Duration,
    duplicate: f64,
    dropped: BTreeSet<u64>,
    cut: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            stalls: None,
            rate: None,
            queue_bytes: 256 * 1024,
            mtu_bytes: usize::MAX,
            loss: 0.0,
            drop_one_in: None,
            burst: None,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            duplicate: 0.0,
            dropped: BTreeSet::new(),
            cut: false,
        }
    }
}

impl Link {
    /// The time from the end of sending to arrival. Default 1 ms.
    #[must_use]
    pub const fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// A uniformly drawn addition to the latency, 0 up to this. It keeps the order. Default none.
    #[must_use]
    pub const fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Now and then nothing passes, for a uniformly drawn time of 0 up to `up_to`; what came meanwhile arrives together at its end, as on
    /// a radio link that loses its channel. Between two stalls lies a uniformly drawn time of 0 up to twice `apart`. Default none.
    #[must_use]
    pub const fn stalls(mut self, apart: Duration, up_to: Duration) -> Self {
        self.stalls = Some((apart, up_to));
        self
    }

    /// The rate of the bottleneck and the bytes that may wait before it; what does not fit is dropped. Default: no
    /// bottleneck.
    #[must_use]
    pub const fn rate(mut self, rate: Bitrate, queue_bytes: usize) -> Self {
        self.rate = Some(rate);
        self.queue_bytes = queue_bytes;
        self
    }

    /// The largest UDP payload that passes, in bytes; bigger ones are dropped. Default: no limit.
    #[must_use]
    pub const fn mtu(mut self, mtu_bytes: usize) -> Self {
        self.mtu_bytes = mtu_bytes;
        self
    }

    /// The probability that a datagram is lost, each on its own. Default 0.0.
    #[must_use]
    pub const fn loss(mut self, probability: f64) -> Self {
        self.loss = probability;
        self
    }

    /// Loses every `n`-th datagram: with 3, those of index 2, 5, 8, … Zero turns it off, as by default.
    #[must_use]
    pub const fn drop_one_in(mut self, n: u64) -> Self {
        self.drop_one_in = if n == 0 { None } else { Some(n) };
        self
    }

    /// Loss in bursts. Default none.
    #[must_use]
    pub const fn burst_loss(mut self, burst: GilbertElliott) -> Self {
        self.burst = Some(burst);
        self
    }

    /// The probability that a datagram is held back by `by`, so that later ones overtake it. Default 0.0.
    #[must_use]
    pub const fn reorder(mut self, probability: f64, by: Duration) -> Self {
        self.reorder = probability;
        self.reorder_by = by;
        self
    }

    /// The probability that a datagram arrives twice. Default 0.0.
    #[must_use]
    pub const fn duplicate(mut self, probability: f64) -> Self {
        self.duplicate = probability;
        self
    }

    /// Loses exactly the datagrams of these indices, counted from 0 over the life of the direction. Default none.
    #[must_use]
    pub fn drop_indices(mut self, indices: impl IntoIterator<Item = u64>) -> Self {
        self.dropped = indices.into_iter().collect();
        self
    }

    /// Loses everything. Default: not.
    #[must_use]
    pub const fn cut(mut self) -> Self {
        self.cut = true;
        self
    }
}

/// Why a link lost a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkDrop {
    /// [`Link::cut`].
    Cut,
    /// [`Link::drop_indices`].
    Scripted,
    /// [`Link::drop_one_in`].
    OneInN,
    /// [`Link::mtu`].
    TooBig,
    /// [`Link::loss`].
    Random,
    /// [`Link::burst_loss`].
    Burst,
    /// [`Link::rate`]: the queue was full.
    QueueFull,
    /// The address translation of the pair knows no way (see [`Pair::translate`](crate::Pair::translate)).
    Unroutable,
}

/// A [`Link`] at work.
#[derive(Debug)]
pub(crate) struct LinkState {
    pub(crate) config: Link,
    rng: Rng,
    next_index: u64,
    /// When the bottleneck has sent all that waits before it.
    busy_until: Instant,
    last_arrival: Instant,
    in_bad_state: bool,
    /// When the last stall ends, and when the next one begins.
    stall: (Instant, Instant),
}

impl LinkState {
    pub(crate) fn new(rng: Rng, now: Instant) -> Self {
        Self {
            config: Link::default(),
            rng,
            next_index: 0,
            busy_until: now,
            last_arrival: now,
            in_bad_state: false,
            stall: (now, now),
        }
    }

    /// How long what waits before the bottleneck takes to leave.
    pub(crate) fn waiting(&self, now: Instant) -> Duration {
        self.busy_until.saturating_duration_since(now)
    }

    /// When a datagram of `len` bytes arrives, and when its duplicate does.
    pub(crate) fn pass(&mut self, now: Instant, len: usize) -> Result<(Instant, Option<Instant>), LinkDrop> {
        let index = self.next_index;
        self.next_index += 1;
        self.check_losses(index, len)?;
        let sent = self.queue(now, len)?;
        let jitter = self.config.jitter.mul_f64(self.draw());
        let passed = self.stall(sent);
        let on_time = (passed + self.config.latency + jitter).max(self.last_arrival);
        let arrival = if self.happens(self.config.reorder) {
            on_time + self.config.reorder_by
        } else {
            self.last_arrival = on_time;
            on_time
        };
        let duplicate = self.happens(self.config.duplicate).then_some(arrival);
        Ok((arrival, duplicate))
    }

    fn check_losses(&mut self, index: u64, len: usize) -> Result<(), LinkDrop> {
        if self.config.cut {
            return Err(LinkDrop::Cut);
        }
        if self.config.dropped.contains(&index) {
            return Err(LinkDrop::Scripted);
        }
        if self.config.drop_one_in.is_some_and(|n| index % n == n - 1) {
            return Err(LinkDrop::OneInN);
        }
        if len > self.config.mtu_bytes {
            return Err(LinkDrop::TooBig);
        }
        if self.happens(self.config.loss) {
            return Err(LinkDrop::Random);
        }
        if let Some(burst) = self.config.burst {
            let turn = if self.in_bad_state { burst.to_good } else { burst.to_bad };
            self.in_bad_state ^= self.happens(turn);
            let loss = if self.in_bad_state { burst.loss_bad } else { burst.loss_good };
            if self.happens(loss) {
                return Err(LinkDrop::Burst);
            }
        }
        Ok(())
    }

    /// Puts the datagram before the bottleneck; when its last bit has left.
    fn queue(&mut self, now: Instant, len: usize) -> Result<Instant, LinkDrop> {
        let Some(rate) = self.config.rate else { return Ok(now) };
        let wait = self.busy_until.saturating_duration_since(now);
        let waiting_bits = rate.as_bps() as f64 * wait.as_secs_f64();
        if waiting_bits / 8.0 + len as f64 > self.config.queue_bytes as f64 {
            return Err(LinkDrop::QueueFull);
        }
        self.busy_until = self.busy_until.max(now) + rate.time_for(len as u64);
        Ok(self.busy_until)
    }

    /// When what leaves at `sent` is let through.
    fn stall(&mut self, sent: Instant) -> Instant {
        let Some((apart, up_to)) = self.config.stalls else { return sent };
        while sent >= self.stall.1 {
            let end = self.stall.1 + up_to.mul_f64(self.draw());
            self.stall = (end, end + apart.mul_f64(2.0 * self.draw()) + Duration::from_micros(1));
        }
        sent.max(self.stall.0)
    }

    /// 0.0..1.0.
    fn draw(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.draw() < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tombolo_net::Seed;

    fn state(config: Link) -> LinkState {
        let mut state = LinkState::new(Seed::from_number(5).rng(), crate::start());
        state.config = config;
        state
    }

    fn lost(state: &mut LinkState, count: usize) -> usize {
        (0..count).filter(|_| state.pass(crate::start(), 100).is_err()).count()
    }

    #[test]
    fn random_loss_is_about_its_probability() {
        let lost = lost(&mut state(Link::default().loss(0.3)), 10_000);
        assert!((2_800..3_200).contains(&lost), "{lost}");
    }

    #[test]
    fn one_in_n_and_scripted_losses_are_exact() {
        let fates = |link: Link| -> Vec<usize> {
            let mut state = state(link);
            (0..9).filter(|_| state.pass(crate::start(), 1).is_err()).collect()
        };
        assert_eq!(fates(Link::default().drop_one_in(3)), [2, 5, 8]);
        assert_eq!(fates(Link::default().drop_indices([0, 7])), [0, 7]);
    }

    #[test]
    fn burst_loss_comes_in_runs() {
        let burst = GilbertElliott { to_bad: 0.01, to_good: 0.1, loss_good: 0.0, loss_bad: 1.0 };
        let mut state = state(Link::default().burst_loss(burst));
        let fates: Vec<bool> = (0..20_000).map(|_| state.pass(crate::start(), 1).is_err()).collect();
        let lost = fates.iter().filter(|lost| **lost).count();
        let runs = fates.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!(lost / runs >= 7, "mean run {}", lost / runs);
    }

    #[test]
    fn a_bottleneck_delays_and_then_overflows() {
        let mut state = state(Link::default().latency(Duration::ZERO).rate(Bitrate::from_kbps(800), 1_000));
        let start = crate::start();
        // 500 bytes take 5 ms at 100 bytes/ms.
        assert_eq!(state.pass(start, 500), Ok((start + Duration::from_millis(5), None)));
        assert_eq!(state.pass(start, 500), Ok((start + Duration::from_millis(10), None)));
        assert_eq!(state.pass(start, 500), Err(LinkDrop::QueueFull));
        let later = start + Duration::from_millis(10);
        assert_eq!(state.pass(later, 500), Ok((later + Duration::from_millis(5), None)));
    }

    #[test]
    fn bigger_than_the_mtu_is_lost() {
        let mut state = state(Link::default().mtu(600));
        assert!(state.pass(crate::start(), 600).is_ok());
        assert_eq!(state.pass(crate::start(), 601), Err(LinkDrop::TooBig));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_breaks_it() {
        let arrivals = |link: Link| -> Vec<Instant> {
            let mut state = state(link);
            let at = |i: u64| crate::start() + Duration::from_millis(i);
            (0..200).filter_map(|i| state.pass(at(i), 1).ok()).map(|(arrival, _)| arrival).collect()
        };
        assert!(arrivals(Link::default().jitter(Duration::from_millis(30))).is_sorted());
        assert!(!arrivals(Link::default().reorder(0.2, Duration::from_millis(10))).is_sorted());
    }

    #[test]
    fn stalls_hold_back_and_let_go_together() {
        let link = Link::default().stalls(Duration::from_millis(500), Duration::from_millis(200));
        let mut state = state(link.latency(Duration::ZERO));
        let sent = |n: u64| crate::start() + Duration::from_millis(n);
        let delays: Vec<u128> =
            (0..20_000).map(|n| (state.pass(sent(n), 1).expect("passes").0 - sent(n)).as_millis()).collect();
        assert!(delays.iter().all(|delay| *delay <= 200));
        let held = delays.iter().filter(|delay| **delay > 0).count();
        // 100 ms of 600, on average.
        assert!((2_500..4_500).contains(&held), "{held}");
        assert!(delays.windows(2).all(|pair| pair[0] == 0 || pair[1] + 1 == pair[0] || pair[1] > pair[0]));
    }

    #[test]
    fn duplicates_arrive_twice() {
        let mut state = state(Link::default().duplicate(1.0));
        let arrival = crate::start() + Duration::from_millis(1);
        assert_eq!(state.pass(crate::start(), 1), Ok((arrival, Some(arrival))));
    }
}
