//! Requests that wait for a response, and when they are repeated (RFC 8489 §6.2.1, RFC 8445 §14.3).

use std::time::{Duration, Instant};

use tombolo_net::FiveTuple;

use super::checklist::PairId;
use crate::event::Role;
use crate::stun::TransactionId;

/// The last transmission waits for this many initial timeouts, Rm (RFC 8489 §6.2.1).
const FINAL_WAIT: u32 = 16;
/// The most consent checks that can be unanswered: in 30 s, one each 4 s at most.
const MAX_CONSENT: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A connectivity check; `nominating`: it carries USE-CANDIDATE.
    Check { nominating: bool },
    /// A consent check (RFC 7675): sent once.
    Consent,
}

#[derive(Clone, Debug)]
pub(crate) struct Transaction {
    pub(crate) id: TransactionId,
    pub(crate) pair: PairId,
    pub(crate) path: FiveTuple,
    pub(crate) purpose: Purpose,
    /// The role that the request claimed.
    pub(crate) role: Role,
    pub(crate) sent_at: Instant,
    pub(crate) transmissions: u32,
    initial_rto: Duration,
    /// When to repeat it, or to give up when `is_last`.
    next: Instant,
    is_last: bool,
    pub(crate) request: Vec<u8>,
}

/// What is due.
#[derive(Debug)]
pub(crate) enum Due {
    Repeat(FiveTuple, Vec<u8>),
    TimedOut(Transaction),
}

#[derive(Debug, Default)]
pub(crate) struct Transactions {
    list: Vec<Transaction>,
}

/// What [`Transactions::begin`] makes a transaction of.
pub(crate) struct Begin {
    pub(crate) id: TransactionId,
    pub(crate) pair: PairId,
    pub(crate) path: FiveTuple,
    pub(crate) purpose: Purpose,
    pub(crate) role: Role,
    /// The time to the first repetition; for a consent check, until it is forgotten.
    pub(crate) rto: Duration,
    pub(crate) request: Vec<u8>,
}

impl Transactions {
    pub(crate) fn begin(&mut self, now: Instant, begin: Begin, max_transmissions: u32) {
        let Begin { id, pair, path, purpose, role, rto, request } = begin;
        let is_consent = purpose == Purpose::Consent;
        if is_consent && self.list.iter().filter(|t| t.purpose == Purpose::Consent).count() >= MAX_CONSENT {
            let oldest = self.list.iter().position(|t| t.purpose == Purpose::Consent);
            oldest.map(|at| self.list.remove(at));
        }
        let is_last = is_consent || max_transmissions <= 1;
        let wait = if is_last && !is_consent { rto * FINAL_WAIT } else { rto };
        self.list.push(Transaction {
            id,
            pair,
            path,
            purpose,
            role,
            sent_at: now,
            transmissions: 1,
            initial_rto: rto,
            next: now + wait,
            is_last,
            request,
        });
    }

    pub(crate) fn find(&self, id: TransactionId) -> Option<&Transaction> {
        self.list.iter().find(|transaction| transaction.id == id)
    }

    pub(crate) fn remove(&mut self, id: TransactionId) -> Option<Transaction> {
        let at = self.list.iter().position(|transaction| transaction.id == id)?;
        Some(self.list.remove(at))
    }

    /// Stops the repetitions of the checks of a pair; a response that is under way still counts (RFC 8445 §7.3.1.4).
    pub(crate) fn cancel_pair(&mut self, now: Instant, pair: PairId) {
        for transaction in self.list.iter_mut().filter(|t| t.pair == pair) {
            transaction.cancel(now);
        }
    }

    /// The same for every check.
    pub(crate) fn cancel_all_checks(&mut self, now: Instant) {
        for transaction in self.list.iter_mut().filter(|t| t.purpose != Purpose::Consent) {
            transaction.cancel(now);
        }
    }

    /// Whether a check of this pair is still being repeated or waited for.
    pub(crate) fn has_check(&self, pair: PairId) -> bool {
        self.list.iter().any(|t| t.pair == pair && t.purpose != Purpose::Consent)
    }

    /// Whether a nominating check of this pair is under way.
    pub(crate) fn is_nominating(&self, pair: PairId) -> bool {
        let nominating = Purpose::Check { nominating: true };
        self.list.iter().any(|t| t.pair == pair && t.purpose == nominating && !t.is_last)
    }

    pub(crate) fn clear(&mut self) {
        self.list.clear();
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.list.iter().map(|transaction| transaction.next).min()
    }

    /// One thing that is due.
    pub(crate) fn poll_due(&mut self, now: Instant, max_transmissions: u32) -> Option<Due> {
        let at = self.list.iter().position(|transaction| transaction.next <= now)?;
        if self.list[at].is_last {
            return Some(Due::TimedOut(self.list.remove(at)));
        }
        let transaction = &mut self.list[at];
        transaction.transmissions += 1;
        transaction.is_last = transaction.transmissions >= max_transmissions;
        let wait = if transaction.is_last {
            transaction.initial_rto * FINAL_WAIT
        } else {
            transaction.initial_rto * 2_u32.saturating_pow(transaction.transmissions - 1)
        };
        transaction.next = now + wait;
        Some(Due::Repeat(transaction.path, transaction.request.clone()))
    }
}

impl Transaction {
    fn cancel(&mut self, now: Instant) {
        if !self.is_last {
            self.is_last = true;
            self.next = now + self.initial_rto;
        }
    }
}
