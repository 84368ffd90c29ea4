//! A channel: who is in it.

use super::config::Config;
use super::ids::ParticipantId;
use super::participant::JoinError;

/// The members and observers of one channel, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Channel {
    members: Vec<ParticipantId>,
    observers: Vec<ParticipantId>,
}

impl Channel {
    pub(super) fn members(&self) -> &[ParticipantId] {
        &self.members
    }

    /// Everybody who is told what happens to `about`: all members but that one, then all observers.
    pub(super) fn audience(&self, about: ParticipantId) -> impl Iterator<Item = ParticipantId> {
        self.members.iter().chain(&self.observers).copied().filter(move |&id| id != about)
    }

    pub(super) fn enter(
        &mut self,
        id: ParticipantId,
        visible: bool,
        config: &Config,
    ) -> Result<(), JoinError> {
        let list = if visible { &mut self.members } else { &mut self.observers };
        if list.len() >= config.max_participants {
            return Err(JoinError::ChannelFull);
        }
        list.push(id);
        Ok(())
    }

    /// `true` when nobody is left.
    pub(super) fn leave(&mut self, id: ParticipantId) -> bool {
        self.members.retain(|&member| member != id);
        self.observers.retain(|&observer| observer != id);
        self.members.is_empty() && self.observers.is_empty()
    }
}
