//! Requests of the peer (RFC 8445 §7.3, RFC 8489 §9.1.3).
//!
//! Nothing changes before a request has proven that it knows the local password. Replies go to where the request came
//! from, from where it arrived (STUN-06), and error replies to strangers are bounded in rate and no longer than the
//! request.

use std::time::Instant;

use tombolo_net::FiveTuple;

use super::Agent;
use super::checklist::{NewPair, PairId, PairState};
use crate::event::{Event, Role, State};
use crate::stats::DropReason;
use crate::stun::{AttributeType, Class, Encoder, ErrorCode, HEADER_BYTES, Message, Method};

/// The most types that UNKNOWN-ATTRIBUTES lists.
const MAX_LISTED: usize = 16;

impl Agent {
    pub(super) fn handle_request(&mut self, now: Instant, path: FiveTuple, request: &Message<'_>) {
        if request.username().is_none() || !request.has_integrity() {
            self.stats.count_drop(DropReason::MissingAttribute);
            return self.refuse_stranger(now, path, request, ErrorCode::BAD_REQUEST);
        }
        let names_us =
            request.ufrags().is_some_and(|(ufrag, _)| ufrag == self.local.credentials.ufrag().as_bytes());
        if !names_us || !request.verify_integrity(&self.local.key) {
            self.stats.count_drop(DropReason::Unauthenticated);
            return self.refuse_stranger(now, path, request, ErrorCode::UNAUTHENTICATED);
        }
        if request.not_understood().next().is_some() {
            self.stats.count_drop(DropReason::UnknownAttribute);
            return self.refuse(path, request, ErrorCode::UNKNOWN_ATTRIBUTE);
        }
        let Some(priority) = request.priority() else {
            self.stats.count_drop(DropReason::MissingAttribute);
            return self.refuse(path, request, ErrorCode::BAD_REQUEST);
        };
        if self.loses_role_conflict(now, request) {
            self.stats.count_drop(DropReason::RoleConflict);
            return self.refuse(path, request, ErrorCode::ROLE_CONFLICT);
        }
        let Some(pair) = self.pair_of_request(now, path, priority) else {
            self.stats.count_drop(DropReason::Limit);
            return;
        };
        self.accept(now, pair, path, request);
    }

    /// The request is the peer's: answer it, remember the path, check back.
    fn accept(&mut self, now: Instant, id: PairId, path: FiveTuple, request: &Message<'_>) {
        self.stats.requests_accepted += 1;
        let mut reply = Vec::with_capacity(96);
        Encoder::new(&mut reply, Class::Success, Method::BINDING, request.transaction_id())
            .xor_mapped_address(path.remote)
            .integrity(&self.local.key)
            .finish_with_fingerprint();
        self.send(path, reply);

        if self.state == State::New {
            self.set_state(State::Checking);
        }
        if let Some(pair) = self.checklist.get_mut(id) {
            pair.last_request = now;
        }
        self.authenticate(id);
        if self.is_lite() {
            if let Some(pair) = self.checklist.get_mut(id) {
                pair.state = PairState::Succeeded;
            }
        } else {
            self.check_back(now, id);
        }
        if request.use_candidate() && self.role() == Role::Controlled {
            self.peer_chooses(now, id, request.transaction_id());
        }
        if self.is_lite() {
            self.use_best_before_nomination(now);
            self.refresh_consent(id);
        }
    }

    /// Tells the owner, once, that what arrives on this path may be looked at.
    pub(super) fn authenticate(&mut self, id: PairId) {
        if let Some(pair) = self.checklist.get_mut(id)
            && !pair.authenticated
        {
            pair.authenticated = true;
            self.events.push_back(Event::PathAuthenticated(pair.path));
        }
    }

    /// The triggered check (RFC 8445 §7.3.1.4).
    fn check_back(&mut self, now: Instant, id: PairId) {
        let Some(pair) = self.checklist.get_mut(id) else { return };
        match pair.state {
            PairState::Succeeded => return,
            PairState::InProgress => self.transactions.cancel_pair(now, id),
            PairState::Waiting | PairState::Failed => {}
        }
        pair.state = PairState::Waiting;
        self.checklist.trigger(id);
    }

    /// The pair on which a request arrived; a new one with a peer-reflexive candidate if there is none
    /// (RFC 8445 §7.3.1.3).
    fn pair_of_request(&mut self, now: Instant, path: FiveTuple, priority: u32) -> Option<PairId> {
        if let Some(pair) = self.checklist.find(&path) {
            return Some(pair.id);
        }
        let local_priority = self.local_priority(&path);
        let role = self.role();
        let new = NewPair { path, local_priority, remote_priority: priority, role, authenticated: true };
        self.checklist.insert(now, new, self.selected)
    }

    /// RFC 8445 §7.3.1.1. `true`: the peer must change its role. Otherwise this side changes, if there is a conflict.
    fn loses_role_conflict(&mut self, now: Instant, request: &Message<'_>) -> bool {
        let (theirs, switch_when_greater_or_equal) = match self.role() {
            Role::Controlling => (request.ice_controlling(), false),
            Role::Controlled => (request.ice_controlled(), true),
        };
        let Some(theirs) = theirs else { return false };
        // Where one side is lite the roles are given; a full peer that claims the wrong one must change.
        if self.roles_are_given() {
            return true;
        }
        let switch = (self.tiebreaker >= theirs) == switch_when_greater_or_equal;
        if switch {
            self.switch_role(now, self.role.opposite());
        }
        !switch
    }

    /// A reply to somebody who has not authenticated.
    fn refuse_stranger(&mut self, now: Instant, path: FiveTuple, request: &Message<'_>, code: ErrorCode) {
        let mut reply = Vec::with_capacity(HEADER_BYTES + 16);
        Encoder::new(&mut reply, Class::Error, Method::BINDING, request.transaction_id())
            .error_code(code)
            .finish_with_fingerprint();
        if reply.len() <= request.as_bytes().len() && self.reply_limit.take(now) {
            self.stats.errors_sent += 1;
            self.send(path, reply);
        } else {
            self.stats.errors_suppressed += 1;
        }
    }

    /// A reply to the peer.
    fn refuse(&mut self, path: FiveTuple, request: &Message<'_>, code: ErrorCode) {
        let mut reply = Vec::with_capacity(96);
        let mut encoder = Encoder::new(&mut reply, Class::Error, Method::BINDING, request.transaction_id())
            .error_code(code);
        if code == ErrorCode::UNKNOWN_ATTRIBUTE {
            let unknown = request.not_understood().take(MAX_LISTED);
            encoder = encoder.unknown_attributes(unknown.collect::<Vec<AttributeType>>());
        }
        encoder.integrity(&self.local.key).finish_with_fingerprint();
        self.stats.errors_sent += 1;
        self.send(path, reply);
    }
}
