//! Frames to packets: one per layer, while somebody wants the layer's packets and its publisher sends frames.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tombolo_net::{ExtSeqNo, RtpTime};
use tombolo_rtp::codec::{Codec, PacketizeError, Packetizer, opus};

use super::media::{MediaFrame, MediaPacket};
use super::payload::PayloadInfo;
use super::rewrite::LayerPacket;

/// Media times of sound that are less than this from following on are taken to follow on: a player hears
/// a hole or an overlap of any length, and capture times jitter.
const SOUND_SNAP_TICKS: i64 = 240;

/// A time in ticks that needs more bits is none; its low bits are as good as any.
const TIME_MASK: u128 = (1 << 62) - 1;

/// Cuts the frames of a layer into packets that all its packet subscribers share.
#[derive(Debug)]
pub(super) struct ToPackets {
    codec: Codec,
    packetizer: Packetizer,
    max_payload_bytes: usize,
    next_seq: ExtSeqNo,
    /// Where the next sound follows on, in unwrapped ticks.
    follows_on: Option<i64>,
    /// The newest timestamp of a backlog of pictures, until they are past it, in unwrapped ticks.
    told: Option<i64>,
    payloads: Vec<Bytes>,
}

impl ToPackets {
    pub(super) fn new(codec: Codec, first_picture_id: u16, max_payload_bytes: usize) -> Self {
        Self {
            codec,
            packetizer: Packetizer::new(codec, first_picture_id),
            max_payload_bytes,
            next_seq: ExtSeqNo(0x1_0000),
            follows_on: None,
            told: None,
            payloads: Vec::new(),
        }
    }

    /// The packets of a frame that was captured at `capture`, told as `later` than it was; `live`: whether a joiner may
    /// start with it.
    ///
    /// # Errors
    /// See [`PacketizeError`]; the stream goes on without the frame.
    pub(super) fn push(
        &mut self,
        frame: &MediaFrame,
        capture: Instant,
        live: bool,
        later: Duration,
    ) -> Result<Vec<LayerPacket>, PacketizeError> {
        self.payloads.clear();
        self.packetizer.packetize(&frame.data, self.max_payload_bytes, &mut self.payloads)?;
        let (timestamp, later) = self.timestamp(frame, later);
        let capture = capture + later;
        let video = self.codec.has_keyframes();
        let last = self.payloads.len() - 1;
        let first_seq = self.next_seq.0;
        self.next_seq = ExtSeqNo(first_seq + self.payloads.len() as u64);
        let codec = self.codec;
        let packet = |(n, payload): (usize, Bytes)| LayerPacket {
            info: PayloadInfo {
                starts_keyframe: frame.keyframe && n == 0,
                ..PayloadInfo::read(codec, &payload)
            },
            packet: MediaPacket {
                seq: ExtSeqNo(first_seq + n as u64),
                timestamp,
                marker: video && n == last,
                payload,
            },
            keyframe: frame.keyframe,
            capture,
            live,
        };
        Ok(self.payloads.drain(..).enumerate().map(packet).collect())
    }

    /// The timestamp of a frame that is told as `later` than it was, and how much later that is with what makes it newer
    /// than the one before.
    fn timestamp(&mut self, frame: &MediaFrame, later: Duration) -> (RtpTime, Duration) {
        let rate = u128::from(self.codec.clock_rate_hz());
        let in_ticks = |us: u128| (((us * rate + 500_000) / 1_000_000) & TIME_MASK) as i64;
        let own = in_ticks(u128::from(frame.media_time_us));
        if self.codec.has_keyframes() {
            let mut ticks = own + in_ticks(later.as_micros());
            // What comes in one instant is told as one tick apart; what follows has its own time once that is ahead.
            self.told = self.told.filter(|&told| ticks <= told);
            ticks = self.told.map_or(ticks, |told| told + 1);
            self.told = self.told.or((!later.is_zero()).then_some(ticks)).map(|told| told.max(ticks));
            let later_us = (ticks - own) as u64 as u128 * 1_000_000 / rate;
            return (RtpTime(ticks as u32), Duration::from_micros(later_us as u64));
        }
        let ticks = self.follows_on.filter(|next| (own - next).abs() <= SOUND_SNAP_TICKS).unwrap_or(own);
        let length = opus::duration(&frame.data).unwrap_or_default();
        self.follows_on = Some(ticks + in_ticks(length.as_micros()));
        (RtpTime(ticks as u32), Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_of_capture_times_makes_no_holes_in_sound() {
        let now = Instant::now();
        let mut to_packets = ToPackets::new(Codec::Opus, 0, 1160);
        let mut timestamps = Vec::new();
        for (n, jitter) in [0i64, 2100, -1900, 400, 0, 60_000, 60_000].into_iter().enumerate() {
            let frame = MediaFrame {
                media_time_us: (1_000_000 + n as i64 * 20_000 + jitter) as u64,
                keyframe: true,
                data: Bytes::from_static(&[31 << 3, 1]),
            };
            timestamps.extend(
                to_packets
                    .push(&frame, now, true, Duration::ZERO)
                    .unwrap()
                    .iter()
                    .map(|packet| packet.packet.timestamp),
            );
        }
        let distances: Vec<_> = timestamps.windows(2).map(|pair| pair[1].distance_from(pair[0])).collect();
        assert_eq!(distances, [960, 960, 960, 960, 960 + 2880, 960], "only the real hole shows");
    }

    #[test]
    fn a_frame_becomes_packets_of_one_timestamp_with_the_marker_on_the_last() {
        let mut to_packets = ToPackets::new(Codec::Vp8, 77, 100);
        let frame = MediaFrame { media_time_us: 100_000, keyframe: true, data: Bytes::from(vec![0; 250]) };
        let packets = to_packets.push(&frame, Instant::now(), true, Duration::ZERO).unwrap();
        assert_eq!(packets.iter().map(|p| p.packet.marker).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(packets.iter().map(|p| p.info.starts_keyframe).collect::<Vec<_>>(), [true, false, false]);
        assert!(packets.iter().all(|p| p.packet.timestamp == RtpTime(9000)));
        assert!(packets.windows(2).all(|pair| pair[1].packet.seq == pair[0].packet.seq.next()));
    }
}
