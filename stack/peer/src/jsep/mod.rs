//! The offer/answer state machine (RFC 9429) over one bundled transport.
//!
//! | state | offer in | answer in | local offer | local answer | rollback |
//! |---|---|---|---|---|---|
//! | stable | have-remote-offer | – | have-local-offer | – | – |
//! | have-local-offer | – | stable | have-local-offer | – | stable |
//! | have-remote-offer | have-remote-offer | – | – | stable | stable |
//!
//! A description is judged in full before anything is changed; what is refused leaves all as it was. Nothing
//! reaches the transport or the media before both descriptions are there.
//!
//! Left out: provisional answers, bundle policies other than max-bundle, RTCP on a port of its own.

mod local;
mod remote_answer;
mod remote_offer;
mod section;
mod transport;

use std::sync::Arc;

use rand_core::Rng as _;
use tombolo_net::{Rng, Ssrc};
use tombolo_rtp::Mid;

pub(crate) use local::LocalTransport;
pub(crate) use remote_offer::RemoteDescription;
pub(crate) use transport::{Continuity, RemoteTransport};

use crate::codec::MediaKind;
use crate::config::{Config, DtlsRolePreference};
use crate::error::UseError;
use crate::sdp::{
    Direction, Origin, Sdp, SdpError, SdpReason, SdpType, SessionDescription, Setup, TransportAttributes,
};
use crate::transceiver::{Encoding, Transceiver, TransceiverId, TransceiverInit};

/// The signaling state (RFC 9429 §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SignalingState {
    /// No offer is pending.
    #[default]
    Stable,
    /// Our offer waits for its answer.
    HaveLocalOffer,
    /// The peer's offer waits for our answer.
    HaveRemoteOffer,
}

/// Which transceiver stands in which section.
type Sections = Vec<Option<TransceiverId>>;

#[derive(Clone, Debug, Default, PartialEq)]
enum Pending {
    #[default]
    Nothing,
    LocalOffer {
        sdp: Box<Sdp>,
        sections: Sections,
        /// The transceivers that this offer gave a section.
        placed: Vec<TransceiverId>,
    },
    RemoteOffer {
        offer: Box<RemoteDescription>,
        sections: Sections,
        /// The transceivers that this offer made.
        made: Vec<TransceiverId>,
    },
}

/// A local description that was created and may be set.
#[derive(Clone, Debug, PartialEq)]
struct Created {
    description: SessionDescription,
    sections: Sections,
}

/// What both sides agreed on, when a negotiation ends.
#[derive(Clone, Debug)]
pub(crate) struct Agreed {
    /// The peer's end and our DTLS role, unless everything was rejected.
    pub(crate) transport: Option<(RemoteTransport, Setup)>,
}

/// Descriptions, transceivers and the state between them.
#[derive(Debug)]
pub(crate) struct Jsep {
    config: Arc<Config>,
    rng: Rng,
    session_id: u64,
    version: u64,
    pending: Pending,
    local: Option<Sdp>,
    remote: Option<RemoteDescription>,
    sections: Sections,
    created: Option<Created>,
    setup: Option<Setup>,
    transceivers: Vec<Transceiver>,
    next_id: u32,
    next_mid: u32,
    cname: String,
}

impl Jsep {
    pub(crate) fn new(config: Arc<Config>, mut rng: Rng) -> Self {
        Self {
            config,
            // RFC 9429 §5.2.1: 63 bits, so that it fits a signed number.
            session_id: rng.next_u64() >> 1,
            version: 0,
            pending: Pending::Nothing,
            local: None,
            remote: None,
            sections: Vec::new(),
            created: None,
            setup: None,
            transceivers: Vec::new(),
            next_id: 0,
            next_mid: 0,
            cname: token(&mut rng, 16),
            rng,
        }
    }

    pub(crate) fn state(&self) -> SignalingState {
        match self.pending {
            Pending::Nothing => SignalingState::Stable,
            Pending::LocalOffer { .. } => SignalingState::HaveLocalOffer,
            Pending::RemoteOffer { .. } => SignalingState::HaveRemoteOffer,
        }
    }

    pub(crate) fn cname(&self) -> &str {
        &self.cname
    }

    pub(crate) fn transceivers(&self) -> &[Transceiver] {
        &self.transceivers
    }

    pub(crate) fn transceiver_mut(&mut self, id: TransceiverId) -> Option<&mut Transceiver> {
        self.transceivers.iter_mut().find(|transceiver| transceiver.id == id)
    }

    pub(crate) fn local(&self) -> Option<&Sdp> {
        match &self.pending {
            Pending::LocalOffer { sdp, .. } => Some(sdp),
            _ => self.local.as_ref(),
        }
    }

    pub(crate) fn remote(&self) -> Option<&RemoteDescription> {
        match &self.pending {
            Pending::RemoteOffer { offer, .. } => Some(offer),
            _ => self.remote.as_ref(),
        }
    }

    /// How the peer's pending offer goes on from what was agreed on.
    pub(crate) fn offered(&self) -> Option<Continuity> {
        match &self.pending {
            Pending::RemoteOffer { offer, .. } => Some(offer.transport.as_ref()?.continuity),
            _ => None,
        }
    }

    pub(crate) fn add_transceiver(
        &mut self,
        kind: MediaKind,
        direction: Direction,
        init: &TransceiverInit,
    ) -> TransceiverId {
        let id = TransceiverId(self.next_id);
        self.next_id += 1;
        let (mut encodings, mut drawn) = (Vec::new(), Vec::new());
        let rids = init.send_rids.iter().take(3).copied().map(Some);
        for rid in rids.chain(init.send_rids.is_empty().then_some(None)) {
            let mut draw = || {
                drawn.push(self.fresh_ssrc(&drawn));
                drawn[drawn.len() - 1]
            };
            encodings.push(Encoding { rid, ssrc: draw(), rtx_ssrc: draw(), fec_ssrc: draw() });
        }
        let stream_id = init.stream_id.clone().unwrap_or_else(|| token(&mut self.rng, 16));
        self.transceivers.push(Transceiver {
            id,
            kind,
            mid: None,
            section: None,
            direction,
            current: None,
            stopped: false,
            encodings,
            stream_id,
            track_id: token(&mut self.rng, 16),
            cname: self.cname.clone(),
            negotiated: None,
        });
        id
    }

    /// SDP-13, RTP-06: random, and neither one of ours nor one that the peer announced.
    fn fresh_ssrc(&mut self, also: &[Ssrc]) -> Ssrc {
        loop {
            let ssrc = Ssrc(self.rng.next_u32());
            let ours = self.transceivers.iter().flat_map(|transceiver| &transceiver.encodings);
            let mut taken = ours.flat_map(Encoding::ssrcs).chain(also.iter().copied());
            if ssrc.0 != 0 && !taken.any(|other| other == ssrc) && !self.is_remote_ssrc(ssrc) {
                return ssrc;
            }
        }
    }

    fn is_remote_ssrc(&self, ssrc: Ssrc) -> bool {
        let media = self.remote().into_iter().flat_map(|remote| &remote.sdp.media);
        media.flat_map(|media| &media.ssrcs).any(|line| line.value.ssrc == ssrc.0)
    }

    /// Gives encodings whose SSRC the peer turned out to use another one, before they were ever used.
    fn avoid_remote_ssrcs(&mut self, made: &[TransceiverId]) {
        for index in 0..self.transceivers.len() {
            if !made.contains(&self.transceivers[index].id) {
                continue;
            }
            for encoding in 0..self.transceivers[index].encodings.len() {
                let Encoding { ssrc, rtx_ssrc, fec_ssrc, .. } = self.transceivers[index].encodings[encoding];
                if self.is_remote_ssrc(ssrc) {
                    self.transceivers[index].encodings[encoding].ssrc = self.fresh_ssrc(&[]);
                }
                if self.is_remote_ssrc(rtx_ssrc) {
                    self.transceivers[index].encodings[encoding].rtx_ssrc = self.fresh_ssrc(&[]);
                }
                if self.is_remote_ssrc(fec_ssrc) {
                    self.transceivers[index].encodings[encoding].fec_ssrc = self.fresh_ssrc(&[]);
                }
            }
        }
    }

    // Creating.

    pub(crate) fn create_offer(
        &mut self,
        transport: &LocalTransport,
    ) -> Result<SessionDescription, UseError> {
        if matches!(self.pending, Pending::RemoteOffer { .. }) {
            return Err(UseError::WrongState);
        }
        let mut sections = self.sections.clone();
        let is_live = |id: &TransceiverId| self.transceivers.iter().any(|one| one.id == *id && !one.stopped);
        for transceiver in self.transceivers.iter().filter(|transceiver| !transceiver.stopped) {
            if sections.contains(&Some(transceiver.id)) {
                continue;
            }
            // A section that both sides rejected is used again (RFC 9429 §5.2.2).
            let recycled = (0..sections.len()).find(|&index| {
                let rejected = |sdp: Option<&Sdp>| sdp.is_some_and(|sdp| sdp.media[index].is_rejected());
                sections[index].as_ref().is_none_or(|id| !is_live(id)) && rejected(self.local.as_ref())
            });
            match recycled {
                Some(index) => sections[index] = Some(transceiver.id),
                None => sections.push(Some(transceiver.id)),
            }
        }
        let mut next_mid = self.next_mid;
        let described: Vec<_> = sections
            .iter()
            .enumerate()
            .map(|(index, id)| {
                let transceiver = id.and_then(|id| self.transceivers.iter().find(|one| one.id == id));
                let mid = match transceiver.and_then(|transceiver| transceiver.mid) {
                    Some(mid) => mid.to_string(),
                    None => self.free_mid(&mut next_mid),
                };
                (transceiver, mid, self.local.as_ref().and_then(|sdp| sdp.media.get(index)))
            })
            .collect();
        let sdp = local::offer(&self.config, self.origin(), transport, described.into_iter());
        Ok(self.created(SdpType::Offer, sdp, sections))
    }

    fn free_mid(&self, next: &mut u32) -> String {
        loop {
            let mid = next.to_string();
            *next += 1;
            let in_use = |sdp: &Sdp| sdp.media_with_mid(&mid).is_some();
            let taken = self.local.as_ref().is_some_and(in_use)
                || self.remote.as_ref().is_some_and(|remote| in_use(&remote.sdp));
            if !taken {
                return mid;
            }
        }
    }

    pub(crate) fn create_answer(
        &mut self,
        transport: &LocalTransport,
    ) -> Result<SessionDescription, UseError> {
        let Pending::RemoteOffer { offer, sections, .. } = &self.pending else {
            return Err(UseError::WrongState);
        };
        let setup = self.answer_setup(offer.transport.as_ref());
        let sdp = local::answer(&self.config, self.origin(), offer, transport, setup, |index| {
            let id = sections.get(index).copied().flatten()?;
            self.transceivers.iter().find(|transceiver| transceiver.id == id)
        });
        let sections = sections.clone();
        Ok(self.created(SdpType::Answer, sdp, sections))
    }

    /// DTLS-03: the role stays as long as the association; else the opposite of what was offered, or our preference.
    fn answer_setup(&self, offered: Option<&RemoteTransport>) -> Setup {
        let is_new = offered.is_some_and(|transport| transport.continuity == Continuity::NewAssociation);
        let preferred = match self.config.dtls_role {
            DtlsRolePreference::Active => Setup::Active,
            DtlsRolePreference::Passive => Setup::Passive,
        };
        self.setup.filter(|_| !is_new).unwrap_or_else(|| {
            match offered.map(|transport| transport.setup.value) {
                Some(Setup::Active) => Setup::Passive,
                Some(Setup::Passive) => Setup::Active,
                Some(Setup::ActPass) | None => preferred,
            }
        })
    }

    fn origin(&self) -> Origin {
        Origin {
            username: "-".into(),
            session_id: self.session_id.to_string(),
            version: self.version.to_string(),
        }
    }

    /// SDP-06: the version goes up by one when anything else changed.
    fn created(&mut self, kind: SdpType, mut sdp: Sdp, sections: Sections) -> SessionDescription {
        if self.local.as_ref().is_some_and(|local| *local != sdp) {
            sdp.origin.version = (self.version + 1).to_string();
        }
        let description = SessionDescription::new(kind, sdp);
        self.created = Some(Created { description: description.clone(), sections });
        description
    }

    // Applying.

    /// Applies a local description: the one that was created last, or a rollback.
    pub(crate) fn set_local(&mut self, description: &SessionDescription) -> Result<Option<Agreed>, SdpError> {
        match (description.kind(), &self.pending) {
            (SdpType::Rollback, Pending::LocalOffer { .. }) => {
                self.rollback();
                return Ok(None);
            }
            (SdpType::Offer, Pending::Nothing | Pending::LocalOffer { .. })
            | (SdpType::Answer, Pending::RemoteOffer { .. }) => {}
            _ => return Err(SdpError::new(0, SdpReason::WrongState)),
        }
        let created = self.created.take_if(|created| created.description == *description);
        let Some(created) = created else { return Err(SdpError::new(0, SdpReason::NotCreatedHere)) };
        let sdp = created.description.into_sdp();
        if description.kind() == SdpType::Offer {
            self.rollback();
            let placed = self.place(&sdp, &created.sections);
            self.pending = Pending::LocalOffer { sdp: Box::new(sdp), sections: created.sections, placed };
            return Ok(None);
        }
        let Pending::RemoteOffer { offer, sections, .. } = std::mem::take(&mut self.pending) else {
            return Ok(None);
        };
        self.place(&sdp, &sections);
        Ok(Some(self.agree(sdp, *offer, sections)))
    }

    /// Applies a description of the peer.
    pub(crate) fn set_remote(&mut self, description: SessionDescription) -> Result<Option<Agreed>, SdpError> {
        match (description.kind(), &self.pending) {
            (SdpType::Rollback, Pending::RemoteOffer { .. }) => {
                self.rollback();
                Ok(None)
            }
            (SdpType::Offer, Pending::Nothing | Pending::RemoteOffer { .. }) => {
                let previous = self.remote.as_ref().zip(self.local.as_ref());
                let mut offer =
                    RemoteDescription::read_offer(&self.config, description.into_sdp(), previous)?;
                self.judge_role(offer.transport.as_mut())?;
                self.rollback();
                self.take_offer(offer);
                Ok(None)
            }
            (SdpType::Answer, Pending::LocalOffer { sdp: offer, .. }) => {
                let sdp = description.into_sdp();
                let mut answer =
                    RemoteDescription::read_answer(&self.config, offer, sdp, self.remote.as_ref())?;
                self.judge_restart(offer, answer.transport.as_mut())?;
                self.judge_role(answer.transport.as_mut())?;
                match std::mem::take(&mut self.pending) {
                    Pending::LocalOffer { sdp, sections, .. } => Ok(Some(self.agree(*sdp, answer, sections))),
                    _ => Ok(None),
                }
            }
            _ => Err(SdpError::new(0, SdpReason::WrongState)),
        }
    }

    /// DTLS-06: on a live association the roles stay; with new credentials another role means another association.
    fn judge_role(&self, transport: Option<&mut RemoteTransport>) -> Result<(), SdpError> {
        let Some(transport) = transport.filter(|transport| self.setup == Some(transport.setup.value)) else {
            return Ok(());
        };
        if transport.continuity == Continuity::Same {
            return Err(SdpError::new(transport.setup.line, SdpReason::SetupChanged));
        }
        transport.continuity = Continuity::NewAssociation;
        Ok(())
    }

    /// Whether an answer has restarted what our offer has, and nothing else.
    fn judge_restart(&self, offer: &Sdp, answered: Option<&mut RemoteTransport>) -> Result<(), SdpError> {
        let before = self.local.as_ref().and_then(own_transport);
        let (Some(before), Some(ours), Some(theirs)) = (before, own_transport(offer), answered) else {
            return Ok(());
        };
        let restarts = before.ice_ufrag != ours.ice_ufrag;
        if restarts != (theirs.continuity != Continuity::Same) {
            return Err(SdpError::new(theirs.ufrag.line, SdpReason::IceRestart));
        }
        if before.fingerprints != ours.fingerprints {
            theirs.continuity = Continuity::NewAssociation;
        }
        Ok(())
    }

    /// Finds or makes the transceiver of each section of an offer.
    fn take_offer(&mut self, offer: RemoteDescription) {
        let mut sections = Vec::with_capacity(offer.sections.len());
        let mut made = Vec::new();
        for (index, (media, negotiated)) in offer.sdp.media.iter().zip(&offer.sections).enumerate() {
            let known = self.sections.get(index).copied().flatten();
            let known = known.filter(|&id| {
                let transceiver = self.transceivers.iter().find(|transceiver| transceiver.id == id);
                let mid = |transceiver: &Transceiver| transceiver.mid.map(|mid| mid.to_string());
                // A stopped one stays in its section, which is rejected, until the section gets another mid.
                transceiver.is_some_and(|one| mid(one).as_deref() == media.mid_str())
            });
            let kind = section::rtp_kind(media).filter(|_| negotiated.is_some());
            sections.push(known.or_else(|| {
                let direction = Direction::new(false, media.direction.sends());
                let id = self.add_transceiver(kind?, direction, &TransceiverInit::default());
                // It is known by its mid from now on, so that a direction can be chosen before the answer.
                if let Some(transceiver) = self.transceiver_mut(id) {
                    transceiver.mid = media.mid_str().and_then(|mid| mid.parse().ok());
                }
                made.push(id);
                Some(id)
            }));
        }
        self.pending = Pending::RemoteOffer { offer: Box::new(offer), sections, made: made.clone() };
        self.avoid_remote_ssrcs(&made);
    }

    /// Gives transceivers the mid and section that a local description has for them.
    fn place(&mut self, sdp: &Sdp, sections: &Sections) -> Vec<TransceiverId> {
        let mut placed = Vec::new();
        for (index, id) in sections.iter().enumerate() {
            let mid: Option<Mid> = sdp.media.get(index).and_then(|media| media.mid_str()?.parse().ok());
            let Some(transceiver) = id.and_then(|id| self.transceiver_mut(id)) else { continue };
            if transceiver.section.is_none() {
                transceiver.section = Some(index);
                transceiver.mid = mid;
                placed.push(transceiver.id);
            }
        }
        placed
    }

    fn rollback(&mut self) {
        match std::mem::take(&mut self.pending) {
            Pending::Nothing => {}
            Pending::LocalOffer { placed, .. } => {
                for id in placed {
                    if let Some(transceiver) = self.transceiver_mut(id) {
                        transceiver.section = None;
                        transceiver.mid = None;
                    }
                }
            }
            Pending::RemoteOffer { made, .. } => {
                self.transceivers.retain(|transceiver| !made.contains(&transceiver.id));
            }
        }
    }

    /// Both descriptions are there: `local` is ours, `remote` the peer's, whichever was the offer.
    fn agree(&mut self, local: Sdp, remote: RemoteDescription, sections: Sections) -> Agreed {
        // A transceiver whose section went to another one is gone.
        self.transceivers
            .retain(|transceiver| transceiver.section.is_none() || sections.contains(&Some(transceiver.id)));
        for transceiver in &mut self.transceivers {
            let Some(index) = sections.iter().position(|&id| id == Some(transceiver.id)) else { continue };
            let negotiated = remote.sections.get(index).cloned().flatten();
            let ours = local.media.get(index).filter(|media| !media.is_rejected());
            match (negotiated, ours) {
                (Some(negotiated), Some(ours)) => {
                    let theirs = remote.sdp.media[index].direction.reversed();
                    transceiver.current = Some(ours.direction.and(theirs));
                    transceiver.negotiated = Some(negotiated);
                }
                _ => {
                    transceiver.current = Some(Direction::Inactive);
                    transceiver.stopped = true;
                }
            }
        }
        self.version = local.origin.version.parse().unwrap_or(self.version);
        let bundled = |transport: &RemoteTransport| {
            let ours = local.media.get(transport.section).and_then(|media| media.transport.setup);
            ours.or_else(|| local.media.iter().find_map(|media| media.transport.setup))
                .map(|setup| setup.value)
        };
        let transport = remote.transport.clone().and_then(|transport| {
            // An offer says actpass: then the peer's answer has chosen.
            let setup = match (bundled(&transport)?, transport.setup.value) {
                (Setup::ActPass, Setup::Active) => Setup::Passive,
                (Setup::ActPass, _) => Setup::Active,
                (own, _) => own,
            };
            if transport.continuity == Continuity::NewAssociation {
                self.setup = None;
            }
            Some((transport, *self.setup.get_or_insert(setup)))
        });
        self.local = Some(local);
        self.remote = Some(remote);
        self.sections = sections;
        self.created = None;
        Agreed { transport }
    }
}

/// Our end of the transport as a description of ours tells it.
fn own_transport(sdp: &Sdp) -> Option<&TransportAttributes> {
    sdp.media.iter().map(|media| &media.transport).find(|transport| transport.ice_ufrag.is_some())
}

/// `len` random characters that fit any SDP token; six bits each.
pub(crate) fn token(rng: &mut Rng, len: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..len).map(|_| char::from(ALPHABET[(rng.next_u32() & 63) as usize])).collect()
}
