//! Packets to frames: one per layer, while somebody wants the layer's frames and its publisher sends packets.

use std::time::{Duration, Instant};

use tombolo_net::ExtSeqNo;
use tombolo_rtp::codec::{AssembledFrame, Assembler, AssemblerConfig, AssemblerInput, Codec};

use super::config::Config;
use super::rewrite::LayerPacket;

/// How long sound waits for a lost packet: as long as a player's buffer hides the wait.
const SOUND_LOSS_WAIT: Duration = Duration::from_millis(40);

/// Puts the packets of a layer together to frames, none of them broken.
#[derive(Debug)]
pub(super) struct ToFrames {
    assembler: Assembler,
    shown: bool,
    last_media_us: u64,
}

impl ToFrames {
    pub(super) fn new(codec: Codec, config: &Config) -> Self {
        let wait = if codec.has_keyframes() { config.loss_wait } else { SOUND_LOSS_WAIT };
        let bounds = AssemblerConfig::new(codec).max_bytes(config.max_frame_bytes).max_wait(wait);
        Self { assembler: Assembler::with_config(codec, bounds), shown: false, last_media_us: 0 }
    }

    /// Takes a packet that arrives `now`. Call [`Self::pop`] until `None` after it.
    pub(super) fn push(&mut self, now: Instant, packet: &LayerPacket) {
        let packet = &packet.packet;
        self.assembler.push(AssemblerInput {
            seq: packet.seq,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: packet.payload.clone(),
            arrival: now,
        });
    }

    /// What of the packets up to `last` is missing will not come. Call [`Self::pop`] until `None` after it.
    pub(super) fn give_up_through(&mut self, last: ExtSeqNo) {
        self.assembler.give_up_before(last.next());
    }

    /// The next whole frame.
    pub(super) fn pop(&mut self) -> Option<AssembledFrame> {
        let frame = self.assembler.pop();
        self.shown |= frame.is_some();
        frame
    }

    /// Whether frames were lost since the last call, and no keyframe has come after them.
    pub(super) fn take_loss(&mut self) -> bool {
        let lost = self.shown && self.assembler.needs_keyframe();
        self.shown &= !lost;
        lost
    }

    /// The media time to tell for a frame captured at `media_us`: a correction of the clock never turns it back.
    pub(super) fn tell_time(&mut self, media_us: i64) -> u64 {
        self.last_media_us = u64::try_from(media_us).unwrap_or_default().max(self.last_media_us + 1);
        self.last_media_us
    }

    /// Gives up what was waited for long enough; `true` when that was something. Call [`Self::pop`] until `None`, and
    /// this again, for what waited behind it may have waited as long.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        let due = self.timeout().is_some_and(|due| due <= now);
        if due {
            self.assembler.handle_timeout(now);
        }
        due
    }

    /// When [`Self::give_up`] is due.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.assembler.poll_timeout()
    }
}
