//! The media task as other tasks see it.

use tokio::sync::{mpsc, oneshot, watch};
use tombolo_signaling::message::TransportKind;
use tombolo_signaling::name::Name;

use crate::metrics::Snapshot;

use super::messages::{
    Command, Frame, FrameTrack, JoinError, Joined, ParticipantId, PublishError, Roster, SubscribeError,
    Subscribed, SubscriptionId, TrackId,
};

/// Sends commands to the media task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

/// Undoes something in the media task when dropped: leaves a channel, ends a track or a subscription.
#[derive(Debug)]
#[must_use = "dropping it undoes what it stands for"]
pub struct Guard {
    commands: mpsc::Sender<Command>,
    undo: Option<Command>,
}

impl Handle {
    /// A handle whose commands come out of the receiver.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(capacity);
        (Self { commands }, receiver)
    }

    /// Enters a channel. Dropping the guard leaves it.
    ///
    /// # Errors
    /// [`JoinError`].
    pub async fn join(
        &self,
        channel: Name,
        name: Option<Name>,
        transport: TransportKind,
    ) -> Result<(Joined, Guard), JoinError> {
        let joined = self
            .ask(|reply| Command::Join { channel, name, transport, reply })
            .await
            .unwrap_or(Err(JoinError::Stopping))?;
        let guard = self.guard(Command::Leave { participant: joined.participant });
        Ok((joined, guard))
    }

    /// Publishes a track. Dropping the guard ends it. `can_request_keyframe` as in
    /// [`Command::SetCanRequestKeyframe`].
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn publish(
        &self,
        participant: ParticipantId,
        track: FrameTrack,
        can_request_keyframe: bool,
    ) -> Result<(TrackId, Guard), PublishError> {
        let track = self
            .ask(|reply| Command::Publish { participant, track, can_request_keyframe, reply })
            .await
            .unwrap_or(Err(PublishError::Stopping))?;
        Ok((track, self.guard(Command::Unpublish { track })))
    }

    /// Gives a frame of a published track. Waits while the media task is busy; `false` when it has stopped.
    pub async fn push_frame(&self, track: TrackId, layer: usize, frame: Frame) -> bool {
        self.commands.send(Command::PushFrame { track, layer, frame }).await.is_ok()
    }

    /// Tells that frames of a published track are missing before the next one that is pushed.
    pub async fn push_gap(&self, track: TrackId, layer: usize) {
        // A stopped media task has no tracks.
        let _ = self.commands.send(Command::PushGap { track, layer }).await;
    }

    /// Tells whether the publisher of a track listens to requests for keyframes from now on.
    pub async fn set_can_request_keyframe(&self, track: TrackId, can: bool) {
        let _ = self.commands.send(Command::SetCanRequestKeyframe { track, can }).await;
    }

    /// Watches a layer of a track. Dropping the guard ends the subscription.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe(
        &self,
        participant: ParticipantId,
        track: TrackId,
        layer: usize,
    ) -> Result<(Subscribed, Guard), SubscribeError> {
        let subscribed = self
            .ask(|reply| Command::Subscribe { participant, track, layer, reply })
            .await
            .unwrap_or(Err(SubscribeError::Stopping))?;
        let guard = self.guard(Command::Unsubscribe { subscription: subscribed.subscription });
        Ok((subscribed, guard))
    }

    /// Gives up what a subscription has not delivered yet: it goes on with the next keyframe.
    pub async fn resync(&self, subscription: SubscriptionId) {
        // A stopped media task has no subscriptions.
        let _ = self.commands.send(Command::Resync { subscription }).await;
    }

    /// Watches who is in a channel, without being in it; `None` when the gateway is stopping.
    pub async fn observe(&self, channel: Name) -> Option<watch::Receiver<Roster>> {
        self.ask(|reply| Command::Observe { channel, reply }).await
    }

    /// Counts; `None` when the gateway is stopping.
    pub async fn stats(&self) -> Option<Snapshot> {
        self.ask(|reply| Command::Stats { reply }).await
    }

    /// Ends the media task: every peer is told, everybody leaves.
    pub async fn stop(&self) {
        // Where it has stopped before, nothing is left to do.
        let _ = self.ask(|done| Command::Stop { done }).await;
    }

    /// Sends any command; `false` when the media task has stopped.
    pub async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    /// Asks something and waits for the answer; `None` when the media task has stopped.
    pub(crate) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    fn guard(&self, undo: Command) -> Guard {
        Guard { commands: self.commands.clone(), undo: Some(undo) }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        if let Err(mpsc::error::TrySendError::Full(undo)) = self.commands.try_send(undo) {
            // The queue has room again soon, or the gateway is stopping; either way somebody must wait.
            let commands = self.commands.clone();
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { commands.send(undo).await });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_guard_undoes_even_when_the_queue_is_full() {
        let (handle, mut commands) = Handle::new(1);
        let guards: Vec<_> = (0..3).map(|n| handle.guard(Command::Unpublish { track: TrackId(n) })).collect();
        drop(guards);
        let mut undone = Vec::new();
        while undone.len() < 3 {
            match commands.recv().await {
                Some(Command::Unpublish { track }) => undone.push(track.0),
                other => panic!("{other:?}"),
            }
        }
        undone.sort_unstable();
        assert_eq!(undone, [0, 1, 2]);
    }

    #[tokio::test]
    async fn a_stopped_media_task_answers_with_stopping() {
        let (handle, commands) = Handle::new(1);
        drop(commands);
        let error = handle
            .join("demo".parse().expect("a name"), None, TransportKind::WebTransport)
            .await
            .expect_err("no media task");
        assert_eq!(error, JoinError::Stopping);
    }
}
