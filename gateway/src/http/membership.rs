//! What a connection knows of its channel, and what its client was told.

use std::collections::HashMap;

use tokio::sync::{mpsc, watch};
use tombolo_signaling::{Participant, RosterEvent};

use crate::hub::describe;
use crate::hub::messages::{ParticipantId, Roster};
use crate::rtc::command::{LegEvent, LegId, Opened};

/// A connection's place in its channel.
pub(super) struct Membership {
    /// None for an observer.
    pub(super) leg: Option<LegId>,
    /// Never yields for an observer.
    pub(super) events: mpsc::Receiver<LegEvent>,
    /// Who is in the channel.
    pub(super) roster: watch::Receiver<Roster>,
    participant: Option<ParticipantId>,
    told: HashMap<ParticipantId, Participant>,
    /// Keeps an observer's `events` open.
    _observer: Option<mpsc::Sender<LegEvent>>,
}

impl Membership {
    /// The place of a participant.
    pub(super) fn participant(opened: Opened) -> Self {
        Self::new(Some(opened.leg), Some(opened.participant), opened.roster, opened.events, None)
    }

    /// The place of somebody who only sees who comes and goes.
    pub(super) fn observer(roster: watch::Receiver<Roster>) -> Self {
        let (sender, events) = mpsc::channel(1);
        Self::new(None, None, roster, events, Some(sender))
    }

    fn new(
        leg: Option<LegId>,
        participant: Option<ParticipantId>,
        mut roster: watch::Receiver<Roster>,
        events: mpsc::Receiver<LegEvent>,
        observer: Option<mpsc::Sender<LegEvent>>,
    ) -> Self {
        let told = others(&roster.borrow_and_update(), participant);
        Self { leg, participant, roster, told, events, _observer: observer }
    }

    /// Everybody else, as the client was last told; the oldest first.
    pub(super) fn participants(&self) -> Vec<Participant> {
        let mut participants: Vec<_> = self.told.iter().collect();
        participants.sort_by_key(|(id, _)| **id);
        participants.into_iter().map(|(_, participant)| participant.clone()).collect()
    }

    /// What changed since the client was last told, which it now is.
    pub(super) fn roster_events(&mut self) -> Vec<(RosterEvent, Participant)> {
        let now = others(&self.roster.borrow_and_update(), self.participant);
        let mut events = Vec::new();
        for (id, before) in &self.told {
            if !now.contains_key(id) {
                events.push((RosterEvent::Left, before.clone()));
            }
        }
        for (id, after) in &now {
            match self.told.get(id) {
                None => events.push((RosterEvent::Joined, after.clone())),
                Some(before) if before != after => events.push((RosterEvent::Changed, after.clone())),
                Some(_) => {}
            }
        }
        self.told = now;
        events
    }
}

fn others(roster: &Roster, own: Option<ParticipantId>) -> HashMap<ParticipantId, Participant> {
    roster
        .iter()
        .filter(|member| Some(member.participant) != own)
        .map(|member| (member.participant, describe(member)))
        .collect()
}

/// A participant's id as clients know it.
pub(super) fn participant_id(participant: ParticipantId) -> String {
    format!("p{}", participant.0)
}
