//! What is published: a camera of 640×360 at 30 pictures a second, and sound, as the page would send them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo::MediaKind;

/// Between two pictures.
const PICTURE: Duration = Duration::from_nanos(1_000_000_000 / 30);
/// Between two packets of sound.
const SOUND: Duration = Duration::from_millis(20);
/// A keyframe is made every so many pictures.
const KEYFRAME_EVERY: u64 = 60;
/// About 1 Mb/s.
const PICTURE_BYTES: usize = 4000;
const KEYFRAME_BYTES: usize = 20_000;
/// 64 kb/s.
const SOUND_BYTES: usize = 160;

/// One encoded picture or packet of sound.
pub(super) struct Sample {
    pub(super) kind: MediaKind,
    pub(super) media_time_us: u64,
    pub(super) keyframe: bool,
    pub(super) data: Bytes,
}

/// Makes samples when they are due.
pub(super) struct Camera {
    start: Instant,
    pictures: u64,
    sounds: u64,
    keyframe: bool,
}

impl Camera {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), pictures: 0, sounds: 0, keyframe: true }
    }

    /// The next picture is a keyframe.
    pub(super) fn request_keyframe(&mut self) {
        self.keyframe = true;
    }

    /// When the next sample is due.
    pub(super) fn due(&self) -> Instant {
        self.start + self.next_picture().min(self.next_sound())
    }

    fn next_picture(&self) -> Duration {
        PICTURE * self.pictures as u32
    }

    /// Half a packet later than the pictures, so that they seldom meet.
    fn next_sound(&self) -> Duration {
        SOUND * self.sounds as u32 + SOUND / 2
    }

    /// The sample that is due.
    pub(super) fn take(&mut self) -> Sample {
        let (picture, sound) = (self.next_picture(), self.next_sound());
        if sound < picture {
            self.sounds += 1;
            // RFC 6716 §3.1: one frame of 20 ms.
            let data = [&[31 << 3][..], &[7; SOUND_BYTES - 1]].concat().into();
            return Sample { kind: MediaKind::Audio, media_time_us: micros(sound), keyframe: true, data };
        }
        let keyframe = std::mem::take(&mut self.keyframe) || self.pictures.is_multiple_of(KEYFRAME_EVERY);
        self.pictures += 1;
        let data = vp8(keyframe);
        Sample { kind: MediaKind::Video, media_time_us: micros(picture), keyframe, data }
    }
}

/// The header of a VP8 frame (RFC 6386 §9.1) and something behind it.
fn vp8(keyframe: bool) -> Bytes {
    if keyframe {
        let mut frame = vec![0x10, 2, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0x68, 0x01];
        frame.resize(KEYFRAME_BYTES, 0x55);
        return frame.into();
    }
    let mut frame = vec![0x11, 2, 0];
    frame.resize(PICTURE_BYTES, 0x55);
    frame.into()
}

fn micros(time: Duration) -> u64 {
    // A second more, since no media starts at zero.
    1_000_000 + time.as_micros() as u64
}

/// What a viewer has got.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pictures: AtomicU64,
    sounds: AtomicU64,
}

impl Seen {
    pub(super) fn count(&self, kind: MediaKind) {
        let counter = if kind == MediaKind::Audio { &self.sounds } else { &self.pictures };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Pictures and packets of sound.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.pictures.load(Ordering::Relaxed), self.sounds.load(Ordering::Relaxed))
    }
}
