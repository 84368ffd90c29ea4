//! The core, and who is told of what happens in it: what sessions and legs both act on.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;
use tombolo_signaling::message::TransportKind;
use tombolo_signaling::name::Name;

use super::messages::{JoinError, ParticipantId, PublishError, Roster, TrackId};
use crate::core::{self, Core, ParticipantInfo, TrackInfo};

/// The routing core and the rosters. Who enters, leaves, publishes and ends a track does so here, so that the
/// rosters are told; the rest goes to [`Stage::core`].
#[derive(Debug)]
pub struct Stage {
    /// The routing core, for everything that changes no roster.
    pub core: Core,
    rosters: HashMap<Name, watch::Sender<Roster>>,
    channels: HashMap<ParticipantId, Name>,
    owners: HashMap<TrackId, ParticipantId>,
    changed: BTreeSet<Name>,
    guests: u64,
}

/// Somebody who has entered.
#[derive(Debug)]
pub struct Entered {
    /// The number.
    pub participant: ParticipantId,
    /// The name in the channel.
    pub name: Name,
    /// Everybody in the channel, the participant included.
    pub roster: watch::Receiver<Roster>,
}

impl Stage {
    /// A stage around a core.
    #[must_use]
    pub fn new(core: Core) -> Self {
        Self {
            core,
            rosters: HashMap::new(),
            channels: HashMap::new(),
            owners: HashMap::new(),
            changed: BTreeSet::new(),
            guests: 0,
        }
    }

    /// Enters a channel; without a name, one is made.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn join(
        &mut self,
        now: Instant,
        channel: &Name,
        name: Option<Name>,
        transport: TransportKind,
    ) -> Result<Entered, JoinError> {
        let made = name.is_none();
        let mut name = name.map_or_else(|| self.guest(), Ok)?;
        let participant = loop {
            let info = ParticipantInfo { name: name.clone(), transport, visible: true };
            match self.core.join(now, channel, info) {
                Ok(participant) => break participant,
                // Somebody chose the name of a guest.
                Err(core::JoinError::NameTaken) if made => name = self.guest()?,
                Err(core::JoinError::NameTaken) => return Err(JoinError::NameTaken),
                Err(core::JoinError::ChannelFull) => return Err(JoinError::ChannelFull),
                Err(_) => return Err(JoinError::GatewayFull),
            }
        };
        self.channels.insert(participant, channel.clone());
        self.changed.insert(channel.clone());
        let roster = self.observe(channel);
        Ok(Entered { participant, name, roster })
    }

    fn guest(&mut self) -> Result<Name, JoinError> {
        self.guests += 1;
        format!("guest-{}", self.guests).parse().map_err(|_| JoinError::GatewayFull)
    }

    /// Leaves: what the participant publishes and watches ends. Unknown participants are ignored.
    pub fn leave(&mut self, now: Instant, participant: ParticipantId) {
        self.core.leave(now, participant);
        self.owners.retain(|_, owner| *owner != participant);
        if let Some(channel) = self.channels.remove(&participant) {
            self.changed.insert(channel);
        }
    }

    /// Publishes a track.
    ///
    /// # Errors
    /// [`PublishError`].
    pub fn publish(
        &mut self,
        now: Instant,
        participant: ParticipantId,
        track: TrackInfo,
    ) -> Result<TrackId, PublishError> {
        let track = self.core.publish(now, participant, track).map_err(|error| match error {
            core::PublishError::Limit => PublishError::Limit,
            _ => PublishError::NotJoined,
        })?;
        self.owners.insert(track, participant);
        self.mark(participant);
        Ok(track)
    }

    /// Ends a track. Unknown tracks are ignored.
    pub fn unpublish(&mut self, now: Instant, track: TrackId) {
        self.core.unpublish(now, track);
        if let Some(owner) = self.owners.remove(&track) {
            self.mark(owner);
        }
    }

    /// Who publishes a track.
    #[must_use]
    pub fn owner(&self, track: TrackId) -> Option<ParticipantId> {
        self.owners.get(&track).copied()
    }

    /// The roster of a channel, which may have no members.
    pub fn observe(&mut self, channel: &Name) -> watch::Receiver<Roster> {
        self.rosters.entry(channel.clone()).or_insert_with(|| watch::channel(Roster::default()).0).subscribe()
    }

    fn mark(&mut self, participant: ParticipantId) {
        if let Some(channel) = self.channels.get(&participant) {
            self.changed.insert(channel.clone());
        }
    }

    /// Tells everybody whose channel has changed since the last call.
    pub(super) fn tell_rosters(&mut self) {
        while let Some(channel) = self.changed.pop_first() {
            let members: Vec<_> = self.core.members(&channel).map(Arc::clone).collect();
            let Some(roster) = self.rosters.get(&channel) else { continue };
            if members.is_empty() && roster.is_closed() {
                self.rosters.remove(&channel);
            } else {
                roster.send_replace(Arc::new(members));
            }
        }
        // Channels that were only looked at, by people who have gone.
        if self.rosters.len() > 2 * self.channels.len() + 64 {
            let core = &self.core;
            self.rosters
                .retain(|channel, roster| !roster.is_closed() || core.members(channel).next().is_some());
        }
    }
}

#[cfg(test)]
mod tests {
    use tombolo_net::Seed;

    use super::*;
    use crate::core::Config;

    fn stage() -> Stage {
        Stage::new(Core::new(Config::default(), &Seed::from_number(1)))
    }

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn names(roster: &watch::Receiver<Roster>) -> Vec<String> {
        roster.borrow().iter().map(|member| member.name.as_str().to_owned()).collect()
    }

    #[test]
    fn everybody_in_a_channel_sees_who_comes_and_goes() {
        let (mut stage, now, channel) = (stage(), Instant::now(), name("demo"));
        let observer = stage.observe(&channel);
        let web = TransportKind::WebTransport;
        let alice = stage.join(now, &channel, Some(name("alice")), web).expect("entered");
        let guest = stage.join(now, &channel, None, web).expect("entered");
        stage.join(now, &name("other"), Some(name("eve")), web).expect("entered");
        stage.tell_rosters();
        assert_eq!(names(&observer), ["alice", guest.name.as_str()]);
        assert_eq!(names(&alice.roster), names(&observer));
        stage.leave(now, alice.participant);
        stage.tell_rosters();
        assert_eq!(names(&observer), [guest.name.as_str()]);
    }

    #[test]
    fn a_guest_gets_another_name_where_somebody_chose_a_guests() {
        let (mut stage, now, channel) = (stage(), Instant::now(), name("demo"));
        let web = TransportKind::WebTransport;
        stage.join(now, &channel, Some(name("guest-1")), web).expect("entered");
        let guest = stage.join(now, &channel, None, web).expect("entered");
        assert_eq!(guest.name.as_str(), "guest-2");
        let error = stage.join(now, &channel, Some(name("guest-2")), web).expect_err("taken");
        assert_eq!(error, JoinError::NameTaken);
    }

    #[test]
    fn nothing_is_left_of_a_thousand_joins_and_leaves() {
        let (mut stage, now) = (stage(), Instant::now());
        for n in 0..1000 {
            let channel = name(&format!("channel-{n}"));
            let entered = stage.join(now, &channel, None, TransportKind::WebTransport).expect("entered");
            stage.tell_rosters();
            let participant = entered.participant;
            drop(entered);
            stage.leave(now, participant);
            stage.tell_rosters();
        }
        assert_eq!((stage.rosters.len(), stage.channels.len(), stage.owners.len()), (0, 0, 0));
        assert_eq!(stage.core.stats().participants, 0);
        for n in 0..1000 {
            drop(stage.observe(&name(&format!("looked-at-{n}"))));
            stage.tell_rosters();
        }
        assert!(stage.rosters.len() <= 65, "{}", stage.rosters.len());
    }
}
