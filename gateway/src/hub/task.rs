//! The media task's loop.

use std::io;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tombolo_net::Transmit;

use super::messages::{Command, Joined, SubscribeError, Subscribed};
use super::sinks::Sinks;
use super::{Legs, Stage};
use crate::core::{self, Core, Form, LayerChoice, MediaFrame, Subscribe, TrackInfo};
use crate::metrics::Snapshot;
use crate::port::{Port, Receiver};
use tombolo_signaling::message::CodecName;

/// How many commands are taken in one turn before packets get their turn again.
const COMMANDS_PER_TURN: usize = 64;
/// When this many bytes wait to be sent they are, before more are made.
const FLUSH_BYTES: usize = 256 << 10;
/// The codecs that sessions of frames take: all that the gateway routes.
const CODECS: [CodecName; 3] = [CodecName::Vp8, CodecName::H264, CodecName::Opus];

/// The media task. [`Hub::run`] is its whole life.
#[derive(Debug)]
pub struct Hub<L: Legs> {
    stage: Stage,
    sinks: Sinks,
    legs: L,
    port: Port,
    bytes: Vec<u8>,
    transmits: Vec<Transmit>,
}

enum Turn {
    Datagrams(io::Result<()>),
    Command(Option<Command>),
    Timeout,
}

impl<L: Legs> Hub<L> {
    /// A media task that has not started.
    #[must_use]
    pub fn new(core: Core, legs: L, port: Port) -> Self {
        Self {
            stage: Stage::new(core),
            sinks: Sinks::default(),
            legs,
            port,
            bytes: Vec::with_capacity(FLUSH_BYTES + (64 << 10)),
            transmits: Vec::new(),
        }
    }

    /// Runs until [`Command::Stop`] or until nobody can send a command any more.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn run(
        mut self,
        mut receiver: Receiver,
        mut commands: mpsc::Receiver<Command>,
    ) -> io::Result<()> {
        let mut due = self.due();
        let alarm = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into());
        tokio::pin!(alarm);
        loop {
            let turn = tokio::select! {
                datagrams = receiver.recv() => Turn::Datagrams(datagrams.map(drop)),
                command = commands.recv() => Turn::Command(command),
                () = &mut alarm, if due.is_some() => Turn::Timeout,
            };
            let now = Instant::now();
            match turn {
                Turn::Datagrams(result) => {
                    result?;
                    let Self { stage, legs, .. } = &mut self;
                    receiver.batch().for_each(|path, ecn, data| {
                        legs.handle_datagram(now, stage, path, ecn, data);
                    });
                }
                Turn::Command(None) => return Ok(()),
                Turn::Command(Some(first)) => {
                    if let Some(done) = self.take_commands(now, first, &mut commands) {
                        self.stop(now);
                        // Whoever asked may have given up waiting.
                        let _ = done.send(());
                        return Ok(());
                    }
                }
                Turn::Timeout => {}
            }
            // What is due is done in every turn: a busy socket must not starve timers.
            self.stage.core.handle_timeout(now);
            self.legs.handle_timeout(now, &mut self.stage);
            self.finish_turn(now);
            let next = self.due();
            // One alarm for the life of the task: to set it later costs nothing until it goes off.
            if let Some(at) = next
                && (next != due || alarm.is_elapsed())
            {
                alarm.as_mut().reset(at.into());
            }
            due = next;
        }
    }

    fn due(&self) -> Option<Instant> {
        [self.stage.core.poll_timeout(), self.legs.poll_timeout()].into_iter().flatten().min()
    }

    /// Hands on everything that this turn produced.
    fn finish_turn(&mut self, now: Instant) {
        self.drain_outputs(now);
        self.legs.handle_turn_end(now, &mut self.stage);
        self.drain_outputs(now);
        self.stage.tell_rosters();
        self.flush(now);
    }

    fn drain_outputs(&mut self, now: Instant) {
        while let Some(output) = self.stage.core.poll_output() {
            if let Some(output) = self.sinks.deliver(now, &mut self.stage, output) {
                self.legs.handle_output(now, &mut self.stage, output);
            }
        }
    }

    fn flush(&mut self, now: Instant) {
        loop {
            self.bytes.clear();
            self.transmits.clear();
            while self.bytes.len() < FLUSH_BYTES
                && let Some(transmit) = self.legs.poll_transmit(now, &mut self.bytes)
            {
                self.transmits.push(transmit);
            }
            if self.transmits.is_empty() {
                return;
            }
            self.port.send_all(&self.transmits, &self.bytes);
        }
    }

    fn stop(&mut self, now: Instant) {
        self.legs.stop(now, &mut self.stage);
        self.finish_turn(now);
    }

    /// Does what is asked, up to a bound. Returns whom to tell when the task is to stop.
    fn take_commands(
        &mut self,
        now: Instant,
        first: Command,
        commands: &mut mpsc::Receiver<Command>,
    ) -> Option<oneshot::Sender<()>> {
        let mut next = Some(first);
        for _ in 0..COMMANDS_PER_TURN {
            match next.take() {
                None => break,
                Some(Command::Stop { done }) => return Some(done),
                Some(command) => self.handle_command(now, command),
            }
            next = commands.try_recv().ok();
        }
        // The bound was hit with one in hand.
        match next {
            Some(Command::Stop { done }) => Some(done),
            Some(command) => {
                self.handle_command(now, command);
                None
            }
            None => None,
        }
    }

    /// An answer that nobody waits for any more is no error: [`super::Guard`]s undo what it was about.
    fn handle_command(&mut self, now: Instant, command: Command) {
        match command {
            Command::PushFrame { track, layer, frame } => {
                let frame = MediaFrame {
                    media_time_us: frame.media_time_us,
                    keyframe: frame.keyframe,
                    data: frame.data,
                };
                self.stage.core.push_frame(now, track, layer, frame);
            }
            Command::PushGap { track, layer } => self.stage.core.push_gap(now, track, layer),
            Command::Join { channel, name, transport, reply } => {
                let joined = self.stage.join(now, &channel, name, transport).map(|entered| Joined {
                    participant: entered.participant,
                    name: entered.name,
                    roster: entered.roster,
                    demands: self.sinks.add_participant(entered.participant),
                });
                if let Err(Ok(joined)) = reply.send(joined) {
                    self.leave(now, joined.participant);
                }
            }
            Command::Leave { participant } => self.leave(now, participant),
            Command::Publish { participant, track, can_request_keyframe, reply } => {
                let info = TrackInfo {
                    label: track.label,
                    kind: track.kind,
                    codec: track.codec,
                    form: Form::Frames,
                    layers: track.layers,
                    can_request_keyframe,
                };
                let published = self.stage.publish(now, participant, info);
                if let Err(Ok(track)) = reply.send(published) {
                    self.stage.unpublish(now, track);
                }
            }
            Command::Unpublish { track } => self.stage.unpublish(now, track),
            Command::SetCanRequestKeyframe { track, can } => {
                self.stage.core.set_can_request_keyframe(now, track, can);
            }
            Command::Subscribe { participant, track, layer, reply } => {
                let wish = Subscribe {
                    form: Form::Frames,
                    layer: LayerChoice::Exact(layer),
                    codecs: CODECS.to_vec(),
                };
                let subscribed = self.stage.core.subscribe(now, participant, track, wish);
                let subscribed = subscribed.map_err(subscribe_error).map(|subscription| Subscribed {
                    subscription,
                    frames: self.sinks.add_subscription(subscription),
                });
                if let Err(Ok(subscribed)) = reply.send(subscribed) {
                    self.unsubscribe(now, subscribed.subscription);
                }
            }
            Command::Unsubscribe { subscription } => self.unsubscribe(now, subscription),
            Command::Resync { subscription } => self.stage.core.resync(now, subscription),
            Command::Rtc(command) => self.legs.handle_command(now, &mut self.stage, command),
            Command::Observe { channel, reply } => drop(reply.send(self.stage.observe(&channel))),
            Command::Stats { reply } => drop(reply.send(self.snapshot())),
            // Taken before.
            Command::Stop { .. } => {}
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { core: self.stage.core.stats(), rtc: self.legs.stats(), port: self.port.stats() }
    }

    fn leave(&mut self, now: Instant, participant: super::messages::ParticipantId) {
        self.stage.leave(now, participant);
        self.sinks.remove_participant(participant);
    }

    fn unsubscribe(&mut self, now: Instant, subscription: super::messages::SubscriptionId) {
        self.stage.core.unsubscribe(now, subscription);
        self.sinks.remove_subscription(subscription);
    }
}

fn subscribe_error(error: core::SubscribeError) -> SubscribeError {
    match error {
        core::SubscribeError::Limit => SubscribeError::Limit,
        _ => SubscribeError::UnknownTrack,
    }
}
