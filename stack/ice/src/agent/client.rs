//! Checks that this side sends, and their responses (RFC 8445 §7.2).

use std::time::{Duration, Instant};

use rand_core::Rng as _;
use tombolo_net::FiveTuple;

use super::Agent;
use super::checklist::{PairId, PairState};
use super::transactions::{Begin, Due, Purpose, Transaction};
use crate::candidate::CandidateKind;
use crate::config::MIN_PACING;
use crate::event::{FailReason, Role};
use crate::stats::DropReason;
use crate::stun::{AttributeType, Class, Encoder, ErrorCode, Message, Method, TransactionId};

impl Agent {
    /// When the next new check may begin. `None`: there is none to begin.
    pub(super) fn next_check_at(&self) -> Option<Instant> {
        if self.remote.is_none() || self.is_lite() || !self.checklist.has_next(!self.concluded) {
            return None;
        }
        // The nominating check follows the valid one closely: it is the last that anybody waits for.
        let next_nominates = self.nominating.is_some() && self.checklist.next_triggered() == self.nominating;
        let gap = if next_nominates { MIN_PACING } else { self.config.pacing };
        Some(self.last_check_at.map_or(self.created_at, |last| last + gap))
    }

    /// Begins one check if its turn has come (RFC 8445 §6.1.4.2).
    pub(super) fn begin_due_check(&mut self, now: Instant) {
        if self.is_ended() || self.next_check_at().is_none_or(|at| now < at) {
            return;
        }
        let role = self.role();
        let Some(id) = self.checklist.take_next(role, !self.concluded) else { return };
        let nominating = role == Role::Controlling
            && (self.nominating == Some(id) || self.checklist.get(id).is_some_and(|pair| pair.nominated));
        let rto = self.rto();
        let Some(pair) = self.checklist.get_mut(id) else { return };
        if pair.state != PairState::Succeeded {
            pair.state = PairState::InProgress;
        }
        let path = pair.path;
        self.last_check_at = Some(now);
        self.stats.checks_sent += 1;
        self.request(now, id, path, Purpose::Check { nominating }, rto);
    }

    /// RFC 8445 §14.3.
    fn rto(&self) -> Duration {
        let open = u32::try_from(self.checklist.open_count()).unwrap_or(u32::MAX);
        self.config.initial_rto.max(self.config.pacing.saturating_mul(open))
    }

    /// Sends a request and remembers it for `rto`, or longer for a check that is repeated.
    pub(super) fn request(
        &mut self,
        now: Instant,
        pair: PairId,
        path: FiveTuple,
        purpose: Purpose,
        rto: Duration,
    ) {
        let mut id = TransactionId([0; 12]);
        self.rng.fill_bytes(&mut id.0);
        let role = self.role();
        let nominates = match purpose {
            Purpose::Check { nominating } => nominating,
            // A lite peer takes it as a sign that the pair is still the chosen one.
            Purpose::Consent => self.checklist.get(pair).is_some_and(|pair| pair.nominated),
        };
        let nominates = nominates && role == Role::Controlling;
        let Some(request) = self.encode_request(id, &path, role, nominates) else { return };
        self.send(path, request.clone());
        let begin = Begin { id, pair, path, purpose, role, rto, request };
        self.transactions.begin(now, begin, self.config.max_transmissions);
    }

    fn encode_request(
        &self,
        id: TransactionId,
        path: &FiveTuple,
        role: Role,
        nominates: bool,
    ) -> Option<Vec<u8>> {
        let remote = self.remote.as_ref()?;
        // The priority that a peer-reflexive candidate learned from this check has (RFC 8445 §7.1.1).
        let local_preference = (self.local_priority(path) >> 8) as u16;
        let priority = CandidateKind::PeerReflexive.priority(local_preference);
        let role = match role {
            Role::Controlling => AttributeType::ICE_CONTROLLING,
            Role::Controlled => AttributeType::ICE_CONTROLLED,
        };
        let mut request = Vec::with_capacity(128);
        let mut encoder = Encoder::new(&mut request, Class::Request, Method::BINDING, id)
            .ice_username(remote.credentials.ufrag(), self.local.credentials.ufrag())
            .attribute(AttributeType::PRIORITY, &priority.to_be_bytes())
            .attribute(role, &self.tiebreaker.to_be_bytes());
        if nominates {
            encoder = encoder.attribute(AttributeType::USE_CANDIDATE, &[]);
        }
        encoder.integrity(&remote.key).finish_with_fingerprint();
        Some(request)
    }

    /// Repeats and gives up what is due.
    pub(super) fn handle_due_transactions(&mut self, now: Instant) {
        while let Some(due) = self.transactions.poll_due(now, self.config.max_transmissions) {
            match due {
                Due::Repeat(path, request) => {
                    self.stats.retransmissions += 1;
                    self.send(path, request);
                }
                Due::TimedOut(transaction) => {
                    if transaction.purpose != Purpose::Consent {
                        self.check_failed(now, transaction.pair);
                    }
                }
            }
        }
    }

    pub(super) fn handle_response(&mut self, now: Instant, path: FiveTuple, response: &Message<'_>) {
        let id = response.transaction_id();
        let (Some(transaction), Some(remote)) = (self.transactions.find(id), &self.remote) else {
            return self.stats.count_drop(DropReason::UnknownTransaction);
        };
        // As if never received, so that the genuine response still counts (RFC 8489 §9.1.4).
        if !response.verify_integrity(&remote.key) {
            return self.stats.count_drop(DropReason::ResponseUnauthenticated);
        }
        if response.not_understood().next().is_some() {
            return self.stats.count_drop(DropReason::UnknownAttribute);
        }
        let is_symmetric = path == transaction.path;
        let Some(transaction) = self.transactions.remove(id) else { return };
        if !is_symmetric {
            self.stats.count_drop(DropReason::AsymmetricResponse);
            if transaction.purpose != Purpose::Consent {
                self.check_failed(now, transaction.pair);
            }
            return;
        }
        match (response.class(), response.error_code()) {
            (Class::Success, _) if response.xor_mapped_address().is_some() => {
                self.succeeded(now, &transaction)
            }
            (Class::Error, Some(ErrorCode::ROLE_CONFLICT)) => self.role_refused(now, &transaction),
            (Class::Error, Some(ErrorCode::FORBIDDEN)) if Some(transaction.pair) == self.selected => {
                self.fail(FailReason::ConsentRevoked);
            }
            _ if transaction.purpose == Purpose::Consent => self.stats.count_drop(DropReason::Malformed),
            _ => self.check_failed(now, transaction.pair),
        }
    }

    fn succeeded(&mut self, now: Instant, transaction: &Transaction) {
        self.stats.responses_accepted += 1;
        if transaction.transmissions == 1 {
            self.sample_rtt(now.saturating_duration_since(transaction.sent_at));
        }
        let Some(pair) = self.checklist.get_mut(transaction.pair) else { return };
        pair.last_response = Some(now);
        match transaction.purpose {
            Purpose::Consent => {}
            Purpose::Check { nominating } => {
                pair.state = PairState::Succeeded;
                let nominated = match transaction.role {
                    Role::Controlling => nominating,
                    Role::Controlled => pair.chosen,
                };
                self.authenticate(transaction.pair);
                self.became_valid(now, transaction.pair, nominated);
            }
        }
        self.refresh_consent(transaction.pair);
    }

    /// The peer has the same role and the better tiebreaker (RFC 8445 §7.2.5.1).
    fn role_refused(&mut self, now: Instant, transaction: &Transaction) {
        if transaction.role == self.role() && !self.roles_are_given() {
            self.switch_role(now, transaction.role.opposite());
        }
        self.tiebreaker = self.rng.next_u64();
        if matches!(transaction.purpose, Purpose::Check { .. }) {
            if let Some(pair) = self.checklist.get_mut(transaction.pair)
                && pair.state != PairState::Succeeded
            {
                pair.state = PairState::Waiting;
            }
            self.checklist.trigger(transaction.pair);
        }
    }

    /// A check got no response, or one that disqualifies the pair (RFC 8445 §7.2.5.2).
    fn check_failed(&mut self, now: Instant, id: PairId) {
        if self.transactions.has_check(id) {
            return;
        }
        let Some(pair) = self.checklist.get_mut(id) else { return };
        if pair.state == PairState::Waiting {
            return;
        }
        if pair.state == PairState::InProgress || self.nominating == Some(id) {
            pair.state = PairState::Failed;
        }
        self.pair_gone(now, id);
    }

    fn sample_rtt(&mut self, sample: Duration) {
        self.stats.rtt = Some(match self.stats.rtt {
            Some(smoothed) => (smoothed * 7 + sample) / 8,
            None => sample,
        });
    }
}
