//! The watching side of a session: a broadcast for every other member of the channel who publishes something.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use moq_net::origin;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::broadcast;
use super::control::Control;
use super::pump::Backlog;
use crate::hub::messages::{Member, ParticipantId, Roster};
use crate::hub::{Handle, describe};

/// Who watches, and through what.
pub(super) struct Viewer<'a> {
    pub(super) hub: Handle,
    pub(super) participant: ParticipantId,
    pub(super) control: &'a Control,
    pub(super) backlog: Arc<Backlog>,
    /// How much sound a group holds at least.
    pub(super) sound_group: Duration,
}

/// Publishes the others to the client until the media task stops.
pub(super) async fn run(viewer: Viewer<'_>, mut roster: watch::Receiver<Roster>, origin: origin::Producer) {
    let own = viewer.participant;
    let mut tasks = JoinSet::new();
    let mut shown: HashMap<ParticipantId, Shown> = HashMap::new();
    loop {
        let members = roster.borrow_and_update().clone();
        let others: Vec<_> = members.iter().filter(|member| member.participant != own).collect();
        viewer.control.tell_roster(&others.iter().map(|member| describe(member)).collect::<Vec<_>>());
        shown.retain(|id, _| others.iter().any(|member| member.participant == *id && publishes(member)));
        for member in others.into_iter().filter(|member| publishes(member)) {
            match shown.get(&member.participant) {
                Some(shown) => {
                    shown.member.send_if_modified(|known| {
                        let changed = *known != *member;
                        if changed {
                            *known = Arc::clone(member);
                        }
                        changed
                    });
                }
                None => {
                    let (sender, receiver) = watch::channel(Arc::clone(member));
                    let source = broadcast::Source {
                        hub: viewer.hub.clone(),
                        viewer: own,
                        member: receiver,
                        backlog: Arc::clone(&viewer.backlog),
                        sound_group: viewer.sound_group,
                    };
                    let task = tasks.spawn(broadcast::run(source, origin.clone()));
                    shown.insert(member.participant, Shown { member: sender, task });
                }
            }
        }
        // Ended tasks are collected here, so that their number stays that of the members.
        while tasks.try_join_next().is_some() {}
        if roster.changed().await.is_err() {
            return;
        }
    }
}

fn publishes(member: &Member) -> bool {
    !member.tracks.is_empty()
}

/// A member's broadcast. Dropping it ends the broadcast.
struct Shown {
    member: watch::Sender<Arc<Member>>,
    task: AbortHandle,
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
    }
}
