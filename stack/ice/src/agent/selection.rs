//! Which pair is used: nomination (RFC 8445 §8.1) and what goes before it (§12.1).
//!
//! Before nomination the best valid pair is used. A controlling agent nominates once (§8.1.1, regular nomination). A
//! controlled one follows; when the peer nominates several pairs, as aggressive nomination does, the one of the
//! highest priority wins (ICE-15). A peer that moves to a pair of lower priority says so in two checks in a row, with
//! none on the old pair between them.

use std::time::{Duration, Instant};

use super::Agent;
use super::checklist::{PairId, PairState};
use crate::event::{Event, Role, State};
use crate::stun::TransactionId;

/// Checks with USE-CANDIDATE on a lower pair, with none on the selected one between them, that make it selected.
const CHOICES_TO_MOVE_DOWN: u32 = 2;
/// How old the last response on a pair may be when the pair is selected.
const MAX_AGE_TO_SELECT: Duration = Duration::from_secs(5);
/// How long a nominating check may be unanswered before another valid pair is nominated.
const NOMINATION_TIMEOUT: Duration = Duration::from_secs(5);

impl Agent {
    /// An authenticated check with USE-CANDIDATE has arrived.
    pub(super) fn peer_chooses(&mut self, now: Instant, id: PairId, transaction: TransactionId) {
        let is_full = !self.is_lite();
        let Some(pair) = self.checklist.get_mut(id) else { return };
        pair.chosen = true;
        if pair.last_choice != Some(transaction) {
            pair.last_choice = Some(transaction);
            pair.choices += 1;
        }
        if pair.state != PairState::Succeeded {
            return;
        }
        // Consent is given for each path (RFC 7675 §5.1): one that was valid long ago is checked again first.
        let is_stale = pair.last_response.is_none_or(|at| now > at + MAX_AGE_TO_SELECT);
        if is_full && is_stale && self.selected != Some(id) {
            pair.state = PairState::Waiting;
            self.checklist.trigger(id);
        } else {
            self.nominated_by_peer(now, id);
        }
    }

    fn nominated_by_peer(&mut self, now: Instant, id: PairId) {
        let role = self.role();
        let Some(pair) = self.checklist.get_mut(id) else { return };
        pair.nominated = true;
        let (priority, choices) = (pair.priority(role), pair.choices);
        let current = self.selected.and_then(|id| self.checklist.get(id)).filter(|pair| pair.nominated);
        let moves = match current {
            None => true,
            Some(current) => {
                current.id == id || priority > current.priority(role) || choices >= CHOICES_TO_MOVE_DOWN
            }
        };
        if moves {
            for pair in self.checklist.iter_mut() {
                pair.choices = 0;
            }
            self.conclude(now);
            self.select(now, id);
        }
    }

    /// A lite agent sends where the peer has checked, until the peer nominates: browsers nominate one check later than
    /// they begin the DTLS handshake.
    pub(super) fn use_best_before_nomination(&mut self, now: Instant) {
        if !self.concluded
            && let Some(best) = self.checklist.best_valid(self.role()).map(|pair| pair.id)
        {
            self.select(now, best);
        }
    }

    /// A check of this side has succeeded.
    pub(super) fn became_valid(&mut self, now: Instant, id: PairId, nominated: bool) {
        let role = self.role();
        if nominated && role == Role::Controlled {
            return self.nominated_by_peer(now, id);
        }
        if nominated {
            if let Some(pair) = self.checklist.get_mut(id) {
                pair.nominated = true;
            }
            self.nominating = None;
            self.nominate_at = None;
            self.conclude(now);
            return self.select(now, id);
        }
        if self.concluded {
            return;
        }
        let Some(best) = self.checklist.best_valid(role) else { return };
        let (best_id, better_is_open) = (best.id, self.checklist.better_is_open(best, role));
        self.select(now, best_id);
        if role == Role::Controlling && self.nominating.is_none() {
            if better_is_open {
                self.nominate_at.get_or_insert(now + self.config.nomination_patience);
            } else {
                self.nominate(now, best_id);
            }
        }
    }

    pub(super) fn handle_nomination_timeout(&mut self, now: Instant) {
        if self.nominate_at.is_none_or(|at| now < at) {
            return;
        }
        self.nominate_at = None;
        if self.role() != Role::Controlling || self.concluded {
            return;
        }
        // A pair whose nomination nobody confirms has stopped working; another valid one is worth a try.
        let stuck = self.nominating.take();
        let others =
            self.checklist.iter().filter(|pair| pair.state == PairState::Succeeded && Some(pair.id) != stuck);
        let next = others.max_by_key(|pair| pair.priority(Role::Controlling)).map(|pair| pair.id);
        if let (Some(_), Some(stuck)) = (next, stuck) {
            self.transactions.cancel_pair(now, stuck);
            if let Some(pair) = self.checklist.get_mut(stuck) {
                pair.state = PairState::Failed;
            }
        }
        if let Some(id) = next.or(stuck) {
            self.nominate(now, id);
        }
    }

    /// Repeats the check of a valid pair with USE-CANDIDATE.
    fn nominate(&mut self, now: Instant, id: PairId) {
        self.nominate_at = Some(now + NOMINATION_TIMEOUT);
        if self.nominating != Some(id) && !self.transactions.is_nominating(id) {
            self.checklist.trigger_first(id);
        }
        self.nominating = Some(id);
    }

    /// A nominated pair is selected: no further ordinary checks, no repetitions (RFC 8445 §8.1.2). Checks of the peer
    /// still trigger checks.
    fn conclude(&mut self, now: Instant) {
        if !self.concluded {
            self.concluded = true;
            self.transactions.cancel_all_checks(now);
        }
    }

    fn select(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.checklist.get(id) else { return };
        let path = pair.path;
        if self.selected != Some(id) {
            self.selected = Some(id);
            self.set_state(State::Connected);
            self.events.push_back(Event::PathSelected(path));
            self.begin_consent(now);
        }
    }

    /// A pair has failed: it is not nominated any more, and if it was used, the next best one is.
    pub(super) fn pair_gone(&mut self, now: Instant, id: PairId) {
        if self.nominating == Some(id) {
            self.nominating = None;
            if let Some(best) = self.checklist.best_valid(Role::Controlling).map(|pair| pair.id) {
                self.nominate(now, best);
            }
        }
    }

    /// Takes the other role (RFC 8445 §7.3.1.1): what was decided in the old one does not count.
    pub(super) fn switch_role(&mut self, now: Instant, role: Role) {
        self.role = role;
        self.stats.role_switches += 1;
        self.nominating = None;
        self.nominate_at = None;
        if role == Role::Controlling
            && !self.concluded
            && let Some(best) = self.checklist.best_valid(role).map(|pair| pair.id)
        {
            self.nominate(now, best);
        }
    }
}
