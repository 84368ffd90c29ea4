//! Frames to packets and back, each codec, beside a copy of the frame's bytes.

use tombolo_rtp::codec::Codec;

use super::{Contender, Contest, Unit};
use crate::scenarios;

const CODECS: [(&str, Codec); 3] = [("vp8", Codec::Vp8), ("h264", Codec::H264), ("opus", Codec::Opus)];

pub(super) fn contests() -> Vec<Contest> {
    let contest = |name: String, codec| {
        let ours = scenarios::find(&name).expect("a scenario").prepare();
        let limit = Contender::memcpy(scenarios::frame(codec).len());
        Contest::new(name, Unit::Nanoseconds, Contender::of(ours, 1)).beside([("limit", limit)])
    };
    let both = CODECS.map(|(name, codec)| {
        [
            contest(format!("{name}-packetize-frame"), codec).beside(peers::packetize(codec)),
            contest(format!("{name}-assemble-frame"), codec),
        ]
    });
    both.into_iter().flatten().collect()
}

#[cfg(not(feature = "peers"))]
mod peers {
    use super::{Codec, Contender};

    /// Nobody.
    pub(super) fn packetize(_codec: Codec) -> Option<(&'static str, Contender)> {
        None
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::hint::black_box;

    use bytes::Bytes;
    use rtc_rtp::codec::{h264::H264Payloader, opus::OpusPayloader, vp8::Vp8Payloader};
    use rtc_rtp::packetizer::Payloader;

    use super::{Codec, Contender};
    use crate::scenarios::{MAX_PAYLOAD, frame};

    /// The payloader of `rtc-rtp`, with the same frame and the same room.
    pub(super) fn packetize(codec: Codec) -> Option<(&'static str, Contender)> {
        let mut payloader: Box<dyn Payloader> = match codec {
            Codec::Vp8 => Box::<Vp8Payloader>::default(),
            Codec::H264 => Box::<H264Payloader>::default(),
            Codec::Opus => Box::new(OpusPayloader),
            _ => return None,
        };
        let frame = Bytes::from(frame(codec));
        let work = move || {
            let packets = payloader.payload(MAX_PAYLOAD, black_box(&frame)).expect("a good frame");
            assert!(!black_box(packets).is_empty());
        };
        Some(("rtc-rtp", Contender::new(work)))
    }
}
