//! A model of a TCP flow with CUBIC (RFC 9438) and selective acknowledgements: segments without content, one
//! acknowledgement each.
//!
//! It has slow start, the cubic and the Reno-friendly window, fast retransmission after three later segments, and a
//! retransmission timeout. Which segment is lost is of no matter to a model: a lost one is made up for by a new one.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tombolo_net::{FiveTuple, Transmit};

use crate::machine::Machine;

/// The UDP payload of a segment and of an acknowledgement, so that both have TCP's size.
const SEGMENT_LEN: usize = 1452;
const ACK_LEN: usize = 32;
/// RFC 9438 §5: C, β.
const C: f64 = 0.4;
const BETA: f64 = 0.7;
/// Later segments that must have arrived before one counts as lost.
const REORDER: u64 = 3;
const INITIAL_WINDOW: f64 = 10.0;
const MIN_RTO: Duration = Duration::from_millis(200);

/// The sender: as much as the window allows, from a start on, without end or up to a number of bytes.
#[derive(Debug)]
pub struct CubicSender {
    start: Instant,
    left_bytes: u64,
    next: u64,
    /// What is under way, in order: number and time.
    in_flight: VecDeque<(u64, Instant)>,
    window: f64,
    threshold: f64,
    largest: f64,
    /// When the window was last cut.
    cut: Option<Instant>,
    /// A loss among what was sent before this does not count again.
    recover: u64,
    reno: f64,
    rtt: Option<Duration>,
    path: FiveTuple,
}

impl CubicSender {
    /// A flow of `bytes` from `start` on; [`u64::MAX`]: without end.
    ///
    /// # Panics
    /// Never: the addresses of the model are fixed.
    #[must_use]
    pub fn new(start: Instant, bytes: u64) -> Self {
        Self {
            start,
            left_bytes: bytes,
            next: 0,
            in_flight: VecDeque::new(),
            window: INITIAL_WINDOW,
            threshold: f64::INFINITY,
            largest: 0.0,
            cut: None,
            recover: 0,
            reno: 0.0,
            rtt: None,
            path: FiveTuple::udp(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 1).into()),
        }
    }

    fn rto(&self) -> Duration {
        self.rtt.map_or(Duration::from_secs(1), |rtt| (rtt * 2).max(MIN_RTO))
    }

    fn on_ack(&mut self, now: Instant, number: u64) {
        let Some(index) = self.in_flight.iter().position(|(sent, _)| *sent == number) else { return };
        let Some((_, sent)) = self.in_flight.remove(index) else { return };
        let measured = now.saturating_duration_since(sent);
        let rtt = self.rtt.map_or(measured, |rtt| (rtt * 7 + measured) / 8);
        self.rtt = Some(rtt);
        let lost = self.in_flight.iter().take_while(|(sent, _)| sent + REORDER <= number).count();
        if lost > 0 {
            let newest = self.in_flight[lost - 1].0;
            self.in_flight.drain(..lost);
            self.left_bytes = self.left_bytes.saturating_add((lost * SEGMENT_LEN) as u64);
            if newest >= self.recover {
                self.on_loss(now);
            }
        } else {
            self.grow(now, rtt);
        }
    }

    fn on_loss(&mut self, now: Instant) {
        self.recover = self.next;
        self.largest =
            if self.window < self.largest { self.window * (1.0 + BETA) / 2.0 } else { self.window };
        self.window = (self.window * BETA).max(2.0);
        self.threshold = self.window;
        self.reno = self.window;
        self.cut = Some(now);
    }

    fn grow(&mut self, now: Instant, rtt: Duration) {
        if self.window < self.threshold {
            self.window += 1.0;
            return;
        }
        let cut = *self.cut.get_or_insert(now);
        let time = (now.saturating_duration_since(cut) + rtt).as_secs_f64();
        let k = (self.largest * (1.0 - BETA) / C).cbrt();
        let target = (C * (time - k).powi(3) + self.largest).clamp(self.window, self.window * 1.5);
        let alpha = if self.reno < self.largest { 3.0 * (1.0 - BETA) / (1.0 + BETA) } else { 1.0 };
        self.reno += alpha / self.window;
        self.window = (self.window + (target - self.window) / self.window).max(self.reno);
    }
}

impl Machine for CubicSender {
    fn handle_datagram(&mut self, now: Instant, _: FiveTuple, data: &mut [u8]) {
        if let Some(number) = data.first_chunk() {
            self.on_ack(now, u64::from_be_bytes(*number));
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let rto = self.rto();
        let Some(&(_, sent)) = self.in_flight.front() else { return };
        if now >= sent + rto {
            self.left_bytes = self.left_bytes.saturating_add((self.in_flight.len() * SEGMENT_LEN) as u64);
            self.in_flight.clear();
            self.on_loss(now);
            self.window = 1.0;
            self.rtt = self.rtt.map(|rtt| (rtt * 2).min(Duration::from_secs(10)));
        }
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if now < self.start || self.left_bytes == 0 || self.in_flight.len() as f64 >= self.window {
            return None;
        }
        self.left_bytes = self.left_bytes.saturating_sub(SEGMENT_LEN as u64);
        self.in_flight.push_back((self.next, now));
        out.extend_from_slice(&self.next.to_be_bytes());
        out.resize(SEGMENT_LEN, 0);
        self.next += 1;
        Some(Transmit::datagram(self.path, SEGMENT_LEN))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match self.in_flight.front() {
            Some((_, sent)) => Some(*sent + self.rto()),
            None if self.left_bytes > 0 && self.next == 0 => Some(self.start),
            None => None,
        }
    }
}

/// The receiver: acknowledges each segment.
#[derive(Debug, Default)]
pub struct CubicReceiver {
    acks: VecDeque<([u8; 8], FiveTuple)>,
}

impl Machine for CubicReceiver {
    fn handle_datagram(&mut self, _: Instant, path: FiveTuple, data: &mut [u8]) {
        if let Some(number) = data.first_chunk() {
            self.acks.push_back((*number, path));
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_transmit(&mut self, _: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let (number, path) = self.acks.pop_front()?;
        out.extend_from_slice(&number);
        out.resize(ACK_LEN, 0);
        Some(Transmit::datagram(path, ACK_LEN))
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::Bitrate;

    use super::*;
    use crate::{Dumbbell, Link, Side, start};

    #[test]
    fn one_fills_a_link_and_two_share_it() {
        let mut net = Dumbbell::new(7);
        let link = Link::default().latency(Duration::from_millis(25));
        net.set_link(Side::B, link.clone().rate(Bitrate::from_kbps(10_000), 62_500));
        net.set_link(Side::A, link);
        for _ in 0..2 {
            net.add(CubicSender::new(start(), u64::MAX), CubicReceiver::default(), Duration::ZERO);
        }
        net.run_for(Duration::from_secs(60));
        let mbps = |flow| {
            let arrived = net.deliveries(flow, Side::B).iter().filter(|datagram| datagram.arrival.is_some());
            arrived.map(|datagram| datagram.len_bytes).sum::<usize>() as f64 * 8.0 / 60e6
        };
        let (one, other) = (mbps(0), mbps(1));
        assert!(one + other > 9.0, "{one} + {other}");
        assert!(one.min(other) > 2.5, "{one} and {other}");
    }

    #[test]
    fn a_short_one_ends_whatever_is_lost() {
        let mut net = Dumbbell::new(7);
        net.set_link(Side::B, Link::default().loss(0.1));
        net.add(CubicSender::new(start(), 300_000), CubicReceiver::default(), Duration::ZERO);
        net.run_for(Duration::from_secs(60));
        let arrived = net.deliveries(0, Side::B).iter().filter(|datagram| datagram.arrival.is_some());
        assert!(arrived.count() >= 300_000 / SEGMENT_LEN);
        assert_eq!(net.flows()[0].a.poll_timeout(), None);
    }
}
