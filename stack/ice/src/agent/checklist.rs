//! The candidate pairs of the one stream and component, and the triggered-check queue (RFC 8445 §6.1.2, §6.1.4.1).
//!
//! Deviation: RFC 8445 §6.1.2.6, there is no Frozen state. Freezing spares checks between the components and streams
//! of a session; with everything on one component it could only delay them.

use std::collections::VecDeque;
use std::time::Instant;

use tombolo_net::FiveTuple;

use crate::event::Role;
use crate::stun::TransactionId;

/// Names a pair for as long as the agent lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PairId(u32);

/// RFC 8445 §6.1.2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairState {
    Waiting,
    InProgress,
    Succeeded,
    Failed,
}

/// One way to reach the peer.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) id: PairId,
    /// From the base of the local candidate to the remote candidate.
    pub(crate) path: FiveTuple,
    pub(crate) local_priority: u32,
    pub(crate) remote_priority: u32,
    pub(crate) state: PairState,
    /// An authenticated check has passed, in either direction.
    pub(crate) authenticated: bool,
    /// The controlling side has chosen it; once it is valid it is nominated.
    pub(crate) chosen: bool,
    /// Valid and chosen.
    pub(crate) nominated: bool,
    /// The last authenticated request of the peer, or creation.
    pub(crate) last_request: Instant,
    /// The last valid response of the peer.
    pub(crate) last_response: Option<Instant>,
    /// The last check of the peer with USE-CANDIDATE, and how many different ones since the selected pair had one.
    pub(crate) last_choice: Option<TransactionId>,
    pub(crate) choices: u32,
}

impl Pair {
    /// RFC 8445 §6.1.2.3.
    pub(crate) fn priority(&self, role: Role) -> u64 {
        let (local, remote) = (u64::from(self.local_priority), u64::from(self.remote_priority));
        let (controlling, controlled) = match role {
            Role::Controlling => (local, remote),
            Role::Controlled => (remote, local),
        };
        (controlling.min(controlled) << 32)
            + 2 * controlling.max(controlled)
            + u64::from(controlling > controlled)
    }

    const fn is_open(&self) -> bool {
        matches!(self.state, PairState::Waiting | PairState::InProgress)
    }
}

/// All pairs, at most as many as configured.
#[derive(Debug)]
pub(crate) struct Checklist {
    pairs: Vec<Pair>,
    triggered: VecDeque<PairId>,
    next_id: u32,
    max_pairs: usize,
}

impl Checklist {
    pub(crate) const fn new(max_pairs: usize) -> Self {
        Self { pairs: Vec::new(), triggered: VecDeque::new(), next_id: 0, max_pairs }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pair> {
        self.pairs.iter_mut()
    }

    pub(crate) fn get(&self, id: PairId) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.iter_mut().find(|pair| pair.id == id)
    }

    pub(crate) fn find(&self, path: &FiveTuple) -> Option<&Pair> {
        self.pairs.iter().find(|pair| pair.path == *path)
    }

    /// Adds a Waiting pair. When the list is full, the pair that is missed least makes room: a failed one, else the
    /// lowest untried one if it is lower than this, else, for the path of an authenticated check, the one that the
    /// peer checked longest ago. `None`: no room.
    pub(crate) fn insert(&mut self, now: Instant, new: NewPair, keep: Option<PairId>) -> Option<PairId> {
        let pair = Pair {
            id: PairId(self.next_id),
            path: new.path,
            local_priority: new.local_priority,
            remote_priority: new.remote_priority,
            state: PairState::Waiting,
            authenticated: false,
            chosen: false,
            nominated: false,
            last_request: now,
            last_response: None,
            last_choice: None,
            choices: 0,
        };
        if self.pairs.len() >= self.max_pairs {
            let victim = self.victim(&pair, new.role, new.authenticated, keep)?;
            self.pairs.retain(|pair| pair.id != victim);
            self.triggered.retain(|id| *id != victim);
        }
        self.next_id += 1;
        let id = pair.id;
        self.pairs.push(pair);
        Some(id)
    }

    fn victim(&self, new: &Pair, role: Role, authenticated: bool, keep: Option<PairId>) -> Option<PairId> {
        let others = || self.pairs.iter().filter(|pair| Some(pair.id) != keep);
        let failed = others().find(|pair| pair.state == PairState::Failed && !pair.authenticated);
        let untried = others()
            .filter(|pair| pair.state == PairState::Waiting && !pair.authenticated)
            .min_by_key(|pair| pair.priority(role))
            .filter(|pair| authenticated || pair.priority(role) < new.priority(role));
        let stalest = || others().min_by_key(|pair| pair.last_request).filter(|_| authenticated);
        failed.or(untried).or_else(stalest).map(|pair| pair.id)
    }

    /// Queues a triggered check, at most once per pair.
    pub(crate) fn trigger(&mut self, id: PairId) {
        if !self.triggered.contains(&id) {
            self.triggered.push_back(id);
        }
    }

    /// Queues the nominating check before all others.
    pub(crate) fn trigger_first(&mut self, id: PairId) {
        self.triggered.retain(|queued| *queued != id);
        self.triggered.push_front(id);
    }

    /// The next pair to check: a triggered one, else the best Waiting one if `ordinary` checks go on.
    pub(crate) fn take_next(&mut self, role: Role, ordinary: bool) -> Option<PairId> {
        if let Some(id) = self.triggered.pop_front() {
            return Some(id);
        }
        let waiting = self.pairs.iter().filter(|pair| ordinary && pair.state == PairState::Waiting);
        waiting.max_by_key(|pair| pair.priority(role)).map(|pair| pair.id)
    }

    pub(crate) fn next_triggered(&self) -> Option<PairId> {
        self.triggered.front().copied()
    }

    pub(crate) fn has_next(&self, ordinary: bool) -> bool {
        let waiting = || self.pairs.iter().any(|pair| pair.state == PairState::Waiting);
        !self.triggered.is_empty() || (ordinary && waiting())
    }

    /// Pairs whose check is yet to come or under way.
    pub(crate) fn open_count(&self) -> usize {
        self.pairs.iter().filter(|pair| pair.is_open()).count()
    }

    pub(crate) fn best_valid(&self, role: Role) -> Option<&Pair> {
        let valid = self.pairs.iter().filter(|pair| pair.state == PairState::Succeeded);
        valid.max_by_key(|pair| pair.priority(role))
    }

    /// Whether a pair better than `than` could still become valid.
    pub(crate) fn better_is_open(&self, than: &Pair, role: Role) -> bool {
        self.pairs.iter().any(|pair| pair.is_open() && pair.priority(role) > than.priority(role))
    }

    /// Forgets the queue of triggered checks.
    pub(crate) fn clear_triggered(&mut self) {
        self.triggered.clear();
    }
}

/// What [`Checklist::insert`] makes a pair of.
pub(crate) struct NewPair {
    pub(crate) path: FiveTuple,
    pub(crate) local_priority: u32,
    pub(crate) remote_priority: u32,
    pub(crate) role: Role,
    /// The path comes from an authenticated check, not from a description.
    pub(crate) authenticated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_pair(port: u16, remote_priority: u32, authenticated: bool) -> NewPair {
        let path = FiveTuple::udp("192.0.2.1:1".parse().unwrap(), ([192, 0, 2, 2], port).into());
        NewPair { path, local_priority: 1000, remote_priority, role: Role::Controlling, authenticated }
    }

    #[test]
    fn pair_priority_is_that_of_rfc_8445_6_1_2_3_and_equal_on_both_sides() {
        let mut list = Checklist::new(1);
        let id = list.insert(tombolo_netsim::start(), new_pair(1, 7, false), None).unwrap();
        let pair = list.get(id).unwrap();
        assert_eq!(pair.priority(Role::Controlling), (7 << 32) + 2000 + 1);
        assert_eq!(pair.priority(Role::Controlled), (7 << 32) + 2000);
        let mirrored = Pair { local_priority: 7, remote_priority: 1000, ..pair.clone() };
        assert_eq!(mirrored.priority(Role::Controlled), pair.priority(Role::Controlling));
    }

    #[test]
    fn a_full_list_keeps_the_best_and_never_gives_up_the_selected_pair() {
        let now = tombolo_netsim::start();
        let mut list = Checklist::new(3);
        for priority in [5, 9, 1, 7, 3, 8] {
            let _ = list.insert(now, new_pair(priority as u16, priority, false), None);
        }
        let mut kept: Vec<u32> = list.iter().map(|pair| pair.remote_priority).collect();
        kept.sort_unstable();
        assert_eq!(kept, [7, 8, 9]);

        let selected = list.iter().next().unwrap().id;
        for pair in list.iter_mut() {
            pair.state = PairState::Succeeded;
            pair.authenticated = true;
        }
        assert_eq!(
            list.insert(now, new_pair(20, 99, false), Some(selected)),
            None,
            "only a description names it"
        );
        for port in 21..30 {
            assert!(list.insert(now, new_pair(port, 1, true), Some(selected)).is_some());
        }
        assert!(list.get(selected).is_some());
        assert_eq!(list.iter().count(), 3);
    }
}
