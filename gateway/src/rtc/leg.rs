//! One WebRTC leg: a peer connection, what its client publishes and the slots that it watches with.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tombolo::sdp::{Direction, Sdp, SdpError, SectionKind, SessionDescription};
use tombolo::{
    Codec, ConnectionState, Event, OutgoingPacket, PeerConnection, ReceivedPacket, ReceivedSenderReport,
    Transceiver, TransceiverId, UseError,
};
use tombolo_net::Epoch;
use tombolo_rtp::Rid;
use tombolo_signaling::{CodecName, MediaKind, SlotChoice, UnavailableReason};

use super::command::{CandidateError, LegEvent, OfferError, OfferPolicy, SlotError};
use super::media;
use super::slots::{Candidate, Change, Slots};
use crate::core::{
    Core, Form, LayerChoice, LayerInfo, MediaPacket, OutPacket, ParticipantId, Subscribe, SubscribeError,
    SubscriptionId, TrackId, TrackInfo,
};
use crate::hub::Stage;

/// How long a leg may take from its first offer until its media connection is up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Sound is told to be newer than it is by this much. Browsers hold back pictures until sound and picture that were made
/// together are heard and seen together, and sound takes longer; late by so little nobody notices it (ITU-R BT.1359
/// has up to 125 ms), while pictures that are held back are latency. The page does the same over WebTransport.
const SOUND_LAG: Duration = Duration::from_millis(40);

/// A leg's state.
pub(super) struct Leg {
    pub(super) connection: PeerConnection,
    pub(super) participant: ParticipantId,
    /// When the leg is given up unless it is connected by then; set by its first offer.
    pub(super) connect_by: Option<Instant>,
    epoch: Epoch,
    events: mpsc::Sender<LegEvent>,
    publications: HashMap<TransceiverId, Publication>,
    slots: Slots,
    sections: HashMap<String, Section>,
    policy: OfferPolicy,
}

/// A track that the client publishes. Others are told of it when its first packet says what codec it is.
struct Publication {
    track: TrackId,
    codec: CodecName,
    /// The rids of its layers; empty for a single one.
    rids: Vec<Rid>,
}

/// The receiving section behind a slot. Its subscription stays when the slot shows something else, so that the
/// client sees one unbroken stream.
struct Section {
    transceiver: TransceiverId,
    codecs: Vec<CodecName>,
    shows: Option<Shown>,
}

struct Shown {
    subscription: SubscriptionId,
    codec: CodecName,
}

/// What of a leg's doing concerns the whole gateway.
pub(super) enum Effect {
    /// Datagrams on this path are this leg's.
    PathAuthenticated(tombolo_net::FiveTuple),
    /// A track of the client's is published by this transceiver.
    Published(TrackId, TransceiverId),
    /// A track is no longer published.
    Unpublished(TrackId),
    /// A subscription goes to this leg.
    Subscribed(SubscriptionId, String),
    /// A subscription has ended.
    Unsubscribed(SubscriptionId),
    /// The peer connection has failed.
    Failed,
    /// The client has closed its connection.
    Ended,
}

impl Leg {
    pub(super) fn new(
        connection: PeerConnection,
        participant: ParticipantId,
        epoch: Epoch,
        events: mpsc::Sender<LegEvent>,
    ) -> Self {
        Self {
            connection,
            participant,
            connect_by: None,
            epoch,
            events,
            publications: HashMap::new(),
            slots: Slots::default(),
            sections: HashMap::new(),
            policy: OfferPolicy::Any,
        }
    }

    // Signaling.

    /// Answers an offer and fills the slots that it brings.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        sdp: &str,
        policy: OfferPolicy,
        receive: &[SlotChoice],
        effects: &mut Vec<Effect>,
    ) -> Result<String, OfferError> {
        let offer = SessionDescription::offer(sdp).map_err(|error| malformed(&error))?;
        check_policy(offer.sdp(), policy)?;
        let slots = offered_slots(offer.sdp());
        self.connection.set_remote_description(now, offer).map_err(|error| malformed(&error))?;
        self.policy = policy;
        self.slots.update(slots);
        self.prepare_slots();
        let answer = self.answer(now).inspect_err(|_| self.roll_back(now))?;
        if !self.is_connected() {
            self.connect_by.get_or_insert(now + CONNECT_TIMEOUT);
        }
        self.update_sections(now, stage, effects);
        for choice in receive {
            // A choice that cannot be met leaves the slot to be filled like the others.
            if let Err(error) = self.note_choice(&stage.core, choice) {
                tracing::debug!(%error, mid = choice.mid, "slot choice");
            }
        }
        self.fill_slots(now, stage, effects);
        Ok(answer)
    }

    fn answer(&mut self, now: Instant) -> Result<String, OfferError> {
        let answer = self.connection.create_answer().map_err(|error| impossible(&error))?;
        self.connection.set_local_description(now, &answer).map_err(|error| malformed(&error))?;
        Ok(answer.to_string())
    }

    /// Forgets an offer that cannot be answered.
    fn roll_back(&mut self, now: Instant) {
        let rollback = SessionDescription::rollback();
        if let Err(error) = self.connection.set_remote_description(now, rollback) {
            tracing::debug!(%error, "an offer cannot be rolled back");
        }
    }

    /// Adds a remote candidate; an empty one is the end of candidates.
    pub(super) fn candidate(
        &mut self,
        now: Instant,
        mid: Option<&str>,
        candidate: &str,
    ) -> Result<(), CandidateError> {
        let outcome = self.connection.add_remote_candidate(now, mid, candidate);
        outcome.map_err(|error| match error {
            UseError::Closed => CandidateError::Gone,
            _ => CandidateError::Malformed,
        })
    }

    /// Changes what a slot shows.
    pub(super) fn choose(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        choice: &SlotChoice,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SlotError> {
        self.note_choice(&stage.core, choice)?;
        self.fill_slots(now, stage, effects);
        Ok(())
    }

    fn note_choice(&mut self, core: &Core, choice: &SlotChoice) -> Result<(), SlotError> {
        let track = match &choice.track {
            None => None,
            Some(id) => {
                let id = TrackId(id.parse().map_err(|_| SlotError::UnknownTrack)?);
                let candidates = self.candidates(core);
                let found = candidates.into_iter().find(|candidate| candidate.track == id);
                Some(found.ok_or(SlotError::UnknownTrack)?)
            }
        };
        self.slots.choose(&choice.mid, track)
    }

    /// Has the answer send in every slot.
    fn prepare_slots(&mut self) {
        let slots: Vec<_> = self
            .connection
            .transceivers()
            .iter()
            .filter_map(|transceiver| Some((transceiver.id(), self.slots.pair(transceiver.mid()?.as_str())?)))
            .collect();
        for (transceiver, pair) in slots {
            // Both know the transceiver. Tracks of one stream are played in step.
            let _ = self.connection.set_direction(transceiver, Direction::SendOnly);
            let _ = self.connection.set_sender_stream(transceiver, &format!("slot-{pair}"));
        }
    }

    /// Takes over what was agreed on for the slots.
    fn update_sections(&mut self, now: Instant, stage: &mut Stage, effects: &mut Vec<Effect>) {
        let mut before = std::mem::take(&mut self.sections);
        for transceiver in self.connection.transceivers() {
            let Some(mid) = transceiver.mid().filter(|_| sends(transceiver)) else { continue };
            let codecs = transceiver.negotiated().map_or(&[][..], |negotiated| &negotiated.codecs);
            let codecs = codecs.iter().filter_map(|codec| media::codec_name(codec.codec)).collect();
            let section = before.remove(mid.as_str());
            let shows = section
                .filter(|section| section.transceiver == transceiver.id())
                .and_then(|section| section.shows);
            let section = Section { transceiver: transceiver.id(), codecs, shows };
            self.sections.insert(mid.as_str().to_owned(), section);
        }
        for shown in before.into_values().filter_map(|section| section.shows) {
            stage.core.unsubscribe(now, shown.subscription);
            effects.push(Effect::Unsubscribed(shown.subscription));
        }
    }

    /// Lets every slot show what it should, after an offer, a choice or a change of who publishes.
    pub(super) fn fill_slots(&mut self, now: Instant, stage: &mut Stage, effects: &mut Vec<Effect>) {
        // A refused track makes room for another, so that this ends when nothing is refused any more.
        loop {
            let candidates = self.candidates(&stage.core);
            let changes = self.slots.assign(&candidates);
            let mut refused = false;
            for change in changes {
                refused |= !self.show(now, stage, &change, effects);
            }
            if !refused {
                return;
            }
        }
    }

    /// What the slots could show: what everybody else publishes, oldest first.
    fn candidates(&self, core: &Core) -> Vec<Candidate> {
        let only = match self.policy {
            OfferPolicy::WatchOnly { publisher } => publisher,
            OfferPolicy::Any | OfferPolicy::PublishOnly => None,
        };
        let members = core.others(self.participant);
        let mut candidates: Vec<_> = members
            .filter(|member| only.is_none_or(|only| only == member.participant))
            .flat_map(|member| {
                let participant = member.participant;
                member.tracks.iter().map(move |track| Candidate {
                    track: track.track,
                    participant,
                    kind: track.kind,
                })
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.track);
        candidates
    }

    /// Carries out a change; `false` when the track cannot be shown, which the client is told.
    fn show(&mut self, now: Instant, stage: &mut Stage, change: &Change, effects: &mut Vec<Effect>) -> bool {
        let connected = self.is_connected();
        let Some(section) = self.sections.get_mut(&change.mid) else { return true };
        let outcome = match change.shows {
            None => {
                let shown = section.shows.as_ref().map(|shown| shown.subscription);
                shown.map_or(Ok(()), |subscription| stage.core.retarget(now, subscription, None))
            }
            Some(candidate) => section.show(now, stage, self.participant, candidate, &change.mid, effects),
        };
        if connected && let Some(shown) = &section.shows {
            stage.core.release(now, shown.subscription);
        }
        match (outcome, change.shows) {
            (Ok(()), shows) => {
                let shows = shows.map(|shown| (shown.track, shown.participant));
                self.tell(LegEvent::Slot { mid: change.mid.clone(), shows });
                true
            }
            (Err(error), Some(candidate)) => {
                self.slots.refuse(candidate.track);
                self.tell(unavailable(&stage.core, candidate, error));
                false
            }
            // The track is gone already: the slot is as empty as it should be.
            (Err(_), None) => true,
        }
    }

    // Media.

    /// Takes what the connection has to tell.
    pub(super) fn poll_events(&mut self, now: Instant, stage: &mut Stage, effects: &mut Vec<Effect>) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Rtp(packet) => self.receive(now, stage, packet, effects),
                Event::SenderReport(report) => self.sender_report(now, stage, &report),
                Event::Lost { transceiver, rid, last, .. } => self.lost(now, stage, transceiver, rid, last),
                Event::KeyframeRequested { transceiver, .. } => {
                    self.keyframe_requested(now, stage, transceiver)
                }
                Event::PathAuthenticated(path) => effects.push(Effect::PathAuthenticated(path)),
                Event::TrackEnded { transceiver } => self.unpublish(now, stage, transceiver, effects),
                Event::ConnectionStateChanged(ConnectionState::Connected) => {
                    self.connect_by = None;
                    for shown in self.sections.values().filter_map(|section| section.shows.as_ref()) {
                        stage.core.release(now, shown.subscription);
                    }
                    self.tell(LegEvent::Connected);
                }
                Event::Failed(reason) => {
                    self.tell(LegEvent::Failed(reason.to_string()));
                    effects.push(Effect::Failed);
                }
                Event::Closed => effects.push(Effect::Ended),
                _ => {}
            }
        }
    }

    fn receive(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        packet: ReceivedPacket,
        effects: &mut Vec<Effect>,
    ) {
        let Some(codec) = media::codec_name(packet.codec) else { return };
        let known = self.publications.get(&packet.transceiver).is_some_and(|known| known.codec == codec);
        if !known {
            self.unpublish(now, stage, packet.transceiver, effects);
            self.publish(now, stage, packet.transceiver, codec, effects);
        }
        let Some(publication) = self.publications.get(&packet.transceiver) else { return };
        let Some(layer) = publication.layer(packet.rid) else { return };
        let media = MediaPacket {
            seq: packet.seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: packet.payload,
        };
        stage.core.push_packet(now, publication.track, layer, media);
    }

    fn publish(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        id: TransceiverId,
        codec: CodecName,
        effects: &mut Vec<Effect>,
    ) {
        let Some(transceiver) = self.connection.transceiver(id) else { return };
        let rids = transceiver.negotiated().map_or(&[][..], |negotiated| &negotiated.receive_rids).to_vec();
        // FFmpeg, for one, offers no way to ask: what it sent since its last keyframe is kept instead.
        let codecs = transceiver.negotiated().map_or(&[][..], |negotiated| &negotiated.codecs);
        let can_request_keyframe = codecs.iter().any(|negotiated| {
            media::codec_name(negotiated.codec) == Some(codec)
                && (negotiated.feedback.pli || negotiated.feedback.fir)
        });
        let layers = match rids.as_slice() {
            [] => vec![LayerInfo::default()],
            rids => rids
                .iter()
                .map(|rid| LayerInfo { name: rid.as_str().to_owned(), ..LayerInfo::default() })
                .collect(),
        };
        let info = TrackInfo {
            label: String::new(),
            kind: media::kind(transceiver.kind()),
            codec,
            form: Form::Packets,
            layers,
            can_request_keyframe,
        };
        match stage.publish(now, self.participant, info) {
            Ok(track) => {
                self.publications.insert(id, Publication { track, codec, rids });
                effects.push(Effect::Published(track, id));
            }
            Err(error) => tracing::debug!(%error, "a track is not published"),
        }
    }

    fn unpublish(&mut self, now: Instant, stage: &mut Stage, id: TransceiverId, effects: &mut Vec<Effect>) {
        if let Some(publication) = self.publications.remove(&id) {
            stage.unpublish(now, publication.track);
            effects.push(Effect::Unpublished(publication.track));
        }
    }

    fn sender_report(&self, now: Instant, stage: &mut Stage, report: &ReceivedSenderReport) {
        if let Some(publication) = self.publications.get(&report.transceiver)
            && let Some(layer) = publication.layer(report.rid)
        {
            stage.core.push_sender_report(now, publication.track, layer, report.ntp, report.timestamp);
        }
    }

    fn lost(
        &self,
        now: Instant,
        stage: &mut Stage,
        id: TransceiverId,
        rid: Option<Rid>,
        last: tombolo_net::ExtSeqNo,
    ) {
        if let Some(publication) = self.publications.get(&id)
            && let Some(layer) = publication.layer(rid)
        {
            stage.core.push_loss(now, publication.track, layer, last);
        }
    }

    fn keyframe_requested(&self, now: Instant, stage: &mut Stage, transceiver: TransceiverId) {
        let section = self.sections.values().find(|section| section.transceiver == transceiver);
        if let Some(shown) = section.and_then(|section| section.shows.as_ref()) {
            stage.core.request_keyframe(now, shown.subscription);
        }
    }

    /// Sends a packet of a subscription in its slot.
    pub(super) fn send(&mut self, now: Instant, mid: &str, packet: OutPacket) {
        let Some(section) = self.sections.get(mid) else { return };
        let Some(codec) = section.shows.as_ref().and_then(|shown| media::codec(shown.codec)) else { return };
        let mut capture = packet.capture.saturating_duration_since(self.epoch.instant);
        if codec == Codec::Opus {
            capture += SOUND_LAG;
        }
        let payload = whole_payload(&packet);
        let mut out = OutgoingPacket::new(codec, packet.seq, packet.timestamp, packet.marker, payload);
        out.media_time_us = i64::try_from(capture.as_micros()).ok();
        out.keyframe = packet.keyframe;
        if let Err(error) = self.connection.send_rtp(now, section.transceiver, out) {
            tracing::trace!(%error, "a packet is not sent");
        }
    }

    /// Asks the client for a keyframe of what it publishes.
    pub(super) fn request_keyframe(&mut self, now: Instant, transceiver: TransceiverId, layer: usize) {
        let Some(publication) = self.publications.get(&transceiver) else { return };
        let rid = publication.rids.get(layer).copied();
        if let Err(error) = self.connection.request_keyframe(now, transceiver, rid) {
            tracing::debug!(%error, "a keyframe cannot be asked for");
        }
    }

    // The end.

    /// Ends everything; the leg must be dropped after its last transmits.
    pub(super) fn close(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        self.connection.close(now);
        let tracks = self.publications.drain().map(|(_, publication)| Effect::Unpublished(publication.track));
        effects.extend(tracks);
        let shown = self.sections.drain().filter_map(|(_, section)| section.shows);
        effects.extend(shown.map(|shown| Effect::Unsubscribed(shown.subscription)));
    }

    /// Whether media can flow.
    pub(super) fn is_connected(&self) -> bool {
        self.connection.state() == ConnectionState::Connected
    }

    /// Whether nobody reads the leg's events any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.events.is_closed()
    }

    /// Tells the leg's task. One that does not read loses its leg: its client knows nothing of it any more.
    fn tell(&mut self, event: LegEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::debug!(%error, "a leg's task does not read");
            let (closed, _) = mpsc::channel(1);
            self.events = closed;
        }
    }
}

impl Section {
    /// Lets the section show a track, on the running subscription where the codec is the same.
    fn show(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        participant: ParticipantId,
        candidate: Candidate,
        mid: &str,
        effects: &mut Vec<Effect>,
    ) -> Result<(), SubscribeError> {
        let codec = track_codec(&stage.core, candidate).ok_or(SubscribeError::UnknownTrack)?;
        match &self.shows {
            Some(shown) => {
                stage.core.retarget(now, shown.subscription, Some(candidate.track))?;
                self.shows = Some(Shown { subscription: shown.subscription, codec });
            }
            None => {
                let codecs = self.codecs.clone();
                let wish = Subscribe { form: Form::Packets, layer: LayerChoice::Highest, codecs };
                // A keyframe that comes before the client is connected would be lost.
                let subscription = stage.core.subscribe_held(now, participant, candidate.track, wish)?;
                self.shows = Some(Shown { subscription, codec });
                effects.push(Effect::Subscribed(subscription, mid.to_owned()));
            }
        }
        Ok(())
    }
}

impl Publication {
    fn layer(&self, rid: Option<Rid>) -> Option<usize> {
        match rid {
            None => self.rids.is_empty().then_some(0),
            Some(rid) => self.rids.iter().position(|known| *known == rid),
        }
    }
}

fn sends(transceiver: &Transceiver) -> bool {
    transceiver.current_direction().is_some_and(Direction::sends)
}

fn track_codec(core: &Core, candidate: Candidate) -> Option<CodecName> {
    let member = core.member(candidate.participant)?;
    member.tracks.iter().find(|track| track.track == candidate.track).map(|track| track.codec)
}

fn unavailable(core: &Core, candidate: Candidate, error: SubscribeError) -> LegEvent {
    let name = core.member(candidate.participant).map_or("a participant", |member| member.name.as_str());
    let codec = match track_codec(core, candidate) {
        Some(CodecName::Vp8) => "VP8",
        Some(CodecName::H264) => "H.264",
        Some(CodecName::Opus) => "Opus",
        _ => "a codec",
    };
    let (reason, message) = match error {
        SubscribeError::Codec => (
            UnavailableReason::Codec,
            format!(
                "{name} sends {codec}, which this browser does not decode over WebRTC. \
                 Watch over WebTransport, or ask {name} to send another codec."
            ),
        ),
        _ => (UnavailableReason::Full, format!("{name} cannot be shown: {error}")),
    };
    LegEvent::Unavailable { track: candidate.track, participant: candidate.participant, reason, message }
}

fn malformed(error: &SdpError) -> OfferError {
    OfferError::Malformed { line: error.line, reason: error.to_string() }
}

fn impossible(error: &UseError) -> OfferError {
    match error {
        UseError::Closed => OfferError::Gone,
        _ => OfferError::Malformed { line: 0, reason: error.to_string() },
    }
}

/// The media sections that the client only receives on.
fn offered_slots(offer: &Sdp) -> Vec<(String, MediaKind)> {
    let receiving = offer
        .media
        .iter()
        .filter(|section| !section.is_rejected() && section.direction == Direction::RecvOnly);
    receiving
        .filter_map(|section| Some((section.mid_str()?.to_owned(), section_kind(section.kind)?)))
        .collect()
}

fn section_kind(kind: SectionKind) -> Option<MediaKind> {
    match kind {
        SectionKind::Audio => Some(MediaKind::Audio),
        SectionKind::Video => Some(MediaKind::Video),
        _ => None,
    }
}

/// What WHIP and WHEP ask of an offer (RFC 9725 §4.2, draft-ietf-wish-whep §4.2).
fn check_policy(offer: &Sdp, policy: OfferPolicy) -> Result<(), OfferError> {
    let (sends, receives) = match policy {
        OfferPolicy::Any => return Ok(()),
        OfferPolicy::PublishOnly => (true, false),
        OfferPolicy::WatchOnly { .. } => (false, true),
    };
    for kind in [MediaKind::Audio, MediaKind::Video] {
        let of_kind = || offer.media.iter().filter(move |section| section_kind(section.kind) == Some(kind));
        if of_kind().count() > 1 {
            let reason = "an offer has at most one section for sound and one for pictures";
            return Err(OfferError::NotAllowed(reason));
        }
        if sends && of_kind().any(|section| !section.direction.sends()) {
            return Err(OfferError::NotAllowed("a WHIP offer must send on every media section"));
        }
        if receives && of_kind().any(|section| !section.direction.receives()) {
            return Err(OfferError::NotAllowed("a WHEP offer must receive on every media section"));
        }
    }
    Ok(())
}

/// The payload in one piece. Only a rewritten descriptor costs a copy.
fn whole_payload(packet: &OutPacket) -> Bytes {
    let prefix = packet.prefix.as_slice();
    if prefix.is_empty() {
        return packet.payload.clone();
    }
    let mut payload = BytesMut::with_capacity(packet.payload_len());
    payload.extend_from_slice(prefix);
    payload.extend_from_slice(&packet.payload);
    payload.freeze()
}
