//! The one transport of a connection: ICE finds the path, DTLS makes the keys, SRTP opens and seals.
//!
//! What comes in is told apart by its first byte (RFC 7983 §7, RFC 5761 §4). Everything but STUN is looked at only on
//! a path that has passed an authenticated check; media only after the handshake is done and the certificate checked.

mod restart;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tombolo_dtls as dtls;
use tombolo_ice as ice;
use tombolo_net::{FiveTuple, Rng, Seed, Transmit};
use tombolo_srtp::{InboundContext, MasterKey, OutboundContext, Profile};

pub use restart::Restart;
pub(crate) use restart::fresh_tls_id;

use crate::config::{Config, Identity};
use crate::event::FailReason;
use crate::jsep::{Continuity, RemoteTransport};
use crate::media::Egress;
use crate::sdp::Setup;
use crate::stats::DropReason;
use restart::{Described, Next, Retired};

/// The protocol of a datagram, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
    Unknown,
}

impl Class {
    /// RFC 7983 §7; RTCP is told from RTP by its packet type, RFC 5761 §4.
    pub(crate) fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(0..=3) => Self::Stun,
            Some(20..=63) => Self::Dtls,
            Some(128..=191) if tombolo_rtp::is_rtcp(datagram) => Self::Rtcp,
            Some(128..=191) => Self::Rtp,
            _ => Self::Unknown,
        }
    }
}

/// Something that happened to the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportEvent {
    PathAuthenticated(FiveTuple),
    /// ICE or DTLS came further or fell back.
    StateChanged,
    /// Other keys count: nothing that was sealed before is sent again.
    NewKeys,
    Failed(FailReason),
    Closed,
}

/// SRTP in both directions.
pub(crate) struct Srtp {
    pub(crate) inbound: InboundContext,
    pub(crate) outbound: OutboundContext,
    pub(crate) profile: Profile,
}

impl Srtp {
    fn open(&mut self, class: Class, data: &mut [u8]) -> Result<usize, DropReason> {
        let opened = match class {
            Class::Rtcp => self.inbound.unprotect_rtcp(data),
            _ => self.inbound.unprotect_rtp(data),
        };
        opened.map_err(|_| DropReason::Unprotect)
    }
}

pub(crate) struct Transport {
    config: Arc<Config>,
    rng: Rng,
    pub(crate) ice: ice::Agent,
    dtls: Option<dtls::Connection>,
    pub(crate) srtp: Option<Srtp>,
    pub(crate) egress: Egress,
    path: Option<FiveTuple>,
    path_changes: u64,
    /// Who we are in the association in use, and its name.
    identity: Identity,
    tls_id: String,
    described: Option<Described>,
    next: Option<Next>,
    retired: Option<Retired>,
    /// A copy of a packet that may have to be opened with older keys.
    copy: Vec<u8>,
    closing: bool,
}

impl Transport {
    pub(crate) fn new(config: Arc<Config>, tls_id: String, mut rng: Rng, now: Instant) -> Self {
        let ice = ice::Agent::new(config.ice.clone(), Seed::fork(&mut rng), now);
        Self {
            identity: config.identity.clone(),
            tls_id,
            config,
            rng,
            ice,
            dtls: None,
            srtp: None,
            egress: Egress::default(),
            path: None,
            path_changes: 0,
            described: None,
            next: None,
            retired: None,
            copy: Vec::new(),
            closing: false,
        }
    }

    /// Takes over the peer's end when it is agreed on: the first time, or of a restart.
    pub(crate) fn start(&mut self, now: Instant, remote: &RemoteTransport, setup: Setup) {
        if self.dtls.is_some() {
            if remote.continuity != Continuity::Same {
                self.restart(now, remote, setup);
            }
            return;
        }
        introduce(&mut self.ice, now, remote);
        self.dtls = Some(self.associate(now, remote, setup));
    }

    pub(crate) const fn is_started(&self) -> bool {
        self.dtls.is_some()
    }

    /// An association with the certificate that the peer has announced.
    fn associate(&mut self, now: Instant, remote: &RemoteTransport, setup: Setup) -> dtls::Connection {
        let role = if setup == Setup::Active { dtls::Role::Client } else { dtls::Role::Server };
        let seed = Seed::fork(&mut self.rng);
        let mut dtls = dtls::Connection::new(self.identity.dtls.clone(), role, &seed, now);
        dtls.set_remote_fingerprints(now, remote.fingerprints.clone());
        dtls
    }

    /// The fingerprint and the `a=tls-id` that our descriptions tell.
    pub(crate) fn described_identity(&self) -> (&Identity, &str) {
        match &self.described {
            Some(described) => (&described.identity, &described.tls_id),
            None => (&self.identity, &self.tls_id),
        }
    }

    /// Whether there is a path and the peer's consent to send on it.
    pub(crate) fn can_send(&self) -> bool {
        self.path.is_some() && self.ice.can_send()
    }

    pub(crate) const fn path(&self) -> Option<FiveTuple> {
        self.path
    }

    pub(crate) const fn path_changes(&self) -> u64 {
        self.path_changes
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.ice.rtt()
    }

    /// A datagram of STUN or DTLS.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        path: FiveTuple,
        class: Class,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        match class {
            Class::Stun => {
                let expected = self.agents().position(|agent| agent.expects(data));
                let agent = expected.filter(|_| self.is_restarting());
                match agent.and_then(|index| self.agents_mut().nth(index)) {
                    Some(agent) => agent.handle_datagram(now, path, data),
                    None => self.ice.handle_datagram(now, path, data),
                }
            }
            Class::Dtls => {
                self.check_path(&path)?;
                let dtls = self.association_on(&path).ok_or(DropReason::NoKeys)?;
                dtls.handle_datagram(now, path, data);
            }
            Class::Rtp | Class::Rtcp | Class::Unknown => return Err(DropReason::Unclassified),
        }
        Ok(())
    }

    /// Opens a datagram of SRTP or SRTCP in place: the plain packet is the prefix of the returned length.
    pub(crate) fn open(
        &mut self,
        path: &FiveTuple,
        class: Class,
        data: &mut [u8],
    ) -> Result<usize, DropReason> {
        self.check_path(path)?;
        let srtp = self.srtp.as_mut().ok_or(DropReason::NoKeys)?;
        let older = self.retired.as_mut().and_then(|retired| retired.srtp.as_mut());
        let Some(older) = older else { return srtp.open(class, data) };
        self.copy.clear();
        self.copy.extend_from_slice(data);
        srtp.open(class, data).or_else(|_| {
            data.copy_from_slice(&self.copy);
            older.open(class, data)
        })
    }

    /// ICE-02: nothing but STUN is listened to from where no authenticated check has come.
    fn check_path(&self, path: &FiveTuple) -> Result<(), DropReason> {
        let is_authenticated = self.agents().any(|agent| agent.is_authenticated(path));
        if is_authenticated { Ok(()) } else { Err(DropReason::UnauthenticatedPath) }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.end_retirement(now);
        self.agents_mut().for_each(|agent| agent.handle_timeout(now));
        let next = self.next.as_mut().and_then(|next| next.dtls.as_mut());
        next.into_iter().chain(&mut self.dtls).for_each(|dtls| dtls.handle_timeout(now));
    }

    /// Moves on what ICE and DTLS have told.
    pub(crate) fn advance(&mut self, now: Instant, events: &mut VecDeque<TransportEvent>) {
        while let Some(event) = self.ice.poll_event() {
            match event {
                ice::Event::PathAuthenticated(path) => {
                    events.push_back(TransportEvent::PathAuthenticated(path))
                }
                // A restart is what helps against a lost path.
                ice::Event::Failed(_) if self.next.is_none() => {
                    events.push_back(TransportEvent::Failed(FailReason::Ice));
                }
                ice::Event::Failed(_) | ice::Event::Closed => {}
                _ => events.push_back(TransportEvent::StateChanged),
            }
        }
        let selected = self.ice.selected_path();
        if let Some(path) = selected.filter(|_| selected != self.path) {
            self.path = Some(path);
            self.path_changes += 1;
            if let Some(dtls) = &mut self.dtls {
                take_path(dtls, path, &self.ice);
            }
        }
        let is_replaced = self.next.as_ref().is_some_and(|next| next.dtls.is_some());
        while let Some(event) = self.dtls.as_mut().and_then(dtls::Connection::poll_event) {
            match event {
                dtls::Event::Connected { srtp } => {
                    match srtp.and_then(|keys| make_srtp(&self.config, &keys)) {
                        Some(srtp) => {
                            self.srtp = Some(srtp);
                            events.push_back(TransportEvent::StateChanged);
                        }
                        None => events.push_back(TransportEvent::Failed(FailReason::Srtp)),
                    }
                }
                // The peer ends the old association while the new one is made; its keys still count.
                event if !is_replaced => events.extend(ending(&event)),
                _ => {}
            }
        }
        if self.is_restarting() {
            self.advance_restart(now, events);
        }
    }

    /// Ends it: the peer is told by close_notify.
    pub(crate) fn close(&mut self, now: Instant) {
        self.closing = self.can_send();
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        self.agents_mut().for_each(|agent| agent.close(now));
        self.next = None;
    }

    pub(crate) fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        if let Some(transmit) = self.agents_mut().find_map(|agent| agent.poll_transmit(now, out)) {
            return Some(transmit);
        }
        let next = self.next.as_mut().filter(|next| next.can_send()).and_then(|next| next.dtls.as_mut());
        if let Some(transmit) = next.and_then(|dtls| dtls.poll_transmit(now, out)) {
            return Some(transmit);
        }
        if !self.closing && !self.can_send() {
            // RFC 7675 §5.1: without consent nothing goes out, also not later.
            self.egress.clear();
            return None;
        }
        // Media first: at a close the goodbyes go before close_notify.
        if let Some((len, path)) = self.egress.pop(out).zip(self.path) {
            return Some(Transmit::datagram(path, len));
        }
        self.dtls.as_mut().and_then(|dtls| dtls.poll_transmit(now, out))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let dtls = self.dtls.as_ref().filter(|_| self.can_send()).and_then(dtls::Connection::poll_timeout);
        let next = self.next.as_ref().filter(|next| next.can_send()).and_then(|next| next.dtls.as_ref());
        let others = [dtls, next.and_then(dtls::Connection::poll_timeout), self.retirement()];
        self.agents().filter_map(ice::Agent::poll_timeout).chain(others.into_iter().flatten()).min()
    }
}

/// Tells an agent what the peer's description says.
fn introduce(ice: &mut ice::Agent, now: Instant, remote: &RemoteTransport) {
    ice.set_remote_lite(remote.lite.is_some());
    if let Ok(credentials) = ice::Credentials::new(remote.ufrag.value.clone(), remote.pwd.value.clone()) {
        // Cannot fail: these are the first ones, and the agent is alive.
        let _ = ice.set_remote_credentials(now, credentials);
    }
    for candidate in remote.candidates.iter().filter_map(|line| line.parse().ok()) {
        ice.add_remote_candidate(now, candidate);
    }
}

/// Gives an association its path, and the round trip that the checks have seen there.
fn take_path(dtls: &mut dtls::Connection, path: FiveTuple, ice: &ice::Agent) {
    dtls.set_path(path);
    if let Some(rtt) = ice.rtt() {
        dtls.set_round_trip_time(rtt);
    }
}

/// What it means when an association ends.
fn ending(event: &dtls::Event) -> Option<TransportEvent> {
    match event {
        dtls::Event::Failed(dtls::FailReason::Peer(dtls::PeerError::FingerprintMismatch)) => {
            Some(TransportEvent::Failed(FailReason::Fingerprint))
        }
        dtls::Event::Failed(_) => Some(TransportEvent::Failed(FailReason::Dtls)),
        dtls::Event::Closed => Some(TransportEvent::Closed),
        _ => None,
    }
}

fn make_srtp(config: &Config, keys: &dtls::SrtpKeys) -> Option<Srtp> {
    let profile = Profile::from_dtls_id(keys.profile.0)?;
    // What we send is never forgotten: room for a long call's changes.
    let settings = tombolo_srtp::Config::default().max_sources(1024);
    let local = MasterKey::new(profile, &keys.local_key, &keys.local_salt);
    let remote = MasterKey::new(profile, &keys.remote_key, &keys.remote_salt);
    let outbound = OutboundContext::new(&config.crypto, &local, &settings).ok()?;
    let inbound = InboundContext::new(&config.crypto, &remote, &settings).ok()?;
    Some(Srtp { inbound, outbound, profile })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MUX-01: every first byte, with bodies of 0, 1 and 12 bytes more, and every second byte of RTP.
    #[test]
    fn mux_01_first_and_second_bytes() {
        for first in 0..=255u8 {
            for more in [0, 1, 12] {
                let mut datagram = vec![0; 1 + more];
                datagram[0] = first;
                let expected = match first {
                    0..=3 => Class::Stun,
                    20..=63 => Class::Dtls,
                    128..=191 => Class::Rtp,
                    _ => Class::Unknown,
                };
                assert_eq!(Class::of(&datagram), expected, "{first} with {more} more");
            }
        }
        for second in 0..=255u8 {
            let expected = if (192..=223).contains(&second) { Class::Rtcp } else { Class::Rtp };
            assert_eq!(Class::of(&[0x80, second, 0, 0]), expected, "{second}");
        }
        assert_eq!(Class::of(&[]), Class::Unknown);
    }
}
