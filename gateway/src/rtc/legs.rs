//! All WebRTC legs behind the one UDP port.
//!
//! Not a machine of its own: the media task owns it beside the stage, which it hands to every call.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tombolo::{DropReason, PeerConnection};
use tombolo_ice::{Demux, Learned, Route, UnknownReason};
use tombolo_net::{Ecn, Epoch, FiveTuple, Rng, Seed, Transmit};
use tombolo_signaling::{Name, TransportKind};

use super::command::{
    CandidateError, EVENT_QUEUE, LegEvent, LegId, OfferError, Opened, RtcCommand, SlotError,
};
use super::leg::{Effect, Leg};
use super::stats::Stats;
use crate::core::{Output, ParticipantId, SubscriptionId, TrackId};
use crate::hub::messages::JoinError;
use crate::hub::{self, Stage};

/// What legs are made with.
#[derive(Clone)]
pub struct LegsConfig {
    /// Certificate, codecs, ICE mode.
    pub peer: Arc<tombolo::Config>,
    /// The addresses that are announced as candidates.
    pub candidates: Vec<SocketAddr>,
}

/// The WebRTC legs.
pub struct Legs {
    config: LegsConfig,
    epoch: Epoch,
    rng: Rng,
    last_id: u64,
    demux: Demux<LegId>,
    legs: HashMap<LegId, Leg>,
    by_participant: HashMap<ParticipantId, LegId>,
    by_track: HashMap<TrackId, (LegId, tombolo::TransceiverId)>,
    by_subscription: HashMap<SubscriptionId, (LegId, String)>,
    timeouts: BTreeSet<(Instant, LegId)>,
    /// The entry of each leg in `timeouts`.
    scheduled: HashMap<LegId, Instant>,
    /// Legs that may have something to send.
    touched: BTreeSet<LegId>,
    /// Legs that end once they have sent their last.
    ending: Vec<LegId>,
    effects: Vec<Effect>,
    stats: Stats,
}

impl Legs {
    /// No legs yet.
    #[must_use]
    pub fn new(config: LegsConfig, seed: &Seed, epoch: Epoch) -> Self {
        Self {
            config,
            epoch,
            rng: seed.rng(),
            last_id: 0,
            demux: Demux::default(),
            legs: HashMap::new(),
            by_participant: HashMap::new(),
            by_track: HashMap::new(),
            by_subscription: HashMap::new(),
            timeouts: BTreeSet::new(),
            scheduled: HashMap::new(),
            touched: BTreeSet::new(),
            ending: Vec::new(),
            effects: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// A new leg of a participant that has joined. The receiver's end ends the leg.
    fn open(
        &mut self,
        now: Instant,
        participant: ParticipantId,
    ) -> Result<(LegId, mpsc::Receiver<LegEvent>), JoinError> {
        self.last_id += 1;
        let id = LegId(self.last_id);
        let seed = Seed::fork(&mut self.rng);
        let mut connection = PeerConnection::new(Arc::clone(&self.config.peer), &seed, self.epoch, now);
        for address in &self.config.candidates {
            if let Err(error) = connection.add_local_candidate(now, *address) {
                tracing::warn!(%address, %error, "an address cannot be announced");
            }
        }
        let registered = self.demux.register(connection.local_ice_credentials().ufrag(), id);
        registered.map_err(|_| JoinError::GatewayFull)?;
        let (sender, receiver) = mpsc::channel(EVENT_QUEUE);
        let leg = Leg::new(connection, participant, self.epoch, sender);
        self.legs.insert(id, leg);
        self.by_participant.insert(participant, id);
        self.touched.insert(id);
        Ok((id, receiver))
    }

    fn join(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        channel: &Name,
        name: Option<Name>,
        transport: TransportKind,
    ) -> Result<Opened, JoinError> {
        let entered = stage.join(now, channel, name, transport)?;
        let participant = entered.participant;
        let (leg, events) = self.open(now, participant).inspect_err(|_| stage.leave(now, participant))?;
        Ok(Opened { leg, participant, name: entered.name, roster: entered.roster, events })
    }

    /// Ends a leg, which leaves its channel.
    fn close(&mut self, now: Instant, stage: &mut Stage, id: LegId) {
        if self.ending.contains(&id) {
            return;
        }
        self.ending.push(id);
        let participant = self.with_leg(now, stage, id, |leg, _, effects| {
            leg.close(now, effects);
            leg.participant
        });
        if let Some(participant) = participant {
            stage.leave(now, participant);
            self.by_participant.remove(&participant);
        }
    }

    /// Lets something be done to a leg, then takes what its connection has to tell.
    fn with_leg<T>(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        id: LegId,
        act: impl FnOnce(&mut Leg, &mut Stage, &mut Vec<Effect>) -> T,
    ) -> Option<T> {
        let mut effects = std::mem::take(&mut self.effects);
        let outcome = self.legs.get_mut(&id).map(|leg| {
            let outcome = act(leg, stage, &mut effects);
            leg.poll_events(now, stage, &mut effects);
            outcome
        });
        self.touched.insert(id);
        let mut has_ended = false;
        for effect in effects.drain(..) {
            has_ended |= self.apply(id, effect);
        }
        self.effects = effects;
        if has_ended {
            self.close(now, stage, id);
        }
        outcome
    }

    /// Enters an effect in the tables; `true` when the leg has ended.
    fn apply(&mut self, id: LegId, effect: Effect) -> bool {
        match effect {
            Effect::PathAuthenticated(path) => {
                if let Learned::Taken(other) = self.demux.learn(path, id) {
                    tracing::debug!(%path, leg = id.0, other = other.0, "another leg owns the path");
                }
            }
            Effect::Published(track, transceiver) => {
                self.by_track.insert(track, (id, transceiver));
            }
            Effect::Unpublished(track) => {
                self.by_track.remove(&track);
            }
            Effect::Subscribed(subscription, mid) => {
                self.by_subscription.insert(subscription, (id, mid));
            }
            Effect::Unsubscribed(subscription) => {
                self.by_subscription.remove(&subscription);
            }
            Effect::Failed => {
                self.stats.failed += 1;
                return true;
            }
            Effect::Ended => return true,
        }
        false
    }

    /// Enters a leg's next timeout in the table.
    fn schedule(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        let next = [leg.connection.poll_timeout(), leg.connect_by].into_iter().flatten().min();
        if self.scheduled.get(&id).copied() == next {
            return;
        }
        if let Some(old) = self.scheduled.remove(&id) {
            self.timeouts.remove(&(old, id));
        }
        if let Some(next) = next {
            self.scheduled.insert(id, next);
            self.timeouts.insert((next, id));
        }
    }

    fn remove(&mut self, id: LegId) {
        if let Some(leg) = self.legs.remove(&id) {
            count_drops(&mut self.stats, &leg);
        }
        self.demux.remove(id);
        if let Some(old) = self.scheduled.remove(&id) {
            self.timeouts.remove(&(old, id));
        }
    }
}

impl hub::Legs for Legs {
    fn handle_command(&mut self, now: Instant, stage: &mut Stage, command: RtcCommand) {
        // A task that no longer waits for its answer has gone; its leg is closed by whoever held it.
        match command {
            RtcCommand::Open { channel, name, transport, reply } => {
                let opened = self.join(now, stage, &channel, name, transport);
                if let Err(Ok(opened)) = reply.send(opened) {
                    self.close(now, stage, opened.leg);
                }
            }
            RtcCommand::Offer { leg: id, sdp, policy, receive, reply } => {
                let answer = self.with_leg(now, stage, id, |leg, stage, effects| {
                    leg.offer(now, stage, &sdp, policy, &receive, effects)
                });
                // An offer may have restarted ICE: its checks come under another name from now on.
                if let Some(leg) = self.legs.get(&id)
                    && let Err(error) = self.demux.restart(leg.connection.local_ice_credentials().ufrag(), id)
                {
                    tracing::warn!(%error, "a restarted session cannot be reached");
                }
                let _ = reply.send(answer.unwrap_or(Err(OfferError::Gone)));
            }
            RtcCommand::Candidate { leg, candidate, mid, reply } => {
                let outcome = self
                    .with_leg(now, stage, leg, |leg, _, _| leg.candidate(now, mid.as_deref(), &candidate));
                let _ = reply.send(outcome.unwrap_or(Err(CandidateError::Gone)));
            }
            RtcCommand::Receive { leg, choice, reply } => {
                let outcome = self.with_leg(now, stage, leg, |leg, stage, effects| {
                    leg.choose(now, stage, &choice, effects)
                });
                let _ = reply.send(outcome.unwrap_or(Err(SlotError::Gone)));
            }
            RtcCommand::Close { leg } => self.close(now, stage, leg),
        }
    }

    fn handle_datagram(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        path: FiveTuple,
        ecn: Ecn,
        data: &mut [u8],
    ) {
        match self.demux.route(&path, data) {
            Route::Session(id) => {
                self.with_leg(now, stage, id, |leg, _, _| {
                    leg.connection.handle_marked_datagram(now, path, ecn, data)
                });
            }
            Route::Unknown(reason) => {
                *self.stats.drops.entry(drop_reason(reason)).or_default() += 1;
                tracing::trace!(%path, ?reason, "a datagram of no leg");
            }
        }
    }

    fn handle_output(&mut self, now: Instant, stage: &mut Stage, output: Output) {
        match output {
            Output::Packet { subscription, packet } => {
                if let Some((id, mid)) = self.by_subscription.get(&subscription)
                    && let Some(leg) = self.legs.get_mut(id)
                {
                    leg.send(now, mid, packet);
                    self.touched.insert(*id);
                }
            }
            Output::RequestKeyframe { track, layer } => {
                if let Some((id, transceiver)) = self.by_track.get(&track)
                    && let Some(leg) = self.legs.get_mut(id)
                {
                    leg.request_keyframe(now, *transceiver, layer);
                    self.touched.insert(*id);
                }
            }
            Output::Roster { to, .. } => {
                if let Some(&id) = self.by_participant.get(&to) {
                    self.with_leg(now, stage, id, |leg, stage, effects| leg.fill_slots(now, stage, effects));
                }
            }
            _ => {}
        }
    }

    fn handle_turn_end(&mut self, _: Instant, _: &mut Stage) {}

    fn handle_timeout(&mut self, now: Instant, stage: &mut Stage) {
        let due: Vec<_> = self.timeouts.range(..=(now, LegId(u64::MAX))).map(|&(_, id)| id).collect();
        for id in due {
            let given_up = self.with_leg(now, stage, id, |leg, _, _| {
                leg.connection.handle_timeout(now);
                leg.is_abandoned() || leg.connect_by.is_some_and(|by| by <= now)
            });
            if given_up == Some(true) {
                self.close(now, stage, id);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeouts.first().map(|&(due, _)| due)
    }

    fn poll_transmit(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(&id) = self.touched.first() {
            if let Some(leg) = self.legs.get_mut(&id) {
                if let Some(transmit) = leg.connection.poll_transmit(now, out) {
                    return Some(transmit);
                }
                self.schedule(id);
            }
            self.touched.remove(&id);
        }
        for id in std::mem::take(&mut self.ending) {
            self.remove(id);
        }
        None
    }

    fn stats(&self) -> Stats {
        let mut stats = self.stats.clone();
        stats.legs = self.legs.len();
        stats.connected = self.legs.values().filter(|leg| leg.is_connected()).count();
        for leg in self.legs.values() {
            count_drops(&mut stats, leg);
        }
        stats
    }

    fn stop(&mut self, now: Instant, stage: &mut Stage) {
        let mut all: Vec<_> = self.legs.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.close(now, stage, id);
        }
    }
}

fn count_drops(stats: &mut Stats, leg: &Leg) {
    let drops = leg.connection.stats().drops;
    for (reason, name) in CONNECTION_DROPS {
        *stats.drops.entry(name).or_default() += drops.count(reason);
    }
}

/// Why connections drop datagrams, as metrics name it.
const CONNECTION_DROPS: [(DropReason, &str); 15] = [
    (DropReason::Unclassified, "unclassified"),
    (DropReason::UnauthenticatedPath, "unauthenticated_path"),
    (DropReason::NoKeys, "media_before_keys"),
    (DropReason::Unprotect, "srtp_authentication"),
    (DropReason::Malformed, "malformed_rtp"),
    (DropReason::UnknownMid, "unknown_mid"),
    (DropReason::UnknownRid, "unknown_rid"),
    (DropReason::UnknownSsrc, "unknown_ssrc"),
    (DropReason::UnknownPayloadType, "unknown_payload_type"),
    (DropReason::UnknownRepair, "unknown_repair"),
    (DropReason::TooManyStreams, "too_many_streams"),
    (DropReason::Duplicate, "duplicate"),
    (DropReason::Ended, "ended"),
    (DropReason::Intercepted, "intercepted"),
    (DropReason::Unsendable, "unsendable"),
];

fn drop_reason(reason: UnknownReason) -> &'static str {
    match reason {
        UnknownReason::MalformedStun => "malformed_stun",
        UnknownReason::NoUsername => "stun_without_username",
        UnknownReason::UnknownUfrag => "unknown_ufrag",
        UnknownReason::UnknownTransaction => "unknown_stun_transaction",
        UnknownReason::UnknownPath => "unknown_path",
        _ => "other",
    }
}
