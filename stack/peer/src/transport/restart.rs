//! Restarts (RFC 8445 §9, RFC 8842 §3.1): another ICE session, and with it another association if that was agreed on, is
//! made beside what is in use, which carries the media until the other one can.
//!
//! ```text
//! described --both descriptions are there--> next --it has a path, and keys--> in use --> retired --a while--> gone
//! ```

use std::time::{Duration, Instant};

use tombolo_dtls as dtls;
use tombolo_ice as ice;
use tombolo_net::{FiveTuple, Rng, Seed};

use super::{Srtp, Transport, TransportEvent};
use crate::config::Identity;
use crate::event::FailReason;
use crate::jsep::{Continuity, RemoteTransport};
use crate::sdp::Setup;

/// How long packets of what was in use before are still taken: they were under way, or the peer is still to change over.
const RETIREMENT: Duration = Duration::from_secs(5);

/// What a restart begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Restart {
    /// Another path, as after a change of networks; the keys stay.
    Ice,
    /// Another path and another association, with keys of its own. A peer that does not know `a=tls-id`, as no browser
    /// does, keeps the association unless it sees another certificate.
    Association,
}

/// Our end of a transport that no two descriptions agree on yet.
pub(super) struct Described {
    pub(super) ice: ice::Agent,
    pub(super) tls_id: String,
    pub(super) identity: Identity,
}

/// A transport that was agreed on and does not carry media yet.
pub(super) struct Next {
    pub(super) ice: ice::Agent,
    /// The association that is made on it; `None` when the one in use moves there.
    pub(super) dtls: Option<dtls::Connection>,
    path: Option<FiveTuple>,
}

impl Next {
    pub(super) fn can_send(&self) -> bool {
        self.path.is_some() && self.ice.can_send()
    }
}

/// What was in use before.
pub(super) struct Retired {
    pub(super) ice: ice::Agent,
    /// Its keys, when they have changed.
    pub(super) srtp: Option<Srtp>,
    until: Instant,
}

impl Transport {
    /// Prepares our end of a restart, which descriptions tell from now on. `identity` is another certificate.
    pub(crate) fn describe_restart(&mut self, now: Instant, restart: Restart, identity: Option<Identity>) {
        let is_new = restart == Restart::Association || identity.is_some();
        let mut ice = ice::Agent::new(self.config.ice.clone(), Seed::fork(&mut self.rng), now);
        for candidate in self.newest().local_candidates() {
            // Cannot fail: another agent with the same settings has taken it.
            let _ = ice.add_local_candidate(now, candidate.clone());
        }
        let tls_id = if is_new { fresh_tls_id(&mut self.rng) } else { self.tls_id.clone() };
        let identity = identity.unwrap_or_else(|| self.identity.clone());
        self.described = Some(Described { ice, tls_id, identity });
    }

    /// Nothing came of what was described.
    pub(crate) fn forget_described(&mut self) {
        self.described = None;
    }

    pub(crate) const fn is_described(&self) -> bool {
        self.described.is_some()
    }

    /// The agent that descriptions and candidates are about.
    pub(crate) fn newest(&self) -> &ice::Agent {
        let described = self.described.as_ref().map(|described| &described.ice);
        described.or(self.next.as_ref().map(|next| &next.ice)).unwrap_or(&self.ice)
    }

    pub(crate) fn newest_mut(&mut self) -> &mut ice::Agent {
        let described = self.described.as_mut().map(|described| &mut described.ice);
        described.or(self.next.as_mut().map(|next| &mut next.ice)).unwrap_or(&mut self.ice)
    }

    /// Both descriptions of a restart are there: what was described comes to life.
    pub(super) fn restart(&mut self, now: Instant, remote: &RemoteTransport, setup: Setup) {
        let Some(described) = self.described.take() else { return };
        let Described { mut ice, tls_id, identity } = described;
        super::introduce(&mut ice, now, remote);
        self.tls_id = tls_id;
        self.identity = identity;
        let is_new = remote.continuity == Continuity::NewAssociation;
        let dtls = is_new.then(|| self.associate(now, remote, setup));
        self.next = Some(Next { ice, dtls, path: None });
    }

    /// All agents, the newest first.
    pub(super) fn agents_mut(&mut self) -> impl Iterator<Item = &mut ice::Agent> {
        let described = self.described.as_mut().map(|described| &mut described.ice);
        let next = self.next.as_mut().map(|next| &mut next.ice);
        let retired = self.retired.as_mut().map(|retired| &mut retired.ice);
        [described, next, Some(&mut self.ice), retired].into_iter().flatten()
    }

    /// The same, to look at.
    pub(super) fn agents(&self) -> impl Iterator<Item = &ice::Agent> {
        let described = self.described.as_ref().map(|described| &described.ice);
        let next = self.next.as_ref().map(|next| &next.ice);
        let retired = self.retired.as_ref().map(|retired| &retired.ice);
        [described, next, Some(&self.ice), retired].into_iter().flatten()
    }

    /// Whether there is more than the one agent.
    pub(super) const fn is_restarting(&self) -> bool {
        self.described.is_some() || self.next.is_some() || self.retired.is_some()
    }

    /// The association that a record from `path` belongs to: the new one's as soon as its path is authenticated. An old
    /// record that comes late is only one more that the new association drops (DTLS-08).
    pub(super) fn association_on(&mut self, path: &FiveTuple) -> Option<&mut dtls::Connection> {
        let next = self.next.as_mut().filter(|next| next.ice.is_authenticated(path));
        next.and_then(|next| next.dtls.as_mut()).or(self.dtls.as_mut())
    }

    /// Moves on what the next transport has told; changes over when it is ready.
    pub(super) fn advance_restart(
        &mut self,
        now: Instant,
        events: &mut std::collections::VecDeque<TransportEvent>,
    ) {
        // What old agents tell concerns nobody any more.
        let retired = self.retired.as_mut().map(|retired| &mut retired.ice);
        let described = self.described.as_mut().map(|described| &mut described.ice);
        if let Some(retired) = retired {
            while retired.poll_event().is_some() {}
        }
        for agent in described.into_iter().chain(self.next.as_mut().map(|next| &mut next.ice)) {
            while let Some(event) = agent.poll_event() {
                match event {
                    ice::Event::PathAuthenticated(path) => {
                        events.push_back(TransportEvent::PathAuthenticated(path));
                    }
                    ice::Event::Failed(_) => events.push_back(TransportEvent::Failed(FailReason::Ice)),
                    _ => {}
                }
            }
        }
        let Some(next) = &mut self.next else { return };
        let selected = next.ice.selected_path();
        if let Some(path) = selected.filter(|_| selected != next.path) {
            next.path = Some(path);
            if let Some(dtls) = &mut next.dtls {
                super::take_path(dtls, path, &next.ice);
            }
        }
        if next.path.is_none() {
            return;
        }
        let Some(dtls) = &mut next.dtls else {
            self.change_over(now, None);
            return events.push_back(TransportEvent::StateChanged);
        };
        while let Some(event) = dtls.poll_event() {
            match event {
                dtls::Event::Connected { srtp } => {
                    let Some(srtp) = srtp.and_then(|keys| super::make_srtp(&self.config, &keys)) else {
                        return events.push_back(TransportEvent::Failed(FailReason::Srtp));
                    };
                    self.change_over(now, Some(srtp));
                    return events.push_back(TransportEvent::NewKeys);
                }
                event => events.extend(super::ending(&event)),
            }
        }
    }

    /// Puts the next transport in the place of the one in use.
    fn change_over(&mut self, now: Instant, srtp: Option<Srtp>) {
        let Some(Next { ice, dtls, path }) = self.next.take() else { return };
        let ice = std::mem::replace(&mut self.ice, ice);
        let srtp = srtp.and_then(|srtp| self.srtp.replace(srtp));
        self.retired = Some(Retired { ice, srtp, until: now + RETIREMENT });
        if let Some(dtls) = dtls {
            self.dtls = Some(dtls);
        }
        self.path = path;
        self.path_changes += 1;
        if let (Some(path), Some(dtls)) = (path, &mut self.dtls) {
            dtls.set_path(path);
        }
    }

    pub(super) fn end_retirement(&mut self, now: Instant) {
        self.retired.take_if(|retired| now >= retired.until);
    }

    pub(super) fn retirement(&self) -> Option<Instant> {
        self.retired.as_ref().map(|retired| retired.until)
    }
}

/// RFC 8842 §4: at least 120 bits; 22 characters of 6 bits.
pub(crate) fn fresh_tls_id(rng: &mut Rng) -> String {
    crate::jsep::token(rng, 22)
}
