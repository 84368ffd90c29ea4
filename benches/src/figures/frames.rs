//! Frames to packets and back, each codec, beside a copy of the frame's bytes.

use tombolo_rtp::codec::Codec;

use super::{Contender, Contest, Unit};
use crate::scenarios::{self, L16};

const CODECS: [(&str, Codec); 9] = [
    ("vp8", Codec::Vp8),
    ("vp9", Codec::Vp9),
    ("av1", Codec::Av1),
    ("h264", Codec::H264),
    ("h265", Codec::H265),
    ("opus", Codec::Opus),
    ("g711", Codec::Pcmu),
    ("g722", Codec::G722),
    ("l16", L16),
];

/// What goes beside the frames of a codec, and the bytes that are copied at least.
const BESIDE: [(&str, usize); 6] = [
    ("red-packetize-frame", 360),
    ("red-assemble-frames", 240),
    ("telephone-event-send", 16),
    ("telephone-event-receive", 16),
    ("comfort-noise-write", 11),
    ("comfort-noise-read", 11),
];

pub(super) fn contests() -> Vec<Contest> {
    let contest = |name: &str, bytes| {
        let ours = scenarios::find(name).expect("a scenario").prepare();
        let limit = Contender::memcpy(bytes);
        Contest::new(name, Unit::Nanoseconds, Contender::of(ours, 1)).beside([("limit", limit)])
    };
    let both = CODECS.map(|(name, codec)| {
        let bytes = scenarios::frame(codec).len();
        [
            contest(&format!("{name}-packetize-frame"), bytes).beside(peers::packetize(codec)),
            contest(&format!("{name}-assemble-frame"), bytes).beside(peers::assemble(codec)),
        ]
    });
    both.into_iter().flatten().chain(BESIDE.map(|(name, bytes)| contest(name, bytes))).collect()
}

#[cfg(not(feature = "peers"))]
mod peers {
    use super::{Codec, Contender};

    /// Nobody.
    pub(super) fn packetize(_codec: Codec) -> Vec<(&'static str, Contender)> {
        Vec::new()
    }

    /// Nobody.
    pub(super) fn assemble(_codec: Codec) -> Option<(&'static str, Contender)> {
        None
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::hint::black_box;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use rtc_media::io::sample_builder::SampleBuilder;
    use rtc_rtp::codec::{av1, g7xx, h264, h265, opus, vp8, vp9};
    use rtc_rtp::header::Header;
    use rtc_rtp::packet::Packet;
    use rtc_rtp::packetizer::{Depacketizer, Payloader};
    use str0m::unversioned::{H264Packetizer, OpusPacketizer, Vp8Packetizer};
    use tombolo_rtp::codec::Packetizer;

    use super::{Codec, Contender};
    use crate::scenarios::{MAX_PAYLOAD, frame};

    /// With the same frame and the same room.
    pub(super) fn packetize(codec: Codec) -> Vec<(&'static str, Contender)> {
        let rtc = rtc_payloader(codec).map(|mut payloader| {
            let frame = Bytes::from(frame(codec));
            Contender::new(move || {
                let packets = payloader.payload(MAX_PAYLOAD, black_box(&frame)).expect("a good frame");
                assert!(!black_box(packets).is_empty());
            })
        });
        let str0m = str0m_packetizer(codec).map(|mut packetizer| {
            let frame = frame(codec);
            Contender::new(move || {
                let packets = packetizer.packetize(MAX_PAYLOAD, black_box(&frame)).expect("a good frame");
                assert!(!black_box(packets).is_empty());
            })
        });
        [("rtc-rtp", rtc), ("str0m", str0m)]
            .into_iter()
            .filter_map(|(name, work)| Some((name, work?)))
            .collect()
    }

    fn rtc_payloader(codec: Codec) -> Option<Box<dyn Payloader>> {
        Some(match codec {
            Codec::Vp8 => Box::<vp8::Vp8Payloader>::default(),
            Codec::Vp9 => Box::<vp9::Vp9Payloader>::default(),
            Codec::Av1 => Box::<av1::Av1Payloader>::default(),
            Codec::H264 => Box::<h264::H264Payloader>::default(),
            Codec::H265 => Box::<h265::HevcPayloader>::default(),
            Codec::Opus => Box::new(opus::OpusPayloader),
            Codec::Pcmu | Codec::Pcma | Codec::G722 => Box::new(g7xx::G7xxPayloader),
            _ => return None,
        })
    }

    fn str0m_packetizer(codec: Codec) -> Option<Box<dyn str0m::unversioned::Packetizer>> {
        Some(match codec {
            Codec::Vp8 => Box::<Vp8Packetizer>::default(),
            Codec::H264 => Box::<H264Packetizer>::default(),
            Codec::Opus => Box::new(OpusPacketizer),
            _ => return None,
        })
    }

    /// `SampleBuilder`, which tolerates loss and reorder as ours does. Of H.265 it makes no frames.
    pub(super) fn assemble(codec: Codec) -> Option<(&'static str, Contender)> {
        let work = match codec {
            Codec::Vp8 => sample_builder(codec, vp8::Vp8Packet::default()),
            Codec::Vp9 => sample_builder(codec, vp9::Vp9Packet::default()),
            Codec::Av1 => sample_builder(codec, av1::Av1Depacketizer::new()),
            Codec::H264 => sample_builder(codec, h264::H264Packet::default()),
            Codec::Opus => sample_builder(codec, opus::OpusPacket),
            _ => return None,
        };
        Some(("rtc-media", work))
    }

    /// A frame leaves when a packet of the next one is there.
    fn sample_builder(codec: Codec, depacketizer: impl Depacketizer + 'static) -> Contender {
        let mut payloads: Vec<Bytes> = Vec::new();
        Packetizer::new(codec, 1).packetize(&frame(codec), MAX_PAYLOAD, &mut payloads).expect("a good frame");
        let mut builder = SampleBuilder::new(512, depacketizer, codec.clock_rate_hz());
        let mut now = Instant::now();
        let (mut sequence_number, mut timestamp, mut waiting) = (0u16, 0u32, 0);
        Contender::new(move || {
            now += Duration::from_millis(33);
            timestamp = timestamp.wrapping_add(3000);
            waiting += 1;
            for (at, payload) in payloads.iter().enumerate() {
                sequence_number = sequence_number.wrapping_add(1);
                let marker = at + 1 == payloads.len();
                let header = Header { version: 2, marker, sequence_number, timestamp, ..Header::default() };
                builder.push(now, Packet { header, payload: payload.clone() });
                while let Some(sample) = builder.pop(now) {
                    assert!(!black_box(sample.data).is_empty());
                    waiting -= 1;
                }
            }
            assert!(waiting <= 2);
        })
    }
}
