//! The queues from the core to those who take frames, and to those who publish them.

use std::collections::HashMap;
use std::time::Instant;

use tokio::sync::mpsc;

use super::Stage;
use super::messages::{Demand, Frame, ParticipantId, SubscriptionId, TrackId};
use crate::core::{MediaFrame, Output};

/// How many frames wait for a session: the longest group that is kept for joiners, which comes at once (12 s at 30
/// frames a second), and a few more.
const FRAME_QUEUE: usize = 512;
/// How many wishes wait for a publisher.
const DEMAND_QUEUE: usize = 256;

/// All such queues.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    frames: HashMap<SubscriptionId, mpsc::Sender<Frame>>,
    demands: HashMap<ParticipantId, mpsc::Sender<Demand>>,
}

impl Sinks {
    pub(super) fn add_subscription(&mut self, subscription: SubscriptionId) -> mpsc::Receiver<Frame> {
        let (sender, receiver) = mpsc::channel(FRAME_QUEUE);
        self.frames.insert(subscription, sender);
        receiver
    }

    pub(super) fn remove_subscription(&mut self, subscription: SubscriptionId) {
        self.frames.remove(&subscription);
    }

    pub(super) fn add_participant(&mut self, participant: ParticipantId) -> mpsc::Receiver<Demand> {
        let (sender, receiver) = mpsc::channel(DEMAND_QUEUE);
        self.demands.insert(participant, sender);
        receiver
    }

    pub(super) fn remove_participant(&mut self, participant: ParticipantId) {
        self.demands.remove(&participant);
    }

    /// Delivers what is for a session; gives back what is not.
    pub(super) fn deliver(&mut self, now: Instant, stage: &mut Stage, output: Output) -> Option<Output> {
        match output {
            Output::Frame { subscription, frame, .. } if self.frames.contains_key(&subscription) => {
                self.frame(now, stage, subscription, frame);
            }
            // The next frame is a keyframe, which says it all.
            Output::GroupEnded { subscription } if self.frames.contains_key(&subscription) => {}
            Output::TrackEnded { subscription, .. } if self.frames.contains_key(&subscription) => {
                self.frames.remove(&subscription);
                stage.core.unsubscribe(now, subscription);
            }
            Output::RequestKeyframe { track, layer } => {
                let demand = Demand::Keyframe { track, layer };
                return self.demand(stage, track, demand).then_some(output);
            }
            Output::LayerPaused { track, layer } => {
                let demand = Demand::Wanted { track, layer, wanted: false };
                return self.demand(stage, track, demand).then_some(output);
            }
            Output::LayerResumed { track, layer } => {
                let demand = Demand::Wanted { track, layer, wanted: true };
                return self.demand(stage, track, demand).then_some(output);
            }
            other => return Some(other),
        }
        None
    }

    fn frame(
        &mut self,
        now: Instant,
        stage: &mut Stage,
        subscription: SubscriptionId,
        MediaFrame { media_time_us, keyframe, data }: MediaFrame,
    ) {
        let Some(sender) = self.frames.get(&subscription) else { return };
        let frame = Frame { media_time_us, keyframe, data, arrival: now };
        match sender.try_send(frame) {
            Ok(()) => {}
            // The reader is slow: it goes on with the next keyframe, and nobody else notices.
            Err(mpsc::error::TrySendError::Full(_)) => stage.core.resync(now, subscription),
            Err(mpsc::error::TrySendError::Closed(_)) => {
                self.frames.remove(&subscription);
                stage.core.unsubscribe(now, subscription);
            }
        }
    }

    /// Passes a wish on; `true` when the track's publisher is no session of frames.
    fn demand(&mut self, stage: &Stage, track: TrackId, demand: Demand) -> bool {
        let Some(owner) = stage.owner(track) else { return true };
        let Some(sender) = self.demands.get(&owner) else { return true };
        if let Err(mpsc::error::TrySendError::Full(_)) = sender.try_send(demand) {
            // A publisher that does not listen for so long is stuck; its session ends when the queue does.
            tracing::warn!(participant = owner.0, "publisher does not listen");
            self.demands.remove(&owner);
        }
        false
    }
}
