//! The ICE agent of one session: one stream, one component.
//!
//! A full agent goes through these steps, some of them at once:
//!
//! 1. It learns local candidates, the remote credentials and remote candidates, and forms pairs (RFC 8445 §6.1.2).
//! 2. It sends one new check each Ta, triggered ones first, and repeats those without a response (§6.1.4, §14).
//! 3. It answers the checks of the peer, from whatever address they come, and checks back (§7.3).
//! 4. A check that succeeds makes its pair valid. The best valid pair is used at once, and consent checks begin on it
//!    (RFC 7675).
//! 5. The controlling side nominates; from then on the nominated pair is the only one sent on (§8, §12.1).
//!
//! A lite agent does step 3 only, without checking back. It sends where the peer has checked, and once the peer has
//! nominated a path, there only.
//!
//! Left out: TURN, TCP, gathering, mDNS resolution.

mod checklist;
mod client;
mod liveness;
mod reply_limit;
mod selection;
mod server;
mod transactions;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand_core::Rng as _;
use tombolo_net::{FiveTuple, Rng, Seed, Transmit};

use crate::candidate::{Candidate, CandidateKind, CandidateTransport};
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::UseError;
use crate::event::{Event, FailReason, Role, State};
use crate::stats::{DropReason, Stats};
use crate::stun::{Class, IntegrityKey, Message, Method};

use checklist::{Checklist, NewPair, PairId};
use reply_limit::ReplyLimit;
use transactions::Transactions;

/// Datagrams that wait for `poll_transmit` at most; more are dropped and counted.
const MAX_OUTBOX: usize = 64;
/// Local candidates kept at most.
const MAX_LOCAL: usize = 32;

/// Credentials with their expanded key.
#[derive(Debug)]
struct Keyed {
    credentials: Credentials,
    key: IntegrityKey,
}

impl Keyed {
    fn new(credentials: Credentials) -> Self {
        let key = IntegrityKey::new(credentials.pwd().as_bytes());
        Self { credentials, key }
    }
}

/// One ICE session. See the [module's documentation](self) for its steps.
///
/// After any input or verb: transmits until `None`, events until `None`, then the timeout.
#[derive(Debug)]
pub struct Agent {
    config: Arc<Config>,
    rng: Rng,
    local: Keyed,
    remote: Option<Keyed>,
    remote_lite: bool,
    role: Role,
    tiebreaker: u64,
    state: State,
    local_candidates: Vec<Candidate>,
    remote_candidates: Vec<Candidate>,
    remote_ended: bool,
    checklist: Checklist,
    transactions: Transactions,
    selected: Option<PairId>,
    /// The pair whose nominating check is under way.
    nominating: Option<PairId>,
    /// When to nominate the best valid pair, though a better one may come.
    nominate_at: Option<Instant>,
    /// A nominated pair was selected: no ordinary checks any more.
    concluded: bool,
    /// When the last new check began.
    last_check_at: Option<Instant>,
    created_at: Instant,
    next_consent_at: Option<Instant>,
    /// Before this no lack of pairs is a failure (RFC 8863).
    pac_at: Option<Instant>,
    reply_limit: ReplyLimit,
    outbox: VecDeque<(FiveTuple, Vec<u8>)>,
    events: VecDeque<Event>,
    stats: Stats,
}

impl Agent {
    /// A new agent with fresh credentials and tiebreaker, in the role `Controlled`.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: Seed, now: Instant) -> Self {
        let mut rng = seed.rng();
        let local = Keyed::new(Credentials::random(&mut rng));
        let tiebreaker = rng.next_u64();
        let checklist = Checklist::new(config.max_pairs);
        Self {
            config,
            rng,
            local,
            remote: None,
            remote_lite: false,
            role: Role::Controlled,
            tiebreaker,
            state: State::New,
            local_candidates: Vec::new(),
            remote_candidates: Vec::new(),
            remote_ended: false,
            checklist,
            transactions: Transactions::default(),
            selected: None,
            nominating: None,
            nominate_at: None,
            concluded: false,
            last_check_at: None,
            created_at: now,
            next_consent_at: None,
            pac_at: None,
            reply_limit: ReplyLimit::new(now),
            outbox: VecDeque::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// The credentials that the peer must use.
    #[must_use]
    pub const fn local_credentials(&self) -> &Credentials {
        &self.local.credentials
    }

    /// The role: the offerer controls (RFC 8445 §6.1.1). It has no effect where only one side is lite: then the full
    /// side controls. A role conflict changes it later on.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// The role that counts now.
    #[must_use]
    pub fn role(&self) -> Role {
        match (self.config.lite, self.remote_lite) {
            (true, false) => Role::Controlled,
            (false, true) => Role::Controlling,
            (true, true) | (false, false) => self.role,
        }
    }

    /// Whether exactly one side is lite, so that the roles are given.
    pub(crate) fn roles_are_given(&self) -> bool {
        self.config.lite != self.remote_lite
    }

    /// Whether the peer is lite: then a full agent controls and nominates (RFC 8445 §6.1.1).
    ///
    /// Deviation: RFC 8445 §8.2, a lite agent whose peer is lite too acts as a full one, since otherwise nobody would
    /// ever authenticate a path.
    pub fn set_remote_lite(&mut self, lite: bool) {
        self.remote_lite = lite;
    }

    /// Whether this side answers only.
    #[must_use]
    pub fn is_lite(&self) -> bool {
        self.config.lite && !self.remote_lite
    }

    /// What the peer's description says. Checks begin. The same credentials again change nothing.
    ///
    /// # Errors
    /// [`UseError::CredentialsChanged`] for other credentials than before: a restart is for another agent
    /// (RFC 8445 §9), beside this one until it has found a path.
    /// [`UseError::Ended`] after the end.
    pub fn set_remote_credentials(&mut self, now: Instant, credentials: Credentials) -> Result<(), UseError> {
        if self.is_ended() {
            return Err(UseError::Ended);
        }
        if let Some(remote) = &self.remote {
            let same = remote.credentials == credentials;
            return if same { Ok(()) } else { Err(UseError::CredentialsChanged) };
        }
        self.remote = Some(Keyed::new(credentials));
        self.pac_at = Some(now + self.config.pac_timeout);
        if self.state == State::New {
            self.set_state(State::Checking);
        }
        Ok(())
    }

    /// Adds a local candidate and pairs it with the remote ones.
    ///
    /// # Errors
    /// [`UseError::Candidate`] when nothing can be received there: no UDP address, not specified, multicast, or
    /// loopback without [`allow_loopback`](crate::ConfigBuilder::allow_loopback) (ICE-18).
    /// [`UseError::TooManyCandidates`] past 32.
    pub fn add_local_candidate(&mut self, now: Instant, candidate: Candidate) -> Result<(), UseError> {
        let usable = self.usable(&candidate) && candidate.base_addr().is_some();
        if !usable {
            return Err(UseError::Candidate);
        }
        if self.local_candidates.contains(&candidate) {
            return Ok(());
        }
        if self.local_candidates.len() == MAX_LOCAL {
            return Err(UseError::TooManyCandidates);
        }
        let remotes = std::mem::take(&mut self.remote_candidates);
        for remote in &remotes {
            self.form_pair(now, &candidate, remote);
        }
        self.remote_candidates = remotes;
        self.local_candidates.push(candidate);
        Ok(())
    }

    /// Adds a candidate of the peer and pairs it. One that cannot be used is ignored and counted: a name, TCP, another
    /// component, one that came after the end or belongs to other credentials (ICE-05), or an address that nothing can
    /// be sent to.
    pub fn add_remote_candidate(&mut self, now: Instant, candidate: Candidate) {
        let of_this_generation = match (candidate.extension("ufrag"), &self.remote) {
            (Some(ufrag), Some(remote)) => ufrag == remote.credentials.ufrag(),
            _ => true,
        };
        if self.is_ended() || self.remote_ended || !of_this_generation || !self.usable(&candidate) {
            self.stats.candidates_ignored += 1;
            return;
        }
        if self.remote_candidates.iter().any(|known| known.address == candidate.address) {
            return;
        }
        let locals = std::mem::take(&mut self.local_candidates);
        for local in &locals {
            self.form_pair(now, local, &candidate);
        }
        self.local_candidates = locals;
        self.keep_remote(candidate);
    }

    /// Keeps as many remote candidates as pairs, the best ones.
    fn keep_remote(&mut self, candidate: Candidate) {
        if self.remote_candidates.len() >= self.config.max_pairs {
            self.stats.candidates_ignored += 1;
            let lowest = self.remote_candidates.iter().enumerate().min_by_key(|(_, known)| known.priority);
            match lowest {
                Some((at, known)) if known.priority < candidate.priority => {
                    self.remote_candidates.swap_remove(at);
                }
                _ => return,
            }
        }
        self.remote_candidates.push(candidate);
    }

    /// The peer will name no more candidates; those named later are ignored (RFC 8838 §14).
    pub fn end_of_candidates(&mut self, _now: Instant) {
        self.remote_ended = true;
    }

    /// The local candidates, in the order they were added.
    #[must_use]
    pub fn local_candidates(&self) -> &[Candidate] {
        &self.local_candidates
    }

    /// The path to send on: the nominated one, before that the best valid one.
    #[must_use]
    pub fn selected_path(&self) -> Option<FiveTuple> {
        self.checklist.get(self.selected?).map(|pair| pair.path)
    }

    /// Whether an authenticated check has passed on this path, nominated or not: what arrives on it may be looked at
    /// (ICE-02).
    #[must_use]
    pub fn is_authenticated(&self, path: &FiveTuple) -> bool {
        !self.is_ended() && self.checklist.find(path).is_some_and(|pair| pair.authenticated)
    }

    /// Whether there is a path and consent to send on it is fresh.
    #[must_use]
    pub const fn can_send(&self) -> bool {
        matches!(self.state, State::Connected | State::Disconnected)
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The smoothed round-trip time of checks. `None` before the first response, and in lite mode.
    #[must_use]
    pub const fn rtt(&self) -> Option<Duration> {
        self.stats.rtt
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Ends the session. Nothing is sent: the peer's consent runs out, or its application tells it.
    pub fn close(&mut self, _now: Instant) {
        if !self.is_ended() {
            self.end(State::Closed, Event::Closed);
        }
    }

    /// Whether a datagram of STUN is for this agent and no other of the same connection, as after a restart: it names our
    /// user fragment, or answers a request of ours. Nothing is authenticated yet.
    #[must_use]
    pub fn expects(&self, data: &[u8]) -> bool {
        let Ok(message) = Message::parse(data) else { return false };
        match message.class() {
            Class::Request | Class::Indication => {
                message.ufrags().is_some_and(|(ufrag, _)| ufrag == self.local.credentials.ufrag().as_bytes())
            }
            Class::Success | Class::Error => self.transactions.find(message.transaction_id()).is_some(),
        }
    }

    /// A datagram for which [`is_stun`](crate::stun::is_stun) says yes has arrived.
    pub fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        if self.is_ended() {
            self.stats.count_drop(DropReason::Ended);
            return;
        }
        let Ok(message) = Message::parse(data) else {
            self.stats.count_drop(DropReason::Malformed);
            return;
        };
        if message.method() != Method::BINDING {
            self.stats.count_drop(DropReason::Method);
            return;
        }
        match message.class() {
            Class::Request => self.handle_request(now, path, &message),
            Class::Success | Class::Error => self.handle_response(now, path, &message),
            Class::Indication => self.stats.indications += 1,
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_ended() {
            return;
        }
        self.handle_due_transactions(now);
        self.handle_nomination_timeout(now);
        self.handle_consent_timeout(now);
        self.handle_liveness(now);
        self.begin_due_check(now);
    }

    /// The next datagram to send. A check that is due begins here too, so that the first one goes out with the input
    /// that made it possible.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        self.begin_due_check(now);
        let (path, data) = self.outbox.pop_front()?;
        out.extend_from_slice(&data);
        Some(Transmit::datagram(path, data.len()))
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`Agent::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_ended() {
            return None;
        }
        [
            self.next_check_at(),
            self.transactions.next_due(),
            self.nominate_at,
            self.next_consent_at,
            self.liveness_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    const fn is_ended(&self) -> bool {
        matches!(self.state, State::Failed | State::Closed)
    }

    fn set_state(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.events.push_back(Event::StateChanged(state));
        }
    }

    fn fail(&mut self, reason: FailReason) {
        self.end(State::Failed, Event::Failed(reason));
    }

    /// Nothing is sent or believed after the end (CONS-01).
    fn end(&mut self, state: State, event: Event) {
        self.set_state(state);
        self.events.push_back(event);
        self.outbox.clear();
        self.transactions.clear();
        self.checklist.clear_triggered();
    }

    /// Whether a candidate can be paired at all.
    fn usable(&self, candidate: &Candidate) -> bool {
        let Some(address) = candidate.socket_addr() else { return false };
        let ip = address.ip();
        let reachable = match ip {
            IpAddr::V4(v4) => !v4.is_broadcast(),
            IpAddr::V6(_) => true,
        };
        candidate.component == 1
            && candidate.transport == CandidateTransport::Udp
            && address.port() != 0
            && reachable
            && !ip.is_unspecified()
            && !ip.is_multicast()
            && (self.config.allow_loopback || !ip.is_loopback())
    }

    /// Forms the pair of two usable candidates, unless one with this path exists (RFC 8445 §6.1.2.2, §6.1.2.4).
    fn form_pair(&mut self, now: Instant, local: &Candidate, remote: &Candidate) {
        let (Some(base), Some(address)) = (local.base_addr(), remote.socket_addr()) else { return };
        let path = FiveTuple::udp(base, address);
        let fits = base.is_ipv4() == address.is_ipv4()
            && is_v6_link_local(base.ip()) == is_v6_link_local(address.ip());
        if self.is_lite() || !fits || self.checklist.find(&path).is_some() {
            return;
        }
        let (local_priority, remote_priority) = (local.priority, remote.priority);
        let role = self.role();
        let pair = NewPair { path, local_priority, remote_priority, role, authenticated: false };
        if self.checklist.insert(now, pair, self.selected).is_none() {
            self.stats.candidates_ignored += 1;
        }
    }

    /// The priority of the local candidate that sends from this address. A socket bound to all interfaces, or one
    /// behind an address translation, may name an address that is no candidate's.
    fn local_priority(&self, path: &FiveTuple) -> u32 {
        let exact = self.local_candidates.iter().find(|local| local.base_addr() == Some(path.local));
        let same_family =
            |local: &&Candidate| local.base_addr().is_some_and(|base| base.is_ipv4() == path.local.is_ipv4());
        let local = exact.or_else(|| self.local_candidates.iter().find(same_family));
        local.map_or(CandidateKind::Host.priority(0), |local| local.priority)
    }

    fn send(&mut self, path: FiveTuple, data: Vec<u8>) {
        if self.outbox.len() < MAX_OUTBOX {
            self.outbox.push_back((path, data));
        } else {
            self.stats.count_drop(DropReason::Limit);
        }
    }
}

const fn is_v6_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
