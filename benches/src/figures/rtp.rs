//! Reading an RTP packet of 1200 bytes with three header extensions, one of which is looked at; and writing one.

use super::{Contender, Contest, Unit};
use crate::scenarios;

pub(super) fn contests() -> Vec<Contest> {
    let contest = |name: &str| {
        let ours = scenarios::find(name).expect("a scenario").prepare();
        Contest::new(name, Unit::Nanoseconds, Contender::of(ours, 1))
    };
    // Who writes a packet copies it at least.
    let limit = Contender::memcpy(scenarios::browser_packet().len());
    vec![
        contest("rtp-parse-extensions").beside(peers::parse()),
        contest("rtp-rewrite").beside([("limit", limit)]).beside(peers::rewrite()),
    ]
}

#[cfg(not(feature = "peers"))]
mod peers {
    use crate::figures::Contender;

    /// Nobody.
    pub(super) fn parse() -> Vec<(&'static str, Contender)> {
        Vec::new()
    }

    /// Nobody.
    pub(super) fn rewrite() -> Vec<(&'static str, Contender)> {
        Vec::new()
    }
}

#[cfg(feature = "peers")]
mod peers {
    use std::hint::black_box;

    use bytes::Bytes;
    use rtc_rtp::header::Header;
    use rtc_rtp::packet::Packet;
    use rtc_shared::marshal::{Marshal, Unmarshal};

    use crate::figures::Contender;
    use crate::scenarios::browser_packet;

    pub(super) fn parse() -> Vec<(&'static str, Contender)> {
        let data = Bytes::from(browser_packet());
        vec![(
            "rtc-rtp",
            Contender::new(move || {
                let packet = Packet::unmarshal(&mut data.clone()).expect("a good packet");
                assert!(packet.header.get_extension(3).is_some() && packet.header.get_extension(4).is_some());
                black_box(packet);
            }),
        )]
    }

    /// Read, change the header, write.
    pub(super) fn rewrite() -> Vec<(&'static str, Contender)> {
        let data = Bytes::from(browser_packet());
        let mut out = vec![0; 1500];
        let mut seq = 0u16;
        vec![(
            "rtc-rtp",
            Contender::new(move || {
                let mut packet = Packet::unmarshal(&mut data.clone()).expect("a good packet");
                seq = seq.wrapping_add(1);
                let Header { marker, timestamp, .. } = packet.header;
                packet.header = Header {
                    version: 2,
                    marker,
                    payload_type: 100,
                    sequence_number: seq,
                    timestamp,
                    ssrc: 10,
                    ..Header::default()
                };
                packet.header.set_extension(3, Bytes::copy_from_slice(&seq.to_be_bytes())).expect("room");
                packet.header.set_extension(4, Bytes::from_static(b"0")).expect("room");
                black_box(packet.marshal_to(&mut out).expect("room"));
            }),
        )]
    }
}
