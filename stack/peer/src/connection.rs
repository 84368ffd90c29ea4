//! [`PeerConnection`]: descriptions, transport and media put together.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tombolo_dtls::Certificate;
use tombolo_ice::{self as ice, Candidate, CandidateError, Credentials};
use tombolo_interceptors::registry::Registry;
use tombolo_net::{Bitrate, Ecn, Epoch, FiveTuple, Seed, Transmit};
use tombolo_rtp::Rid;

use crate::codec::MediaKind;
use crate::config::{Config, Identity};
use crate::error::UseError;
use crate::event::{ConnectionState, Event, FailReason};
use crate::jsep::{Agreed, Continuity, Jsep, LocalTransport, SignalingState};
use crate::media::{Media, OutgoingPacket};
use crate::sdp::{Direction, SdpError, SdpReason, SdpType, SessionDescription};
use crate::stats::{DropReason, Stats};
use crate::transceiver::{Transceiver, TransceiverId, TransceiverInit};
use crate::transport::{Class, Restart, Srtp, Transport, TransportEvent, fresh_tls_id};

/// Candidates that are kept while no description of the peer is applied.
const MAX_EARLY_CANDIDATES: usize = 64;

/// A WebRTC connection, sans-I/O: it reads no clock, no socket and no randomness of its own.
///
/// After any input or verb: [`PeerConnection::poll_transmit`] until `None`, [`PeerConnection::poll_event`] until
/// `None`, then [`PeerConnection::poll_timeout`].
pub struct PeerConnection {
    config: Arc<Config>,
    jsep: Jsep,
    transport: Transport,
    media: Media,
    state: ConnectionState,
    /// Candidates that came before the description they belong to: section and candidate, `None` for the end.
    early: Vec<(Option<String>, Option<Candidate>)>,
    /// The section whose candidates count.
    transport_mid: Option<Option<String>>,
    ended: bool,
    events: VecDeque<Event>,
    transport_events: VecDeque<TransportEvent>,
    stats: Stats,
}

impl PeerConnection {
    /// A connection that has negotiated nothing. All that an attacker could guess comes from `seed`; `epoch` ties
    /// `now` to the wall clock of sender reports.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: &Seed, epoch: Epoch, now: Instant) -> Self {
        let mut rng = seed.rng();
        let tls_id = fresh_tls_id(&mut rng);
        let jsep = Jsep::new(config.clone(), Seed::fork(&mut rng).rng());
        let transport = Transport::new(config.clone(), tls_id, Seed::fork(&mut rng).rng(), now);
        let media = Media::new(&config, Seed::fork(&mut rng).rng(), epoch, now, jsep.cname());
        Self {
            config,
            jsep,
            transport,
            media,
            state: ConnectionState::New,
            early: Vec::new(),
            transport_mid: None,
            ended: false,
            events: VecDeque::new(),
            transport_events: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    // Descriptions.

    /// The signaling state.
    #[must_use]
    pub fn signaling_state(&self) -> SignalingState {
        self.jsep.state()
    }

    /// An offer of all transceivers. Nothing changes before it is set.
    ///
    /// # Errors
    /// [`UseError::WrongState`] while an offer of the peer is pending, [`UseError::Closed`] after the end.
    pub fn create_offer(&mut self) -> Result<SessionDescription, UseError> {
        self.check_open()?;
        let transport = self.local_transport();
        self.jsep.create_offer(&transport)
    }

    /// The answer to the pending offer, with all local candidates that were added so far.
    ///
    /// # Errors
    /// [`UseError::WrongState`] when no offer of the peer is pending, [`UseError::Closed`] after the end.
    pub fn create_answer(&mut self) -> Result<SessionDescription, UseError> {
        self.check_open()?;
        let transport = self.local_transport();
        self.jsep.create_answer(&transport)
    }

    /// Applies a description that was created here, or a rollback.
    ///
    /// # Errors
    /// [`SdpReason::WrongState`], or [`SdpReason::NotCreatedHere`] for any other than the one created last: local
    /// descriptions are not edited. Nothing has changed then.
    pub fn set_local_description(
        &mut self,
        now: Instant,
        description: &SessionDescription,
    ) -> Result<(), SdpError> {
        if self.ended {
            return Err(SdpError::new(0, SdpReason::Closed));
        }
        let agreed = self.jsep.set_local(description)?;
        match description.kind() {
            // RFC 8445 §6.1.1: the offerer controls, until a restart.
            SdpType::Offer if !self.transport.is_started() || self.transport.is_described() => {
                self.transport.newest_mut().set_role(ice::Role::Controlling);
            }
            SdpType::Rollback => self.transport.forget_described(),
            _ => {}
        }
        self.apply(now, agreed);
        Ok(())
    }

    /// Applies a description of the peer.
    ///
    /// # Errors
    /// The line that is wrong and why. Nothing has changed then.
    pub fn set_remote_description(
        &mut self,
        now: Instant,
        description: SessionDescription,
    ) -> Result<(), SdpError> {
        if self.ended {
            return Err(SdpError::new(0, SdpReason::Closed));
        }
        let agreed = self.jsep.set_remote(description)?;
        if agreed.is_none() {
            // Our answer tells of our end of a restart; nothing comes of what we described before.
            self.transport.forget_described();
            match self.jsep.offered() {
                Some(Continuity::IceRestart) => self.transport.describe_restart(now, Restart::Ice, None),
                Some(Continuity::NewAssociation) => {
                    self.transport.describe_restart(now, Restart::Association, None);
                }
                Some(Continuity::Same) | None => {}
            }
        }
        self.apply(now, agreed);
        Ok(())
    }

    fn apply(&mut self, now: Instant, agreed: Option<Agreed>) {
        let Some(agreed) = agreed else { return };
        if let Some((remote, setup)) = &agreed.transport {
            self.transport.start(now, remote, *setup);
            self.transport_mid = Some(remote.mid.clone());
            self.stats.ice_mismatch = remote.mismatch;
            for (mid, candidate) in std::mem::take(&mut self.early) {
                self.take_candidate(now, mid.as_deref(), candidate);
            }
            if remote.end_of_candidates {
                self.transport.newest_mut().end_of_candidates(now);
            }
        }
        self.media.configure(self.jsep.transceivers(), &mut self.events);
        self.advance(now);
    }

    /// Our description that counts: the pending offer, else the one last agreed on. With all candidates it had when
    /// it was created.
    #[must_use]
    pub fn local_description(&self) -> Option<SessionDescription> {
        let kind = match self.jsep.state() {
            SignalingState::HaveLocalOffer => SdpType::Offer,
            _ => SdpType::Answer,
        };
        self.jsep.local().map(|sdp| SessionDescription::new(kind, sdp.clone()))
    }

    // ICE.

    /// Begins a restart (RFC 8445 §9, RFC 8842 §5.2): the next offer carries other ICE credentials. Media goes on as before
    /// until the new path, and the keys of the new association if one was agreed on, are there. Local candidates stay;
    /// more can be added. [`PeerConnection::local_ice_credentials`] are the new ones from now on, while the old ones still
    /// work. A rollback of the offer calls it off.
    ///
    /// # Errors
    /// [`UseError::WrongState`] before the first negotiation is over and while one is pending, [`UseError::Closed`] after the
    /// end.
    pub fn restart(&mut self, now: Instant, restart: Restart) -> Result<(), UseError> {
        self.check_can_restart()?;
        self.transport.describe_restart(now, restart, None);
        Ok(())
    }

    /// Begins a restart with another certificate, as when the old one is about to expire: always with a new association.
    ///
    /// # Errors
    /// As for [`PeerConnection::restart`], and [`UseError::Certificate`] when it cannot be used.
    pub fn restart_as(&mut self, now: Instant, certificate: Certificate) -> Result<(), UseError> {
        self.check_can_restart()?;
        let identity = Identity::new(certificate, self.config.crypto, self.config.mtu);
        let identity = identity.map_err(|_| UseError::Certificate)?;
        self.transport.describe_restart(now, Restart::Association, Some(identity));
        Ok(())
    }

    fn check_can_restart(&self) -> Result<(), UseError> {
        self.check_open()?;
        let is_stable = self.jsep.state() == SignalingState::Stable;
        if is_stable && self.transport.is_started() { Ok(()) } else { Err(UseError::WrongState) }
    }

    /// The credentials that the peer's checks carry, of the latest restart if there was one; the user fragment is the key of
    /// a shared port's table.
    #[must_use]
    pub fn local_ice_credentials(&self) -> &Credentials {
        self.transport.newest().local_credentials()
    }

    /// Adds a host candidate. Descriptions that are created later carry it.
    ///
    /// # Errors
    /// [`UseError::Candidate`] for an address that nothing can be received at.
    pub fn add_local_candidate(&mut self, now: Instant, address: SocketAddr) -> Result<(), UseError> {
        self.add_local_ice_candidate(now, Candidate::host(address))
    }

    /// Adds a candidate of any kind, as one whose address differs from that of the socket.
    ///
    /// # Errors
    /// [`UseError::Candidate`] for an address that nothing can be received at.
    pub fn add_local_ice_candidate(&mut self, now: Instant, candidate: Candidate) -> Result<(), UseError> {
        self.check_open()?;
        self.transport.newest_mut().add_local_candidate(now, candidate).map_err(|_| UseError::Candidate)?;
        self.advance(now);
        Ok(())
    }

    /// Adds a candidate of the peer that came apart from its description. `mid` is its section, where that is
    /// known; an empty `candidate` is the end of candidates. One of a section that does not carry the transport, or
    /// that cannot be reached from here, is ignored.
    ///
    /// # Errors
    /// [`UseError::Candidate`] when it cannot be read.
    pub fn add_remote_candidate(
        &mut self,
        now: Instant,
        mid: Option<&str>,
        candidate: &str,
    ) -> Result<(), UseError> {
        self.check_open()?;
        let candidate = candidate.trim();
        let candidate = candidate.strip_prefix("a=").unwrap_or(candidate);
        let parsed = match candidate {
            "" | "end-of-candidates" => None,
            line => Some(line.parse().map_err(|_: CandidateError| UseError::Candidate)?),
        };
        if self.transport_mid.is_none() || self.transport.is_described() {
            if self.early.len() < MAX_EARLY_CANDIDATES {
                self.early.push((mid.map(str::to_owned), parsed));
            }
            return Ok(());
        }
        self.take_candidate(now, mid, parsed);
        self.advance(now);
        Ok(())
    }

    /// The peer has no more candidates.
    pub fn end_of_remote_candidates(&mut self, now: Instant) {
        // Cannot fail: there is nothing to read.
        let _ = self.add_remote_candidate(now, None, "");
    }

    fn take_candidate(&mut self, now: Instant, mid: Option<&str>, candidate: Option<Candidate>) {
        let transport_mid = self.transport_mid.as_ref().and_then(Option::as_deref);
        if mid.is_some() && mid != transport_mid {
            return;
        }
        match candidate {
            Some(candidate) => self.transport.newest_mut().add_remote_candidate(now, candidate),
            None => self.transport.newest_mut().end_of_candidates(now),
        }
    }

    fn local_transport(&self) -> LocalTransport {
        let agent = self.transport.newest();
        let (credentials, candidates) = (agent.local_credentials(), agent.local_candidates());
        let (identity, tls_id) = self.transport.described_identity();
        let addresses = || candidates.iter().filter_map(Candidate::socket_addr);
        LocalTransport {
            ufrag: credentials.ufrag().to_owned(),
            pwd: credentials.pwd().to_owned(),
            fingerprint: identity.fingerprint.clone(),
            tls_id: tls_id.to_owned(),
            candidates: candidates.iter().map(ToString::to_string).collect(),
            default: addresses().find(SocketAddr::is_ipv4).or_else(|| addresses().next()),
            end_of_candidates: self.config.is_ice_lite(),
        }
    }

    // Transceivers.

    /// Adds a transceiver; the next offer carries it.
    pub fn add_transceiver(
        &mut self,
        kind: MediaKind,
        direction: Direction,
        init: &TransceiverInit,
    ) -> TransceiverId {
        self.jsep.add_transceiver(kind, direction, init)
    }

    /// All transceivers, stopped ones included, in the order they were made.
    #[must_use]
    pub fn transceivers(&self) -> &[Transceiver] {
        self.jsep.transceivers()
    }

    /// One transceiver.
    #[must_use]
    pub fn transceiver(&self, id: TransceiverId) -> Option<&Transceiver> {
        self.jsep.transceivers().iter().find(|transceiver| transceiver.id == id)
    }

    /// Wishes a direction; the next description carries it. A transceiver made by a peer's offer receives if the
    /// peer sends, and sends only if told so here before the answer is created.
    ///
    /// # Errors
    /// [`UseError::UnknownTransceiver`].
    pub fn set_direction(&mut self, id: TransceiverId, direction: Direction) -> Result<(), UseError> {
        self.jsep.transceiver_mut(id).ok_or(UseError::UnknownTransceiver)?.direction = direction;
        Ok(())
    }

    /// Puts the sent track into a media stream. Receivers play the tracks of one stream in step, and sender reports
    /// of all of them speak of one clock ([`OutgoingPacket::media_time_us`]). The clock changes at once, the
    /// `a=msid` with the next description.
    ///
    /// # Errors
    /// [`UseError::UnknownTransceiver`].
    pub fn set_sender_stream(&mut self, id: TransceiverId, stream_id: &str) -> Result<(), UseError> {
        let transceiver = self.jsep.transceiver_mut(id).ok_or(UseError::UnknownTransceiver)?;
        let old = std::mem::replace(&mut transceiver.stream_id, stream_id.to_owned());
        self.media.set_stream_id(&old, id, self.jsep.transceivers());
        Ok(())
    }

    /// Ends a transceiver for good; the next description rejects its section.
    ///
    /// # Errors
    /// [`UseError::UnknownTransceiver`].
    pub fn stop_transceiver(&mut self, now: Instant, id: TransceiverId) -> Result<(), UseError> {
        self.jsep.transceiver_mut(id).ok_or(UseError::UnknownTransceiver)?.stopped = true;
        self.media.configure(self.jsep.transceivers(), &mut self.events);
        self.advance(now);
        Ok(())
    }

    // Media.

    /// Sends one RTP packet: header extensions, protection and the answer to NACKs are done here. Where bandwidth is estimated
    /// ([`ConfigBuilder::bandwidth_estimation`](crate::ConfigBuilder::bandwidth_estimation)) it may leave later; one whose stream has
    /// ended by then, or whose number was used before, is dropped and counted.
    ///
    /// # Errors
    /// See [`UseError`]. Nothing was sent then.
    pub fn send_rtp(
        &mut self,
        now: Instant,
        id: TransceiverId,
        packet: OutgoingPacket,
    ) -> Result<(), UseError> {
        self.check_open()?;
        let transceivers = self.jsep.transceivers();
        let transceiver = transceivers.iter().find(|transceiver| transceiver.id == id);
        let transceiver = transceiver.ok_or(UseError::UnknownTransceiver)?;
        if !self.transport.can_send() {
            return Err(UseError::NotConnected);
        }
        let Transport { srtp, egress, .. } = &mut self.transport;
        let Srtp { outbound, .. } = srtp.as_mut().ok_or(UseError::NotConnected)?;
        self.media.send_rtp(now, transceiver, packet, outbound, egress)?;
        self.media.release(now, transceivers, outbound, egress, &mut self.events);
        if self.media.has_unreported() {
            self.media.write_due(now, transceivers, outbound, egress);
        }
        Ok(())
    }

    /// Tells how much the application would send if it could, in all, so that it may be found out whether that is possible; `None`,
    /// as at first: what it sends is what it wants. Where bandwidth is not estimated this does nothing.
    pub fn set_wanted_bitrate(&mut self, now: Instant, wanted: Option<Bitrate>) {
        if !self.ended {
            self.media.set_wanted_bitrate(now, wanted);
            self.write_due(now);
        }
    }

    /// Asks the peer for a keyframe of what it sends, of one layer or of all. Requests are merged, paced and repeated
    /// until a keyframe comes, with whichever of PLI and FIR was negotiated.
    ///
    /// # Errors
    /// [`UseError::UnknownTransceiver`], [`UseError::Direction`] when nothing is received.
    pub fn request_keyframe(
        &mut self,
        now: Instant,
        id: TransceiverId,
        rid: Option<Rid>,
    ) -> Result<(), UseError> {
        self.check_open()?;
        let transceiver = self.jsep.transceivers().iter().find(|transceiver| transceiver.id == id);
        let transceiver = transceiver.ok_or(UseError::UnknownTransceiver)?;
        self.media.request_keyframe(now, transceiver, rid)?;
        self.write_due(now);
        Ok(())
    }

    /// The interceptors of one's own, to which some can be added, and whose state can be looked at. RTP passes them as
    /// [`Place`](crate::interceptors::registry::Place) says:
    ///
    /// - Farther from the wire than repair they see each media packet once, with its header but without extensions. What they
    ///   make of its payload is what is kept for retransmission. One that they drop leaves a gap in its stream.
    /// - Nearer to the wire they see each packet that leaves and each that was opened, repetitions included; not those that go to
    ///   a peer without RTX a second time, which are sent as they were sealed. One that they drop is as if lost on the way.
    ///
    /// A payload can grow by 64 bytes on its way out. RTCP of theirs leaves with that of the connection.
    pub const fn interceptors(&mut self) -> &mut Registry {
        &mut self.media.interceptors
    }

    // The machine.

    /// Takes a datagram that arrived on `path`. What cannot be used is dropped and counted.
    pub fn handle_datagram(&mut self, now: Instant, path: FiveTuple, data: &mut [u8]) {
        self.handle_marked_datagram(now, path, Ecn::NotEct, data);
    }

    /// As [`Self::handle_datagram`], with the ECN codepoint that the datagram arrived with: peers with whom the feedback of RFC 8888
    /// was agreed on are told of it.
    pub fn handle_marked_datagram(&mut self, now: Instant, path: FiveTuple, ecn: Ecn, data: &mut [u8]) {
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += data.len() as u64;
        if self.ended {
            self.media.drops.add(DropReason::Ended);
            return;
        }
        let class = Class::of(data);
        let taken = match class {
            Class::Rtp | Class::Rtcp => self.handle_media(now, (&path, ecn), class, data),
            _ => self.transport.handle_datagram(now, path, class, data),
        };
        if let Err(reason) = taken {
            self.media.drops.add(reason);
        }
        self.advance(now);
    }

    fn handle_media(
        &mut self,
        now: Instant,
        (path, ecn): (&FiveTuple, Ecn),
        class: Class,
        data: &mut [u8],
    ) -> Result<(), DropReason> {
        let len = self.transport.open(path, class, data)?;
        let transceivers = self.jsep.transceivers();
        let packet = &mut data[..len];
        if class == Class::Rtp {
            self.media.receive_rtp(now, ecn, packet, transceivers, &mut self.events);
        } else {
            let Transport { srtp, egress, .. } = &mut self.transport;
            let outlet = srtp.as_mut().map(|srtp| (&mut srtp.outbound, egress));
            self.media.receive_rtcp(now, packet, transceivers, outlet, &mut self.events);
        }
        Ok(())
    }

    /// Acts on the deadlines that have passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if !self.ended {
            self.transport.handle_timeout(now);
            self.media.handle_timeout(now);
            self.advance(now);
        }
    }

    /// The next datagram to send, appended to `out`.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        let transmit = self.transport.poll_transmit(now, out)?;
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += transmit.len as u64;
        Some(transmit)
    }

    /// What has happened. [`Event::Failed`] or [`Event::Closed`] comes once, and is the last.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`PeerConnection::handle_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let media = self.media.poll_timeout().filter(|_| self.transport.srtp.is_some());
        [self.transport.poll_timeout(), media].into_iter().flatten().min()
    }

    /// Ends the connection: goodbyes for what was sent, close_notify, and no more consent.
    pub fn close(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        let can_send = self.transport.can_send();
        let Transport { srtp, egress, .. } = &mut self.transport;
        if let Some(srtp) = srtp.as_mut().filter(|_| can_send) {
            self.media.close(now, &mut srtp.outbound, egress);
        }
        self.transport.close(now);
        self.end(ConnectionState::Closed, Event::Closed);
    }

    /// The state of the connection.
    #[must_use]
    pub const fn state(&self) -> ConnectionState {
        self.state
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        self.media.add_stats(&mut stats);
        stats.path = self.transport.path();
        stats.path_changes = self.transport.path_changes();
        stats.ice = *self.transport.ice.stats();
        stats.srtp_profile = self.transport.srtp.as_ref().map(|srtp| srtp.profile);
        stats.srtp_sources = self.transport.srtp.as_ref().map_or(0, |srtp| srtp.inbound.sources());
        stats.round_trip = self.media.round_trip().or_else(|| self.transport.round_trip());
        stats
    }

    /// Carries on what the last input began.
    fn advance(&mut self, now: Instant) {
        self.transport.advance(now, &mut self.transport_events);
        while let Some(event) = self.transport_events.pop_front() {
            match event {
                TransportEvent::PathAuthenticated(path) => {
                    self.events.push_back(Event::PathAuthenticated(path))
                }
                TransportEvent::StateChanged => {}
                TransportEvent::NewKeys => self.media.forget_sealed(),
                TransportEvent::Failed(reason) => return self.fail(now, reason),
                TransportEvent::Closed => {
                    self.transport.close(now);
                    return self.end(ConnectionState::Closed, Event::Closed);
                }
            }
        }
        self.update_state();
        self.write_due(now);
        while let Some(ssrc) = self.media.poll_gone() {
            if let Some(srtp) = &mut self.transport.srtp {
                srtp.inbound.remove_source(ssrc);
            }
        }
    }

    fn write_due(&mut self, now: Instant) {
        if !self.transport.can_send() {
            return self.media.drop_waiting();
        }
        let Transport { srtp, egress, .. } = &mut self.transport;
        if let Some(srtp) = srtp {
            let transceivers = self.jsep.transceivers();
            self.media.release(now, transceivers, &mut srtp.outbound, egress, &mut self.events);
            self.media.write_due(now, self.jsep.transceivers(), &mut srtp.outbound, egress);
        }
    }

    fn update_state(&mut self) {
        let state = match self.transport.ice.state() {
            _ if self.transport_mid.is_none() => ConnectionState::New,
            ice::State::Disconnected => ConnectionState::Disconnected,
            ice::State::Connected if self.transport.srtp.is_some() => ConnectionState::Connected,
            _ => ConnectionState::Connecting,
        };
        self.set_state(state);
        // Reports measure more often than consent checks; those fill in until a report has come.
        if self.media.round_trip().is_none()
            && let Some(rtt) = self.transport.round_trip()
        {
            self.media.set_rtt(rtt);
        }
    }

    fn set_state(&mut self, state: ConnectionState) {
        if self.state != state {
            self.state = state;
            self.events.push_back(Event::ConnectionStateChanged(state));
        }
    }

    fn fail(&mut self, now: Instant, reason: FailReason) {
        self.transport.close(now);
        self.end(ConnectionState::Failed, Event::Failed(reason));
    }

    fn end(&mut self, state: ConnectionState, event: Event) {
        self.set_state(state);
        self.transport_events.clear();
        self.ended = true;
        self.events.push_back(event);
    }

    const fn check_open(&self) -> Result<(), UseError> {
        if self.ended { Err(UseError::Closed) } else { Ok(()) }
    }
}

impl std::fmt::Debug for PeerConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerConnection")
            .field("state", &self.state)
            .field("signaling_state", &self.jsep.state())
            .field("path", &self.transport.path())
            .finish_non_exhaustive()
    }
}
