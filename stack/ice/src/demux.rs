//! Many sessions on one UDP port.
//!
//! A STUN request names the local ufrag of its session in USERNAME. A STUN response carries the transaction id of a
//! request that was sent. Everything else belongs to the session that owns its 5-tuple, and a session comes to own one
//! only when its agent has authenticated a check there ([`Event::PathAuthenticated`](crate::Event)): neither a source
//! address nor a ufrag that somebody sniffed moves anything.
//!
//! Every table is bounded: see [`Limits`].

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use tombolo_net::FiveTuple;

use crate::stun::{Class, Message, TransactionId, is_stun};

/// The bounds of a [`Demux`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions. Default 10,000.
    pub sessions: usize,
    /// 5-tuples that one session owns; the oldest one goes first. Default 16.
    pub paths_per_session: usize,
    /// Requests of all sessions that wait for a response; the oldest one goes first. Default 10,000.
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { sessions: 10_000, paths_per_session: 16, requests: 10_000 }
    }
}

/// Where a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route<Id> {
    /// To this session.
    Session(Id),
    /// To none.
    Unknown(UnknownReason),
}

/// Why a datagram belongs to no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnknownReason {
    /// Begins like STUN and is malformed.
    MalformedStun,
    /// A STUN request without a USERNAME of two parts.
    NoUsername,
    /// A STUN request for a ufrag of no session.
    UnknownUfrag,
    /// A STUN response to no request of a session.
    UnknownTransaction,
    /// Anything else, on a 5-tuple that no session owns.
    UnknownPath,
}

/// What [`Demux::learn`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Learned<Id> {
    /// The session owns the 5-tuple now.
    New,
    /// It did before.
    Known,
    /// Another session owns it and keeps it, until it is removed or forgets it: somebody with a session of their own
    /// could otherwise forge the source address of a stranger and cut them off.
    Taken(Id),
    /// There is no such session.
    NoSession,
}

/// Why a session cannot be registered.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another session has this ufrag.
    #[error("the ufrag is taken")]
    UfragTaken,
    /// The limit of sessions is reached.
    #[error("too many sessions")]
    Full,
}

/// How many user fragments of a session count: the latest one, and those of the restarts before it.
const UFRAGS_PER_SESSION: usize = 3;

#[derive(Debug)]
struct Session {
    /// The latest one last.
    ufrags: VecDeque<String>,
    paths: VecDeque<FiveTuple>,
}

/// Tells the datagrams of many sessions on one port apart.
#[derive(Debug)]
pub struct Demux<Id> {
    limits: Limits,
    sessions: HashMap<Id, Session>,
    by_ufrag: HashMap<String, Id>,
    by_path: HashMap<FiveTuple, Id>,
    by_request: HashMap<TransactionId, Id>,
    request_order: VecDeque<TransactionId>,
}

impl<Id: Copy + Eq + Hash> Default for Demux<Id> {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl<Id: Copy + Eq + Hash> Demux<Id> {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            sessions: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_path: HashMap::new(),
            by_request: HashMap::new(),
            request_order: VecDeque::new(),
        }
    }

    /// Adds a session by its local ufrag.
    ///
    /// # Errors
    /// When the ufrag or the id is taken, or the limit is reached.
    pub fn register(&mut self, ufrag: &str, id: Id) -> Result<(), RegisterError> {
        if self.by_ufrag.contains_key(ufrag) || self.sessions.contains_key(&id) {
            return Err(RegisterError::UfragTaken);
        }
        if self.sessions.len() >= self.limits.sessions {
            return Err(RegisterError::Full);
        }
        self.by_ufrag.insert(ufrag.to_owned(), id);
        self.sessions.insert(id, Session { ufrags: [ufrag.to_owned()].into(), paths: VecDeque::new() });
        Ok(())
    }

    /// Takes note that a session has restarted: it goes by another user fragment as well. The one that it had three
    /// restarts ago is forgotten.
    ///
    /// # Errors
    /// [`RegisterError::UfragTaken`] when another session has it. One that this session has already is no error.
    pub fn restart(&mut self, ufrag: &str, id: Id) -> Result<(), RegisterError> {
        match self.by_ufrag.get(ufrag) {
            Some(owner) if *owner == id => return Ok(()),
            Some(_) => return Err(RegisterError::UfragTaken),
            None => {}
        }
        let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
        session.ufrags.push_back(ufrag.to_owned());
        if session.ufrags.len() > UFRAGS_PER_SESSION
            && let Some(oldest) = session.ufrags.pop_front()
        {
            self.by_ufrag.remove(&oldest);
        }
        self.by_ufrag.insert(ufrag.to_owned(), id);
        Ok(())
    }

    /// Forgets a session and all that is its.
    pub fn remove(&mut self, id: Id) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for ufrag in &session.ufrags {
            self.by_ufrag.remove(ufrag);
        }
        for path in session.paths {
            self.by_path.remove(&path);
        }
        self.by_request.retain(|_, owner| *owner != id);
        self.request_order.retain(|request| self.by_request.contains_key(request));
    }

    /// Gives a 5-tuple to a session. Call it on [`Event::PathAuthenticated`](crate::Event) and never else.
    pub fn learn(&mut self, path: FiveTuple, id: Id) -> Learned<Id> {
        match self.by_path.get(&path) {
            Some(owner) if *owner == id => return Learned::Known,
            Some(owner) => return Learned::Taken(*owner),
            None => {}
        }
        let Some(session) = self.sessions.get_mut(&id) else { return Learned::NoSession };
        if session.paths.len() >= self.limits.paths_per_session
            && let Some(oldest) = session.paths.pop_front()
        {
            self.by_path.remove(&oldest);
        }
        session.paths.push_back(path);
        self.by_path.insert(path, id);
        Learned::New
    }

    /// Takes a 5-tuple from its session.
    pub fn forget(&mut self, path: &FiveTuple) {
        if let Some(owner) = self.by_path.remove(path)
            && let Some(session) = self.sessions.get_mut(&owner)
        {
            session.paths.retain(|known| known != path);
        }
    }

    /// Notes a datagram that a session's agent sends, so that the response to a request finds its way back. Others are
    /// ignored. A port whose agents are all lite can do without.
    pub fn note_sent(&mut self, data: &[u8], id: Id) {
        if !is_stun(data) {
            return;
        }
        let Ok(message) = Message::parse(data) else { return };
        if message.class() != Class::Request {
            return;
        }
        if self.request_order.len() >= self.limits.requests
            && let Some(oldest) = self.request_order.pop_front()
        {
            self.by_request.remove(&oldest);
        }
        let request = message.transaction_id();
        if self.by_request.insert(request, id).is_none() {
            self.request_order.push_back(request);
        }
    }

    /// The session that a datagram belongs to. Reads only.
    #[must_use]
    pub fn route(&self, path: &FiveTuple, data: &[u8]) -> Route<Id> {
        let found = if is_stun(data) { self.route_stun(path, data) } else { self.owner(path) };
        match found {
            Ok(id) => Route::Session(id),
            Err(reason) => Route::Unknown(reason),
        }
    }

    fn owner(&self, path: &FiveTuple) -> Result<Id, UnknownReason> {
        self.by_path.get(path).copied().ok_or(UnknownReason::UnknownPath)
    }

    fn route_stun(&self, path: &FiveTuple, data: &[u8]) -> Result<Id, UnknownReason> {
        let message = Message::parse(data).map_err(|_| UnknownReason::MalformedStun)?;
        match message.class() {
            // A keepalive of old agents, without attributes.
            Class::Indication => self.owner(path),
            Class::Request => {
                let (ufrag, _) = message.ufrags().ok_or(UnknownReason::NoUsername)?;
                let ufrag = std::str::from_utf8(ufrag).map_err(|_| UnknownReason::UnknownUfrag)?;
                self.by_ufrag.get(ufrag).copied().ok_or(UnknownReason::UnknownUfrag)
            }
            Class::Success | Class::Error => {
                let request = message.transaction_id();
                self.by_request.get(&request).copied().ok_or(UnknownReason::UnknownTransaction)
            }
        }
    }

    /// The number of sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The number of 5-tuples that sessions own.
    #[must_use]
    pub fn path_count(&self) -> usize {
        self.by_path.len()
    }
}
