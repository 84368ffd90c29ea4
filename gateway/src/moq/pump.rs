//! From the routing core to one MoQ track: frames in, groups out.
//!
//! A pump may start before its MoQ track exists. It then keeps the newest group, and writes it when the track
//! comes; if none comes in time it ends. With its track it lives until the last reader has gone.
//!
//! When the client's connection cannot keep up, a queue would grow somewhere. The pump estimates it from what
//! it wrote and what left; when it holds more than [`MAX_LAG`] of media the group is given up, and the picture
//! goes on with the next keyframe. Sound is never given up: it is small, and old groups of it expire.
//!
//! A client that cannot keep up itself says so by an update of its subscription that begins with a group that
//! does not exist yet; it gets one as soon as there can be one.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moq_net::{Timestamp, group, track};
use tokio::sync::{mpsc, oneshot};
use tombolo_signaling::message::{CodecName, MediaKind};

use super::{container, h264};
use crate::hub::Handle;
use crate::hub::messages::{Frame, ParticipantId, SubscriptionId, TrackId};

/// How long a pump waits for its MoQ track.
const PREFETCH: Duration = Duration::from_secs(2);
/// How long a track without readers is kept. From moq-lite-05 on a client first asks what a track is and then
/// subscribes to it, which are two readers.
pub(super) const GRACE: Duration = Duration::from_secs(1);
/// The most that a pump without a MoQ track keeps, in bytes.
const MAX_PREFETCH_BYTES: usize = 4 << 20;
/// The most media that may wait for a client's connection.
const MAX_LAG: Duration = Duration::from_millis(600);
/// Less than this never counts as a queue, in bytes.
const MIN_QUEUE_BYTES: u64 = 48 << 10;

/// What a pump is for.
pub(super) struct Target {
    pub(super) viewer: ParticipantId,
    pub(super) track: TrackId,
    pub(super) layer: usize,
    pub(super) kind: MediaKind,
    pub(super) codec: CodecName,
    /// The number of the next group.
    pub(super) next_group: Arc<AtomicU64>,
    /// Whom to tell the codec string; `None` when it is known.
    pub(super) learned: Option<mpsc::Sender<Learned>>,
    /// How far the client's connection is behind.
    pub(super) backlog: Arc<Backlog>,
    /// How much sound a group holds at least. Each group is a stream; one for every packet costs some clients more than
    /// the sound itself.
    pub(super) sound_group: Duration,
}

/// What the first keyframe of a layer tells.
#[derive(Debug)]
pub(super) struct Learned {
    pub(super) track: TrackId,
    pub(super) layer: usize,
    pub(super) codec: String,
}

/// Runs a pump to its end.
pub(super) async fn run(hub: Handle, mut target: Target, attached: oneshot::Receiver<track::Producer>) {
    let subscribed = hub.subscribe(target.viewer, target.track, target.layer).await;
    let (subscribed, _guard) = match subscribed {
        Ok(subscribed) => subscribed,
        Err(error) => return tracing::debug!(%error, track = target.track.0, "not subscribed"),
    };
    let mut frames = subscribed.frames;
    let Some((track, kept)) = wait_for_track(&mut frames, &mut target, attached).await else { return };
    let mut track = Ending(Some(track));
    let mut writer = Writer {
        hub,
        target,
        subscription: subscribed.subscription,
        group: None,
        sound_began_us: 0,
        waiting: false,
    };
    for frame in &kept {
        if let Some(track) = &track.0
            && writer.write(track, frame).await.is_err()
        {
            return;
        }
    }
    drop(kept);
    // A picture needs its keyframe, and catches up with the present; sound that was kept would be played late, and
    // the picture with it.
    let grace = if writer.target.kind == MediaKind::Audio { Duration::ZERO } else { GRACE };
    let mut idle = None;
    let Some(watched) = track.0.clone() else { return };
    let next_group = Arc::clone(&writer.target.next_group);
    let mut skip = pin!(wants_next_group(watched, &next_group));
    while let Some(producer) = &track.0 {
        tokio::select! {
            watched = &mut skip, if writer.target.kind != MediaKind::Audio => {
                let Some(watched) = watched else { return };
                tracing::debug!(track = producer.name(), "the client wants the next group");
                skip.set(wants_next_group(watched, &next_group));
                writer.restart().await;
            }
            frame = frames.recv() => {
                let Some(frame) = frame else { return };
                if let Err(error) = writer.write(producer, &frame).await {
                    return tracing::debug!(%error, track = producer.name(), "track ended");
                }
            }
            _ = producer.unused(), if idle.is_none() => idle = Some(tokio::time::Instant::now() + grace),
            _ = producer.used(), if idle.is_some() => idle = None,
            () = tokio::time::sleep_until(idle.unwrap_or_else(tokio::time::Instant::now)), if idle.is_some() => {
                idle = None;
                // What is cached must not be shown to the next reader, who gets a pump of its own.
                if track.abort_unused() {
                    writer.abort_group();
                } else {
                    // A reader came back just now: it, too, begins with a keyframe.
                    writer.restart().await;
                }
            }
        }
    }
}

/// Waits until the client wants nothing of the track before a group that does not exist yet; `None` when the track
/// ends first.
async fn wants_next_group(mut track: track::Producer, next_group: &AtomicU64) -> Option<track::Producer> {
    loop {
        let wanted = track.subscription_changed().await.ok()?;
        let start = wanted.and_then(|wanted| wanted.start).map_or(0, |start| start.group);
        if start > 0 && start >= next_group.load(Ordering::Relaxed) {
            return Some(track);
        }
    }
}

/// A MoQ track that ends when its pump does, however that comes.
struct Ending(Option<track::Producer>);

impl Ending {
    /// Ends the track at once, with what is cached of it, unless somebody reads it.
    fn abort_unused(&mut self) -> bool {
        self.0 = self.0.take().and_then(|track| track.abort_unused(moq_net::Error::Cancel).err());
        self.0.is_none()
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(track) = self.0.take() {
            // An error means that it has ended already.
            let _ = track.finish();
        }
    }
}

/// Keeps the newest group until the MoQ track is there; `None` when it does not come.
async fn wait_for_track(
    frames: &mut mpsc::Receiver<Frame>,
    target: &mut Target,
    mut attached: oneshot::Receiver<track::Producer>,
) -> Option<(track::Producer, Vec<Frame>)> {
    let mut kept: Vec<Frame> = Vec::new();
    let mut bytes = 0;
    let timeout = tokio::time::sleep(PREFETCH);
    tokio::pin!(timeout);
    loop {
        tokio::select! {
            biased;
            track = &mut attached => return track.ok().map(|track| (track, kept)),
            frame = frames.recv() => {
                let frame = frame?;
                target.learn(&frame);
                if frame.keyframe {
                    kept.clear();
                    bytes = 0;
                }
                bytes += frame.data.len();
                if bytes > MAX_PREFETCH_BYTES {
                    return None;
                }
                kept.push(frame);
            }
            // A reader of the catalog waits for the codec string; it goes on when that reader goes.
            () = &mut timeout, if target.learned.is_none() => return None,
        }
    }
}

impl Target {
    fn learn(&mut self, frame: &Frame) {
        if !frame.keyframe || self.codec != CodecName::H264 || self.learned.is_none() {
            return;
        }
        if let Some(codec) = h264::codec_string(&frame.data)
            && let Some(learned) = self.learned.take()
        {
            let lesson = Learned { track: self.track, layer: self.layer, codec };
            // A full queue has lessons of the same stream in it.
            let _ = learned.try_send(lesson);
        }
    }
}

struct Writer {
    hub: Handle,
    target: Target,
    subscription: SubscriptionId,
    group: Option<group::Producer>,
    /// The media time with which a group of sound began.
    sound_began_us: u64,
    /// The group was given up; only a keyframe helps.
    waiting: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.finish_group();
    }
}

impl Writer {
    async fn write(&mut self, track: &track::Producer, frame: &Frame) -> Result<(), moq_net::Error> {
        self.target.learn(frame);
        let payload = container::wrap(frame.media_time_us, &frame.data);
        let timestamp =
            Timestamp::from_micros(frame.media_time_us).map_err(|_| moq_net::Error::ProtocolViolation)?;
        if self.target.kind == MediaKind::Audio {
            return self.write_sound(track, timestamp, frame.media_time_us, payload);
        }
        if self.waiting && !frame.keyframe {
            return Ok(());
        }
        if !frame.keyframe && self.target.backlog.is_behind(Instant::now()) {
            tracing::debug!(track = track.name(), "the client is too slow: on with the next keyframe");
            self.target.backlog.forget();
            self.restart().await;
            return Ok(());
        }
        if frame.keyframe {
            self.finish_group();
            self.group = Some(self.next_group(track)?);
            self.waiting = false;
        }
        // A frame before the first keyframe belongs to no group.
        let Some(group) = &mut self.group else { return Ok(()) };
        self.target.backlog.wrote(payload.len());
        group.write_frame(timestamp, payload)
    }

    fn write_sound(
        &mut self,
        track: &track::Producer,
        timestamp: Timestamp,
        media_time_us: u64,
        payload: Bytes,
    ) -> Result<(), moq_net::Error> {
        self.target.backlog.wrote(payload.len());
        // A time before the group's is that of a clock that was restarted.
        let length = media_time_us.checked_sub(self.sound_began_us).map(Duration::from_micros);
        if length.is_none_or(|length| length >= self.target.sound_group) {
            self.finish_group();
        }
        let group = match self.group.take() {
            Some(group) => group,
            None => {
                self.sound_began_us = media_time_us;
                self.next_group(track)?
            }
        };
        self.group.insert(group).write_frame(timestamp, payload)?;
        if self.target.sound_group.is_zero() {
            self.finish_group();
        }
        Ok(())
    }

    /// Gives up the group and goes on with the next keyframe, which is asked for.
    async fn restart(&mut self) {
        self.abort_group();
        self.waiting = true;
        self.hub.resync(self.subscription).await;
    }

    fn next_group(&self, track: &track::Producer) -> Result<group::Producer, moq_net::Error> {
        let sequence = self.target.next_group.fetch_add(1, Ordering::Relaxed);
        track.create_group(group::Info { sequence })
    }

    fn finish_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = group.finish();
        }
    }

    /// Ends the group at once; what has not left is not sent.
    fn abort_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = group.abort(moq_net::Error::Old);
        }
    }
}

/// What waits for a client's connection, estimated: all that the session's pumps wrote, less what left.
///
/// Headers and retransmissions count as having left media, so the estimate is low; it grows as soon as the
/// path carries less than is made.
pub(super) struct Backlog {
    sent_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    state: Mutex<BacklogState>,
}

#[derive(Debug)]
struct BacklogState {
    waiting: u64,
    sent_before: u64,
    /// Bytes written since `since`, for the rate.
    window: u64,
    since: Instant,
    rate_bps: u64,
}

impl Backlog {
    /// The backlog of a connection whose bytes sent so far `sent_bytes` tells.
    pub(super) fn new(now: Instant, sent_bytes: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let state =
            BacklogState { waiting: 0, sent_before: sent_bytes(), window: 0, since: now, rate_bps: 0 };
        Self { sent_bytes: Box::new(sent_bytes), state: Mutex::new(state) }
    }

    fn wrote(&self, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += bytes as u64;
        state.window += bytes as u64;
    }

    fn forget(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = 0;
        state.sent_before = (self.sent_bytes)();
    }

    fn is_behind(&self, now: Instant) -> bool {
        let sent = (self.sent_bytes)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = state.waiting.saturating_sub(sent.saturating_sub(state.sent_before));
        state.sent_before = sent;
        let elapsed = now.saturating_duration_since(state.since);
        if elapsed >= Duration::from_secs(1) {
            state.rate_bps = state.window * 1000 / elapsed.as_millis().max(1) as u64;
            state.window = 0;
            state.since = now;
        }
        let allowed = state.rate_bps * MAX_LAG.as_millis() as u64 / 1000;
        state.waiting > allowed.max(MIN_QUEUE_BYTES) && state.rate_bps > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(sent: &Arc<AtomicU64>, now: Instant) -> Backlog {
        let sent = Arc::clone(sent);
        Backlog::new(now, move || sent.load(Ordering::Relaxed))
    }

    /// 100 kB/s for ten seconds, of which `leaves` in a hundred leave.
    fn behind_after(leaves: u64) -> Option<Duration> {
        let start = Instant::now();
        let sent = Arc::new(AtomicU64::new(0));
        let backlog = backlog(&sent, start);
        (0..300).map(|frame| Duration::from_millis(frame * 1000 / 30)).find(|at| {
            backlog.wrote(3333);
            sent.fetch_add(3333 * leaves / 100, Ordering::Relaxed);
            backlog.is_behind(start + *at)
        })
    }

    #[test]
    fn a_connection_that_carries_what_is_made_is_never_behind() {
        assert_eq!(behind_after(100), None);
        assert_eq!(behind_after(104), None, "with headers");
    }

    #[test]
    fn a_connection_that_carries_half_is_behind_within_two_seconds() {
        let at = behind_after(50).expect("behind");
        assert!(at > MAX_LAG && at < Duration::from_secs(2), "{at:?}");
    }

    #[test]
    fn giving_up_starts_the_count_again() {
        let start = Instant::now();
        let sent = Arc::new(AtomicU64::new(0));
        let backlog = backlog(&sent, start);
        backlog.wrote(1 << 20);
        assert!(backlog.is_behind(start + Duration::from_secs(1)));
        backlog.forget();
        backlog.wrote(1000);
        assert!(!backlog.is_behind(start + Duration::from_secs(1)));
    }
}
