//! Consent freshness (RFC 7675), the states that silence leads to, and the patience of RFC 8863.
//!
//! Only an authenticated response renews the consent of a full agent: neither media nor checks of the peer do
//! (CONS-02). A lite agent sends no checks, so there the authenticated checks of the peer count.

use std::time::{Duration, Instant};

use rand_core::Rng as _;

use super::Agent;
use super::checklist::{Pair, PairId};
use super::transactions::Purpose;
use crate::event::{FailReason, State};

/// Consent runs out this long after the last valid response (RFC 7675 §5.1).
const CONSENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The mean interval of consent checks; each one is drawn from 0.8 to 1.2 times this (RFC 7675 §5.1).
const CONSENT_INTERVAL: Duration = Duration::from_secs(5);

impl Agent {
    /// The selected pair has changed.
    pub(super) fn begin_consent(&mut self, now: Instant) {
        if !self.is_lite() && self.next_consent_at.is_none() {
            self.next_consent_at = Some(now + self.consent_interval());
        }
    }

    fn consent_interval(&mut self) -> Duration {
        let spread = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
        CONSENT_INTERVAL.mul_f64(0.8 + 0.4 * spread)
    }

    pub(super) fn handle_consent_timeout(&mut self, now: Instant) {
        if self.next_consent_at.is_none_or(|at| now < at) {
            return;
        }
        self.next_consent_at = Some(now + self.consent_interval());
        if let Some((id, path)) = self.selected_pair().map(|pair| (pair.id, pair.path)) {
            self.stats.consent_checks_sent += 1;
            self.request(now, id, path, Purpose::Consent, CONSENT_TIMEOUT);
        }
    }

    /// A sign of life on this pair: a valid response, or for a lite agent a valid check of the peer.
    pub(super) fn refresh_consent(&mut self, id: PairId) {
        if self.selected == Some(id) && self.state == State::Disconnected {
            self.set_state(State::Connected);
        }
    }

    fn selected_pair(&self) -> Option<&Pair> {
        self.checklist.get(self.selected?)
    }

    /// The last sign of life on the selected path.
    fn last_sign(&self) -> Option<Instant> {
        let pair = self.selected_pair()?;
        if self.is_lite() { Some(pair.last_request) } else { pair.last_response }
    }

    /// When a lite agent, or one that is still checking, gives up.
    fn give_up_at(&self) -> Option<Instant> {
        let last_request =
            self.checklist.iter().filter(|pair| pair.authenticated).map(|pair| pair.last_request).max();
        match last_request {
            Some(last) if self.is_lite() => Some((last + CONSENT_TIMEOUT).max(self.pac_at.unwrap_or(last))),
            _ => self.pac_at,
        }
    }

    pub(super) fn liveness_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Checking if self.is_lite() || self.nothing_is_open() => self.give_up_at(),
            State::Connected => {
                let last = self.last_sign()?;
                Some(last + self.config.disconnected_timeout.min(CONSENT_TIMEOUT))
            }
            State::Disconnected => Some(self.last_sign()? + CONSENT_TIMEOUT),
            _ => None,
        }
    }

    /// No check is under way or to come.
    fn nothing_is_open(&self) -> bool {
        self.checklist.open_count() == 0
    }

    pub(super) fn handle_liveness(&mut self, now: Instant) {
        if self.liveness_timeout().is_none_or(|at| now < at) {
            return;
        }
        match (self.state, self.last_sign()) {
            (State::Checking, _) => self.fail(FailReason::NoPath),
            (_, Some(last)) if now >= last + CONSENT_TIMEOUT => self.fail(FailReason::ConsentExpired),
            _ => self.set_state(State::Disconnected),
        }
    }
}
